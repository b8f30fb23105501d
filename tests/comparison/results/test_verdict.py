# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The sentence that a comparison ends in, by hand."""

from __future__ import annotations

import pytest

from monai_coat.comparison import rows_of
from monai_coat.comparison.results.verdict import verdict_markdown

SOFT = {"_target_": "monai_coat.losses.SoftTPRLoss"}


def said(*cells):
    head, _, *lines = verdict_markdown(rows_of(cells, "CRC"), "CRC").splitlines(keepends=True)
    assert head.startswith("In words; ± is a 95 % interval over other divisions of the same images")
    return "".join(lines)


def test_it_names_the_best_of_those_as_precise_with_what_it_saves_and_costs(cell):
    text = said(
        cell("CRC", [0.20, 0.21, 0.22]),
        cell("meg", [0.10, 0.11, 0.12], 0.495),
        cell("better, but less precise", [0.05, 0.06, 0.07], 0.48),
        cell("predict-all", [0.0, 0.0, 0.0], 0.5),
    )
    size = "sets are typically 0.25 times as large as the object"
    assert text == (
        "- polyp, PSPNet, alpha 0.1: take meg (`fit --method meg`). Coverage of an image is 0.100 ± 0.000 nearer to "
        f"its target than with CRC: 0.110 away on average, precision 0.49, {size}, in place of 0.210 away on average, "
        f"precision 0.50, {size}.\n"
    )


def test_what_fit_has_comes_first(cell):
    own = cell("meg, free", [0.05, 0.06, 0.07]) | {"settings": {"fit": "meg", "keep_precision": False}}
    text = said(cell("CRC", [0.20, 0.21, 0.22]), cell("meg", [0.10, 0.11, 0.12]), own)
    assert "take meg (`fit --method meg`)." in text
    assert text.endswith(" meg, free, which `fit` has not with these settings, is nearer still: 0.060.\n")


def test_what_is_not_sure_does_not_pay(cell):
    unsure = said(cell("CRC", [0.20, 0.21, 0.22]), cell("meg", [0.10, 0.25, 0.12]))
    assert (
        "alpha 0.1: a threshold per image does not pay. No method that is at most 0.01 less precise is surely nearer"
        in unsure
    )
    assert "does not pay" in said(cell("CRC", [0.2, 0.2, 0.2]), cell("meg", [0.1, 0.1, 0.1], 0.3))
    assert said(cell("meg", [0.1, 0.1, 0.1])).endswith("CRC was not run, so that nothing can be said.\n")


def test_the_best_of_many_must_be_surer_than_one_alone(cell):
    reference, good = cell("CRC", [0.20, 0.21, 0.22]), [0.13, 0.19, 0.16]  # 0.05 ± 0.061 of 3 alone
    better = [0.13, 0.16, 0.16]  # 0.06 ± 0.025
    assert "does not pay" in said(reference, cell("meg", good))
    assert "take meg" in said(reference, cell("meg", better))
    others = [cell(f"other {number}", [0.20, 0.21, 0.22]) for number in range(19)]
    assert "does not pay" in said(reference, cell("meg", better), *others)


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        ({"fit": "meg2"}, "meg2"),
        ({"fit": "learned", "loss": {**SOFT, "temperature": 0.05}}, "coat"),
        ({"fit": "meg", "members": 2}, ""),
    ],
)
def test_methods_are_named_as_fit_knows_them(cell, settings, command):
    (row,) = rows_of([cell("A", [0.1, 0.2, 0.3]) | {"settings": settings}], "CRC")
    assert row.command == command
