# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The comparison of calibrated networks class by class, with slices of volumes."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from monai.engines import Evaluator
from numpy.typing import NDArray

from monai_coat.data import read_image
from monai_coat.handlers import PackedMasks
from monai_coat.metrics import ImageRecord
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.report.compare import Records, run_all, write_comparison
from monai_coat.report.page import draw_page
from monai_coat.report.panels import Panel, choose_panels, pictures_of, relative_sizes
from monai_coat.report.table import MethodSummary

__all__ = ["compare_classes", "orthogonal_panels"]

logger = logging.getLogger(__name__)

PLANES = ("first axis", "second axis", "third axis")
VOLUMES = 4
WORST = "worst_class"


def compare_classes(
    evaluator: Evaluator,
    networks: Mapping[str, AdaptiveSegmenter],
    alpha: float,
    folder: str | os.PathLike[str],
    class_names: Sequence[str],
    statement: str = "",
) -> dict[str, list[MethodSummary]]:
    """:func:`~monai_coat.report.compare` for several classes: a table and a page for each, and for the worst of them.

    Writes a folder per class with ``records_<method>.csv``, ``table.csv``, ``table.md``, ``page.png`` and perhaps
    ``certain.csv``, the page with three orthogonal slices of some volumes; and ``worst_class``, where the coverage of
    an image is that of the class that is covered least, and sizes are sums over classes.

    Args:
        evaluator: MONAI evaluator over the test images, with :class:`~monai_coat.handlers.ImageRecords` attached.
        networks: calibrated networks by method, see :func:`~monai_coat.report.compare`.
        alpha: level that the networks are calibrated for.
        folder: where files are written.
        class_names: name of each class, which become folders.
        statement: what to say of the test set.

    Returns:
        Rows by class name; an empty dictionary on workers but the first.

    Raises:
        ValueError: if there are fewer or more names than classes, or fewer than two.
    """
    if len(class_names) < 2:
        raise ValueError(f"class_names must be at least two, got {len(class_names)}; use compare for one class.")
    evaluated = run_all(evaluator, networks)
    records, masks = evaluated.records, evaluated.masks
    if not records:
        return {}
    kept = next(iter(next(iter(masks.values())).values()), None)
    if kept is not None and kept.shape[0] != len(class_names):
        raise ValueError(f"class_names must be of {kept.shape[0]} classes, got {len(class_names)}; name each class.")
    rows = {}
    for index, name in enumerate(class_names):
        of_class = {method: _of_class(of_method, index) for method, of_method in records.items()}
        logger.info("class %s", name)
        rows[name] = write_comparison(of_class, alpha, Path(folder) / name, statement, evaluated.certain_rows(index))
        panels = _panels(of_class, masks, index, evaluator.data_loader.dataset.data)  # type: ignore[union-attr]
        draw_page(of_class, alpha, Path(folder) / name / "page.png", panels=panels)
    worst = {method: _worst(each) for method, each in records.items()}
    logger.info("worst class of each image")
    rows[WORST] = write_comparison(worst, alpha, Path(folder) / WORST, statement)
    draw_page(worst, alpha, Path(folder) / WORST / "page.png")
    return rows


def _of_class(records: Sequence[ImageRecord], index: int) -> list[ImageRecord]:
    ending = f":{index}"
    return [replace(r, name=r.name.removesuffix(ending)) for r in records if r.name.endswith(ending)]


def _worst(records: Sequence[ImageRecord]) -> list[ImageRecord]:
    """Of each image the lowest coverage of a class that it contains; sizes are sums over classes."""
    images: dict[str, list[ImageRecord]] = {}
    for record in records:
        images.setdefault(record.name.rpartition(":")[0], []).append(record)
    return [
        ImageRecord(
            name=name,
            coverage=min((r.coverage for r in each if r.foreground), default=math.nan),
            set_size=sum(r.set_size for r in each),
            true_positives=sum(r.true_positives for r in each),
            foreground=sum(r.foreground for r in each),
            pixels=sum(r.pixels for r in each),
            difficulty=max(r.difficulty for r in each),
        )
        for name, each in images.items()
    ]


def _panels(
    records: Records, masks: Mapping[str, Mapping[str, PackedMasks]], index: int, samples: Sequence[Mapping[str, Any]]
) -> list[Panel]:
    """Slices of the first volumes that are worth a look, if masks were kept and images are volumes."""
    kept = next(iter(masks.values()))
    if not kept or any(len(each.shape) != 4 for each in kept.values()):
        return []
    shown = {name: each for name, each in records.items() if name in (next(iter(records)), list(records)[-1])}
    images = pictures_of(samples)
    coverage = {method: {r.name: r.coverage for r in each} for method, each in shown.items()}
    panels: list[Panel] = []
    for title, name in choose_panels(shown, *([*shown] if len(shown) == 2 else [*shown] * 2))[:VOLUMES]:
        if name not in images:
            continue
        sets = {method: masks[method][name].unpack()[0][index] for method in shown}
        covered = {method: coverage[method][name] for method in shown}
        panels += orthogonal_panels(title, _volume(images[name]), kept[name].unpack()[1][index], sets, covered)
    return panels


def orthogonal_panels(
    title: str,
    image: NDArray[Any],
    label: NDArray[np.bool_],
    masks: Mapping[str, NDArray[np.bool_]],
    coverages: Mapping[str, float],
) -> list[Panel]:
    """Three slices of a volume, one across each axis, through the middle of the label.

    Args:
        title: what it shows.
        image: volume ``(H, W, D)``, values in [0, 1].
        label: reference mask of the same shape.
        masks: prediction set of each method.
        coverages: coverage of the whole volume by each of these sets.

    Returns:
        Three panels, with coverage and relative set size of the whole volume; the label's middle is its median voxel
        along each axis, or the volume's without a label.
    """
    places = np.argwhere(label) if label.any() else np.argwhere(np.ones_like(label))
    middle = np.median(places, axis=0).astype(int)
    panels = []
    for axis, plane in enumerate(PLANES):

        def cut(volume: NDArray[Any], axis: int = axis) -> NDArray[Any]:
            return np.ascontiguousarray(np.rot90(volume.take(middle[axis], axis)))

        sets = {method: cut(mask) for method, mask in masks.items()}
        name = f"{title}, {plane} at {middle[axis]}"
        panels.append(Panel(name, cut(image), cut(label), sets, coverages, relative_sizes(masks, label)))
    return panels


def _volume(path: str) -> NDArray[np.float32]:
    """A volume with its brightest thousandth at 1 and its darkest at 0."""
    volume = read_image(path).numpy()[0]
    low, high = np.quantile(volume, (0.001, 0.999))
    scaled: NDArray[np.float32] = np.clip((volume - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
    return scaled
