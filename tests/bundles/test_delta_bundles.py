# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The skin and fire bundles, which are the polyp bundle and a few lines: their files, steps and copies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from monai_coat.bundles import STEPS, export_bundle
from monai_coat.calibration import load_calibration
from monai_coat.data import write_synthetic_dataset
from tests.bundles.conftest import BUNDLE, BundleRun

DOMAINS = ("skin", "fire")
FEW = {"max_epochs": 1, "val_interval": 1, "image_size": [32, 32], "batch_size": 8}
SMALL_SEGMENTER = {"segmenter#channels": [4, 8], "segmenter#strides": [2]}


def bundle_of(domain: str) -> Path:
    return BUNDLE.parent / f"{domain}_coat"


def metadata_of(domain: str) -> dict:
    return json.loads((bundle_of(domain) / "configs" / "metadata.json").read_text())


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_variant_says_only_what_differs(domain: str):
    overlays = bundle_of(domain) / "configs" / "overlays"
    assert {path.stem for path in overlays.iterdir()} == {domain, "segmenter", "thresholds"}
    assert sum(len(path.read_text().splitlines()) for path in overlays.iterdir()) < 40
    for name in ("LICENSE", "docs/README.md", "docs/data_license.txt", "models/.gitignore"):
        assert (bundle_of(domain) / name).stat().st_size > 0, name
    for name in ("LICENSE", "models/.gitignore"):
        assert (bundle_of(domain) / name).read_bytes() == (BUNDLE / name).read_bytes()


@pytest.mark.parametrize("domain", DOMAINS)
def test_metadata_has_what_the_polyp_bundle_has_and_names_it(domain: str):
    metadata, polyp = metadata_of(domain), json.loads((BUNDLE / "configs" / "metadata.json").read_text())
    assert metadata.keys() == polyp.keys() | {"base"}
    assert (bundle_of(domain) / metadata["base"]).resolve() == BUNDLE
    assert metadata["version"] in metadata["changelog"]
    for key in ("schema", "monai_version", "pytorch_version", "numpy_version", "required_packages_version"):
        assert metadata[key] == polyp[key], key
    for side in ("inputs", "outputs"):
        for name, tensor in polyp["network_data_format"][side].items():
            assert metadata["network_data_format"][side][name].keys() == tensor.keys()
    assert "polyp" not in json.dumps({**metadata, "base": "", "changelog": ""}).lower()


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("step", STEPS)
def test_only_the_named_keys_differ_from_the_polyp_bundle(domain: str, step: str):
    overlays = [bundle_of(domain) / "configs" / "overlays" / f"{name}.json" for name in (domain, *STEPS[step])]
    changed = {}
    for overlay in filter(Path.is_file, overlays):
        changed |= json.loads(overlay.read_text())
    assert changed["domain"] == domain
    polyp, variant = (
        json.loads((bundle / "configs" / f"{step}.json").read_text()) for bundle in (BUNDLE, bundle_of(domain))
    )
    assert variant == {**polyp, **changed}


@pytest.mark.parametrize("domain", DOMAINS)
def test_epochs_follow_the_step(domain: str):
    run = BundleRun(Path(), bundle_of(domain))
    segmenter, predictor = (
        json.loads((run.bundle / "configs" / f"{step}.json").read_text())["max_epochs"]
        for step in ("train", "train_thresholds")
    )
    assert segmenter > predictor > 0


@pytest.mark.parametrize("domain", DOMAINS)
def test_all_steps_run(domain: str, tmp_path: Path):
    run = BundleRun(tmp_path, bundle_of(domain))
    write_synthetic_dataset(tmp_path / "data", count=40, spatial_size=(32, 40), seed=3)
    run.run("train", **FEW, **SMALL_SEGMENTER)
    for method in ("at", "coat"):
        run.run("train_thresholds", method=method, **FEW, **SMALL_SEGMENTER)
    size = {"image_size": FEW["image_size"], **SMALL_SEGMENTER}
    for method in ("crc", "at", "coat"):
        run.run("calibrate", method=method, alpha=0.3, **size)
        assert load_calibration(tmp_path / "models" / f"calibration_{method}.json").alpha == 0.3
    run.run("evaluate", alpha=0.3, **size)
    table = (tmp_path / "output" / "evaluation" / "table.md").read_text()
    assert all(f"| {method} |" in table for method in ("crc", "at", "coat", "predict-all"))
    run.run("inference", alpha=0.3, **size)
    assert len(list((tmp_path / "output" / "masks").glob("*_coat.png"))) == 40


def test_a_base_that_is_not_there_is_named(tmp_path: Path):
    shutil.copytree(bundle_of("skin"), tmp_path / "skin_coat", ignore=shutil.ignore_patterns("output"))
    with pytest.raises(FileNotFoundError, match=r"bundle must hold configs/overlays/common\.json, .*correct base"):
        export_bundle(tmp_path / "skin_coat", tmp_path / "out")
    assert not (tmp_path / "out").exists()
