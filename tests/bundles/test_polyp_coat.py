# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The polyp bundle: its files, its configs, and all of its steps on generated images."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_coat.calibration import load_calibration
from tests.bundles.conftest import BUNDLE, BundleRun

METADATA = json.loads((BUNDLE / "configs" / "metadata.json").read_text())
APPLY = ("calibrate", "evaluate", "inference")


def test_files_that_a_bundle_has():
    for name in ("LICENSE", "docs/README.md", "docs/data_license.txt", "configs/logging.conf", "configs/train.json"):
        assert (BUNDLE / name).stat().st_size > 0, name


def test_metadata_has_what_the_specification_asks_for():
    keys = {"version", "changelog", "schema", "name", "monai_version", "pytorch_version", "numpy_version"}
    keys |= {"required_packages_version", "task", "description", "authors", "copyright", "network_data_format"}
    assert keys <= METADATA.keys()
    assert METADATA["version"] in METADATA["changelog"]
    assert METADATA["schema"].endswith("meta_schema_20240725.json")
    tensors = METADATA["network_data_format"]
    for tensor in (tensors["inputs"]["image"], tensors["outputs"]["pred"]):
        assert {
            "type",
            "format",
            "num_channels",
            "spatial_shape",
            "dtype",
            "value_range",
            "channel_def",
        } <= tensor.keys()


def test_calibration_evaluation_and_inference_share_preprocessing_and_network(data_run: BundleRun):
    configs = [data_run.workflow(step).parser.get() for step in APPLY]
    for key in (
        "preprocessing",
        "restore",
        "networks",
        "network_def",
        "segmenter",
        "predictor",
        "inferer",
        "evaluator",
    ):
        assert configs[0][key] == configs[1][key] == configs[2][key], key


def test_network_takes_and_gives_what_the_metadata_says(data_run: BundleRun):
    network = data_run.workflow("calibrate").parser.get_parsed_content("network_def").eval()
    scores = network(torch.rand(2, METADATA["network_data_format"]["inputs"]["image"]["num_channels"], 96, 64))
    assert scores.shape == (2, METADATA["network_data_format"]["outputs"]["pred"]["num_channels"], 96, 64)
    assert scores.dtype == torch.float32


def test_calibration_is_made_in_the_images_own_size_and_says_what_it_is(calibrated_run: BundleRun):
    for method in ("crc", "at", "coat"):
        result = load_calibration(calibrated_run.folder / "models" / f"calibration_{method}.json")
        assert (result.method, result.alpha) == (method, 0.2)
        assert result.n[0] + result.n_empty[0] == 12  # 0.15 of 80 images
        assert result.risk[0] * result.n[0] + 1 <= 0.2 * (result.n[0] + 1) + 1e-9


def test_evaluation_writes_table_records_and_page(calibrated_run: BundleRun, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        calibrated_run.run("evaluate")
    folder = calibrated_run.folder / "output" / "evaluation"
    table = (folder / "table.md").read_text()
    assert all(f"| {method} |" in table for method in ("crc", "at", "coat", "predict-all"))
    assert table.strip() in caplog.text
    assert "were drawn at random image by image from one pool" in table  # what the promise rests on
    assert (folder / "table.csv").is_file()
    certain = [line.split(",")[0] for line in (folder / "certain.csv").read_text().splitlines()]
    assert certain == ["method", "crc", "at", "coat"]
    assert table.index("What is called certain") > table.index("| predict-all |")
    assert len((folder / "records_coat.csv").read_text().splitlines()) == 1 + 12
    with Image.open(folder / "page.png") as page:
        page.load()
        assert page.width > 1000


def test_inference_writes_masks_of_the_images_own_size(calibrated_run: BundleRun):
    images = calibrated_run.folder / "data" / "synthetic" / "images"
    calibrated_run.run("inference", input_dir=str(images), method="coat")
    written = sorted((calibrated_run.folder / "output" / "masks").glob("*.png"))
    assert len(written) == len(list(images.iterdir()))
    for path in written[:5]:
        with Image.open(path) as mask, Image.open(images / f"{path.stem.removesuffix('_coat')}.png") as image:
            assert mask.size == image.size
            assert set(np.unique(np.asarray(mask))) <= {0, 255}


def test_inference_masks_are_those_that_evaluation_counted(calibrated_run: BundleRun):
    """The pixels of the mask file are as many as the record of the same test image says."""
    folder = calibrated_run.folder / "output"
    if not (folder / "evaluation").is_dir():
        calibrated_run.run("evaluate")
    calibrated_run.run("inference", method="coat")
    rows = [line.split(",") for line in (folder / "evaluation" / "records_coat.csv").read_text().splitlines()]
    column = rows[0].index("set_size")
    for row in rows[1:]:
        with Image.open(folder / "masks" / f"{row[0]}_coat.png") as mask:
            assert np.count_nonzero(np.asarray(mask)) == int(row[column]), row[0]


def test_a_calibration_for_another_alpha_is_refused(calibrated_run: BundleRun):
    with pytest.raises(RuntimeError) as caught:
        calibrated_run.run("inference", alpha=0.1)
    assert "calibration is for alpha=0.2, wanted is alpha=0.1" in str(_cause(caught.value))


def test_an_unreadable_image_is_named_before_any_mask_is_written(calibrated_run: BundleRun, tmp_path: Path):
    images = sorted((calibrated_run.folder / "data" / "synthetic" / "images").iterdir())[:2]
    for image in images:
        (tmp_path / image.name).write_bytes(image.read_bytes())
    (tmp_path / "z_broken.png").write_bytes(images[0].read_bytes()[:20])
    masks = tmp_path / "masks"
    with pytest.raises(RuntimeError) as caught:
        calibrated_run.run("inference", input_dir=str(tmp_path), masks_dir=str(masks))
    assert "z_broken.png" in str(_last_of_ours(caught.value))
    assert not masks.exists()


@pytest.mark.parametrize("content", [[], ["notes.txt"]])
def test_a_folder_without_images_is_refused(calibrated_run: BundleRun, tmp_path: Path, content: list[str]):
    for name in content:
        (tmp_path / name).write_text("no image")
    with pytest.raises(RuntimeError) as caught:
        calibrated_run.run("inference", input_dir=str(tmp_path))
    assert f"images must be a folder of images, got {tmp_path}" in str(_cause(caught.value))


def test_a_missing_model_names_the_file(data_run: BundleRun, tmp_path: Path):
    with pytest.raises(RuntimeError) as caught:
        data_run.run("calibrate", model_dir=str(tmp_path))
    assert "segmenter.pt" in str(_cause(caught.value))
    assert not list(tmp_path.glob("*.json")) or list(tmp_path.glob("*.json")) == [tmp_path / "partition.json"]


def _cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _last_of_ours(error: BaseException) -> BaseException:
    """Below our own message there is the image library's."""
    while error.__cause__ is not None and not str(error).startswith("image must be"):
        error = error.__cause__
    return error
