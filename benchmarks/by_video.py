# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Coverage gaps of public maps of polyps by whole videos: ``python -m benchmarks.by_video``, ``COAT_DATA_DIR`` set.

Half of the images, in whole videos, are learned from; of the rest half calibrate and half are tested, again in whole
videos, and then the other way round; twenty times. Everything goes through the public interface. It writes
docs/results/by_video.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.validity.inputs import LabelledMap, grey
from benchmarks.validity.sections import paragraphs, progress, table
from monai_coat.calibration import CoverageStatistic, ExpectedRisk, FalseNegativeRate
from monai_coat.data import data_directory, load_datalist, split_by_group
from monai_coat.data.groups import group_of
from monai_coat.functional import measures_of_test_set, precision_of_counts
from monai_coat.scorers import PlacedScorer, ProbabilityScorer, Scorer, SketchedMaps, method_of

PAGE = Path(__file__).resolve().parents[1] / "docs" / "results" / "by_video.md"
LEVELS, SPLITS = (0.1, 0.2), 20
MODELS = ("pranet", "pranet_rerun")
TEXT = """Made by `python -m benchmarks.by_video` with `COAT_DATA_DIR` set: maps of polyps of two networks of one
architecture, PraNet's own and those of somebody who trained it again, on Kvasir-SEG, CVC-ClinicDB, CVC-ColonDB and
ETIS-Larib, 8 bits, at full size. Half of the images, in whole videos, are learned from; of the rest half calibrate
and half are tested, in whole videos too, and then the other way round, so that no half is easier to test on. Means over
{splits} such divisions, and behind ± two standard errors of the difference from CRC with ties broken by place, as if
divisions were independent. The methods are told which images are of one video. *Gap* is the mean distance of an
image's coverage from its target, *ratio* its share of that of CRC with ties broken by place. *Whole* is the share of
images that are taken whole."""

Fit = Callable[[SketchedMaps, float], Scorer]


def _fitted(name: str) -> Fit:
    def fit(sketched: SketchedMaps, alpha: float) -> Scorer:
        scorer = method_of(name).fit(sketched, alpha, 0).scorer
        assert scorer is not None
        return scorer.eval()

    return fit


METHODS: Mapping[str, Fit] = {
    "CRC": lambda sketched, alpha: ProbabilityScorer(),
    "CRC, ties broken by place": lambda sketched, alpha: PlacedScorer(ProbabilityScorer(), slope=1.0),
    "MEG": _fitted("meg"),
    "COAT": _fitted("coat"),
    "COAT, ours": _fitted("coat2"),
    "MEG, second edition": _fitted("meg2"),
}
REFERENCE = "CRC, ties broken by place"


def main() -> None:
    """Measure, and write the page."""
    root = data_directory()
    if root is None:
        raise SystemExit("COAT_DATA_DIR must name the folder of the images; set it.")
    torch.set_num_threads(1)
    lines = ["# Thresholds of images from videos that were never seen", "", *paragraphs(TEXT.format(splits=SPLITS))]
    for model in MODELS:
        samples = load_datalist(root, "polyp", model=model)
        images = [LabelledMap(grey(sample["probs"]), grey(sample["label"]) >= 0.5) for sample in samples]
        kept = [place for place, image in enumerate(images) if bool(image.label.any())]
        samples, images = [samples[place] for place in kept], [images[place] for place in kept]
        lines += [f"## {model}: {len(images)} images of {len({sample['group'] for sample in samples})} videos", ""]
        lines += _table(_rows(samples, images, model))
    PAGE.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print(f"wrote {PAGE}")


def _rows(
    samples: Sequence[Mapping[str, Any]], images: Sequence[LabelledMap], name: str
) -> dict[float, dict[str, list[dict[str, float]]]]:
    """Measures of each division, by level and method."""
    groups = [group_of(dict(sample)) for sample in samples]
    sketched = SketchedMaps.collect(((image.scores[0], image.label[0]) for image in images), groups)
    place = {str(sample["id"]): index for index, sample in enumerate(samples)}
    found: dict[float, dict[str, list[dict[str, float]]]] = {level: {m: [] for m in METHODS} for level in LEVELS}
    for seed in progress(name, range(SPLITS)):
        rest, train = split_by_group(samples, fraction=0.5, seed=seed)
        calibrating, tested = split_by_group(rest, fraction=0.5, seed=seed)
        parts = [[place[str(sample["id"])] for sample in part] for part in (train, calibrating, tested)]
        for level in LEVELS:
            for method, fit in METHODS.items():
                scorer = fit(sketched.rows(parts[0]), level)
                halves = [_scored(scorer, [images[i] for i in part]) for part in parts[1:]]
                found[level][method] += [_measured(*pair, level) for pair in (halves, halves[::-1])]
    return found


@torch.no_grad()
def _scored(scorer: Scorer, images: Sequence[LabelledMap]) -> list[tuple[Tensor, Tensor]]:
    return [(scorer(image.scores, image.scores), image.label) for image in images]


def _measured(
    calibrating: Sequence[tuple[Tensor, Tensor]], tested: Sequence[tuple[Tensor, Tensor]], alpha: float
) -> dict[str, float]:
    """Measures of the tested images at the cutoff that the others give."""
    statistic = CoverageStatistic(FalseNegativeRate())
    for scores, label in calibrating:
        statistic.update(scores, label)
    cutoff = ExpectedRisk(FalseNegativeRate(), alpha).calibrate(statistic).cutoff[0]
    hits, foreground, size, pixels = np.array([_counts(scores, label, cutoff) for scores, label in tested]).T
    precision = precision_of_counts(torch.tensor(hits), torch.tensor(size)).numpy()
    measures = measures_of_test_set(hits / foreground, precision, size / foreground, alpha)
    return measures | {"whole": float((size == pixels).mean())}


def _counts(scores: Tensor, label: Tensor, cutoff: float) -> list[float]:
    inside = scores >= cutoff
    return [float((inside & label).sum()), float(label.sum()), float(inside.sum()), float(inside.numel())]


def _table(found: Mapping[float, Mapping[str, Sequence[Mapping[str, float]]]]) -> list[str]:
    body = []
    for level, of_level in found.items():
        reference = np.mean([row["coverage_gap"] for row in of_level[REFERENCE]])
        for method, rows in of_level.items():
            mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
            apart = [_difference(key, rows, of_level[REFERENCE]) for key in ("coverage_gap", "precision")]
            gap, precision = (
                f"{mean[key]:.3f} ({each})" for key, each in zip(("coverage_gap", "precision"), apart, strict=True)
            )
            sizes = f"{mean['relative_size_median']:.2f} ({mean['relative_size_mean']:.2f})"
            ratio = f"{mean['coverage_gap'] / reference:.2f}"
            cells = [f"{level:g}", method, gap, ratio, precision, f"{mean['coverage']:.3f}", sizes]
            body.append([*cells, f"{mean['whole']:.1%}"])
    measures = ["gap (minus CRC's)", "ratio", "precision (minus CRC's)", "coverage", "relative size: median (mean)"]
    return table(["alpha", "method", *measures, "whole"], body)


def _difference(key: str, rows: Sequence[Mapping[str, float]], reference: Sequence[Mapping[str, float]]) -> str:
    """Mean difference and two standard errors, a division both ways round being one observation."""
    paired = np.array([row[key] - other[key] for row, other in zip(rows, reference, strict=True)])
    draws = paired.reshape(-1, 2).mean(1)
    return f"{draws.mean():+.3f} ± {2 * draws.std(ddof=1) / len(draws) ** 0.5:.3f}"


if __name__ == "__main__":
    main()
