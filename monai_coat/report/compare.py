# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The comparison of calibrated networks on one test set: records, table and page."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from monai.engines import Evaluator
from numpy.typing import NDArray

from monai_coat.calibration import CalibrationResult
from monai_coat.data import read_image
from monai_coat.files import replacing
from monai_coat.handlers import PackedMasks, load_losses
from monai_coat.metrics import ImageRecord
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.report.certain import (
    CertainSummary,
    certain_to_csv,
    certain_to_markdown,
    summarize_certain,
)
from monai_coat.report.page import draw_page
from monai_coat.report.panels import Panel, choose_panels, pictures_of
from monai_coat.report.records import save_records
from monai_coat.report.table import MethodSummary, comparison_table, save_table, to_markdown

__all__ = ["compare", "write_comparison"]

logger = logging.getLogger(__name__)

Records = Mapping[str, Sequence[ImageRecord]]


@dataclass
class Evaluated:
    """What an evaluator has found with each of several networks, by method.

    Attributes:
        records: records of images.
        masks: masks of images by name.
        certain: calibrations of what is certain, of the methods that have one.
        ratios: false positive ratios of what is certain, by name of the image, one number per class.
    """

    records: dict[str, list[ImageRecord]] = field(default_factory=dict)
    masks: dict[str, dict[str, PackedMasks]] = field(default_factory=dict)
    certain: dict[str, CalibrationResult] = field(default_factory=dict)
    ratios: dict[str, dict[str, tuple[float, ...]]] = field(default_factory=dict)

    def certain_rows(self, index: int = 0) -> list[CertainSummary]:
        """The summary of each method that has a calibration of what is certain, for one class."""
        rows = (
            summarize_certain(method, calibration.alpha, (of_image[index] for of_image in self.ratios[method].values()))
            for method, calibration in self.certain.items()
        )
        return [row for row in rows if row is not None]


def compare(
    evaluator: Evaluator,
    networks: Mapping[str, AdaptiveSegmenter],
    alpha: float,
    folder: str | os.PathLike[str],
    losses: str | os.PathLike[str] | None = None,
    statement: str = "",
) -> list[MethodSummary]:
    """Run one evaluator with each of several calibrated networks, and write what they cover and what it costs.

    Writes ``records_<method>.csv``, ``table.csv``, ``table.md`` and, for 2D images, ``page.png``, and logs the table.
    If the handler was given calibrations of what is certain, the false positives in it are below the table, and in
    ``certain.csv``. With several workers all of them must call it; the first one writes.

    Args:
        evaluator: MONAI evaluator over the test images, with the handler
            :class:`~monai_coat.handlers.ImageRecords` attached; the masks it keeps are drawn.
        networks: calibrated networks by method. The first should score by probability, as CRC does: the difficulty of
            images is taken from its scores.
        alpha: level that the networks are calibrated for.
        folder: where files are written.
        losses: folder of training losses, ``<method>.csv``, to draw beside.
        statement: what to say of the test set below the table, such as a partition's ``statement``.

    Returns:
        One row per method and one for the predictor that takes everything; an empty list on workers but the first.
    """
    evaluated = run_all(evaluator, networks)
    records, masks = evaluated.records, evaluated.masks
    if not records:
        return []
    folder = Path(folder)
    rows = write_comparison(records, alpha, folder, statement, evaluated.certain_rows())
    history = {method: load_losses(Path(losses) / f"{method}.csv") for method in networks} if losses else {}
    panels = _panels(records, masks, evaluator.data_loader.dataset.data)  # type: ignore[union-attr]
    draw_page(records, alpha, folder / "page.png", {k: v for k, v in history.items() if v}, panels)
    logger.info("wrote %s", ", ".join(str(folder / name) for name in ("table.md", "table.csv", "page.png")))
    return rows


def run_all(evaluator: Evaluator, networks: Mapping[str, AdaptiveSegmenter]) -> Evaluated:
    """Run the evaluator with each network; workers but the first get an empty answer."""
    evaluated = Evaluated()
    for method, network in networks.items():
        evaluator.network, evaluator.method = network, method  # type: ignore[attr-defined]
        logger.info("evaluating %s", method)
        evaluator.run()
        state: Any = evaluator.state
        evaluated.records[method], evaluated.masks[method] = state.records, state.masks
        if state.certain is not None:
            evaluated.certain[method], evaluated.ratios[method] = state.certain, state.false_positive_ratios
    if dist.is_initialized() and dist.get_rank() > 0:
        return Evaluated()
    evaluated.records = _with_difficulty_of_first(evaluated.records)
    return evaluated


def write_comparison(
    records: Records, alpha: float, folder: Path, statement: str, certain: Sequence[CertainSummary] = ()
) -> list[MethodSummary]:
    """Write and log what is not a picture."""
    for method, of_method in records.items():
        save_records(of_method, folder / f"records_{method}.csv")
    rows = comparison_table(records, alpha)
    below = "\n\n".join(text for text in (certain_to_markdown(certain), statement) if text)
    save_table(rows, alpha, folder, below)
    _write_certain(certain, folder / "certain.csv")
    logger.info("\n%s", to_markdown(rows, alpha, below))
    return rows


def _write_certain(rows: Sequence[CertainSummary], path: Path) -> None:
    """Write the file, or remove that of an earlier evaluation: what nothing is called certain in has none."""
    if not rows:
        path.unlink(missing_ok=True)
        return
    with replacing(path) as temporary:
        temporary.write_text(certain_to_csv(rows), encoding="utf-8")


def _with_difficulty_of_first(records: Records) -> dict[str, list[ImageRecord]]:
    """Give every method's record of an image the difficulty that the first method saw."""
    difficulty = {record.name: record.difficulty for record in next(iter(records.values()))}
    return {
        method: [replace(record, difficulty=difficulty[record.name]) for record in each]
        for method, each in records.items()
    }


def _panels(
    records: Records,
    masks: Mapping[str, Mapping[str, PackedMasks]],
    samples: Sequence[Mapping[str, Any]],
) -> list[Panel]:
    """Tiles of the images worth a look, if masks were kept and images are flat and of one class."""
    kept = next(iter(masks.values()))
    if not kept or any(len(each.shape) != 3 or each.shape[0] != 1 for each in kept.values()):
        return []
    first, last = next(iter(records)), list(records)[-1]
    images = pictures_of(samples)
    coverage = {method: {r.name: r.coverage for r in each} for method, each in records.items()}
    panels = []
    for title, name in choose_panels(records, first, last):
        if name not in images:
            continue
        shown = {method: masks[method][name].unpack()[0][0].T for method in (first, last)}
        panels.append(
            Panel(
                title=title,
                image=_picture(images[name]),
                label=kept[name].unpack()[1][0].T,
                masks=shown,
                coverages={method: coverage[method][name] for method in shown},
            )
        )
    return panels


def _picture(path: str) -> NDArray[np.float32]:
    """An image file as ``(H, W)`` or ``(H, W, 3)`` in [0, 1]."""
    picture: NDArray[np.float32] = np.ascontiguousarray(read_image(path).numpy()[:3].T, np.float32)
    picture /= 255
    return picture if picture.shape[2] == 3 else picture[..., 0]
