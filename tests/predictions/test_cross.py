# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Thresholds that are learned from a folder and calibrated on it: by the command, and against the arrays."""

from __future__ import annotations

import json
import logging
import math

import numpy as np
import pytest
import torch
from PIL import Image

from monai_coat.calibration import CrossRisk, FalseNegativeRate, FalsePositiveRatio, LesionsMissed, calibrate_maps
from monai_coat.cli import main
from monai_coat.data import open_predictions
from monai_coat.functional import false_negative_rate
from monai_coat.predictions import calibrate_folder, cross_calibrate_folder, fit_scorer, load_calibrated_maps
from monai_coat.scorers import FoldedScorer

ALPHA, FOLDS, COUNT = 0.3, 5, 22
SMALL = {"members": 2, "width": 4}


def written(root, count=COUNT, seed=0):
    """Maps and masks of blobs that are hard to see in some images."""
    rng = np.random.default_rng(seed)
    for kind in ("maps", "masks"):
        (root / kind).mkdir(parents=True)
    for number in range(count):
        grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 16)] * 2))
        distance = np.hypot(*(grid - rng.uniform(-0.4, 0.4, (2, 1, 1)))) + rng.normal(0, 0.08, (16, 16))
        probs = rng.uniform(0.4, 1) / (1 + np.exp(8 * (distance - rng.uniform(0.2, 0.5))))
        Image.fromarray((probs * 255).astype(np.uint8)).save(root / f"maps/{number:02}.png")
        Image.fromarray((255 * (distance < 0.4)).astype(np.uint8)).save(root / f"masks/{number:02}.png")
    return open_predictions(root / "maps", root / "masks")


