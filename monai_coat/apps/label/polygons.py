# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Outlines of certain and possible as polygons, which QuPath and Digital Slide Archive read.

Tested by tests/apps/test_label_server.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from monailabel.transform.writer import PolygonWriter
from numpy.typing import NDArray
from skimage.measure import find_contours
from torch import Tensor

from monai_coat.transforms import CertaintyLabels

__all__ = ["polygons_of", "write_polygons"]

COLORS = ((230, 120, 20), (250, 190, 130), (20, 110, 200), (140, 190, 240), (30, 150, 70), (150, 210, 160))


def polygons_of(mask: NDArray[np.bool_], min_area: float) -> list[list[list[float]]]:
    """Outlines of a mask, each a list of ``[x, y]``, without those of an area below ``min_area`` pixels.

    Args:
        mask: ``(width, height)``, as images are read here.
        min_area: smallest area in pixels.
    """
    polygons = []
    for contour in find_contours(np.pad(mask, 1).astype(float), 0.5):
        x, y = contour.T - 1
        area = abs(float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]))) / 2
        if area >= min_area:
            polygons.append([[round(float(a), 1), round(float(b), 1)] for a, b in zip(x, y, strict=True)])
    return polygons


def write_polygons(
    labels: Tensor, certainty: CertaintyLabels, result: dict[str, Any], request: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Write outlines as the XML of ASAP or the JSON of the Digital Slide Archive, whichever the request's output is.

    Of each class there are outlines of what is certain, and of what is possible and not certain. Those of classes that
    touch or nest lie over each other: a polygon needs no label for a combination.

    Args:
        labels: label map ``(width, height)``.
        certainty: what the labels mean.
        result: numbers and words that go with it.
        request: with ``output``, and perhaps ``location`` and ``size`` of the region that is wanted, and
            ``min_poly_area``.

    Returns:
        The file and what it holds.

    Raises:
        ValueError: if location or size are no pixels of the image.
    """
    x, y = _pair(request, "location")
    width, height = _pair(request, "size")
    if x >= labels.shape[0] or y >= labels.shape[1]:
        shape = " x ".join(map(str, labels.shape))
        raise ValueError(f"location must be a pixel of the image, {shape}, got {[x, y]}; name one inside.")
    inside = np.zeros(tuple(labels.shape), bool)
    inside[x : x + (width or labels.shape[0]), y : y + (height or labels.shape[1])] = True
    smallest = float(request.get("min_poly_area") or 0)
    masks = _masks_by_name(labels, certainty)
    elements = [{"label": name, "contours": polygons_of(mask & inside, smallest)} for name, mask in masks.items()]
    colors = {name: COLORS[index % len(COLORS)] for index, name in enumerate(masks)}
    annotation = {"location": [x, y], "size": [width, height], "elements": elements, "labels": colors}
    data = {**request, "result": {**result, "annotation": annotation}}
    path, content = PolygonWriter()(data)
    return str(path), content


def _pair(request: Mapping[str, Any], name: str) -> tuple[int, int]:
    """Two numbers of pixels; (0, 0) if nothing is said."""
    value = request.get(name)
    if value is None or value == []:
        return 0, 0
    pair = list(value) if isinstance(value, list | tuple) else []
    numbers = [item for item in pair if isinstance(item, int | float) and not isinstance(item, bool)]
    if len(pair) != 2 or len(numbers) != 2 or any(item < 0 or item != int(item) for item in numbers):
        raise ValueError(
            f"{name} must be two whole numbers of pixels, not negative, got {ascii(value)[:60]}; leave it out for all."
        )
    return int(numbers[0]), int(numbers[1])


def _masks_by_name(labels: Tensor, certainty: CertaintyLabels) -> dict[str, NDArray[np.bool_]]:
    """What is certain, and what is possible and not certain, of each class."""
    masks: dict[str, NDArray[np.bool_]] = {}
    sets = zip(certainty.classes, certainty.possible(labels), certainty.certain(labels), strict=True)
    for name, possible, certain in sets:
        masks |= {f"{name} certain": certain.numpy(), f"{name} possible": (possible & ~certain).numpy()}
    return masks
