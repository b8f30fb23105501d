# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What each promise costs in set size, on polyps and hippocampus volumes: the table of docs/promises.md.

``python -m benchmarks.promise_prices`` with ``COAT_DATA_DIR`` set rewrites the table; without it, on generated images,
it prints one and leaves the page alone.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.validity.inputs import Inputs, LabelledMap, halves
from benchmarks.validity.sections import paragraphs, progress
from benchmarks.validity.volumes import volume_maps
from monai_coat.calibration import (
    CalibrationResult,
    ConfidentRisk,
    Exceeds,
    ExpectedRisk,
    FalseNegativeRate,
    FalsePositiveRatio,
    GrowingSet,
    Guarantee,
    LearnThenTest,
    LesionsMissed,
    PerGroup,
    SizeStrata,
    Statistic,
    VolumeOverestimated,
    VolumeUnderestimated,
    WorstClassFalseNegativeRate,
    update_with,
)
from monai_coat.data import load_datalist

PAGE = Path(__file__).resolve().parents[1] / "docs" / "promises.md"
MARKS = "<!-- prices -->", "<!-- end of prices -->"
ALPHA, DELTA, SPLITS = 0.1, 0.1, 40
FNR = FalseNegativeRate()


@dataclass(frozen=True)
class Row:
    """A promise of the table."""

    question: str
    guarantee: Guarantee

    @property
    def least(self) -> str:
        """The fewest images that it takes."""
        inner = self.guarantee.guarantee if isinstance(self.guarantee, PerGroup) else self.guarantee
        needed = getattr(inner, "images_needed", None)
        return "-" if needed is None else f"{needed}{' of each' if isinstance(self.guarantee, PerGroup) else ''}"


ROWS = (
    Row("How much is missed, on average over images?", ExpectedRisk(FNR, ALPHA)),
    Row("... and of the structure that is missed most?", ExpectedRisk(WorstClassFalseNegativeRate(), ALPHA)),
    Row("Will most of my patients be covered?", ExpectedRisk(Exceeds(FNR, 0.2), ALPHA)),
    Row("Are lesions found?", ExpectedRisk(LesionsMissed(0.1), ALPHA)),
    Row("May I trust this very calibration?", ConfidentRisk(FNR, ALPHA, DELTA)),
    Row("... by the better bound of sums", ConfidentRisk(FNR, ALPHA, DELTA, "hinge")),
    Row("... by the risks of single images", ConfidentRisk(FNR, ALPHA, DELTA, "betting")),
    Row("... and after every annotation that comes", GrowingSet(FNR, ALPHA, DELTA)),
    Row("Is it right at each of our sites?", PerGroup(ExpectedRisk(FNR, ALPHA), "source")),
    Row("Is it right for small structures, too?", PerGroup(ExpectedRisk(FNR, ALPHA), SizeStrata((0.05,)))),
    Row("May I trust what is marked?", ExpectedRisk(FalsePositiveRatio(), ALPHA)),
    Row(
        "... and is little missed, both at once?",
        LearnThenTest(FNR, 0.3, DELTA, {"false_discovery_rate": 0.4}, (0, 1, 50)),
    ),
    Row("How large is it at most?", ExpectedRisk(VolumeUnderestimated(), ALPHA / 2)),
    Row("How large is it at least?", ExpectedRisk(VolumeOverestimated(), ALPHA / 2)),
)


