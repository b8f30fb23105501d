# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Reports on a test set: records of images, the table that compares methods, and a page of plots and pictures."""

from __future__ import annotations

from monai_coat.report.audit import AuditPlot, IntervalRow, draw_audit
from monai_coat.report.certain import CertainSummary, load_certain, summarize_certain
from monai_coat.report.compare import compare, write_comparison
from monai_coat.report.compare_classes import compare_classes, orthogonal_panels
from monai_coat.report.evaluate_classes import evaluate_classes
from monai_coat.report.frontier import draw_frontier
from monai_coat.report.page import draw_page
from monai_coat.report.panels import Panel, choose_panels
from monai_coat.report.plan import draw_plan, plan_to_markdown
from monai_coat.report.records import ImageRecord, load_records, predict_all_records, save_records
from monai_coat.report.table import MethodSummary, comparison_table, save_table, summarize, to_csv, to_markdown

__all__ = [
    "AuditPlot",
    "CertainSummary",
    "ImageRecord",
    "IntervalRow",
    "MethodSummary",
    "Panel",
    "choose_panels",
    "compare",
    "compare_classes",
    "comparison_table",
    "draw_audit",
    "draw_frontier",
    "draw_page",
    "draw_plan",
    "evaluate_classes",
    "load_certain",
    "load_records",
    "orthogonal_panels",
    "plan_to_markdown",
    "predict_all_records",
    "save_records",
    "save_table",
    "summarize",
    "summarize_certain",
    "to_csv",
    "to_markdown",
    "write_comparison",
]
