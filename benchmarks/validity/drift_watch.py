# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The test of drift: how often it raises a false alarm, and how soon a true one, by :mod:`drift`."""

from __future__ import annotations

from benchmarks.validity import drift
from benchmarks.validity.inputs import Inputs
from benchmarks.validity.sections import Content, Section, paragraphs

TEXT = """Simulated, by `python -m benchmarks.validity.drift`. *All or nothing*: an image is missed or found as a whole,
which varies as much as a risk can. *Graded*: images of 50 pixels, most missed in part. *Bound* is the mean risk that
the test bets against: what chance in one calibration can explain."""


def run(inputs: Inputs) -> Content:
    """The tables of the simulation."""
    return {"lines": drift.run()}


def lines(content: Content) -> list[str]:
    """The tables as they are."""
    tables: list[str] = []
    for line in content["lines"]:
        tables += [line] if line.startswith("|") or not line else paragraphs(line)[:-1]
    return [*paragraphs(TEXT), *tables]


def verdict(content: Content) -> str:
    """The largest share of false alarms in the first table, of runs in which nothing drifts."""
    rows = [line.split(" | ") for line in content["lines"][: content["lines"].index("", 2)] if line.endswith("% |")]
    shares = [float(cells[2 + len(drift.LOOKS)].split()[0]) for cells in rows]
    return (
        f"At a stated level of {drift.LEVEL:.0%}, at most {max(shares):.1f} % false alarms within {drift.LOOKS[-1]} "
        "images; what is found, and how late, is below."
    )


SECTION = Section("Drift: false alarms and true ones", run, lines, verdict, uses_data=False)
