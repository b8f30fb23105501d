# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a coarse unit and few steps of a statistic file cost: larger sets than the exact cutoff gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.validity.inputs import Inputs, LabelledMap, halves, merged, statistics_of
from benchmarks.validity.sections import Content, Section, paragraphs, progress, table
from benchmarks.validity.statistic_files import DEFAULT, SPACES, Resolution, resolutions, scored_maps
from monai_coat.calibration import BinnedStatistic, CalibrationResult, FalseNegativeRate, Statistic, calibrate
from monai_coat.functional import images_needed

PLANS = ((0.1, 36), (0.1, 0), (0.02, 0))
"""Level and number of calibration images, 0 for half of all."""
TEXT = """The cutoff is never above the exact one, so no promise is at stake, and sets are a little larger. Calibrated
on {some} images, as of three sites with {site} each, or on {half}, tested on the others; mean over {splits} random
divisions. *FNR*: realised. *Set*: by how much a new image's set is larger than at the exact cutoff, geometric mean.
*Budget*: share of the tolerated FNR that is lost to rounding up; it can be up to 1 / (alpha u), and is less because
images of which nothing is missed are not rounded."""
Outcome = tuple[float, float, float]


@dataclass(frozen=True)
class Curves:
    """An image's scores in ascending order: of the foreground, and all."""

    foreground: NDArray[np.float32]
    all_pixels: NDArray[np.float32]

    @classmethod
    def of(cls, image: LabelledMap) -> Curves:
        """Sort once, cut often."""
        scores, label = image.scores.numpy().ravel(), image.label.numpy().ravel()
        return cls(np.sort(scores[label]), np.sort(scores))

    def missed(self, cutoff: float) -> float:
        """False negative rate."""
        return float(np.searchsorted(self.foreground, np.float32(cutoff)) / self.foreground.size)

    def size(self, cutoff: float) -> int:
        """Size of the set, at least one pixel."""
        return max(int(self.all_pixels.size - np.searchsorted(self.all_pixels, np.float32(cutoff))), 1)


def binned_parts(
    images: Sequence[LabelledMap], resolution: Resolution, score_range: tuple[float, float]
) -> list[Statistic]:
    """A statistic of each image by itself."""
    parts = []
    for image in images:
        parts.append(resolution.statistic(score_range))
        parts[-1].update(*image.pair)
    return parts


@dataclass(frozen=True)
class Division:
    """Images that calibrate and images that test, with the cutoff that the former give without a grid."""

    calibration: list[Curves]
    test: list[Curves]
    exact: float

    def outcome(self, result: CalibrationResult) -> Outcome:
        """Realised FNR, growth of sets, and share of the budget that rounding took."""
        cutoff, n = result.cutoff[0], result.n[0]
        lost = result.risk[0] - np.mean([curves.missed(cutoff) for curves in self.calibration])
        budget = result.alpha * (n + 1) / n - 1 / n
        missed = np.mean([curves.missed(cutoff) for curves in self.test])
        growth = np.expm1(np.mean([math.log(curves.size(cutoff) / curves.size(self.exact)) for curves in self.test]))
        return float(missed), float(growth), float(lost / budget)


def of_scores(inputs: Inputs, scores: str) -> list[list[object]]:
    """A row per resolution, for one kind of scores."""
    images = scored_maps(inputs, scores)
    curves = [Curves.of(image) for image in images]
    kinds = {"exact": statistics_of(FalseNegativeRate(), images)} | {
        resolution.name: binned_parts(images, resolution, SPACES[scores][1]) for resolution in resolutions(scores)
    }
    outcomes: dict[str, list[Outcome]] = {name: [] for name in kinds}
    plans = plans_for(len(images) // 2)
    for split in progress(f"cost, {scores}", range(inputs.scale.splits)):
        places, test = halves(len(images), split)
        for alpha, count in plans:
            chosen = places[:count] if count else places
            seen, new = ([curves[place] for place in part] for part in (chosen, test))
            results = {
                name: calibrate(merged(emptied(parts[0]), [parts[place] for place in chosen]), alpha)
                for name, parts in kinds.items()
            }
            division = Division(seen, new, results["exact"].cutoff[0])
            for name, result in results.items():
                outcomes[name].append(division.outcome(result))
    # Outcomes came plan after plan, division after division.
    means = {name: np.array(values).reshape(-1, len(plans), 3).mean(0).tolist() for name, values in outcomes.items()}
    return [[scores, name, plan_means] for name, plan_means in means.items()]


def plans_for(half: int) -> list[tuple[float, int]]:
    """Those plans that this many calibration images are enough for."""
    return [(alpha, count) for alpha, count in PLANS if images_needed(alpha) <= half and count <= half]


def emptied(part: Statistic) -> Statistic:
    """A statistic like the given one without an image."""
    if isinstance(part, BinnedStatistic):
        return BinnedStatistic(*part.grid, part.unit, part.hide_sizes)
    return FalseNegativeRate().statistic()


def run(inputs: Inputs) -> Content:
    """Cost at each resolution, for both kinds of scores."""
    rows = [row for scores in SPACES for row in of_scores(inputs, scores)]
    half = math.floor(len(scored_maps(inputs, "margins")) / 2)
    return {"rows": rows, "splits": inputs.scale.splits, "half": half, "plans": plans_for(half)}


def lines(content: Content) -> list[str]:
    """Three columns for each level and number of images."""
    head = ["scores", "unit, steps"]
    for alpha, count in content["plans"]:
        head += [f"FNR, alpha {alpha}, n {count or content['half']}", "set", "budget"]
    rows = []
    for scores, name, plans in content["rows"]:
        cells = [
            cell for missed, growth, lost in plans for cell in (f"{missed:.4f}", f"{growth:+.1%}", f"{abs(lost):.1%}")
        ]
        rows.append([scores, f"**{name}**" if name == DEFAULT.name else name, *cells])
    some = PLANS[0][1]
    text = TEXT.format(some=some, site=some // 3, half=content["half"], splits=content["splits"])
    return [*paragraphs(text), *table(head, rows)]


def verdict(content: Content) -> str:
    """What the default costs."""
    growth = [plan[1] for _, name, plans in content["rows"] if name == DEFAULT.name for plan in plans[:2]]
    return f"At the default and alpha {PLANS[0][0]}, sets grow by {min(growth):.1%} to {max(growth):.1%}."


SECTION = Section("Statistic files: what hiding costs", run, lines, verdict)
