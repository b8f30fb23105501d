# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The result of a cell: its method fitted, calibrated and measured over all splits, fit for JSON."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import monai
import numpy as np
import torch
from torch import Tensor

import monai_coat
from monai_coat.comparison.cells import ComparisonCell
from monai_coat.comparison.data.comparison_data import ComparisonData
from monai_coat.comparison.data.repeats import Repeat
from monai_coat.comparison.data.segmenters import network_input
from monai_coat.comparison.data.sorted_scores import SortedScores
from monai_coat.comparison.data.streamed_scores import StreamedScores
from monai_coat.comparison.data.volumes import VolumePool
from monai_coat.comparison.protocol import Protocol
from monai_coat.comparison.splits import draw_group_split, draw_split, measure_split
from monai_coat.scorers import FittedMethod, PredictedMaps, SketchedMaps, method_of

__all__ = ["fit_cell", "image_scores", "repeats_of", "result_of_cell", "scores_of"]


@dataclass(frozen=True)
class _RepeatResult:
    """What a method did in one repeat.

    Attributes:
        losses: mean training loss of each epoch.
        seconds: time of each step, by name.
        splits: measures by the number of the split.
        coverages: coverage of each test image, by the number of the split.
        group_splits: measures by the number of the split in whole groups.
    """

    losses: list[float]
    seconds: dict[str, float]
    splits: dict[int, dict[str, Any]]
    coverages: dict[int, list[float]]
    group_splits: dict[int, dict[str, Any]]


def result_of_cell(cell: ComparisonCell, data: ComparisonData) -> dict[str, Any]:
    """Run a cell.

    Returns:
        What the cell is and was made with, times of the steps, measures of each split, and the coverage of each test
        image of the first.
    """
    repeats = repeats_of(cell, data)
    # Splits are dealt out to the repeats in turn.
    results = [
        _result_of_repeat(cell, repeat, data.protocol, number, len(repeats)) for number, repeat in enumerate(repeats)
    ]
    seconds = {step: round(sum(result.seconds[step] for result in results), 3) for step in results[0].seconds}
    return _description(cell, data) | {
        "n_train": [len(repeat.train) for repeat in repeats],
        "n_pool": [len(repeat.pool) for repeat in repeats],
        "seconds": seconds,
        "versions": _versions(),
        "losses": results[0].losses,
        "coverage_of_first_split": results[0].coverages[0],
        "splits": _in_order(result.splits for result in results),
        "group_splits": _in_order(result.group_splits for result in results),
    }


def _in_order(parts: Iterable[Mapping[int, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    splits = {number: split for part in parts for number, split in part.items()}
    return [{"split": number, **splits[number]} for number in sorted(splits)]


def repeats_of(cell: ComparisonCell, data: ComparisonData) -> list[Repeat]:
    """The images that a cell's method learns from, and its pools."""
    cross_fit = data.protocol.settings_of(cell.method).cross_fit
    return data.repeats(cell.group.dataset, cell.group.network, cross_fit)


def fit_cell(cell: ComparisonCell, train: PredictedMaps | SketchedMaps, protocol: Protocol) -> FittedMethod:
    """Fit the method of a cell to the training images of a repeat."""
    settings = protocol.settings_of(cell.method)
    return method_of(settings.fit).fit(train, alpha=cell.group.alpha, seed=protocol.seed, **settings.arguments)


def scores_of(fitted: FittedMethod, pool: PredictedMaps) -> Tensor:
    """Scores ``(N, 1, H, W)``; the probabilities themselves where a rule gives the thresholds."""
    if fitted.scorer is None:
        return pool.probs
    with torch.no_grad():
        batches = zip(pool.image.split(64), pool.probs.split(64), strict=True)
        return torch.cat([fitted.scorer(network_input(image), probs) for image, probs in batches])


def image_scores(fitted: FittedMethod, pool: PredictedMaps | VolumePool) -> SortedScores | StreamedScores:
    """The scores of a pool, to be cut.

    Raises:
        ValueError: if the pool is of volumes, and the method gives thresholds and no scores.
    """
    if isinstance(pool, PredictedMaps):
        return SortedScores.of(scores_of(fitted, pool), pool.label)
    if fitted.scorer is None:
        raise ValueError("methods must give scores where volumes are compared, got one of thresholds; leave it out.")
    return StreamedScores(fitted.scorer, pool)


def _result_of_repeat(
    cell: ComparisonCell, repeat: Repeat, protocol: Protocol, place: int, repeats: int
) -> _RepeatResult:
    """Fit once, score once, and cut at each split that falls to this of several repeats."""
    started = time.perf_counter()
    fitted = fit_cell(cell, repeat.train, protocol)
    fitted_at = time.perf_counter()
    scores = image_scores(fitted, repeat.pool)
    scored_at = time.perf_counter()
    splits, coverages = {}, {}
    for number in range(place, protocol.splits, repeats):
        places = draw_split(repeat, protocol, number)
        splits[number], coverages[number] = measure_split(fitted, scores, repeat, cell.group.alpha, places)
    group_splits = {}
    # Both ways round of one draw fall to the same repeat.
    for number in (n for n in range(protocol.group_splits) if n // 2 % repeats == place):
        places = draw_group_split(repeat, protocol, number)
        group_splits[number], _ = measure_split(fitted, scores, repeat, cell.group.alpha, places)
    seconds = {"fit": fitted_at - started, "score": scored_at - fitted_at, "splits": time.perf_counter() - scored_at}
    losses = [round(loss, 6) for loss in fitted.losses]
    return _RepeatResult(losses, seconds, splits, coverages, group_splits)


def _description(cell: ComparisonCell, data: ComparisonData) -> dict[str, Any]:
    """What a cell is, and the digest of all that its result depends on."""
    return {
        "digest": cell.digest(data),
        "dataset": cell.group.dataset,
        "network": cell.group.network,
        "alpha": cell.group.alpha,
        "method": cell.method,
        "settings": dict(data.protocol.methods[cell.method]),
        "seed": data.protocol.seed,
    }


def _versions() -> dict[str, str]:
    modules: Mapping[str, Any] = {"monai_coat": monai_coat, "torch": torch, "monai": monai, "numpy": np}
    return {"python": platform.python_version()} | {name: module.__version__ for name, module in modules.items()}
