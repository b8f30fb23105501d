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

from monai_coat.benchmark import Bench, Maps, Protocol, Round, SortedScores, draw_split, load_protocol
from monai_coat.functional import least_expected_gap
from monai_coat.networks import ExpectedGapPredictor, MarginScorer, ScoreSpace

ALPHA, STEPS, DRAWS = 0.1, (20, 40, 80, 160), 5
DOCS = Path(__file__).resolve().parents[1] / "docs" / "results"
HEAD = """# Which image next

Made by `python -m benchmarks.active_learning`, on the maps of the [benchmark](benchmark.md) (UNet, alpha {alpha}).
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
Score = Callable[[Maps, ExpectedGapPredictor, np.random.Generator], NDArray[np.float64]]


def at_random(train: Maps, model: ExpectedGapPredictor, generator: np.random.Generator) -> NDArray[np.float64]:
    """Any."""
    return generator.random(len(train))


def ambiguity(train: Maps, model: ExpectedGapPredictor, generator: np.random.Generator) -> NDArray[np.float64]:
    """Share of possible that is not certain."""
    flat = train.probs.flatten(1)
    possible, certain = ((flat >= cut).sum(1).double() for cut in (0.1, 0.9))
    return (1 - certain / possible.clamp(min=1)).numpy()


def expected_gap(train: Maps, model: ExpectedGapPredictor, generator: np.random.Generator) -> NDArray[np.float64]:
    """Distance from the target that the model expects at the threshold that it would choose."""
    with torch.no_grad():
        curves = model.curves(train.summaries)
        chosen = least_expected_gap(curves, model.prices)
    return curves[:, 0].gather(-1, chosen[..., None])[:, 0, 0].double().numpy()


STRATEGIES: dict[str, Score] = {"random": at_random, "ambiguity": ambiguity, "expected gap": expected_gap}


def gap_of(model: ExpectedGapPredictor, each: Round, protocol: Protocol) -> float:
    """Mean coverage gap of test images over the protocol's splits."""
    with torch.no_grad():
        scores = MarginScorer(model, ScoreSpace.LOGIT)(each.pool.probs, each.pool.probs)
    ready, gaps = SortedScores.of(scores, each.pool.label), []
    for number in range(protocol.splits):
        calibration, test = draw_split(each, protocol, number)
        cutoff = ready.cutoff(calibration, ALPHA)
        gaps.append(np.abs(ready.measure(test, [cutoff] * len(test))[:, 0] - (1 - ALPHA)).mean())
    return float(np.mean(gaps))


def simulate(each: Round, observed: Tensor, score: Score, seed: int, protocol: Protocol) -> list[float]:
    """The gap after each number of annotations in :data:`STEPS` that there are images for."""
    generator, train, gaps = np.random.default_rng(seed), each.train, []
    rows = generator.permutation(len(train))[: STEPS[0]]
    for wanted in STEPS:
        if wanted > len(train):
            break
        if gaps:
            left = np.setdiff1d(np.arange(len(train)), rows)
            order = np.argsort(-score(train, model, generator)[left], kind="stable")
            rows = np.concatenate([rows, left[order][: wanted - len(rows)]])
        index = torch.from_numpy(rows)
        model = ExpectedGapPredictor(members=2).fit_curves(train.summaries[index], observed[index], ALPHA, seed)
        gaps.append(gap_of(model, each, protocol))
    return gaps


def run(protocol: Protocol, folder: Path, draws: int) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Gaps ``(draws, steps)`` by data set and strategy; prints each line as it is there."""
    found = {}
    for dataset in protocol.datasets:
        each = Bench(protocol, folder).rounds(dataset, "UNet")[0]
        observed = ExpectedGapPredictor().observe(each.train.probs, each.train.label, ALPHA)
        for name, score in STRATEGIES.items():
            gaps = np.array([simulate(each, observed, score, seed, protocol) for seed in range(draws)])
            found[dataset, name] = gaps
            print(line_of(dataset, name, gaps), flush=True)
    return found


def line_of(dataset: str, name: str, gaps: NDArray[np.float64]) -> str:
    """A line of the table."""
    cells = [f"{mean:.3f} ({sd:.3f})" for mean, sd in zip(gaps.mean(0), gaps.std(0, ddof=1), strict=True)]
    return "| " + " | ".join([dataset, name, *cells, *[""] * (len(STEPS) - len(cells))]) + " |"


def draw(found: dict[tuple[str, str], NDArray[np.float64]], path: Path) -> None:
    """One panel per data set, one line per strategy, a band of one standard deviation."""
    datasets = list(dict.fromkeys(dataset for dataset, _ in found))
    figure, axes = plt.subplots(1, len(datasets), figsize=(4 * len(datasets), 3), squeeze=False, layout="constrained")
    for axis, dataset in zip(axes[0], datasets, strict=True):
        for name in STRATEGIES:
            gaps = found[dataset, name]
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
    parser.add_argument("--output", type=Path, default=Path("benchmark_output"), help="the benchmark's folder of maps")
    parser.add_argument("--quick", action="store_true", help="generated images, two draws, printed only")
    options = parser.parse_args()
    protocol = load_protocol("quick" if options.quick else "paper")
    if not options.quick and "COAT_DATA_DIR" not in os.environ:
        parser.error("COAT_DATA_DIR must name the folder of real images; without it there is --quick.")
    torch.set_num_threads(1)
    found = run(protocol, options.output, 2 if options.quick else DRAWS)
    if options.quick:
        return
    steps, bars = (text.join(parts) for text, parts in ((" | ", map(str, STEPS)), ("|", ["---"] * len(STEPS))))
    head = HEAD.format(alpha=ALPHA, first=STEPS[0], splits=protocol.splits, draws=DRAWS, steps=steps, bars=bars)
    lines = "\n".join(line_of(dataset, name, gaps) for (dataset, name), gaps in found.items())
    (DOCS / "active_learning.md").write_text(f"{head}{lines}\n\n![gaps](active_learning.png)\n", encoding="utf-8")
    draw(found, DOCS / "active_learning.png")


if __name__ == "__main__":
    main()
