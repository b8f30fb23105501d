# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The overview by hand."""

from __future__ import annotations

from monai_coat.comparison import rows_of
from monai_coat.comparison.results.overview import overview_markdown, summary_markdown


def test_the_best_of_the_summary_is_as_precise_as_the_reference(cells):
    head, _, line = summary_markdown(rows_of(cells, "CRC"), "CRC", "COAT").splitlines()
    assert head == "| group | CRC: gap / precision | COAT: gap / precision | ratio | least gap as precise as CRC |"
    assert line == "| polyp, PSPNet, 0.1 | 0.200 / 0.500 | 0.100 / 0.400 | 0.50 | MEG, 0.100 / 0.500 |"


def test_the_reference_can_be_any_method(cells):
    head, _, line = summary_markdown(rows_of(cells, "COAT"), "COAT", "MEG").splitlines()
    assert head == "| group | COAT: gap / precision | MEG: gap / precision | ratio | least gap as precise as COAT |"
    assert line == "| polyp, PSPNet, 0.1 | 0.100 / 0.400 | 0.100 / 0.500 | 1.00 | COAT, 0.100 / 0.400 |"


def test_the_overview_averages_over_networks_and_counts_who_won(cells, cell):
    unet = [
        cell("CRC", [0.4, 0.4, 0.4], 0.7, network="UNet", coverage=0.9),
        cell("COAT", [0.3, 0.3, 0.3], 0.8, network="UNet", coverage=0.95),
        cell("MEG", [0.2, 0.2, 0.2], 0.6, network="UNet", coverage=0.9),
        cell("predict-all", [0.1, 0.1, 0.1], 0.0, network="UNet", coverage=1.0),
    ]
    lines = overview_markdown(rows_of([*cells, *unet], "CRC"), "CRC", "MEG").splitlines()
    assert lines[2] == "| method | polyp 0.1 | groups off target |"
    # PSPNet's coverage is 0.25 for all methods.
    assert lines[4:8] == [
        "| CRC | 0.300 / 0.60 | 1 below, 0 above |",
        "| COAT | 0.200 / 0.60 | 1 below, 1 above |",
        "| MEG | 0.150 / 0.55 | 1 below, 0 above |",
        "| predict-all | 0.100 / 0.00 | 0 below, 1 above |",
    ]
    assert lines[-1] == (
        "Of 2 groups, MEG has a smaller gap than CRC in 2, is as precise in 1, has the least gap of all methods as "
        "precise as CRC in 1, and of all methods in 1."
    )
