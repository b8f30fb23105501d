# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Sets as segments: whole promises in the descriptions, and the sets had back from each type of segmentation."""

from __future__ import annotations

import pydicom
import pytest
import torch
from monai.data import MetaTensor

from monai_coat.calibration import (
    CalibrationResult,
    ExpectedRisk,
    FalseNegativeRate,
    FalsePositiveRatio,
    calibrate_maps,
)
from monai_coat.data import DicomSeries
from monai_coat.transforms import CertaintyLabels, CertaintySegments
from tests.data.dicom_files import COLUMNS, ROWS, SLICES, WAYS, Made, values_by_number

LIVER = (("123037004", "SCT", "Anatomical Structure"), ("10200004", "SCT", "Liver"))


def calibrations(classes=2, names=("liver", "tumour"), absent=False):
    """Of generated scores; with ``absent`` the last class is in three images only, too few for a promise."""
    generator = torch.Generator().manual_seed(0)
    labels = [torch.rand(classes, 6, 6, generator=generator) < 0.4 for _ in range(40)]
    if absent:
        labels = [torch.cat([label[:-1], label[-1:] & (k < 3)]) for k, label in enumerate(labels)]
    scores = [label * 0.4 + 0.6 * torch.rand(classes, 6, 6, generator=generator) for label in labels]
    possible = ExpectedRisk(FalseNegativeRate(), 0.1, class_names=names)
    certain = ExpectedRisk(FalsePositiveRatio(), 0.2, class_names=names)
    return [calibrate_maps(scores, labels, guarantee=guarantee) for guarantee in (possible, certain)]


@pytest.fixture
def series(tmp_path):
    return DicomSeries.of(WAYS["oblique"].write(tmp_path / "series"))


def sets(series):
    """Possible and certain of two classes that overlap; of the second, something is certain that is not possible."""
    numbers = series.volume().as_tensor()
    possible, certain = torch.cat([numbers % 2 == 0, numbers % 3 == 0]), torch.cat([numbers % 4 == 0, numbers % 5 == 0])
    return [MetaTensor(each, affine=series.volume().affine) for each in (possible, certain)]


MARKED = {
    "liver possible": lambda number: number % 2 == 0,
    "liver certain": lambda number: number % 4 == 0,
    "tumour possible": lambda number: number % 3 == 0,
    "tumour certain": lambda number: number % 15 == 0,  # certain and possible
}


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
def test_each_set_is_a_segment_with_its_promise(tmp_path, series, kind):
    possible, certain = calibrations()
    CertaintySegments(("liver", "tumour"), possible, certain, kind, {"liver": LIVER}).write(
        tmp_path / "seg.dcm", series, *sets(series)
    )
    file = pydicom.dcmread(tmp_path / "seg.dcm")
    assert [segment.SegmentLabel for segment in file.SegmentSequence] == list(MARKED)
    found = values_by_number(file, WAYS["oblique"])
    for segment, (label, marked) in zip(file.SegmentSequence, MARKED.items(), strict=True):
        inside = {number for number, value in found[segment.SegmentNumber].items() if value}
        assert inside == {number for number in WAYS["oblique"].places() if marked(number)}
        of = possible if "possible" in label else certain
        assert of.guarantee in segment.SegmentDescription
        assert "n = 40" in segment.SegmentDescription
        meaning = "Liver" if "liver" in label else "Tissue"
        assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == meaning


def test_a_label_map_holds_both_sets_of_every_class(tmp_path, series):
    possible, certain = calibrations()
    form = CertaintySegments(("liver", "tumour"), possible, certain, "LABELMAP")
    form.write(tmp_path / "seg.dcm", series, *sets(series))
    file = pydicom.dcmread(tmp_path / "seg.dcm")
    by_number = values_by_number(file, WAYS["oblique"])[0]
    numbers = sorted(by_number)
    labels = torch.tensor([by_number[number] for number in numbers])
    names = CertaintyLabels(("liver", "tumour"))
    assert names.possible(labels).tolist() == [[n % 2 == 0 for n in numbers], [n % 3 == 0 for n in numbers]]
    assert names.certain(labels).tolist() == [[n % 4 == 0 for n in numbers], [n % 15 == 0 for n in numbers]]
    # The same by what the labels are called: the possible set of liver is all labels that name it.
    called = {int(segment.SegmentNumber): segment.SegmentLabel for segment in file.SegmentSequence}
    assert [n for n in numbers if "liver" in called[by_number[n]]] == [n for n in numbers if n % 2 == 0]
    assert [n for n in numbers if "liver certain" in called[by_number[n]]] == [n for n in numbers if n % 4 == 0]
    assert called[2] == "liver possible only"
    assert set(called) == {0, 1, 2, 3, 4} | set(by_number.values())
    described = {int(segment.SegmentNumber): segment.get("SegmentDescription") for segment in file.SegmentSequence}
    assert possible.guarantee in described[2]
    assert certain.guarantee in described[1]


