# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which methods are compared on volumes."""

from __future__ import annotations

import pytest
import torch

from monai_coat.comparison import load_protocol
from monai_coat.comparison.data.sketch_methods import refuse_methods_of_whole_maps

NEEDS_MAPS = {"AA-CRC", "AA-CRC, exact", "CRA, isotonic", "CCRA-S", "ReCIRC", "oracle"}
NEEDS_MAPS |= {"COAT, expected coverage", "pinball, expected coverage"}


def test_all_methods_of_the_protocol_of_volumes_are_among_them():
    before = torch.random.get_rng_state()
    refuse_methods_of_whole_maps(load_protocol("volumes"))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", load_protocol("predictions").methods)
def test_methods_of_flat_maps_are_refused_by_name_if_they_need_them(tiny, name):
    settings = dict(load_protocol("predictions").methods[name])
    protocol = tiny(methods={name: settings}, reference=name, default=name)
    assert (name in NEEDS_MAPS) == (name not in load_protocol("volumes").methods)
    if name not in NEEDS_MAPS:
        refuse_methods_of_whole_maps(protocol)
        return
    with pytest.raises(ValueError, match="methods must learn from sketches and give scores") as refused:
        refuse_methods_of_whole_maps(protocol)
    assert repr(name) in str(refused.value)
