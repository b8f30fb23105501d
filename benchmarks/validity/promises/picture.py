# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The picture of all promises: what was realised as a multiple of what may be, a dot for each row."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.validity.promises.trials import SIZES
from benchmarks.validity.sections import Content

COLORS = dict(zip(SIZES, ("tab:orange", "tab:green", "tab:blue", "tab:purple"), strict=True))


def draw(content: Content, path: Path) -> None:
    """Guarantees as lines of dots, wrong rules as crosses."""
    kinds = list(dict.fromkeys(_kind(row) for row in content["rows"]))
    wrong = [row["by"] for row in content["wrong"]]
    names = [*kinds, *wrong]
    figure, axis = plt.subplots(figsize=(9, 0.27 * len(names) + 1.2), layout="constrained")
    for n, color in COLORS.items():
        rows = [row for row in content["rows"] if row["n"] == n]
        shift = 0.16 * (SIZES.index(n) - 1.5)
        heights = [kinds.index(_kind(row)) + shift for row in rows]
        ratios = [row["mean"] / row["level"] for row in rows]
        axis.scatter(ratios, heights, s=12, color=color, alpha=0.7, linewidths=0, label=f"n = {n}")
    crosses = [row["mean"] / row["level"] for row in content["wrong"]]
    places = np.arange(len(kinds), len(names))
    axis.scatter(crosses, places, marker="x", s=36, color="tab:red", label="wrong rules")
    for row, place in zip(content["wrong"], places, strict=True):
        axis.plot([row["least"] / row["level"], row["mean"] / row["level"]], [place, place], color="tab:red", lw=1)
    axis.axvline(1, color="grey", linestyle=":")
    axis.axhline(len(kinds) - 0.5, color="lightgrey", lw=0.8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set(xlabel="realised / what may be", xlim=(-0.05, None), ylim=(len(names) - 0.4, -0.6))
    axis.legend(fontsize=8, loc="upper right")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _kind(row: dict) -> str:
    """Groups are both of one guarantee."""
    return row["by"].removesuffix(", easy").removesuffix(", hard")