def test_without_certain_there_are_possible_sets_alone(tmp_path, series):
    possible, _ = calibrations()
    for kind in ("BINARY", "LABELMAP"):
        form = CertaintySegments(("liver", "tumour"), possible, segmentation_type=kind)
        form.write(tmp_path / f"{kind}.dcm", series, sets(series)[0])
    binary, labels = (pydicom.dcmread(tmp_path / f"{kind}.dcm") for kind in ("BINARY", "LABELMAP"))
    assert [s.SegmentLabel for s in binary.SegmentSequence] == ["liver possible", "tumour possible"]
    called = [s.SegmentLabel for s in labels.SegmentSequence]
    assert called == ["Background", "liver possible", "tumour possible", "liver possible, tumour possible"]


def test_probabilities_are_segments_without_a_promise(tmp_path, series):
    possible, certain = calibrations()
    numbers = series.volume().as_tensor()
    probs = MetaTensor(torch.cat([numbers / 200, numbers / 150]), affine=series.volume().affine)
    form = CertaintySegments(("liver", "tumour"), possible, certain, "FRACTIONAL")
    form.write(tmp_path / "seg.dcm", series, *sets(series), probs)
    file = pydicom.dcmread(tmp_path / "seg.dcm")
    assert [s.SegmentLabel for s in file.SegmentSequence][2::3] == ["liver probability", "tumour probability"]
    assert "Nothing is promised" in file.SegmentSequence[5].SegmentDescription
    found = values_by_number(file, WAYS["oblique"])
    assert all(abs(value / 255 - number / 150) <= 0.5 / 255 + 1e-6 for number, value in found[6].items())
    with pytest.raises(ValueError, match="probs must be for FRACTIONAL, got BINARY"):
        CertaintySegments(("liver", "tumour"), possible, certain).write(
            tmp_path / "no.dcm", series, *sets(series), probs
        )


def test_a_class_without_a_promise_says_so_and_nothing_else_about_itself():
    possible, certain = calibrations(absent=True)
    said = [segment.description for segment in CertaintySegments(("liver", "tumour"), possible, certain).segments()]
    assert "Possible set of liver, certain included. E[FNR] <= 0.1 on average" in said[0]
    assert "No promise about this class, of which everything is inside. Of others: E[FNR]" in said[2]
    assert "No promise about this class, of which nothing is inside. Of others: " in said[3]
    assert all(len(text) <= 1024 for text in said)


def test_a_promise_that_does_not_fit_is_refused_and_not_cut():
    names = tuple(f"structure number {k}" for k in range(40))
    guarantee = "E[FNR] <= 0.1 on average; " + "; ".join(f"no promise about '{name}'" for name in names[1:])
    cutoff = (0.5, *[-3.4028234663852886e38] * 39)
    possible = CalibrationResult(cutoff, 0.1, (99,) + (1,) * 39, (0,) * 40, (0.09,) * 40, guarantee)
    with pytest.raises(ValueError, match="description of a segment must have 1 to 1024 characters"):
        CertaintySegments(names, possible)


def test_what_does_not_fit_is_refused_and_nothing_written(tmp_path, series):
    possible, certain = calibrations()
    inside, sure = sets(series)
    names = ("liver", "tumour")
    with pytest.raises(ValueError, match="swap the two"):
        CertaintySegments(names, certain, possible)
    with pytest.raises(ValueError, match="each once, got"):
        CertaintySegments(("liver", "liver"), possible)
    with pytest.raises(ValueError, match="2 classes of the calibration"):
        CertaintySegments(("liver",), possible)
    with pytest.raises(ValueError, match="codes must be of liver, tumour, got one of 'livr'"):
        CertaintySegments(names, possible, codes={"livr": LIVER})
    with pytest.raises(ValueError, match="empty guarantee"):
        CertaintySegments(("liver",), CalibrationResult((0.5,), 0.1, (99,), (0,), (0.09,), ""))
    form = CertaintySegments(names, possible, certain)
    moved = MetaTensor(sure.as_tensor(), affine=sure.affine + torch.eye(4))
    for given, said in (
        ((inside,), "got only one of the two"),
        ((inside * 0.5, sure), "sets must hold 0 and 1, got 0 to 0.5"),
        ((inside, sure[:1]), "2 channels and one size"),
        ((inside, moved), "one affine"),
        ((inside.as_tensor(), sure), "MetaTensors"),
    ):
        with pytest.raises(ValueError, match=said):
            form.write(tmp_path / "seg.dcm", series, *given)
    assert not (tmp_path / "seg.dcm").exists()
    other = DicomSeries.of(Made().write(tmp_path / "other"))
    with pytest.raises(ValueError, match="lie on one another"):
        form.write(tmp_path / "seg.dcm", other, inside, sure)
    assert inside.shape == (2, COLUMNS, ROWS, SLICES)
