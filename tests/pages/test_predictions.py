# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The commands and the code of ``docs/predictions.md``, typed as they stand, on generated maps."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from monai_coat import comparison
from monai_coat.calibration import ExpectedRisk, scatter, size_wanted
from monai_coat.cli import main
from tests.fenced import DOCS, sections_of

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


def test_which_method_on_my_data(tmp_path, monkeypatch):
    """The command as it stands, with two quick methods in place of all."""
    chosen, write = [], comparison.write_comparison

    def write_smaller(protocol, output):
        chosen.append(protocol)
        methods = {name: protocol.methods[name] for name in ("CRC", "MEG")}
        smaller = {"methods": methods, "default": "MEG", "highlighted": (), "alphas": (0.2,), "splits": 2, "repeats": 1}
        return write(replace(protocol, **smaller), output)

    monkeypatch.setattr(comparison, "write_comparison", write_smaller)
    run("Which method, on my data")
    assert (chosen[0].name, len(chosen[0].methods), chosen[0].splits) == ("predictions", 23, 20)
    assert chosen[0].image_size == (176, 176)
    assert len(comparison.load_protocol("volumes").methods) == 15
    assert "| MEG |" in (tmp_path / "compared/tables.md").read_text()


def test_does_the_promise_hold_here(tmp_path, caplog):
    run("One threshold for all images")
    (tmp_path / "site").mkdir()
    for part in ("maps", "masks"):
        (tmp_path / f"test_{part}").rename(tmp_path / "site" / part)
    rows = [f"{number},{('north', 'south')[number % 2]}" for number in range(24)]
    (tmp_path / "images.csv").write_text("\n".join(["id,site", *rows]))
    with caplog.at_level("INFO"):
        run("Does the promise hold here?")
    assert {path.name for path in (tmp_path / "audit").iterdir()} == {"audit.json", "audit.md", "audit.png"}
    assert "E[FNR] <= 0.1: " in caplog.text


def test_how_many_images_to_label(tmp_path, caplog):
    with caplog.at_level("INFO"):
        run("How many images to label")
    assert {path.name for path in (tmp_path / "planned").iterdir()} == {"plan.json", "plan.md", "plan.png"}
    assert "9 calibration images with foreground" in caplog.text
    text = " ".join((DOCS / "predictions.md").read_text().split())
    for row in (scatter(ExpectedRisk(alpha=0.1), n) for n in (9, 50)):
        low, high = math.floor(row.low * 1000) / 1000, math.ceil(row.high * 1000) / 1000
        assert f"between {low:g} and {high:g}" in text
    assert f"from {size_wanted(ExpectedRisk(alpha=0.1), 0.02)} images on" in text


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
