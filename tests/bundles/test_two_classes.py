# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Classes that touch or nest: the label map in the file holds the sets that were calibrated, of each class."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from monai_coat.calibration import load_calibration
from monai_coat.transforms import CertaintyLabels
from tests.bundles.conftest import TwoClassRun

both_kinds = pytest.mark.parametrize("fixture", ["touching_run", "nested_run"])


def rates(truth: np.ndarray, possible: np.ndarray, certain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is missed, and capped false positives, per class of one volume; written out, without the package."""
    axes = (1, 2, 3)
    size = truth.sum(axes)
    missed = (truth & ~possible).sum(axes) / size
    return missed, np.minimum(1, (certain & ~truth).sum(axes) / np.minimum(size, (~truth).sum(axes)))


def predicted(run: TwoClassRun, folder: Path) -> list[tuple[np.ndarray, Path]]:
    """Run inference on the calibration volumes; the truth of each, and the beginning of its files' names."""
    calibration = run.workflow("calibrate").parser.get_parsed_content("samples")
    samples = [{"image": sample["image"]} for sample in calibration]
    run.run("inference", samples=samples, masks_dir=str(folder), label_transforms=[])
    names = [folder / Path(sample["image"]).name.removesuffix(".nii.gz") for sample in calibration]
    return [(run.truth(content(sample["label"])), name) for sample, name in zip(calibration, names, strict=True)]


def content(path: str | Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)


@both_kinds
def test_the_map_in_the_file_has_the_risk_of_the_calibration(
    request: pytest.FixtureRequest, fixture: str, tmp_path: Path
):
    """Over the calibration volumes the map misses what the artifact says, to the voxel, and so for what is certain."""
    run: TwoClassRun = request.getfixturevalue(fixture)
    labels, found, several = CertaintyLabels(("a", "b")), [], 0
    for truth, name in predicted(run, tmp_path):
        values = torch.from_numpy(content(f"{name}_certainty.nii.gz"))
        possible, certain = labels.possible(values).numpy(), labels.certain(values).numpy()
        assert np.array_equal(np.moveaxis(content(f"{name}_crc.nii.gz"), -1, 0) > 0, possible)
        several += int((possible.sum(0) > 1).sum())
        found.append(rates(truth, possible, certain))
    assert several > 100, "the sets must share voxels for the test to mean anything"
    missed, wrong = np.mean(found, 0)
    models = run.folder / "models"
    of_possible, of_certain = (load_calibration(models / f"{name}_crc.json") for name in ("calibration", "certain"))
    np.testing.assert_allclose(missed, of_possible.risk, rtol=1e-12)
    # Certain is what is possible too, so that a cutoff below that of the prediction set takes nothing in.
    inside = np.array(of_certain.cutoff) >= of_possible.cutoff
    assert inside.any()
    np.testing.assert_allclose(wrong[inside], np.array(of_certain.risk)[inside], rtol=1e-12)
    assert (wrong <= np.array(of_certain.risk) + 1e-12).all()


@both_kinds
def test_one_class_per_voxel_would_break_the_promise(request: pytest.FixtureRequest, fixture: str, tmp_path: Path):
    """What the labels of combinations are for: without them the map misses more than was promised."""
    run: TwoClassRun = request.getfixturevalue(fixture)
    missed = []
    for truth, name in predicted(run, tmp_path):
        probs, masks = (content(f"{name}_{kind}.nii.gz") for kind in ("probs", "crc"))
        likelier = np.argmax(np.where(masks > 0, probs, -1), -1)
        single = np.stack([(likelier == index) & (masks[..., index] > 0) for index in range(2)])
        missed.append(rates(truth, single, single)[0])
    promised = load_calibration(run.folder / "models" / "calibration_crc.json").risk
    assert (np.mean(missed, 0) > np.array(promised) + 0.02).any()


@both_kinds
def test_evaluation_of_the_calibration_volumes_gives_back_the_calibrated_risks(
    request: pytest.FixtureRequest, fixture: str, tmp_path: Path
):
    run: TwoClassRun = request.getfixturevalue(fixture)
    samples = "$@partition.part('calibration')"
    run.run("evaluate", samples=samples, methods=["crc"], results_dir=str(tmp_path))
    models = run.folder / "models"
    possible, certain = (load_calibration(models / f"{name}_crc.json") for name in ("calibration", "certain"))
    for index, name in enumerate(("anterior", "posterior")):
        tables = ((tmp_path / name / f"{kind}.csv").read_text() for kind in ("table", "certain"))
        of_possible, of_certain = (next(csv.DictReader(table.splitlines())) for table in tables)
        assert 1 - float(of_possible["marginal_coverage"]) == pytest.approx(possible.risk[index])
        assert int(of_certain["n"]) == certain.n[index]
        if certain.cutoff[index] >= possible.cutoff[index]:
            assert float(of_certain["capped_mean"]) == pytest.approx(certain.risk[index])
        assert float(of_certain["capped_mean"]) <= min(float(of_certain["mean"]), certain.risk[index] + 1e-9)
