# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The uncertain share of a map, by hand and at its ends."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from monai_coat.functional import uncertain_share


def test_share_by_hand():
    # (0 + 1/4 + 1/4 + 0) / (1 + 3/4 + 1/4 + 0) = 1/4; half-sure everywhere: (1/2 + 1/2) / (1/2 + 1/2) = 1.
    probs = torch.tensor([[[1.0, 0.75, 0.25, 0.0]], [[0.5, 0.5, 0.0, 0.0]]])
    assert uncertain_share(probs).tolist() == [[0.25], [1.0]]


def test_ends():
    probs = torch.stack([torch.zeros(2, 3), torch.ones(2, 3), torch.full((2, 3), 0.125)])[:, None]
    assert uncertain_share(probs).tolist() == [[1.0], [0.0], [1.0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_size_of_the_image_precision_and_metadata_play_no_part(dtype):
    probs = torch.tensor([[[1.0, 0.75, 0.25, 0.0]]], dtype=dtype)
    padded = MetaTensor(torch.nn.functional.pad(probs, (0, 1000)))
    assert type(uncertain_share(padded)) is torch.Tensor
    assert uncertain_share(padded).tolist() == [[0.25]]
