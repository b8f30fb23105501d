# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The page about promises: every row of the tables is on it, and its schema describes what is written."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import jsonschema
import pytest
import torch

from monai_coat.calibration import (
    GUARANTEES,
    RISKS,
    CalibrationResult,
    ConfidentRisk,
    ExpectedRisk,
    FalseNegativeRate,
    LearnThenTest,
    PerGroup,
    PerPatient,
    Referring,
    Weighted,
    calibrate_maps,
    save_calibration,
)
from monai_coat.cli.promise_options import BOUNDS
from monai_coat.cli.promise_options import GUARANTEES as TYPED

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "promises.md").read_text(encoding="utf-8")
SCHEMA = json.loads((DOCS / "calibration.schema.json").read_text(encoding="utf-8"))
FNR = FalseNegativeRate()
EXPECTED = ExpectedRisk(FNR, 0.4)


@pytest.mark.parametrize("name", [*RISKS, *TYPED, *BOUNDS])
def test_every_row_is_on_the_page(name):
    assert re.search(rf"`{name}\b", PAGE), name


def test_every_guarantee_has_a_way_to_be_typed_on_the_page():
    ways = {"per_group": "--per-group", "per_patient": "--per-patient", "weighted": "--weight", "cross_risk": "--folds"}
    assert all(ways.get(name, name) in PAGE for name in GUARANTEES)


@pytest.mark.parametrize(
    "guarantee",
    [
        EXPECTED,
        ConfidentRisk(FNR, 0.4, 0.2, "betting"),
        PerGroup(EXPECTED, "site"),
        PerPatient(EXPECTED, "site"),
        Weighted(EXPECTED, "weight", 2),
        Referring(EXPECTED, 0.3),
        LearnThenTest(FNR, 0.7, 0.3, {"lesions_missed(0.0)": 0.9}, (0, 1, 20)),
    ],
    ids=lambda guarantee: type(guarantee).__name__,
)
def test_the_schema_describes_what_is_written(tmp_path, guarantee):
    scores, labels = torch.rand(40, 2, 8, 8), torch.rand(40, 2, 8, 8) < 0.5
    meta = [{"site": str(i % 5), "weight": 1} for i in range(40)]
    save_calibration(calibrate_maps(list(scores), list(labels), guarantee=guarantee, meta=meta), tmp_path / "c.json")
    content = json.loads((tmp_path / "c.json").read_text())
    jsonschema.validate(content, SCHEMA)
    assert set(content) == set(SCHEMA["properties"])
    assert set(content["settings"]) <= set(SCHEMA["properties"]["settings"]["properties"])
    content["alpha"] = 1.5
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, SCHEMA)


def test_the_schema_knows_every_entry_of_a_result():
    assert {field.name for field in fields(CalibrationResult)} <= set(SCHEMA["properties"])


def test_the_prices_are_in_the_page():
    table = PAGE.split("<!-- prices -->")[1].split("<!-- end of prices -->")[0].strip()
    rows, _, sentence = table.partition("\n\n")
    assert sentence.startswith("More than a fifth of the structure has a probability below one in a million in ")
    table = rows.splitlines()
    assert len(table) > 10
    assert all(row.count(" | ") >= 4 for row in table[2:])
