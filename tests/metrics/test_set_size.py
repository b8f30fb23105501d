# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import pytest
import torch

from monai_coat.functional import precision, relative_set_size, set_fraction
from monai_coat.metrics import SetSizeMetric, SetSizeQuantity


# Of the three images, at 0.5: set over foreground, over image, and what is right of the set.
@pytest.mark.parametrize(
    ("quantity", "values", "mean"),
    [
        ("relative", [2 / 3, 1.5, float("nan")], 13 / 12),
        ("fraction", [0.5, 0.75, 0.25], 0.5),
        ("precision", [1.0, 2 / 3, 0.0], 5 / 9),
        (SetSizeQuantity.PRECISION, [1.0, 2 / 3, 0.0], 5 / 9),
    ],
)
def test_numbers_by_hand(images, quantity, values, mean):
    metric = SetSizeMetric(quantity)
    assert metric(*images).flatten().tolist() == pytest.approx(values, nan_ok=True)
    assert metric.aggregate().item() == pytest.approx(mean)


def test_it_is_the_function(images):
    for quantity, expected in (
        ("relative", relative_set_size(*images, 0.4)),
        ("fraction", set_fraction(images[0], 0.4)),
        ("precision", precision(*images, 0.4)),
    ):
        assert torch.equal(SetSizeMetric(quantity, cutoff=0.4)(*images).nan_to_num(-1), expected.nan_to_num(-1))


def test_images_that_do_not_count_are_left_out(images):
    scores, labels = images
    counts = {}
    for quantity in SetSizeQuantity:
        metric = SetSizeMetric(quantity, cutoff=0.85, get_not_nans=True)
        metric(scores, labels)
        counts[str(quantity)] = metric.aggregate()[1].item()
    # The third image has no foreground; at 0.85 its set is empty, and nothing in it is wrong.
    assert counts == {"relative": 2, "fraction": 3, "precision": 3}


def test_the_default_is_the_relative_set_size():
    assert SetSizeMetric().quantity == SetSizeQuantity.RELATIVE


def test_unknown_quantities_are_refused():
    with pytest.raises(ValueError, match=r"quantity must be one of relative, fraction, precision, got 'area'"):
        SetSizeMetric("area")
