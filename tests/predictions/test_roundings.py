# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One network's maps in 8 bits, 16 bits, floats and saturated floats are calibrated to the same sets."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from monai_coat.calibration import ExpectedRisk, FalsePositiveRatio, LearnThenTest, calibrate_maps
from monai_coat.cli import main
from monai_coat.data import open_predictions
from monai_coat.data.map_format import MapOptions
from monai_coat.predictions import (
    apply_calibration,
    calibrate_folder,
    fit_folder,
    fit_scorer,
    load_calibrated_maps,
)
from monai_coat.predictions.calibrate import PLAIN
from monai_coat.predictions.describe import describe_calibration
from monai_coat.scorers import PlacedScorer, ProbabilityScorer

COUNT, SIZE = 60, (48, 40)
STEPS = {"8 bit": 0.5 / 255, "16 bit": 0.5 / 65535, "float": 0.0, "saturated": 1 / 510}
"""How far a stored probability is from the network's at most."""


def output(seed, sure=1.0):
    """Probabilities ``(y, x)`` and masks of blobs that a network finds more or less well, and some not at all."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    center, radius = rng.uniform(12, 28, 2), rng.uniform(6, 10)
    mask = np.hypot(y - center[0], x - center[1]) < radius
    seen = np.hypot(y - center[0] - rng.normal(0, 2), x - center[1] - rng.normal(0, 2))
    noise = gaussian_filter(rng.normal(0, 3, SIZE), 2)
    logits = sure * (1.2 * (radius * rng.uniform(0.6, 1.1) - seen) + noise)
    return 1 / (1 + np.exp(-logits)), mask


def save(probs, kind, path):
    if kind == "8 bit":
        Image.fromarray(np.rint(probs * 255).astype(np.uint8)).save(path.with_suffix(".png"))
    elif kind == "16 bit":
        Image.fromarray(np.rint(probs * 65535).astype(np.uint16)).save(path.with_suffix(".png"))
    else:
        cut = np.where(probs < 1 / 510, 0, np.where(probs > 1 - 1 / 510, 1, probs))
        np.save(path.with_suffix(".npy"), (cut if kind == "saturated" else probs).astype(np.float32))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("roundings")
    for part, first in (("seen", 0), ("new", 1000)):
        (root / part / "labels").mkdir(parents=True)
        for kind in STEPS:
            (root / part / kind).mkdir()
        for number in range(COUNT):
            probs, mask = output(first + number)
            Image.fromarray((255 * mask).astype(np.uint8)).save(root / part / "labels" / f"{number}.png")
            for kind in STEPS:
                save(probs, kind, root / part / kind / f"{number}")
    return root


def opened(root, part, kind, **more):
    options = MapOptions() if "bit" in kind else MapOptions(axes="yx")
    return open_predictions(root / part / kind, root / part / "labels", options=options, **more)


def sets(root, kind, alpha, tmp_path):
    """The calibration, and masks of new images as they are written, by number."""
    calibrated = calibrate_folder(opened(root, "seen", kind), alpha)
    apply_calibration(calibrated, opened(root, "new", kind, format=calibrated.format), tmp_path / kind)
    ending = "png" if "bit" in kind else "npy"
    paths = [tmp_path / kind / f"{number}.{ending}" for number in range(COUNT)]
    return calibrated, [np.asarray(Image.open(p)) > 0 if ending == "png" else np.load(p) > 0 for p in paths]


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.3])
def test_masks_differ_within_the_rounding_of_the_threshold_only(root, tmp_path, alpha):
    exact, expected = sets(root, "float", alpha, tmp_path)
    threshold = exact.result.cutoff[0]
    assert 1 / 255 < threshold < 254 / 255
    for kind, step in STEPS.items():
        calibrated, found = sets(root, kind, alpha, tmp_path)
        # The cutoff is a rounded score, and so is what is compared with it.
        assert abs(calibrated.result.cutoff[0] - threshold) <= step + 1e-7
        for number, (inside, other) in enumerate(zip(found, expected, strict=True)):
            far = np.abs(output(1000 + number)[0] - threshold) > 2 * step + 1e-6
            assert (inside == other)[far].all()


@pytest.mark.parametrize("alpha", [0.02, 0.022])
def test_sets_of_saturated_maps_are_of_one_size_below_what_maps_say(root, tmp_path, alpha, caplog):
    made = {kind: sets(root, kind, alpha, tmp_path) for kind in ("8 bit", "saturated")}
    assert all(calibrated.result.cutoff[0] < 0 for calibrated, _ in made.values())
    assert caplog.text.count(f"alpha {alpha} is below what these maps can reach: the prediction set takes pixels") == 2
    sizes = {kind: np.mean([mask.mean() for mask in found]) for kind, (_, found) in made.items()}
    assert sizes["8 bit"] == pytest.approx(sizes["saturated"], rel=0.03)
    assert max(sizes.values()) < 0.9
    for calibrated, found in made.values():
        level = float(calibrated.result.guarantee.rpartition(" ")[2])
        assert alpha < level < 0.1
        covered = [(inside & output(1000 + n)[1]).sum() / output(1000 + n)[1].sum() for n, inside in enumerate(found)]
        assert np.mean(covered) >= 1 - 2 * alpha
        words = describe_calibration(calibrated)
        assert words.startswith("take probabilities above 0, and what lies within 0.")


def test_a_useful_level_is_useful_and_one_less_is_not(root):
    folder = opened(root, "seen", "8 bit")
    level = float(calibrate_folder(folder, 0.02).result.guarantee.rpartition(" ")[2])
    cutoffs = [calibrate_folder(folder, alpha).result.cutoff[0] for alpha in (round(level - 0.001, 3), level)]
    assert cutoffs[0] <= 1e-6 < cutoffs[1]


@pytest.mark.parametrize("kind", STEPS)
def test_between_the_ends_nothing_has_changed(root, kind):
    folder = opened(root, "seen", kind)
    for alpha, guarantee in ((0.1, None), (0.3, None), (None, ExpectedRisk(FalsePositiveRatio(), 0.3))):
        before = calibrate_folder(folder, alpha, guarantee, fitted=PLAIN).result
        after = calibrate_folder(folder, alpha, guarantee).result
        assert before.cutoff == after.cutoff
        assert before.risk == after.risk


def test_ties_are_broken_by_place_unless_that_is_said(root):
    assert isinstance(fit_folder(opened(root, "seen", "8 bit"), 0.1, "crc").scorer, PlacedScorer)
    plain = fit_folder(opened(root, "seen", "8 bit"), 0.1, "crc", by_place=False)
    assert isinstance(plain.scorer, ProbabilityScorer)
    pairs = [tuple(torch.as_tensor(each)[None] for each in output(number)) for number in range(3)]
    assert isinstance(fit_scorer(pairs, 0.1, "crc").scorer, PlacedScorer)
    grid = LearnThenTest(alpha=0.4, grid=(0, 1, 20))
    assert calibrate_folder(opened(root, "seen", "float"), guarantee=grid).fitted.scorer is PLAIN.scorer


def test_the_file_beside_a_calibration_may_be_missing(root, tmp_path):
    folder = opened(root, "seen", "8 bit")
    for fitted in (None, PLAIN):
        made = calibrate_folder(folder, 0.1, fitted=fitted)
        made.save(tmp_path / "c.json")[1].unlink()
        loaded = load_calibrated_maps(tmp_path / "c.json")
        assert isinstance(loaded.fitted.scorer, type(made.fitted.scorer))
        assert loaded.result == made.result


def test_the_command_prints_it_and_the_table_has_no_threshold(root, tmp_path, capsys):
    given = ["--probs", str(root / "seen/8 bit")]
    labels = ["--labels", str(root / "seen/labels")]
    artifact = str(tmp_path / "c.json")
    assert main(["calibrate", *given, *labels, "--alpha", "0.02", "--output", artifact, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert "alpha 0.02 is below what these maps can reach" in printed["guarantee"]
    assert "Alpha 0.02 is below what these maps can reach" in printed["in_words"]
    assert main(["apply", artifact, *given, "--output", str(tmp_path / "out")]) == 0
    rows = (tmp_path / "out/sets.csv").read_text().splitlines()
    assert {row.split(",")[2] for row in rows[1:]} == {""}
    new = ["--probs", str(root / "new/8 bit"), "--labels", str(root / "new/labels")]
    assert main(["evaluate", artifact, *new, "--output", str(tmp_path / "report")]) == 0
    assert "below what these maps can reach" in (tmp_path / "report/table.md").read_text()


def test_arrays_are_scored_as_they_are(root):
    folder = opened(root, "seen", "8 bit")
    maps, masks = zip(*((maps.as_tensor(), mask) for _, maps, mask in folder.pairs()), strict=True)
    assert calibrate_maps(maps, masks, 0.02).cutoff == (0.0,)
