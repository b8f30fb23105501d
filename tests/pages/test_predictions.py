# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The commands and the code of ``docs/predictions.md``, typed as they stand, on generated maps."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
import torch
from PIL import Image

from monai_coat.cli import main
from tests.fenced import sections_of

PAGE = sections_of("predictions.md")
COMMANDS = sections_of("predictions.md", "")
PARTS = {"train_maps": "train_masks", "maps": "masks", "test_maps": "test_masks", "new_maps": None}


def pair(rng):
    probs = rng.random((14, 11)) ** 2
    return probs, rng.random(probs.shape) < probs


@pytest.fixture(autouse=True)
def _in_folders_of_maps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for maps, masks in PARTS.items():
        for name in filter(None, (maps, masks)):
            (tmp_path / name).mkdir()
        for number in range(24):
            probs, mask = pair(rng)
            Image.fromarray((probs * 255).astype(np.uint8)).save(tmp_path / maps / f"{number}.png")
            if masks:
                Image.fromarray((mask * 255).astype(np.uint8)).save(tmp_path / masks / f"{number}.png")


def run(*sections):
    """Type the commands of some sections, one after the other."""
    for section in sections:
        for line in "".join(COMMANDS[section]).splitlines():
            assert main(shlex.split(line.removeprefix("python -m monai_coat "))) == 0


def test_one_threshold_for_all_images(tmp_path):
    run("One threshold for all images")
    assert len(list((tmp_path / "new_masks").glob("*.png"))) == 24


def test_a_threshold_for_each_image(tmp_path):
    run("A threshold for each image")
    assert (tmp_path / "report/table.md").is_file()
    assert (tmp_path / "calibration.scorer.pt").is_file()


def test_what_is_certain_too(tmp_path):
    run("What is certain, too")
    assert (tmp_path / "graded/labels.json").is_file()


def test_masks_and_no_probabilities(tmp_path, caplog):
    (tmp_path / "masks").rename(tmp_path / "predicted")
    (tmp_path / "train_masks").rename(tmp_path / "masks")
    with caplog.at_level("INFO"):
        run("Masks and no probabilities")
    assert "of the mask, between centres" in caplog.text


def test_in_python(tmp_path):
    rng = np.random.default_rng(1)
    maps, masks = zip(*[[torch.from_numpy(each)[None] for each in pair(rng)] for _ in range(48)], strict=True)
    names = {"train_maps": maps[:24], "train_masks": masks[:24], "maps": maps[24:], "masks": masks[24:]}
    names["new_map"] = maps[0]
    for block in PAGE["In Python"]:
        exec(block, names)
    assert len(list((tmp_path / "new_masks").glob("*.png"))) == 24
    assert names["new_mask"].shape == (1, 14, 11)
