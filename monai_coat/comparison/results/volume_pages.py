# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The page of single volumes: three slices of each that is shown.

Tested by tests/comparison/test_layouts.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from monai_coat.comparison.data.volumes import VolumePool
from monai_coat.metrics import ImageRecord, image_records
from monai_coat.report import Panel, choose_panels, draw_page, orthogonal_panels
from monai_coat.report.pictures import picture_of
from monai_coat.scorers import Scorer

__all__ = ["Cut", "draw_volume_page"]

SHOWN = 2
"""Volumes that are shown."""


@dataclass(frozen=True)
class Cut:
    """A calibrated method: a scorer and its cutoff."""

    scorer: Scorer
    cutoff: float

    @torch.no_grad()
    def inside(self, probs: Tensor) -> Tensor:
        """The set of a map, bool of the same shape ``(1, *spatial)``."""
        scores: Tensor = self.scorer(probs[None], probs[None])[0]
        return scores.float() >= self.cutoff


def draw_volume_page(cuts: Mapping[str, Cut], pool: VolumePool, test: Sequence[int], alpha: float, path: Path) -> None:
    """Draw the page of some volumes of a pool, one of which at a time is in memory.

    Args:
        cuts: by method.
        pool: the volumes.
        test: places of the volumes in it.
        alpha: tolerated mean false negative rate.
        path: file to write.
    """
    records: dict[str, list[ImageRecord]] = {method: [] for method in cuts}
    for place in test:
        probs, mask = pool.read(place)
        for method, cut in cuts.items():
            records[method] += image_records(pool.ids[place], probs, cut.inside(probs), mask)
    panels: list[Panel] = []
    for title, name in choose_panels(records, *cuts)[:SHOWN]:
        coverages = {method: {r.name: r.coverage for r in rows}[name] for method, rows in records.items()}
        panels += _slices(title, pool, pool.ids.index(name), cuts, coverages)
    draw_page(records, alpha, path, panels=panels)


def _slices(
    title: str, pool: VolumePool, place: int, cuts: Mapping[str, Cut], coverages: Mapping[str, float]
) -> list[Panel]:
    name, (probs, mask) = pool.ids[place], pool.read(place)
    sets = {method: cut.inside(probs)[0].numpy() for method, cut in cuts.items()}
    picture = picture_of(pool.volumes.samples[name], probs, 0)
    return orthogonal_panels(title, picture, mask[0].numpy(), sets, coverages)
