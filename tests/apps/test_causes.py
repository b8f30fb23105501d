# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import pytest
from monai.transforms import Compose, Lambdad

from monai_coat.apps.causes import by_its_cause


def raises(error):
    def function(_):
        raise error

    return Compose([Compose([Lambdad("image", function)])])


@pytest.mark.parametrize("error", [ValueError("image must be whole."), FileNotFoundError("image must exist.")])
def test_what_went_wrong_in_a_transform_is_said_in_its_own_words(error):
    with pytest.raises(type(error), match=str(error)), by_its_cause():
        raises(error)({"image": 1})


def test_other_errors_stay_as_they_are():
    with pytest.raises(RuntimeError, match="applying transform"), by_its_cause():
        raises(KeyError("a"))({"image": 1})
    with pytest.raises(TypeError, match="b"), by_its_cause():
        raise TypeError("b")