def price(row: Row, images: Sequence[LabelledMap], groups: Sequence[str] | None) -> str:
    """Relative set size of the images that do not calibrate, and the largest mean risk of a class, in a cell."""
    guarantee, rows = row.guarantee, [{"source": name} for name in groups or ()]
    if guarantee.keys and not groups:
        return "-"
    statistics = [_statistic(guarantee, image, rows[i] if rows else {}) for i, image in enumerate(images)]
    sizes, risks, means = [], [], []
    for split in range(SPLITS):
        calibrating, testing = halves(len(images), split)
        whole = guarantee.statistic()
        for place in calibrating:
            whole.merge(statistics[place])
        try:
            result = guarantee.calibrate(whole)
        except ValueError:  # too few images, or infeasible
            continue
        kept = [i for i in testing if not groups or not result.groups or _group(result, groups[i])]
        found = [_tested(result, images[i], guarantee, rows[i] if rows else {}) for i in kept]
        sizes += [size for each, _ in found for size in each]
        risks.append(np.nanmean(np.array([risk for _, risk in found]), 0))
        means.append(np.mean([size for each, _ in found for size in each]))
    if not risks:
        return "infeasible"
    few = f" (feasible in {len(risks)} of {SPLITS})" if len(risks) < SPLITS else ""
    return f"{np.median(sizes):.2f} ({np.mean(means):.2f}); {np.mean(risks, 0).max():.3f}{few}"


def _group(result: CalibrationResult, group: str) -> bool:
    """Whether something is promised about a group; of strata, always asked for by the image."""
    return result.settings["key"] != "source" or group in result.groups


def _statistic(guarantee: Guarantee, image: LabelledMap, row: Mapping[str, Any]) -> Statistic:
    statistic = guarantee.statistic()
    update_with(statistic, image.scores, image.label, [row])
    return statistic


def _tested(
    result: CalibrationResult, image: LabelledMap, guarantee: Guarantee, row: Mapping[str, Any]
) -> tuple[list[float], list[float]]:
    """Set over foreground of each class that is there, and risks."""
    cutoff = torch.tensor(result.for_image(image.scores[0], row).cutoff)
    sets = (image.scores >= cutoff.reshape(1, -1, *[1] * (image.scores.dim() - 2))).flatten(2).sum(-1)[0]
    foreground = image.label.flatten(2).sum(-1)[0]
    ratios = [float(size / whole) for size, whole in zip(sets, foreground, strict=True) if whole]
    return ratios, guarantee.risk.image_risk(image.scores, image.label, cutoff)[0].tolist()


def table(inputs: Inputs) -> str:
    """The rows of the page."""
    polyps, volumes = inputs.maps, volume_maps(inputs)
    groups = _sources(inputs) if inputs.root is not None else None
    lines = [
        f"| question | promise | least n | polyps ({len(polyps) // 2}) | hippocampus ({len(volumes) // 2}) |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for row in progress("prices", ROWS):
        cells = (row.question, f"`{row.guarantee.promise}`", row.least)
        lines.append(f"| {' | '.join(cells)} | {price(row, polyps, groups)} | {price(row, volumes, None)} |")
    return "\n".join([*lines, "", *paragraphs(_with_nothing(polyps, volumes))]).rstrip()


def _with_nothing(polyps: Sequence[LabelledMap], volumes: Sequence[LabelledMap]) -> str:
    """How often a large part of a structure has the least score of all, so that only the whole image holds it."""
    shares = [np.mean([_at_zero(image) > 0.2 for image in images]) for images in (polyps, volumes)]
    return (
        f"More than a fifth of the structure has a probability below one in a million in {shares[0]:.0%} of the maps "
        f"of polyps and in {shares[1]:.0%} of those of the hippocampus, of its worse class."
    )


def _at_zero(image: LabelledMap) -> float:
    """The largest share, among classes, of the foreground below a millionth."""
    return float(FNR.image_risk(image.scores, image.label, 1e-6)[0].nan_to_num(0).max())


def _sources(inputs: Inputs) -> list[str]:
    """The data set of each map, by its name."""
    listed = load_datalist(inputs.root, "polyp", model="pranet")[: inputs.scale.maps]
    return [re.split(r"[_0-9]", Path(sample["probs"]).name)[0] for sample in listed]


def main() -> None:
    """Print the table, and put it into the page if the images are real."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    root = os.environ.get("COAT_DATA_DIR")
    text = table(Inputs(Path(root) if root else None, Path("build/validity")))
    print(text)
    if root:
        before, rest = PAGE.read_text(encoding="utf-8").split(MARKS[0])
        PAGE.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
