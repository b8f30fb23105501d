# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The whole bundle, trained briefly, on the images of ``COAT_DATA_DIR``, or on generated ones where that is not set."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from monai_coat.data import data_directory, write_synthetic_dataset
from tests.bundles.conftest import BundleRun

ALPHA = 0.1


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> tuple[BundleRun, dict[str, object]]:
    """A run in a folder of its own, and where its images are."""
    run, real = BundleRun(tmp_path_factory.mktemp("real")), data_directory()
    if real is None:
        write_synthetic_dataset(run.folder / "data", count=600, spatial_size=(96, 96), seed=2)
        return run, {"alpha": ALPHA}
    return run, {"alpha": ALPHA, "dataset_dir": str(real), "domain": "polyp", "sources": ["Kvasir-SEG"]}


@pytest.mark.slow
def test_the_promise_is_kept_and_masks_are_written(settings: tuple[BundleRun, dict[str, object]]):
    run, where = settings
    run.run("train", max_epochs=15, val_interval=5, **where)
    for method in ("at", "coat"):
        run.run("train_thresholds", method=method, max_epochs=10, val_interval=5, **where)
    for method in ("crc", "at", "coat"):
        run.run("calibrate", method=method, **where)
    run.run("evaluate", **where)
    rows = list(csv.DictReader((run.folder / "output" / "evaluation" / "table.csv").read_text().splitlines()))
    assert [row["method"] for row in rows] == ["crc", "at", "coat", "predict-all"]
    for row in rows:
        # Both the calibration and the test images are draws: within four standard errors of each of the two means.
        assert float(row["marginal_coverage"]) >= 1 - ALPHA - 4 * 2**0.5 * float(row["marginal_se"]), row
    assert (run.folder / "output" / "evaluation" / "page.png").stat().st_size > 0
    images = Path(run.workflow("calibrate", **where).parser.get_parsed_content("samples")[0]["image"]).parent
    few = run.folder / "few"
    few.mkdir()
    for image in sorted(images.iterdir())[:5]:
        (few / image.name).write_bytes(image.read_bytes())
    run.run("inference", method="coat", input_dir=str(few), **where)
    assert len(list((run.folder / "output" / "masks").glob("*_coat.png"))) == 5
