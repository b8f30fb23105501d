# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Outlines of certain and possible as polygons, which QuPath and Digital Slide Archive read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from monailabel.transform.writer import PolygonWriter
from numpy.typing import NDArray
from skimage.measure import find_contours

__all__ = ["polygons_of", "write_polygons"]

COLORS = ((230, 120, 20), (250, 190, 130), (20, 110, 200), (140, 190, 240), (30, 150, 70), (150, 210, 160))


def polygons_of(mask: NDArray[np.bool_], min_area: float) -> list[list[list[float]]]:
    """Outlines of a mask, each a list of ``[x, y]``, without those of an area below ``min_area`` pixels.

    Args:
        mask: ``(width, height)``, as images are read here.
        min_area: smallest area in pixels.
    """
    found = []
    for contour in find_contours(np.pad(mask, 1).astype(float), 0.5):
        x, y = contour.T - 1
        area = abs(float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]))) / 2
        if area >= min_area:
            found.append([[round(float(a), 1), round(float(b), 1)] for a, b in zip(x, y, strict=True)])
    return found


def write_polygons(
    labels: NDArray[np.uint8], names: Mapping[str, int], result: dict[str, Any], request: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Write outlines as the XML of ASAP or the JSON of the Digital Slide Archive, whichever the request's output is.

    Args:
        labels: label map ``(width, height)``.
        names: label of each name.
        result: numbers and words that go with it.
        request: with ``output``, and perhaps ``location`` and ``size`` of the region that is wanted, and
            ``min_poly_area``.

    Returns:
        The file and what it holds.
    """
    x, y = request.get("location") or (0, 0)
    width, height = request.get("size") or (0, 0)
    inside = np.zeros(labels.shape, bool)
    inside[x : x + (width or labels.shape[0]), y : y + (height or labels.shape[1])] = True
    smallest = float(request.get("min_poly_area") or 0)
    elements = [
        {"label": name, "contours": polygons_of((labels == value) & inside, smallest)} for name, value in names.items()
    ]
    colors = {name: COLORS[(value - 1) % len(COLORS)] for name, value in names.items()}
    annotation = {"location": [x, y], "size": [width, height], "elements": elements, "labels": colors}
    data = {**request, "result": {**result, "annotation": annotation}}
    path, content = PolygonWriter()(data)
    return str(path), content
