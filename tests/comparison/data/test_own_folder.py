# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Somebody's folder in a comparison: what its digest knows, what is left out, and that a stopped run goes on."""

from __future__ import annotations

import shutil
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from monai_coat.comparison import ComparisonData, protocol_of_folder, read_cells, run, run_comparison
from monai_coat.comparison.data.own_folder import OwnFolder
from monai_coat.data import ClassLabels, MapOptions
from monai_coat.scorers import SketchedMaps
from tests.predictions.layouts import LAYOUTS, written


def finished(protocol, output):
    return len(read_cells(ComparisonData(protocol, output)))


def test_a_stopped_run_on_volumes_goes_on(own_volumes, tmp_path, monkeypatch):
    _, _, _, protocol = own_volumes
    done, result_of_cell = [], run.result_of_cell

    def stopped(cell, data):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(cell)
        return result_of_cell(cell, data)

    monkeypatch.setattr(run, "result_of_cell", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_comparison(ComparisonData(protocol, tmp_path / "out"))
    assert finished(protocol, tmp_path / "out") == 3
    again = []
    monkeypatch.setattr(run, "result_of_cell", lambda cell, data: again.append(cell) or result_of_cell(cell, data))
    monkeypatch.setattr(SketchedMaps, "collect", _collect_tiny_ones_only(SketchedMaps.collect))
    results = run_comparison(ComparisonData(protocol, tmp_path / "out"))
    assert [cell.method for cell in again] == ["MEG"]
    assert [(result["dataset"], result["method"]) for result in results] == [
        ("a", "CRC"),
        ("a", "MEG"),
        ("b", "CRC"),
        ("b", "MEG"),
    ]
    # Nothing depends on where it was stopped.
    whole = run_comparison(ComparisonData(protocol, tmp_path / "whole"))
    assert [result["splits"] for result in whole] == [result["splits"] for result in results]


def _collect_tiny_ones_only(collect):
    """Sketches of the two images that methods are tried on, but not of the folder, a second time."""
    calls = []

    def counted(pairs):
        pairs = list(pairs)
        calls.extend([1] if len(pairs) > 2 else [])
        assert len(calls) < 2
        return collect(pairs)

    return counted


@pytest.mark.parametrize(
    "change",
    [
        {"classes": "a=1,b=2,background=7"},
        {"classes": "a=2,b=1"},
        {"classes": "a=1+2,b=2"},
        "map",
        "label",
    ],
    ids=str,
)
def test_cells_know_options_and_contents(own_volumes, tmp_path, change):
    root, _, _, protocol = own_volumes
    run_comparison(ComparisonData(protocol, tmp_path / "out"))
    assert finished(protocol, tmp_path / "out") == 4
    if isinstance(change, str):
        path = next((root / {"map": "maps", "label": "labels"}[change]).iterdir())
        volume = nibabel.load(path)
        values = np.asarray(volume.dataobj)[::-1].copy()
        nibabel.save(nibabel.Nifti1Image(values, volume.affine), path)
    else:
        options = MapOptions(classes=ClassLabels.parse(change["classes"]))
        protocol = protocol_of_folder(protocol, root / "maps", root / "labels", options=options)
    assert finished(protocol, tmp_path / "out") == 0


def test_cells_know_nnunet_s_segmentations_and_description(tiny, tmp_path):
    root = tmp_path / "own"
    written(LAYOUTS["nnU-Net"], root, 0, 24)
    protocol = tiny(methods={"CRC": {"fit": "crc"}}, default="CRC", fractions=[0, 0.5, 0.25, 0.25])
    protocol = protocol_of_folder(protocol, root / "maps", root / "labels")

    def digest():
        return ComparisonData(protocol, tmp_path / "out").digest("liver")

    first = digest()
    assert digest() == first
    description = root / "dataset.json"
    text = description.read_text()
    description.write_text(text.replace("tumour", "lesion"))
    assert digest() != first
    description.write_text(text)
    assert digest() == first
    volume = nibabel.load(root / "maps/case.05.nii.gz")
    volume.header["descrip"] = b"another file"
    nibabel.save(nibabel.Nifti1Image(np.asarray(volume.dataobj), None, volume.header), root / "maps/case.05.nii.gz")
    assert digest() != first


def test_volumes_that_change_during_a_run_are_refused(own_volumes, tmp_path, monkeypatch):
    root, _, _, protocol = own_volumes
    result_of_cell = run.result_of_cell

    def changing(cell, data):
        shutil.copy(root / "maps/case.01.nii.gz", root / "maps/case.00.nii.gz")
        return result_of_cell(cell, data)

    monkeypatch.setattr(run, "result_of_cell", changing)
    with pytest.raises(ValueError, match=r"files of .*maps must not change while they are read, but did; run again"):
        run_comparison(ComparisonData(protocol, tmp_path / "out"))
    assert not list((tmp_path / "out").glob("cells/*/*.json"))


def test_volumes_that_change_while_sketches_are_made_leave_none(own_volumes, tmp_path, monkeypatch):
    root, _, _, protocol = own_volumes
    folder = OwnFolder(protocol.datasets["a"], protocol, tmp_path / "out")
    assert folder.digest
    collect = SketchedMaps.collect

    def collect_and_remove(pairs):
        sketches = collect(pairs)
        (root / "labels/case.03.nii.gz").unlink()
        return sketches

    monkeypatch.setattr(SketchedMaps, "collect", collect_and_remove)
    with pytest.raises(ValueError, match="must not change while they are read"):
        folder.repeats("a")
    assert not list((tmp_path / "out/sketches").iterdir())


def test_too_few_images_are_said_with_numbers(own_volumes, tmp_path):
    _, _, _, protocol = own_volumes
    folder = OwnFolder(protocol.datasets["a"], replace(protocol, alphas=(0.3, 0.05)), tmp_path / "out")
    with pytest.raises(ValueError, match=r"19 to calibrate on at alpha 0.05 and 1 to test on, got 12, 6 and 6 of"):
        folder.repeats("a")
