# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pages of single images: what the reference and the default method include of them, and what each misses.

Tested by tests/comparison/test_run.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from monai_coat.comparison.cell_result import fit_cell, scores_of
from monai_coat.comparison.cells import ComparisonCell
from monai_coat.comparison.data.comparison_data import ComparisonData
from monai_coat.comparison.data.repeats import Repeat
from monai_coat.comparison.data.sorted_scores import SortedScores
from monai_coat.comparison.data.streamed_scores import StreamedScores
from monai_coat.comparison.protocol import Group
from monai_coat.comparison.results.volume_pages import Cut, draw_volume_page
from monai_coat.comparison.splits import draw_split
from monai_coat.metrics import ImageRecord, image_records
from monai_coat.report import Panel, choose_panels, draw_page
from monai_coat.scorers import FittedMethod, PredictedMaps

__all__ = ["draw_pages"]

Fitted = Mapping[str, FittedMethod]


def draw_pages(data: ComparisonData) -> list[Path]:
    """Draw a page per data set, of the first network, level and split: test images worst and typical, and plots of all.

    Returns:
        The pages, ``images_<dataset>.png``; none if the default or the reference is no scorer.
    """
    protocol, pages = data.protocol, []
    for dataset in protocol.datasets:
        group = Group(dataset, next(iter(protocol.networks)), protocol.alphas[0])
        # The default may be cross-fitted in the table; here both methods learn from the same images.
        repeat = data.repeats(group.dataset, group.network)[0]
        fitted = {
            name: fit_cell(ComparisonCell(group, name), repeat.train, protocol)
            for name in dict.fromkeys((protocol.reference, protocol.default))
        }
        if all(each.scorer is not None for each in fitted.values()):
            path = data.folder / f"images_{dataset}.png"
            _draw(fitted, repeat, draw_split(repeat, protocol, 0), group.alpha, path)
            pages.append(path)
    return pages


def _draw(fitted: Fitted, repeat: Repeat, places: tuple[list[int], list[int]], alpha: float, path: Path) -> None:
    """Calibrate on the first of two parts of the pool, and draw the second."""
    pool, (calibration, test) = repeat.pool, places
    if isinstance(pool, PredictedMaps):
        scores = {method: scores_of(each, pool) for method, each in fitted.items()}
        cutoffs = {name: SortedScores.of(each, pool.label).cutoff(calibration, alpha) for name, each in scores.items()}
        masks = {method: each[test] >= cutoffs[method] for method, each in scores.items()}
        _draw_flat(pool.rows(test), masks, alpha, path)
        return
    cuts = {
        method: Cut(each.scorer, StreamedScores(each.scorer, pool).cutoff(calibration, alpha))
        for method, each in fitted.items()
        if each.scorer is not None
    }
    draw_volume_page(cuts, pool, test, alpha, path)


def _draw_flat(test: PredictedMaps, masks: Mapping[str, Tensor], alpha: float, path: Path) -> None:
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
                coverages={method: of_method[i].coverage for method, of_method in records.items()},
            )
        )
    draw_page(records, alpha, path, panels=panels)


def _records(test: PredictedMaps, masks: Tensor) -> list[ImageRecord]:
    """Records in the order of the images; the probabilities say how hard an image is."""
    images = zip(test.ids, test.probs, masks, test.label, strict=True)
    return [record for name, probs, mask, label in images for record in image_records(name, probs, mask, label)]
