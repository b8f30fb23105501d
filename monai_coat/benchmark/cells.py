# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The cells of a benchmark: one method in one group over all splits, one JSON file each, never run twice."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import monai_coat
from monai_coat.benchmark.bench import Bench
from monai_coat.benchmark.maps import Maps, Round, SortedScores
from monai_coat.benchmark.methods import Fitted, fit_of
from monai_coat.benchmark.protocol import Group, Protocol, digest_of
from monai_coat.benchmark.segmenters import network_input
from monai_coat.data._json import read_json, write_json

__all__ = ["BenchmarkCell", "cells_of", "draw_split", "fit_cell", "read_cells", "run_benchmark", "scores_of"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BenchmarkCell:
    """A method in a group, and where its result is kept."""

    group: Group
    method: str

    def path(self, folder: Path) -> Path:
        """The cell's file."""
        safe = "".join(letter if letter.isalnum() or letter in "-+." else "_" for letter in self.method)
        return folder / "cells" / str(self.group) / f"{safe}.json"

    def digest(self, protocol: Protocol) -> str:
        """Changes with anything that the cell's result depends on, this package's version included."""
        group, settings = self.group, (protocol.image_size, protocol.fractions, protocol.seed, protocol.splits)
        training = (protocol.batch_size, protocol.learning_rate, protocol.rounds, protocol.study, group.alpha)
        parts = (protocol.datasets[group.dataset], protocol.networks[group.network], protocol.methods[self.method])
        return digest_of((parts, settings, training, monai_coat.__version__))


def cells_of(protocol: Protocol) -> list[BenchmarkCell]:
    """All cells, group by group."""
    return [BenchmarkCell(group, method) for group in protocol.groups() for method in protocol.methods]


def run_benchmark(protocol: Protocol, folder: Path) -> list[dict[str, Any]]:
    """Run what is not done yet, and return the results of all cells.

    Each finished cell is a file, written whole: a run that is killed and started again goes on where it was.

    Args:
        protocol: what is compared.
        folder: where everything is kept.
    """
    bench, cells = Bench(protocol, folder), cells_of(protocol)
    todo = [cell for cell in cells if _done(cell, protocol, folder) is None]
    logger.info("%s: %d of %d cells are done, %d to go", protocol.name, len(cells) - len(todo), len(cells), len(todo))
    for number, cell in enumerate(todo, 1):
        started = time.perf_counter()
        result = _run(cell, bench)
        write_json(cell.path(folder), result)
        gap = np.mean([split["coverage_gap"] for split in result["splits"]])
        seconds = time.perf_counter() - started
        logger.info("cell %d of %d: %s %s, gap %.3f, %.1f s", number, len(todo), cell.group, cell.method, gap, seconds)
    return read_cells(protocol, folder)


def read_cells(protocol: Protocol, folder: Path) -> list[dict[str, Any]]:
    """Results of the cells that are done, in the order of the protocol."""
    found = (_done(cell, protocol, folder) for cell in cells_of(protocol))
    return [result for result in found if result is not None]


def _done(cell: BenchmarkCell, protocol: Protocol, folder: Path) -> dict[str, Any] | None:
    path = cell.path(folder)
    if not path.is_file():
        return None
    result = read_json(path, "a finished cell", "remove it to have it run again")
    return result if result.get("digest") == cell.digest(protocol) else None


def _run(cell: BenchmarkCell, bench: Bench) -> dict[str, Any]:
    protocol, group = bench.protocol, cell.group
    rounds = bench.rounds(group.dataset, group.network, bool(protocol.methods[cell.method].get("cross_fit", False)))
    splits: list[dict[str, Any]] = []
    losses: list[list[float]] = []
    seconds = {"fit": 0.0, "score": 0.0, "splits": 0.0}
    for number, each in enumerate(rounds):
        started = time.perf_counter()
        fitted = fit_cell(cell, each.train, protocol)
        ended = time.perf_counter()
        scores = SortedScores.of(scores_of(fitted, each.pool), each.pool.label)
        scored = time.perf_counter()
        losses.append([round(loss, 6) for loss in fitted.losses])
        for split in range(number, protocol.splits, len(rounds)):
            splits.append(_split(fitted, scores, each, group.alpha, protocol, split))
        steps = (ended - started, scored - ended, time.perf_counter() - scored)
        seconds = {name: value + step for (name, value), step in zip(seconds.items(), steps, strict=True)}
    splits.sort(key=lambda row: int(row["split"]))
    return {
        "digest": cell.digest(protocol),
        "dataset": group.dataset,
        "network": group.network,
        "alpha": group.alpha,
        "method": cell.method,
        "settings": dict(protocol.methods[cell.method]),
        "seed": protocol.seed,
        "n_train": [len(each.train) for each in rounds],
        "n_pool": [len(each.pool) for each in rounds],
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "versions": _versions(),
        "losses": losses[0] if losses else [],
        "coverage_of_first_split": splits[0].pop("images"),
        "splits": [{key: value for key, value in row.items() if key != "images"} for row in splits],
    }


def fit_cell(cell: BenchmarkCell, train: Maps, protocol: Protocol) -> Fitted:
    """Fit the cell's method to the images of a round."""
    settings = dict(protocol.methods[cell.method])
    settings.pop("cross_fit", None)
    return fit_of(settings.pop("fit"))(train, alpha=cell.group.alpha, seed=protocol.seed, **settings)


def scores_of(fitted: Fitted, pool: Maps) -> Tensor:
    """Scores ``(N, 1, H, W)``; the probabilities themselves where a rule gives the thresholds."""
    if fitted.scorer is None:
        return pool.probs
    with torch.no_grad():
        parts = zip(pool.image.split(64), pool.probs.split(64), strict=True)
        return torch.cat([fitted.scorer(network_input(image), probs) for image, probs in parts])


def draw_split(each: Round, protocol: Protocol, number: int) -> tuple[list[int], list[int]]:
    """Places of calibration and test images in the pool."""
    order = np.random.default_rng((protocol.seed, number)).permutation(len(each.pool))
    share = protocol.fractions[2] / sum(protocol.fractions[2:])
    first = round(share * len(order))
    return sorted(order[:first].tolist()), sorted(order[first:].tolist())


def _split(
    fitted: Fitted, scores: SortedScores, each: Round, alpha: float, protocol: Protocol, number: int
) -> dict[str, Any]:
    """One draw of calibration and test images out of the pool."""
    calibration, test = draw_split(each, protocol, number)
    cutoff = None
    if fitted.rule is not None:
        cutoffs = fitted.rule(each.pool, calibration, test).tolist()
    else:
        cutoff = scores.cutoff(calibration, alpha)
        cutoffs = [cutoff] * len(test)
    names = digest_of([[each.pool.ids[i] for i in part] for part in (calibration, test)])
    row = {"split": number, "hash": names, "n_calibration": len(calibration), "n_test": len(test), "cutoff": cutoff}
    return row | _measures(scores.measure(test, cutoffs), alpha)


def _measures(rows: NDArray[np.float64], alpha: float) -> dict[str, Any]:
    coverage, precision, stretch, size = rows.T
    target = 1 - alpha
    measures = {
        "coverage": coverage.mean(),
        "coverage_gap": np.abs(coverage - target).mean(),
        "shortfall": np.maximum(target - coverage, 0).mean(),
        "share_below": (coverage < target - 1e-9).mean(),
        "precision": np.nan_to_num(precision, nan=1.0).mean(),
        "stretch_median": np.median(stretch),
        "stretch_mean": stretch.mean(),
        "set_fraction": size.mean(),
    }
    images = [round(float(value), 4) for value in coverage]
    return {name: round(float(value), 6) for name, value in measures.items()} | {"images": images}


def _versions() -> dict[str, str]:
    modules: Mapping[str, Any] = {"monai_coat": monai_coat, "torch": torch, "monai": monai, "numpy": np}
    return {"python": platform.python_version()} | {name: module.__version__ for name, module in modules.items()}
