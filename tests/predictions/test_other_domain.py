# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Where thresholds per image do not pay, or were learned elsewhere, there is one for all, and it is said."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from PIL import Image

from monai_coat.calibration import ExpectedRisk, calibrate_maps
from monai_coat.data import open_predictions
from monai_coat.functional import placed_logits
from monai_coat.predictions import calibrate_folder, fit_folder
from tests.scorers.test_expected_gap import foreign, generated

ALPHA = 0.2


@pytest.fixture
def folder(tmp_path):
    """Write maps and masks as files of 8 bits, and open them."""

    def write(name, pair):
        for kind, values in zip(("maps", "masks"), pair, strict=True):
            (tmp_path / name / kind).mkdir(parents=True)
            for number, value in enumerate(values[:, 0]):
                pixels = (255 * value.float().numpy()).round().astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / name / kind / f"{number:03}.png")
        return open_predictions(tmp_path / name / "maps", tmp_path / name / "masks")

    return write


def of_one_threshold(folder):
    maps, masks = zip(*((maps.as_tensor(), masks) for _, maps, masks in folder.pairs()), strict=True)
    return calibrate_maps([placed_logits(each[None])[0] for each in maps], list(masks), alpha=ALPHA)


def alike(seed):
    """One image, with a little noise of its own each time."""
    probs, labels = generated(seed, 60, hardness=0.0)
    noise = 0.03 * torch.rand(probs.shape, generator=torch.Generator().manual_seed(seed))
    return (probs + noise).clamp(max=1), labels


def test_images_that_are_all_alike_have_one_threshold(folder, caplog):
    fitted = fit_folder(folder("fit", alike(0)), ALPHA, "meg2")
    assert "Adaptivity does not pay here, class 0" in caplog.text
    others = folder("calibrate", alike(1))
    result = calibrate_folder(others, guarantee=ExpectedRisk(alpha=ALPHA), fitted=fitted).result
    assert result.cutoff == of_one_threshold(others).cutoff
    assert result.risk[0] <= ALPHA


def test_a_scorer_of_another_domain_gives_one_threshold_and_says_so(folder, caplog):
    fitted = fit_folder(folder("fit", generated(0, 80)), ALPHA, "meg2")
    assert caplog.text == ""
    calibrate_folder(folder("alike", generated(1, 60)), guarantee=ExpectedRisk(alpha=ALPHA), fitted=fitted)
    few = re.search(r"(\d+) of 60 images are unlike", caplog.text)
    assert few is None or int(few[1]) < 6
    caplog.clear()
    others = folder("foreign", foreign(0, 60))
    calibrated = calibrate_folder(others, guarantee=ExpectedRisk(alpha=ALPHA), fitted=fitted)
    assert "60 of 60 images are unlike those that the scorer was fitted to, such as" in caplog.text
    assert "fit a scorer to images of this kind" in caplog.text
    one, own = of_one_threshold(others), calibrated.result
    assert own.risk[0] <= ALPHA
    same = []
    for _, maps, _ in others.pairs():
        sets = calibrated.fitted.score(maps) >= own.cutoff[0]
        same.append((sets == (placed_logits(maps.as_tensor()[None])[0] >= one.cutoff[0])).float().mean())
    assert np.mean(same) > 0.999
