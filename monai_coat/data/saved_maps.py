# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The calibration of saved probability maps in one call.

Tested by tests/data/test_maps.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_coat.calibration import CalibrationResult, CoverageStatistic, as_guarantee, calibrate, with_reach
from monai_coat.data.map_format import MapOptions
from monai_coat.data.prediction_folder import opened
from monai_coat.functional import images_needed

__all__ = ["calibrate_saved_maps"]

Sample = Mapping[str, Any]


def calibrate_saved_maps(samples: Sequence[Sample], alpha: float, threshold: float | None = None) -> CalibrationResult:
    r"""Conformal risk control of saved probability maps: the exact threshold for new maps of the same network.

    The images must be exchangeable with new ones, and the network must not have seen them.

    Args:
        samples: dictionaries with paths ``probs`` and ``label``, as :func:`map_datalist` lists them. Each map is taken
            at its own size, which its mask must have; see :func:`read_map` and :func:`~monai_coat.data.read_masks`. The
            mask of a volume is brought to the map's order of axes.
        alpha: tolerated mean false negative rate, in (0, 1).
        threshold: foreground is where a mask is at least this; None: masks are of 0 and 1, or 0 and 255.

    Returns:
        The result of :func:`~monai_coat.calibration.calibrate`; its cutoff is a probability.

    Raises:
        ValueError: if a file cannot be read, or does not say what is foreground; a map is not in [0, 1]; its mask has
            another size or lies elsewhere; or there are too few for ``alpha``.

    Example:
        >>> from PIL import Image
        >>> from monai_coat.data import map_datalist, write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=20, spatial_size=(16, 16))
        >>> (root / "maps").mkdir()
        >>> for path in (root / "synthetic/masks").iterdir():
        ...     soft = Image.open(path).resize((8, 8), Image.Resampling.BOX).resize((16, 16), Image.Resampling.BILINEAR)
        ...     soft.save(root / "maps" / path.name)
        >>> result = calibrate_saved_maps(map_datalist(root / "maps", root / "synthetic/masks"), alpha=0.1)
        >>> 0.2 < result.cutoff[0] < 0.9
        True

    Source:
        Angelopoulos et al., Conformal Risk Control (ICLR 2024), section 3.
    """
    images_needed(alpha)  # a level that is none is told before anything is read
    folder = opened(samples, MapOptions(mask_threshold=threshold))
    statistic = CoverageStatistic()
    forms = folder.collect(statistic)
    return with_reach(calibrate(statistic, alpha), as_guarantee(None, alpha), statistic, forms)
