# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The comparison of calibrated networks on one test set: records, table and page."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from monai.engines import Evaluator
from monai.transforms import LoadImage
from numpy.typing import NDArray

from monai_coat.handlers import KeptMasks, load_losses
from monai_coat.metrics import ImageRecord
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.report.page import draw_page
from monai_coat.report.panels import Panel, choose_panels
from monai_coat.report.records import save_records
from monai_coat.report.table import MethodSummary, comparison_table, save_table, to_markdown

__all__ = ["compare"]

logger = logging.getLogger(__name__)


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
    With several workers all of them must call it; the first one writes.

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
    records, masks = run_all(evaluator, networks)
    if not records:
        return []
    folder = Path(folder)
    rows = write_comparison(records, alpha, folder, statement)
    history = {method: load_losses(Path(losses) / f"{method}.csv") for method in networks} if losses else {}
    panels = _panels(records, masks, evaluator.data_loader.dataset.data)  # type: ignore[union-attr]
    draw_page(records, alpha, folder / "page.png", {k: v for k, v in history.items() if v}, panels)
    logger.info("wrote %s", ", ".join(str(folder / name) for name in ("table.md", "table.csv", "page.png")))
    return rows


def run_all(
    evaluator: Evaluator, networks: Mapping[str, AdaptiveSegmenter]
) -> tuple[dict[str, list[ImageRecord]], dict[str, dict[str, KeptMasks]]]:
    """Records and masks of each network, on the first worker; nothing on others."""
    records: dict[str, list[ImageRecord]] = {}
    masks: dict[str, dict[str, KeptMasks]] = {}
    for method, network in networks.items():
        evaluator.network = network  # type: ignore[attr-defined]
        logger.info("evaluating %s", method)
        evaluator.run()
        records[method], masks[method] = evaluator.state.records, evaluator.state.masks
    if dist.is_initialized() and dist.get_rank() > 0:
        return {}, {}
    return _with_difficulty_of_first(records), masks


def write_comparison(
    records: Mapping[str, Sequence[ImageRecord]], alpha: float, folder: Path, statement: str
) -> list[MethodSummary]:
    """Write and log what is not a picture."""
    for method, each in records.items():
        save_records(each, folder / f"records_{method}.csv")
    rows = comparison_table(records, alpha)
    save_table(rows, alpha, folder, statement)
    logger.info("\n%s", to_markdown(rows, alpha, statement))
    return rows


def _with_difficulty_of_first(records: Mapping[str, Sequence[ImageRecord]]) -> dict[str, list[ImageRecord]]:
    """Give every method's record of an image the difficulty that the first method saw."""
    difficulty = {record.name: record.difficulty for record in next(iter(records.values()))}
    return {
        method: [replace(record, difficulty=difficulty[record.name]) for record in each]
        for method, each in records.items()
    }


def _panels(
    records: Mapping[str, Sequence[ImageRecord]],
    masks: Mapping[str, Mapping[str, KeptMasks]],
    samples: Sequence[Mapping[str, Any]],
) -> list[Panel]:
    """Tiles of the images worth a look, if masks were kept and images are flat and of one class."""
    kept = next(iter(masks.values()))
    if not kept or any(len(each.shape) != 3 or each.shape[0] != 1 for each in kept.values()):
        return []
    first, last = next(iter(records)), list(records)[-1]
    images = {Path(sample["label"]).name.partition(".")[0]: sample["image"] for sample in samples}
    coverage = {method: {r.name: r.coverage for r in each} for method, each in records.items()}
    panels = []
    for title, name in choose_panels(records, first, last):
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
    image = LoadImage(image_only=True, ensure_channel_first=True)(path).numpy()
    picture: NDArray[np.float32] = np.ascontiguousarray(image[:3].T, dtype=np.float32) / np.float32(255)
    return picture if picture.shape[2] == 3 else picture[..., 0]
