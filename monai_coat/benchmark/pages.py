# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pages of single images: what CRC and the default take of them, and what each misses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from monai_coat.benchmark.bench import Bench
from monai_coat.benchmark.cells import BenchmarkCell, draw_split, fit_cell, scores_of
from monai_coat.benchmark.maps import Maps, Round, SortedScores
from monai_coat.benchmark.protocol import Group
from monai_coat.metrics import ImageRecord, image_records
from monai_coat.report import Panel, choose_panels, draw_page

__all__ = ["draw_pages"]


def draw_pages(bench: Bench, folder: Path, reference: str = "CRC") -> list[Path]:
    """One page per data set, of the first network, level and split: test images worst and typical, and plots of all.

    Returns:
        The pages, ``images_<dataset>.png``; none if the default or CRC is no scorer or no method of the protocol.
    """
    protocol = bench.protocol
    pages = []
    for dataset in protocol.datasets:
        group = Group(dataset, next(iter(protocol.networks)), protocol.alphas[0])
        each = bench.rounds(group.dataset, group.network)[0]
        test = each.pool.rows(draw_split(each, protocol, 0)[1])
        cells = [BenchmarkCell(group, name) for name in (reference, protocol.default) if name in protocol.methods]
        masks = {cell.method: mask for cell in cells if (mask := _masks(bench, cell, each)) is not None}
        if {reference, protocol.default} == set(masks):
            path = folder / f"images_{dataset}.png"
            _draw(test, masks, group.alpha, path)
            pages.append(path)
    return pages


def _masks(bench: Bench, cell: BenchmarkCell, each: Round) -> Tensor | None:
    """The sets of the first split's test images."""
    fitted = fit_cell(cell, each.train, bench.protocol)
    if fitted.scorer is None:
        return None
    scores = scores_of(fitted, each.pool)
    calibration, test = draw_split(each, bench.protocol, 0)
    return scores[test] >= SortedScores.of(scores, each.pool.label).cutoff(calibration, cell.group.alpha)


def _draw(test: Maps, masks: Mapping[str, Tensor], alpha: float, path: Path) -> None:
    records = {method: _records(test, mask) for method, mask in masks.items()}
    place = {name: index for index, name in enumerate(test.ids)}
    panels = []
    for title, name in choose_panels(records, *masks):
        i = place[name]
        panels.append(
            Panel(
                title=title,
                image=test.image[i].permute(1, 2, 0).numpy() / 255,
                label=test.label[i, 0].numpy(),
                masks={method: mask[i, 0].numpy() for method, mask in masks.items()},
                coverages={method: each[i].coverage for method, each in records.items()},
            )
        )
    draw_page(records, alpha, path, panels=panels)


def _records(test: Maps, masks: Tensor) -> list[ImageRecord]:
    """Records in the order of the images; how hard an image is, its probabilities say."""
    images = zip(test.ids, test.probs, masks, test.label, strict=True)
    return [record for name, probs, mask, label in images for record in image_records(name, probs, mask, label)]
