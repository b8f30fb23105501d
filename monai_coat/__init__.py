# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Image-adaptive thresholds with a conformal guarantee for segmentation, for MONAI."""

from __future__ import annotations

# Bundle configs say `$import monai_coat` and then `monai_coat.data...`: the rooms must be there.
from monai_coat import (
    calibration,
    data,
    functional,
    handlers,
    inferers,
    losses,
    metrics,
    networks,
    report,
    transforms,
)
from monai_coat._version import __version__

__all__ = [
    "__version__",
    "calibration",
    "data",
    "functional",
    "handlers",
    "inferers",
    "losses",
    "metrics",
    "networks",
    "report",
    "transforms",
]
