# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The record of one image's prediction set, from which tables and figures are made."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from monai_coat.functional import precision_of_counts, uncertain_share

__all__ = ["ImageRecord", "image_records"]


@dataclass(frozen=True)
class ImageRecord:
    """What an image's prediction set covers and what it costs; all sizes in pixels.

    Attributes:
        name: name of the image.
        coverage: true positive rate; NaN without foreground.
        set_size: pixels of the prediction set.
        true_positives: pixels of the set that are foreground.
        foreground: pixels of the reference mask.
        pixels: pixels of the image.
        difficulty: label-free difficulty, larger is harder; NaN if unknown.

    Example:
        >>> ImageRecord("a", 0.9, 120, 90, 100, 4096, 0.3).relative_set_size
        1.2
    """

    name: str
    coverage: float
    set_size: int
    true_positives: int
    foreground: int
    pixels: int
    difficulty: float

    @property
    def relative_set_size(self) -> float:
        """Set over foreground; NaN without foreground."""
        return self.set_size / self.foreground if self.foreground else math.nan

    @property
    def precision(self) -> float:
        """Share of the set that is foreground; 1 of an empty set."""
        return float(precision_of_counts(self.true_positives, self.set_size))

    @property
    def set_fraction(self) -> float:
        """Set over image."""
        return self.set_size / self.pixels


def image_records(name: str, scores: Tensor, mask: Tensor, label: Tensor) -> list[ImageRecord]:
    """Records of one image, one per class; with several classes the name ends in ``:class``.

    Args:
        name: name of the image.
        scores: scores ``(C, *spatial)``; the difficulty is taken from them if they are probabilities.
        mask: prediction set of the same shape, bool.
        label: reference mask of the same shape, bool or {0, 1}.

    Returns:
        C records.

    Raises:
        ValueError: if shapes differ.
    """
    if mask.shape != label.shape:
        raise ValueError(f"mask and label of {name} must have the same shape, got {mask.shape} and {label.shape}.")
    is_probs = float(scores.min()) >= 0 and float(scores.max()) <= 1
    difficulty = uncertain_share(scores[None])[0].tolist() if is_probs else [math.nan] * len(scores)
    records = []
    for index, (inside, present) in enumerate(zip(mask.bool(), label.bool(), strict=True)):
        hits, size, foreground = int((inside & present).sum()), int(inside.sum()), int(present.sum())
        records.append(
            ImageRecord(
                name=name if len(mask) == 1 else f"{name}:{index}",
                coverage=hits / foreground if foreground else math.nan,
                set_size=size,
                true_positives=hits,
                foreground=foreground,
                pixels=inside.numel(),
                difficulty=float(difficulty[index]),
            )
        )
    return records
