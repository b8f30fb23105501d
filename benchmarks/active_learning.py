# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which image to annotate next: does a choice beat chance? A simulation on maps whose masks are known.

The first annotations are drawn at random, and as many again as there are by the strategy, again and again; each time
thresholds are learned from all of them. What counts is the coverage gap of images that no annotator was asked about,
over splits of these into calibration and test.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.comparison import (
    ComparisonData,
    Protocol,
    Repeat,
    SortedScores,
    draw_split,
    load_protocol,
)
from monai_coat.functional import least_expected_gap, target_coverage
from monai_coat.scorers import ExpectedGapPredictor, MarginScorer, PredictedMaps, ScoreSpace

ALPHA, STEPS, DRAWS = 0.1, (20, 40, 80, 160), 5
DOCS = Path(__file__).resolve().parents[1] / "docs" / "results"
HEAD = """# Which image next

Made by `python -m benchmarks.active_learning`, on the maps of the [comparison](benchmark.md) (UNet, alpha {alpha}).
Images of the part that thresholds are learned from are annotated: {first} at random, then, from one column to the next,
as many again by a strategy. MEG (two members) learns from all of them; the gap is that of the test images, calibrated
on images that no strategy touches, mean over {splits} splits and {draws} draws of the first {first} (standard deviation
over draws).

- *random*: any of those left.
- *ambiguity*: those with the largest share of possible (probability at least 0.1) that is not certain (at least 0.9).
- *expected gap*: those that the thresholds learned so far expect to miss their target most.

| images | strategy | {steps} |
|---|---|{bars}|
"""
Score = Callable[[PredictedMaps, ExpectedGapPredictor, np.random.Generator], NDArray[np.float64]]


def at_random(train: PredictedMaps, model: ExpectedGapPredictor, generator: np.random.Generator) -> NDArray[np.float64]:
    """Random order: any image may be next."""
    return generator.random(len(train))


def ambiguity(train: PredictedMaps, model: ExpectedGapPredictor, generator: np.random.Generator) -> NDArray[np.float64]:
    """The share of possible that is not certain."""
    flat = train.probs.flatten(1)
    possible, certain = ((flat >= cut).sum(1).double() for cut in (0.1, 0.9))
    return (1 - certain / possible.clamp(min=1)).numpy()


def expected_gap(
    train: PredictedMaps, model: ExpectedGapPredictor, generator: np.random.Generator
) -> NDArray[np.float64]:
    """The distance from the target that the model expects at the threshold that it would choose."""
    with torch.no_grad():
        curves = model.curves(train.summaries)
        chosen = least_expected_gap(curves, model.prices)
    return curves[:, 0].gather(-1, chosen[..., None])[:, 0, 0].double().numpy()


STRATEGIES: dict[str, Score] = {"random": at_random, "ambiguity": ambiguity, "expected gap": expected_gap}


def gap_of(model: ExpectedGapPredictor, repeat: Repeat, protocol: Protocol) -> float:
    """Mean coverage gap of test images over the protocol's splits."""
    with torch.no_grad():
        scores = MarginScorer(model, ScoreSpace.LOGIT)(repeat.pool.probs, repeat.pool.probs)
    sorted_scores, gaps = SortedScores.of(scores, repeat.pool.label), []
    for number in range(protocol.splits):
        calibration, test = draw_split(repeat, protocol, number)
        cutoff = sorted_scores.cutoff(calibration, ALPHA)
        coverage = sorted_scores.measure(test, [cutoff] * len(test))[:, 0]
        gaps.append(np.abs(coverage - target_coverage(ALPHA)).mean())
    return float(np.mean(gaps))


