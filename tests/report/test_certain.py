# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is called certain: false positives of a test set, as promised and without the cap; numbers derived by hand."""

from __future__ import annotations

import csv
import logging
import math

import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.handlers import from_engine
from torch import nn

from monai_coat.calibration import CalibrationResult, PipelineIdentity, risk_named, save_calibration
from monai_coat.handlers import ImageRecords
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.report import compare, compare_classes, load_certain, summarize_certain

# Scores and labels of eight pixels each. At 0.5, beside the foreground, over the scarcer of foreground and background:
IMAGES = [
    ([0.9, 0.9, 0.6, 0.1, 0.1, 0.1, 0.1, 0.1], [1, 1, 0, 0, 0, 0, 0, 0]),  # 1 / 2
    ([0.9, 0.8, 0.7, 0.6, 0.3, 0.1, 0.1, 0.1], [1, 0, 0, 0, 0, 0, 0, 0]),  # 3 / 1
    ([0.9, 0.8, 0.7, 0.6, 0.3, 0.1, 0.1, 0.1], [0, 0, 0, 0, 0, 0, 0, 0]),  # no foreground: does not count
    ([0.9, 0.8, 0.7, 0.6, 0.3, 0.1, 0.1, 0.1], [1, 1, 1, 1, 1, 1, 1, 1]),  # no background: does not count
    ([0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.1], [1, 1, 1, 1, 1, 1, 0, 0]),  # 1 / 2
    ([0.9, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], [1, 0, 0, 0, 0, 0, 0, 0]),  # 1 / 1, by a tie
]
EXPECTED = {"n": 4, "capped_mean": 0.75, "mean": 1.25, "largest": 3.0, "share_above_cap": 0.25}


def network(*cutoffs: float) -> AdaptiveSegmenter:
    """One whose scores are the image."""
    made = AdaptiveSegmenter(nn.Identity(), num_classes=len(cutoffs), activation="identity")
    made.set_calibration(cutoffs, 0.1, (50,) * len(cutoffs))
    return made


def certain(*cutoffs: float, **more: object) -> CalibrationResult:
    exact = tuple(float(torch.tensor(cutoff)) for cutoff in cutoffs)
    entries = {"n": (50,), "n_empty": (0,), "risk": (0.0,)}
    entries = {name: values * len(cutoffs) for name, values in entries.items()}
    entries = {**entries, "controls": "false_positive_ratio", **more}
    return CalibrationResult(
        exact, 0.4, guarantee=f"{risk_named(entries['controls']).expected_words} <= 0.4", **entries
    )


def evaluator_of(classes: int = 1, **calibrations: CalibrationResult) -> SupervisedEvaluator:
    """Over the images; a second class has them in the opposite order."""
    channels = [IMAGES, IMAGES[::-1]][:classes]
    data = [
        {
            "image": torch.tensor([row[index][0] for row in channels])[:, None],
            "label": torch.tensor([row[index][1] for row in channels])[:, None],
        }
        for index in range(len(IMAGES))
    ]
    records = ImageRecords(from_engine(["pred", "label"]), certain=calibrations)
    loader = DataLoader(Dataset(data), batch_size=4)
    return SupervisedEvaluator(torch.device("cpu"), loader, nn.Identity(), val_handlers=[records])


def rows_of(path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_the_table_and_the_file_say_what_was_derived(tmp_path, caplog):
    networks = {"crc": network(0.2), "coat": network(0.2), "at": network(0.2)}
    evaluator = evaluator_of(crc=certain(0.5), at=certain(0.95))
    with caplog.at_level(logging.INFO):
        compare(evaluator, networks, 0.1, tmp_path, statement="As they came.")
    first, second = rows_of(tmp_path / "certain.csv")
    assert first == {"method": "crc", "alpha": "0.4", **{name: str(value) for name, value in EXPECTED.items()}}
    assert {name: float(second[name]) for name in EXPECTED} == {**dict.fromkeys(EXPECTED, 0.0), "n": 4}
    table = (tmp_path / "table.md").read_text()
    main, below = table.split("What is called certain: ")
    assert "| coat |" in main
    assert "| crc | 0.4 | 0.750 | 1.250 | 3.000 | 0.250 | 4 |\n| at | 0.4 | 0.000 |" in below
    assert "| coat |" not in below
    assert below.endswith("\n\nAs they came.\n")
    assert "Mean, capped at 1 (promised)" in below
    assert table.strip() in caplog.text


def test_certain_is_never_more_than_the_prediction_set(tmp_path):
    """A cutoff below that of the prediction set takes nothing in: 0.75 leaves 1 false pixel of the second image."""
    compare(evaluator_of(crc=certain(0.25)), {"crc": network(0.75)}, 0.1, tmp_path)
    (row,) = rows_of(tmp_path / "certain.csv")
    assert [float(row[name]) for name in ("mean", "largest")] == [(0 + 1 + 0.5 + 0) / 4, 1.0]


def test_each_class_has_its_own_table(tmp_path):
    evaluator = evaluator_of(2, crc=certain(0.5, 0.95))
    compare_classes(evaluator, {"crc": network(0.2, 0.2)}, 0.1, tmp_path, ["left", "right"])
    (left,), (right,) = (rows_of(tmp_path / name / "certain.csv") for name in ("left", "right"))
    assert {name: float(left[name]) for name in EXPECTED} == EXPECTED
    assert float(right["mean"]) == 0.0
    assert not (tmp_path / "worst_class" / "certain.csv").exists()  # nothing was promised about it
    assert "What is called certain" not in (tmp_path / "worst_class" / "table.md").read_text()


def test_without_a_calibration_nothing_is_said_and_no_old_file_stays(tmp_path):
    (tmp_path / "certain.csv").write_text("of an earlier evaluation")
    compare(evaluator_of(), {"crc": network(0.2)}, 0.1, tmp_path)
    assert not (tmp_path / "certain.csv").exists()
    assert "certain" not in (tmp_path / "table.md").read_text()


def test_a_method_of_which_no_image_counts_has_no_row():
    assert summarize_certain("crc", 0.1, [math.nan, math.nan]) is None
    assert summarize_certain("crc", 0.1, [math.nan, 1.5]).n == 1


def test_calibrations_are_loaded_of_the_methods_that_have_one(tmp_path, caplog):
    identity = PipelineIdentity({"weights": "digest 1"})
    for name, result in {
        "calibration_crc": certain(0.2, controls="false_negative_rate", identity=identity),
        "certain_crc": certain(0.5, identity=identity),
        "calibration_at": certain(0.2, controls="false_negative_rate", identity=identity),
        "certain_at": certain(0.2, controls="false_negative_rate", identity=identity),
    }.items():
        save_calibration(result, tmp_path / f"{name}.json")
    with caplog.at_level(logging.INFO):
        assert load_certain(tmp_path, ["crc", "coat", "at"]) == {"crc": certain(0.5, identity=identity)}
    assert "certain_at.json is of false_negative_rate and is not reported" in caplog.text
    other = PipelineIdentity({"weights": "digest 2"})
    save_calibration(certain(0.5, identity=other), tmp_path / "certain_crc.json")
    with pytest.raises(ValueError, match="calibration is of another pipeline: weights"):
        load_certain(tmp_path, ["crc"])