def arrays(folder):
    return [(maps.as_tensor(), masks) for _, maps, masks in folder.pairs()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return written(tmp_path_factory.mktemp("few"))


@pytest.fixture(scope="module")
def calibrated(folder):
    return cross_calibrate_folder(folder, ALPHA, "meg", FOLDS, **SMALL)


def test_each_image_is_scored_by_the_scorer_that_has_not_seen_it(folder, calibrated):
    """Of 22 images in 5 folds of 4, two are learned from alone. Which is where, the scores tell."""
    result, scorers = calibrated.result, calibrated.fitted.scorer.scorers
    assert isinstance(calibrated.fitted.scorer, FoldedScorer)
    assert (len(scorers), result.n, result.n_empty) == (FOLDS, (20,), (0,))
    assert result.kind == "cross_risk"
    assert dict(result.settings) == {"folds": FOLDS}
    generator = torch.Generator().manual_seed(0)
    order, places = (torch.randperm(COUNT, generator=generator).tolist() for _ in range(2))
    pairs, scores, masks = arrays(folder), [], []
    for fold in range(FOLDS):
        held_out = places[4 * fold : 4 * fold + 4]
        fitted = fit_scorer((pairs[k] for k in order if k not in held_out), ALPHA, "meg", **SMALL)
        for place in held_out:
            scores.append(fitted.score(pairs[place][0]))
            masks.append(pairs[place][1])
            assert torch.equal(scorers[fold](pairs[place][0][None], pairs[place][0][None])[0], scores[-1])
    expected = calibrate_maps(scores, masks, guarantee=CrossRisk(FalseNegativeRate(), ALPHA, FOLDS))
    assert (result.cutoff, result.risk) == (expected.cutoff, expected.risk)
    whole = calibrated.fitted.score(pairs[0][0])
    assert torch.equal(whole, torch.stack([s(pairs[0][0][None], pairs[0][0][None])[0] for s in scorers]).amax(0))


def test_all_of_its_images_are_known(folder, calibrated):
    assert sorted(calibrated.fitted.seen.values()) == ["calibrated on"] * 20 + ["fitted to"] * 2


def test_the_seed_puts_images_into_folds(folder, calibrated):
    again = cross_calibrate_folder(folder, ALPHA, "meg", FOLDS, **SMALL)
    other = cross_calibrate_folder(folder, ALPHA, "meg", FOLDS, seed=1, **SMALL)
    assert again.result == calibrated.result
    assert other.fitted.seen != calibrated.fitted.seen
    assert other.result.identity.network != calibrated.result.identity.network


def test_the_commands_go_on_with_it(folder, tmp_path, capsys):
    root = folder.samples[0]["probs"].rpartition("/maps/")[0]
    places = ["--probs", f"{root}/maps", "--labels", f"{root}/masks"]
    artifact = tmp_path / "c.json"
    learned = ["--alpha", str(ALPHA), "--folds", "5", "--method", "aa_crc", "--output", str(artifact), "--json"]
    assert main(["calibrate", *places, *learned]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = cross_calibrate_folder(folder, ALPHA, "aa_crc", FOLDS)
    assert printed["cutoff"] == list(expected.result.cutoff)
    assert "the union of the sets of all 5 scorers" in printed["in_words"]
    loaded = load_calibrated_maps(artifact)
    assert loaded.result == expected.result
    new = written(tmp_path / "new", 6, seed=1)
    for maps, _ in arrays(new):
        assert torch.equal(loaded.fitted.score(maps), expected.fitted.score(maps))
    assert main(["apply", str(artifact), "--probs", str(tmp_path / "new/maps"), "--output", str(tmp_path / "out")]) == 0
    for number, (maps, _) in enumerate(arrays(new)):
        inside = np.asarray(Image.open(tmp_path / f"out/{number:02}.png")).T > 0
        assert np.array_equal(inside, (expected.fitted.score(maps) >= expected.result.cutoff[0])[0].numpy())
    said = ["--probs", str(tmp_path / "new/maps"), "--labels", str(tmp_path / "new/masks")]
    assert main(["evaluate", str(artifact), *said, "--output", str(tmp_path / "report")]) == 0
    with pytest.raises(SystemExit):
        main(["evaluate", str(artifact), *places, "--output", str(tmp_path / "seen")])
    assert "images must be others than those that the scorer was" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--folds", "5", "--scorer", "meg.pt"], "not allowed with argument"),
        (["--method", "meg"], "method must go with folds, got it alone"),
        (["--guarantee", "cross_risk"], "folds must go with cross_risk, and it with them, got cross_risk"),
        (["--folds", "5", "--guarantee", "growing_set", "--delta", "0.1"], "got growing_set"),
        (["--folds", "5", "--risk", "false_positive_ratio"], "risk must rise with the cutoff"),
        (["--folds", "5", "--alpha", "0.1"], "folds must be at least 9 with alpha=0.1, got 5"),
        (["--folds", "23"], "folds must be at most the 22 images, got 23"),
        (["--folds", "5", "--per-group", "site"], "guarantee must be one such as ExpectedRisk"),
        (["--folds", "5", "--refer", "0.2"], "guarantee must be ExpectedRisk, or ConfidentRisk"),
    ],
)
def test_what_does_not_go_with_folds_is_a_sentence(folder, tmp_path, capsys, arguments, said):
    root = folder.samples[0]["probs"].rpartition("/maps/")[0]
    places = ["--probs", f"{root}/maps", "--labels", f"{root}/masks", "--output", str(tmp_path / "c.json")]
    with pytest.raises(SystemExit):
        main(["calibrate", *places, "--alpha", str(ALPHA), *arguments])
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_other_refusals(folder, tmp_path):
    with pytest.raises(TypeError, match="risk must rise with the cutoff"):
        cross_calibrate_folder(folder, ALPHA, folds=FOLDS, risk=FalsePositiveRatio())
    with pytest.raises(ValueError, match="method must be one of"):
        cross_calibrate_folder(folder, ALPHA, "dice", FOLDS)
    with pytest.raises(TypeError, match="guarantee must be another than CrossRisk"):
        calibrate_folder(folder, guarantee=CrossRisk(FalseNegativeRate(), ALPHA, FOLDS))
    twice = written(tmp_path / "twice")
    for kind in ("maps", "masks"):
        (tmp_path / f"twice/{kind}/03.png").write_bytes((tmp_path / f"twice/{kind}/07.png").read_bytes())
    with pytest.raises(
        ValueError, match=r"images must be different ones, got the map and mask of .*03.png again in .*07"
    ):
        cross_calibrate_folder(twice, ALPHA, "crc", FOLDS)


def test_another_risk_and_what_the_log_says(folder, caplog):
    with caplog.at_level(logging.INFO):
        made = cross_calibrate_folder(folder, ALPHA, "crc", FOLDS, risk=LesionsMissed())
    assert "2 of 22 images are learned from and not calibrated on" in caplog.text
    assert made.result.controls == "lesions_missed(0.0)"


@pytest.mark.slow
@pytest.mark.parametrize("count", [20, 40])
def test_new_images_keep_the_level_on_average_over_folders(tmp_path, count):
    """By Hoeffding, a bound that fails once in a million such tests."""
    studies, total = 60, 0.0
    new = arrays(written(tmp_path / "new", 100, seed=10**6))
    for seed in range(studies):
        made = cross_calibrate_folder(written(tmp_path / str(seed), count, seed), ALPHA, "aa_crc", FOLDS)
        cutoff = made.result.cutoff[0]
        total += sum(float(false_negative_rate(made.fitted.score(p)[None], y[None], cutoff)) for p, y in new) / len(new)
    assert total / studies <= ALPHA + math.sqrt(math.log(1e6) / (2 * studies))
    assert total / studies <= ALPHA
