# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The table and the picture of a plan: its numbers, and the band as it is drawn."""

from __future__ import annotations

import pytest
import torch

from monai_coat.calibration import CoverageStatistic, ExpectedRisk, plan_calibration, scatter
from monai_coat.report import _sheet, draw_plan, plan, plan_to_markdown


@pytest.fixture
def planned():
    statistic = CoverageStatistic()
    scores = torch.rand(30, 2, 20, generator=torch.Generator().manual_seed(0))
    statistic.update(scores, torch.ones_like(scores))
    return plan_calibration(ExpectedRisk(alpha=0.1, class_names=("liver", "tumour")), [9, 50, 200], None, statistic)


def test_the_table_has_a_row_for_each_number_and_risk(planned):
    lines = plan_to_markdown(planned).splitlines()
    assert lines[0] == f"{planned.words}."
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")][2:]
    names = ["all or nothing", "pilot, liver", "pilot, tumour"]
    assert [row[:2] for row in rows] == [[str(n), name] for name in names for n in (9, 50, 200)]
    # None of nine may be lost: Beta(1, 9) has mean 0.1 and 95 % quantile 1 - 0.05^(1 / 9), and 0.9^9 above 0.1.
    assert (rows[0][2], rows[0][6], rows[0][7]) == ("0.100", "0.283", "39 %")
    assert lines[-1].endswith("an estimate, and no promise.")


def test_the_band_is_drawn_from_the_fewest_images_to_the_most(planned, tmp_path, monkeypatch):
    sheets = []
    original = _sheet.Sheet.save
    monkeypatch.setattr(_sheet.Sheet, "save", lambda sheet, path: (sheets.append(sheet), original(sheet, path)))
    draw_plan(planned, tmp_path / "a/plan.png")
    (axes,) = sheets[0].figure.axes
    median = next(line for line in axes.lines if line.get_label() == "their median")
    sizes, values = median.get_data()
    assert (sizes[0], sizes[-1]) == (9, 200)
    assert values[-1] == pytest.approx(scatter(planned.guarantee, 200).median)
    labels = axes.get_legend_handles_labels()[1]
    assert {"pilot, liver (30 images)", "pilot, tumour (30 images)", "alpha = 0.1"} <= set(labels)
    assert axes.get_xscale() == "log"
    assert axes.get_ylim()[1] >= scatter(planned.guarantee, 9).high


def test_the_same_plan_gives_the_same_bytes(planned, tmp_path):
    for name in ("a.png", "b.png"):
        draw_plan(planned, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_one_number_of_images_can_be_drawn(tmp_path):
    draw_plan(plan_calibration(ExpectedRisk(alpha=0.1), [50]), tmp_path / "plan.png")
    assert (tmp_path / "plan.png").stat().st_size > 1000


def test_numbers_that_would_touch_are_not_named():
    assert plan.shown_sizes([19, 20, 50, 1000]) == [19, 50, 1000]
