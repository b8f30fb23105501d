# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Fit, calibrate, apply and evaluate on folders of every layout, against the arrays that were written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from monai_coat.calibration import ExpectedRisk, FalsePositiveRatio, calibrate_maps
from monai_coat.cli import main
from monai_coat.predictions import fit_scorer, load_calibrated_maps
from monai_coat.transforms import CertaintyLabels
from tests.predictions.layouts import COUNT, LAYOUTS, Layout, written

ALPHA = 0.2


def labelled(layout: Layout, root: Path) -> list[str]:
    return [*layout.options(root), "--labels", str(root / "labels")]


def tensors(arrays: list[np.ndarray]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]


def read_back(layout: Layout, folder: Path) -> list[np.ndarray]:
    """Masks ``(C, x, y[, z])`` as their users read them."""
    places = [folder / name for name in layout.names] if layout.classes > 1 else [folder]
    return [np.stack([layout.read(place, f"case.{number:02}") for place in places]) for number in range(COUNT)]


@pytest.fixture(params=LAYOUTS, ids=[name.replace(" ", "_") for name in LAYOUTS])
def layout(request):
    return LAYOUTS[request.param]


def test_one_threshold_for_all_is_that_of_the_arrays_and_its_masks_cover_what_is_promised(layout, tmp_path, capsys):
    maps, masks = written(layout, tmp_path / "seen", 0)
    artifact, output = tmp_path / "c.json", tmp_path / "out"
    said = [*labelled(layout, tmp_path / "seen"), *layout.said, "--alpha", str(ALPHA)]
    assert main(["calibrate", *said, "--output", str(artifact), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = calibrate_maps(tensors(maps), tensors(masks), ALPHA)
    assert tuple(printed["cutoff"]) == load_calibrated_maps(artifact).result.cutoff == expected.cutoff
    assert main(["apply", str(artifact), *layout.options(tmp_path / "seen"), "--output", str(output)]) == 0
    found = read_back(layout, output)
    for inside, probs in zip(found, maps, strict=True):
        cutoffs = np.array(expected.cutoff, np.float32).reshape(-1, *[1] * layout.dims)
        assert np.array_equal(inside, probs >= cutoffs)
    axes = tuple(range(1, 1 + layout.dims))
    missed = [(~inside & mask).sum(axes) / mask.sum(axes) for inside, mask in zip(found, masks, strict=True)]
    np.testing.assert_allclose(np.mean(missed, 0), expected.risk, rtol=1e-12)
    assert (np.mean(missed, 0) <= ALPHA).all()


def test_learned_thresholds_are_those_of_the_arrays_on_new_files(layout, tmp_path, capsys):
    parts = {name: written(layout, tmp_path / name, seed) for seed, name in enumerate(("fit", "calibrate", "test"), 1)}
    scorer, artifact, report = (str(tmp_path / name) for name in ("meg.pt", "c.json", "report"))
    for command, more in (("fit", ["--output", scorer]), ("calibrate", ["--scorer", scorer, "--output", artifact])):
        said = [*labelled(layout, tmp_path / command), *layout.said, "--alpha", str(ALPHA)]
        assert main([command, *said, *more]) == 0
    assert main(["apply", artifact, *layout.options(tmp_path / "test"), "--output", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert main(["evaluate", artifact, *labelled(layout, tmp_path / "test"), "--output", report, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["classes"]

    fitted = fit_scorer(zip(*map(tensors, parts["fit"]), strict=True), ALPHA)
    maps, masks = map(tensors, parts["calibrate"])
    result = calibrate_maps([fitted.score(probs) for probs in maps], masks, ALPHA)
    assert load_calibrated_maps(artifact).result.cutoff == result.cutoff
    covered = []
    for inside, probs, mask in zip(read_back(layout, tmp_path / "out"), *parts["test"], strict=True):
        cutoffs = torch.tensor(result.cutoff).reshape(-1, *[1] * layout.dims)
        assert np.array_equal(inside, (fitted.score(torch.from_numpy(probs)) >= cutoffs).numpy())
        covered.append([(inside[k] & mask[k]).sum() / mask[k].sum() for k in range(layout.classes)])
    for name, coverage in zip(layout.names or ("foreground",), np.mean(covered, 0), strict=True):
        row = next(row for row in rows[name] if row["method"] == "meg")
        assert row["marginal_coverage"] == pytest.approx(coverage, rel=1e-9)
        assert coverage >= 1 - ALPHA - 3 * row["marginal_se"]
    assert len([path for path in Path(report).rglob("page.png") if path.stat().st_size]) == layout.classes


def test_certain_and_possible_are_one_label_map(layout, tmp_path):
    maps, masks = written(layout, tmp_path / "seen", 3)
    said = [*labelled(layout, tmp_path / "seen"), *layout.said, "--alpha", "0.4"]
    possible, certain, output = (str(tmp_path / name) for name in ("possible.json", "certain.json", "out"))
    assert main(["calibrate", *said, "--output", possible]) == 0
    assert main(["calibrate", *said, "--risk", "false_positive_ratio", "--output", certain]) == 0
    new = layout.options(tmp_path / "seen")
    assert main(["apply", possible, *new, "--certain", certain, "--output", output]) == 0
    results = [
        calibrate_maps(tensors(maps), tensors(masks), guarantee=guarantee)
        for guarantee in (ExpectedRisk(alpha=0.4), ExpectedRisk(FalsePositiveRatio(), 0.4))
    ]
    labels = CertaintyLabels(layout.names or ("foreground",))
    assert json.loads((tmp_path / "out/labels.json").read_text()) == labels.values
    shape = (-1, *[1] * layout.dims)
    for number, probs in enumerate(maps):
        sets = [probs >= np.array(result.cutoff, np.float32).reshape(shape) for result in results]
        expected = labels.encode(*(torch.from_numpy(each) for each in sets)).numpy() > 0
        assert np.array_equal(layout.read(tmp_path / "out", f"case.{number:02}"), expected)
