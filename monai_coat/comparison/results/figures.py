# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Figures of the results of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.utils.module import optional_import

from monai_coat.comparison.data.sorted_scores import SortedScores
from monai_coat.comparison.data.volumes import VolumePool
from monai_coat.comparison.results.rows import Results, Row
from monai_coat.files import replacing
from monai_coat.functional import target_coverage
from monai_coat.scorers import PredictedMaps

__all__ = ["draw_coverage_curves", "draw_gap_against_size", "draw_image_coverage", "draw_losses", "draw_temperatures"]

plt, _ = optional_import("matplotlib.pyplot")


def draw_gap_against_size(rows: Sequence[Row], path: Path, highlighted: Sequence[str]) -> None:
    """Draw coverage gap against median relative set size, one panel per data set and level, means over networks."""
    rows = [row for row in rows if not row.is_bound]
    panels = list(dict.fromkeys((row.dataset, row.alpha) for row in rows))
    methods = list(dict.fromkeys(row.method for row in rows))
    figure, axes = _grid(len(panels), 2)
    for axis, (dataset, alpha) in zip(axes, panels, strict=False):
        for number, method in enumerate(methods):
            points = [row for row in rows if (row.dataset, row.alpha, row.method) == (dataset, alpha, method)]
            size, gap = (
                np.mean([row.mean[name] for row in points]) for name in ("relative_size_median", "coverage_gap")
            )
            look = {"color": f"C{number % 10}", "marker": "osD^vPX*"[number % 8]}
            axis.scatter(size, gap, s=70 if method in highlighted else 25, label=method, **look)
        axis.axhline(alpha, color="0.6", linewidth=0.8, linestyle=":")
        axis.set(title=f"{dataset}, alpha {alpha:g}", xlabel="median relative set size", ylabel="coverage gap")
    handles, _ = axes[0].get_legend_handles_labels()
    figure.legend(handles, methods, loc="outside lower center", ncols=4, fontsize=7)
    _save(figure, path)


def draw_losses(results: Results, path: Path, method: str) -> None:
    """Draw the training loss of a method, one panel per data set and level, one line per network."""
    chosen = [result for result in results if result["method"] == method and result["losses"]]
    panels = list(dict.fromkeys((result["dataset"], result["alpha"]) for result in chosen))
    figure, axes = _grid(len(panels), 2)
    for axis, panel in zip(axes, panels, strict=False):
        for result in chosen:
            if (result["dataset"], result["alpha"]) == panel:
                axis.plot(range(1, len(result["losses"]) + 1), result["losses"], label=result["network"], linewidth=1)
        axis.set(title=f"{panel[0]}, alpha {panel[1]:g}", xlabel="epoch", ylabel=f"{method} loss")
        axis.legend(fontsize=6)
    _save(figure, path)


def draw_image_coverage(results: Results, path: Path, methods: Sequence[str]) -> None:
    """Draw the sorted coverage of the first split's test images, one panel per group, one line per method."""
    groups = list(dict.fromkeys((r["dataset"], r["network"], r["alpha"]) for r in results))
    figure, axes = _grid(len(groups), 4)
    for axis, group in zip(axes, groups, strict=False):
        for result in results:
            if (result["dataset"], result["network"], result["alpha"]) == group and result["method"] in methods:
                coverage = np.sort(result["coverage_of_first_split"])
                axis.plot(np.linspace(0, 1, len(coverage)), coverage, label=result["method"], linewidth=1)
        axis.axhline(target_coverage(group[2]), color="0.6", linewidth=0.8, linestyle=":")
        axis.set(title=f"{group[0]}, {group[1]}, {group[2]:g}", xlabel="share of images", ylabel="coverage")
        axis.set_ylim(0, 1.02)
        axis.legend(fontsize=6)
    _save(figure, path)


def draw_temperatures(results: Results, path: Path) -> bool:
    """Draw coverage gap against the temperature of the soft rate, one panel per group, if there are three or more.

    Returns:
        Whether there was anything to draw.
    """
    chosen = [r for r in results if isinstance(_temperature(r), float) and r["settings"]["loss"].get("power", 2) == 2]
    if len({_temperature(result) for result in chosen}) < 3:
        return False
    groups = list(dict.fromkeys((r["dataset"], r["network"], r["alpha"]) for r in chosen))
    figure, axes = _grid(len(groups), 2)
    for axis, group in zip(axes, groups, strict=False):
        of_group = [r for r in chosen if (r["dataset"], r["network"], r["alpha"]) == group]
        for space in dict.fromkeys(_space(result) for result in of_group):
            points = sorted(
                (_temperature(result), np.mean([split["coverage_gap"] for split in result["splits"]]))
                for result in of_group
                if _space(result) == space
            )
            axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=space)
        axis.set(
            title=f"{group[0]}, {group[1]}, {group[2]:g}", xlabel="temperature", ylabel="coverage gap", xscale="log"
        )
        axis.legend(fontsize=6)
    _save(figure, path)
    return True


def _temperature(result: Mapping[str, Any]) -> Any:
    return result["settings"].get("loss", {}).get("temperature")


def _space(result: Mapping[str, Any]) -> str:
    return str(result["settings"].get("space", "probability"))


def draw_coverage_curves(pools: Mapping[str, PredictedMaps | VolumePool], path: Path) -> None:
    """Draw coverage against threshold, one panel per pool: thin lines are images, the thick one their mean.

    Curves of volumes are those of their sketches, exact to 1/512.
    """
    figure, axes = _grid(len(pools), 2)
    thresholds = np.linspace(0, 1, 201, dtype=np.float32)
    for axis, (title, pool) in zip(axes, pools.items(), strict=False):
        foreground = _foreground(pool)
        curves = np.stack([1 - np.searchsorted(f, thresholds) / len(f) for f in foreground])
        axis.plot(thresholds, curves[:: max(len(curves) // 60, 1)].T, color="C0", linewidth=0.4, alpha=0.5)
        axis.plot(thresholds, curves.mean(0), color="C3", linewidth=2)
        axis.set(title=title, xlabel="threshold", ylabel="coverage")
    _save(figure, path)


def _foreground(pool: PredictedMaps | VolumePool) -> Sequence[Any]:
    """Ascending probabilities of the foreground of each image."""
    if isinstance(pool, PredictedMaps):
        return SortedScores.of(pool.probs, pool.label).foreground
    return list(pool.foreground.numpy())


def _grid(panels: int, columns: int) -> tuple[Any, Any]:
    rows = -(-panels // columns)
    size = (3.8 * columns, 2.9 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat[panels:]:
        axis.set_visible(False)
    return figure, axes.flat


def _save(figure: Any, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    plt.close(figure)
