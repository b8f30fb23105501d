# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The picture of the page: label maps, certain sets, and statistic files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from benchmarks.validity.sections import Content
from benchmarks.validity.statistic_files import COUNT, SPACES, resolutions


def draw(contents: Mapping[str, Content], path: Path) -> None:
    """One panel for each."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
    label_maps(axes[0], contents["label_maps"])
    certain(axes[1], contents["certain"])
    statistic_files(axes[2], contents["statistic_files"])
    figure.savefig(path, dpi=110)
    plt.close(figure)


def label_maps(axis: Axes, content: Content) -> None:
    """FNR of the worse class against the level, for the first kind of images."""
    kind = content["rows"][0][0]
    rows = [row for row in content["rows"] if row[0] == kind]
    alphas = [row[1] for row in rows]
    forms = np.array([np.array(row[3]).mean(0).max(1) for row in rows])
    axis.plot(alphas, forms[:, 2], "o-", color="tab:red", label="one label a voxel (before)")
    axis.plot(alphas, forms[:, 1], "o-", color="tab:blue", label="delivered map = sets")
    axis.plot([0, max(alphas)], [0, max(alphas)], color="grey", linestyle=":", label="promised")
    axis.set(title=f"Possible: {kind}, worse class", xlabel="alpha", ylabel="mean FNR")
    axis.legend(fontsize=8)


def certain(axis: Axes, content: Content) -> None:
    """Capped and uncapped ratio against the level."""
    alphas = [float(alpha) for alpha in content["rows"]]
    for of, color, label in (("uncapped", "tab:red", "uncapped, not promised"), ("capped", "tab:blue", "capped")):
        means = [np.mean(row[of]) for row in content["rows"].values()]
        axis.plot(alphas, means, "o-", color=color, label=label)
    axis.plot([0, max(alphas)], [0, max(alphas)], color="grey", linestyle=":", label="promised of the capped")
    axis.set(title="Certain: polyp maps", xlabel="alpha", ylabel="false positives / foreground")
    axis.legend(fontsize=8)


def statistic_files(axis: Axes, content: Content) -> None:
    """Exact sizes read from jumps, at each resolution, margins; a mark for chance."""
    scores = next(iter(SPACES))
    names = [resolution.name for resolution in resolutions(scores)]
    places = np.arange(len(names))
    for shift, (kind, color) in zip((-0.2, 0.2), (("large", "tab:blue"), ("small", "tab:orange")), strict=True):
        values = {row[2]: row[3] for row in content["rows"] if row[:2] == [kind, scores]}
        axis.bar(places + shift, [values[name][0] for name in names], 0.4, color=color, label=f"{kind} objects")
        chance = [values[name][1] for name in names]
        axis.scatter(places + shift, chance, marker="_", color="black", label="by chance" if shift > 0 else None)
    axis.set_xticks(places, [name.replace(", ", "\n") for name in names], fontsize=8)
    axis.set(title=f"Statistic files, {scores}", xlabel="unit and steps", ylabel=f"exact sizes read, of {COUNT}")
    axis.legend(fontsize=8)
