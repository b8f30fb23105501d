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
from monai_coat.comparison.protocol import Group, Protocol
from monai_coat.comparison.splits import draw_split
from monai_coat.metrics import ImageRecord, image_records
from monai_coat.report import Panel, choose_panels, draw_page
from monai_coat.scorers import PredictedMaps

__all__ = ["draw_pages"]


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
        cells = [ComparisonCell(group, name) for name in dict.fromkeys((protocol.reference, protocol.default))]
        masks = {cell.method: _masks(cell, repeat, protocol) for cell in cells}
        drawable = {method: mask for method, mask in masks.items() if mask is not None}
        if len(drawable) == len(cells):
            path = data.folder / f"images_{dataset}.png"
            _draw(repeat.pool.rows(draw_split(repeat, protocol, 0)[1]), drawable, group.alpha, path)
            pages.append(path)
    return pages


def _masks(cell: ComparisonCell, repeat: Repeat, protocol: Protocol) -> Tensor | None:
    """The sets of the first split's test images; None if the method gives thresholds and no scores."""
    fitted = fit_cell(cell, repeat.train, protocol)
    if fitted.scorer is None:
        return None
    scores = scores_of(fitted, repeat.pool)
    calibration, test = draw_split(repeat, protocol, 0)
    return scores[test] >= SortedScores.of(scores, repeat.pool.label).cutoff(calibration, cell.group.alpha)


def _draw(test: PredictedMaps, masks: Mapping[str, Tensor], alpha: float, path: Path) -> None:
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
