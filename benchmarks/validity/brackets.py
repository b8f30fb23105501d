# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The second pass of a binned calibration, taken over what the first has not seen."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.validity.attempts import REFUSED, attempted
from benchmarks.validity.inputs import Inputs, LabelledMap, mean_risk
from benchmarks.validity.sections import Content, Section, paragraphs, table
from monai_coat.calibration import (
    BinnedStatistic,
    Brackets,
    BracketStatistic,
    CoverageStatistic,
    FalseNegativeRate,
    calibrate,
)

ALPHA, OTHER_ALPHA = 0.1, 0.3
TEXT = """A first pass over {count} generated images says between which two cutoffs the exact one for alpha {alpha}
lies; the second keeps the scores between them. Done right, it gives the exact cutoff, {exact:.9g} by both ways. Done
wrong, it is refused. The last column is the FNR at the lower end of the brackets of the images that the second pass
saw, the least that a cutoff from there could have meant."""


def population(count: int = 100) -> tuple[Tensor, Tensor]:
    """Scores and labels ``(count, 1, 50)``: foreground alone, uniform scores."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 1, 50, generator=generator), torch.ones(count, 1, 50)


def first_pass(scores: Tensor, labels: Tensor, alpha: float) -> Brackets:
    """Bounds on the cutoff for a level."""
    binned = BinnedStatistic(0.0, 1.0, 16)
    binned.update(scores, labels)
    return binned.brackets(alpha)


def second_pass(brackets: Brackets, scores: Tensor, labels: Tensor) -> float:
    """The cutoff for the level of this page that a second pass gives."""
    statistic = BracketStatistic(brackets)
    statistic.update(scores, labels)
    return calibrate(statistic, ALPHA).cutoff[0]


def run(inputs: Inputs) -> Content:
    """The right second pass, and four wrong ones."""
    scores, labels = population()
    exact = CoverageStatistic()
    exact.update(scores, labels)
    right = first_pass(scores, labels, ALPHA)
    passes = {
        f"brackets of alpha {OTHER_ALPHA}": (first_pass(scores, labels, OTHER_ALPHA), scores),
        "scores times 0.3": (right, 0.3 * scores),
        "scores times 2": (right, 2 * scores),
        "4 of the images": (right, scores[:4]),
    }
    rows = []
    for name, (brackets, seen) in passes.items():
        image = [LabelledMap(seen, labels[: len(seen)])]
        risk = float(mean_risk(FalseNegativeRate(), image, (brackets.bounds[0][0],))[0])
        rows.append([name, attempted(second_pass, brackets, seen, labels[: len(seen)]), risk])
    cutoffs = {"exact": calibrate(exact, ALPHA).cutoff[0], "second": second_pass(right, scores, labels)}
    return {"count": len(scores), "alpha": ALPHA, "rows": rows, **cutoffs}


def lines(content: Content) -> list[str]:
    """A row per wrong second pass."""
    rows = [[name, outcome, f"{risk:.3f}"] for name, outcome, risk in content["rows"]]
    text = TEXT.format(**{name: content[name] for name in ("count", "alpha", "exact")})
    return [*paragraphs(text), *table(["second pass over", "what happened", "FNR there"], rows)]


def verdict(content: Content) -> str:
    """How many were refused."""
    exact = "exact to the bit" if content["exact"] == content["second"] else "**not exact**"
    refused = sum(outcome.startswith(REFUSED) for _, outcome, _ in content["rows"])
    return f"{refused} of {len(content['rows'])} wrong second passes are refused; the right one is {exact}."


SECTION = Section("Second passes", run, lines, verdict, uses_data=False)
