# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Samples of each kind of data set that a protocol can name."""

from __future__ import annotations

import json

import pytest

from monai_coat.comparison.data.samples import samples_of
from monai_coat.data import write_synthetic_dataset


def test_generated_images_are_those_of_the_settings(tiny, tmp_path):
    assert len(samples_of(tiny(), "generated", tmp_path)) == 100
    fewer = {"generated": {"generate": {"count": 90, "spatial_size": [32, 32]}, "epochs": 1}}
    assert len(samples_of(tiny(datasets=fewer), "generated", tmp_path)) == 90


def test_the_collection_is_where_the_variable_says(tiny, tmp_path, monkeypatch):
    write_synthetic_dataset(tmp_path / "collection", count=5, spatial_size=(16, 16))
    protocol = tiny(datasets={"made": {"domain": "synthetic", "epochs": 1}})
    monkeypatch.setenv("COAT_DATA_DIR", str(tmp_path / "collection"))
    assert len(samples_of(protocol, "made", tmp_path)) == 5
    listed = json.loads((tmp_path / "collection/datasets.json").read_text())
    assert len(listed["samples"]) == 5


def test_real_data_without_its_folder_is_named(tiny, tmp_path, monkeypatch):
    monkeypatch.delenv("COAT_DATA_DIR", raising=False)
    protocol = tiny(datasets={"polyp": {"domain": "polyp", "epochs": 1}})
    with pytest.raises(FileNotFoundError, match="COAT_DATA_DIR must name the folder of the data collection"):
        samples_of(protocol, "polyp", tmp_path)