def simulate(repeat: Repeat, observed: Tensor, score: Score, seed: int, protocol: Protocol) -> list[float]:
    """The gap after each number of annotations in :data:`STEPS` that there are images for."""
    generator, train, gaps = np.random.default_rng(seed), repeat.train, []
    annotated = generator.permutation(len(train))[: STEPS[0]]
    for step, following in zip(STEPS, (*STEPS[1:], 0), strict=True):
        if step > len(train):
            break
        index = torch.from_numpy(annotated)
        model = ExpectedGapPredictor(members=2).fit_curves(train.summaries[index], observed[index], ALPHA, seed)
        gaps.append(gap_of(model, repeat, protocol))
        if step < following <= len(train):
            left = np.setdiff1d(np.arange(len(train)), annotated)
            order = np.argsort(-score(train, model, generator)[left], kind="stable")
            annotated = np.concatenate([annotated, left[order][: following - step]])
    return gaps


def run(protocol: Protocol, folder: Path, draws: int) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Gaps ``(draws, steps)`` by data set and strategy; prints each line as it is there."""
    gaps_of, data = {}, ComparisonData(protocol, folder)
    for dataset in protocol.datasets:
        repeat = data.repeats(dataset, "UNet")[0]
        observed = ExpectedGapPredictor().observe(repeat.train.probs, repeat.train.label, ALPHA)
        for name, score in STRATEGIES.items():
            gaps = np.array([simulate(repeat, observed, score, seed, protocol) for seed in range(draws)])
            gaps_of[dataset, name] = gaps
            print(line_of(dataset, name, gaps), flush=True)
    return gaps_of


def line_of(dataset: str, name: str, gaps: NDArray[np.float64]) -> str:
    """A line of the table."""
    cells = [f"{mean:.3f} ({sd:.3f})" for mean, sd in zip(gaps.mean(0), gaps.std(0, ddof=1), strict=True)]
    return "| " + " | ".join([dataset, name, *cells, *[""] * (len(STEPS) - len(cells))]) + " |"


def draw(gaps_of: dict[tuple[str, str], NDArray[np.float64]], path: Path) -> None:
    """One panel per data set, one line per strategy, a band of one standard deviation."""
    datasets = list(dict.fromkeys(dataset for dataset, _ in gaps_of))
    figure, axes = plt.subplots(1, len(datasets), figsize=(4 * len(datasets), 3), squeeze=False, layout="constrained")
    for axis, dataset in zip(axes[0], datasets, strict=True):
        for name in STRATEGIES:
            gaps = gaps_of[dataset, name]
            steps, mean, sd = STEPS[: gaps.shape[1]], gaps.mean(0), gaps.std(0, ddof=1)
            axis.plot(steps, mean, marker="o", markersize=3, label=name)
            axis.fill_between(steps, mean - sd, mean + sd, alpha=0.15)
        axis.set(title=dataset, xlabel="annotated images", xscale="log", xticks=steps, xticklabels=steps)
        axis.minorticks_off()
    axes[0, 0].set_ylabel("coverage gap")
    axes[0, 0].legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Run the simulation and write ``active_learning.md`` and its figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("comparison_output"), help="the folder of maps of compare")
    parser.add_argument("--quick", action="store_true", help="generated images, two draws, printed only")
    options = parser.parse_args()
    protocol = load_protocol("quick" if options.quick else "paper")
    if not options.quick and "COAT_DATA_DIR" not in os.environ:
        parser.error("COAT_DATA_DIR must name the folder of real images; without it there is --quick.")
    torch.set_num_threads(1)
    gaps_of = run(protocol, options.output, 2 if options.quick else DRAWS)
    if options.quick:
        return
    steps, bars = (text.join(parts) for text, parts in ((" | ", map(str, STEPS)), ("|", ["---"] * len(STEPS))))
    head = HEAD.format(alpha=ALPHA, first=STEPS[0], splits=protocol.splits, draws=DRAWS, steps=steps, bars=bars)
    lines = "\n".join(line_of(dataset, name, gaps) for (dataset, name), gaps in gaps_of.items())
    (DOCS / "active_learning.md").write_text(f"{head}{lines}\n\n![gaps](active_learning.png)\n", encoding="utf-8")
    draw(gaps_of, DOCS / "active_learning.png")


if __name__ == "__main__":
    main()
