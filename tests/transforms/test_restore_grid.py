# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The way back is that of MONAI, whichever process prepared the image."""

from __future__ import annotations

import pickle

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Flipd, Invertd, Orientationd, RandFlipd, Resized, ScaleIntensityd, Spacingd

from monai_coat.transforms import RestoreGridd

AFFINE = torch.diag(torch.tensor([-1.0, 2.0, 3.0, 1.0]))
PIPELINES = {
    "one": [Resized("image", (8, 9, 5), mode="trilinear")],
    "several": [
        Orientationd("image", "RAS", labels=None),
        Spacingd("image", (1.5, 1.5, 1.5)),
        ScaleIntensityd("image"),
        Resized("image", (8, 8, 8), mode="trilinear"),
    ],
    "one class twice": [
        Resized("image", (12, 6, 8)),
        Flipd("image", 0),
        Resized("image", (5, 9, 7)),
        Flipd("image", 2),
    ],
    "nested": [Compose([Flipd("image", 1)]), Compose([Compose([Resized("image", (4, 4, 4))])])],
    "by chance": [RandFlipd("image", prob=1.0, spatial_axis=0), RandFlipd("image", prob=0.0), Flipd("image", 1)],
}


def volume():
    return MetaTensor(torch.rand(1, 6, 7, 8, generator=torch.Generator().manual_seed(0)), affine=AFFINE)


def restored(kind, steps, prepared, **more):
    return kind("pred", steps, "image", nearest_interp=False)({**prepared, "pred": prepared["image"].clone(), **more})


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_it_is_that_of_monai(name, elsewhere):
    steps = Compose(PIPELINES[name]).set_random_state(0)
    other = pickle.loads(pickle.dumps(steps)) if elsewhere else steps  # what a worker that was started anew has
    image = volume()
    expected = restored(Invertd, steps, steps({"image": image}))["pred"]
    got = restored(RestoreGridd, steps, other({"image": image}))["pred"]
    assert torch.equal(got.as_tensor(), expected.as_tensor())
    assert torch.equal(got.affine, expected.affine)


def test_what_was_done_after_the_pipeline_is_left_alone():
    """As by MONAI, which passes over operations that the pipeline did not make."""
    steps, later = Compose([Resized("image", (3, 3, 3))]), Flipd("image", 0)
    other = pickle.loads(pickle.dumps(steps))
    expected = restored(Invertd, steps, later(steps({"image": volume()})))["pred"]
    got = restored(RestoreGridd, steps, later(other({"image": volume()})))["pred"]
    assert torch.equal(got.as_tensor(), expected.as_tensor())


def test_another_pipeline_is_refused():
    prepared = Compose([Flipd("image", 0)])({"image": volume()})
    with pytest.raises(RuntimeError, match="Resize"):
        restored(RestoreGridd, Compose([Resized("image", (3, 3, 3))]), prepared)


def test_the_image_stays_as_it_was():
    steps = Compose([Flipd("image", 0)])
    prepared = pickle.loads(pickle.dumps(steps))({"image": volume()})
    number = prepared["image"].applied_operations[0]["id"]
    after = restored(RestoreGridd, steps, prepared)
    assert after["image"] is prepared["image"]
    assert after["image"].applied_operations[0]["id"] == number


def test_steps_that_move_nothing_leave_everything_where_it_was():
    """Without MONAI's warning that there is nothing to invert."""
    steps = Compose([ScaleIntensityd("image")])
    prepared = steps({"image": volume()})
    assert torch.equal(restored(RestoreGridd, steps, prepared)["pred"].as_tensor(), prepared["image"].as_tensor())
