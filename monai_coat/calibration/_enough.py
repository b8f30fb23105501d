# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Whether there are enough images for a level at all."""

from __future__ import annotations

from monai_coat.functional import images_needed

__all__: list[str] = []


def check_enough(alpha: float, n: int, n_empty: int, index: int | None = None) -> None:
    """Refuse fewer images than alpha takes: then not even predicting everything could be promised to meet it."""
    needed = images_needed(alpha)
    if n < needed:
        which = "" if index is None else f" with class {index}"
        raise ValueError(
            f"alpha={float(alpha)} needs at least {needed} calibration images with foreground{which}, got {n} "
            f"({n_empty} without foreground were left out); enlarge the calibration set or raise alpha."
        )
