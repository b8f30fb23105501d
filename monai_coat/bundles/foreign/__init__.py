# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Bundles of others: a look at their configs, and overlays that calibrate them."""

from __future__ import annotations

from monai_coat.bundles.foreign.facts import Given
from monai_coat.bundles.foreign.source import BundleIds
from monai_coat.bundles.foreign.write import OverlayOptions, Overlays, write_overlays

__all__ = ["BundleIds", "Given", "OverlayOptions", "Overlays", "write_overlays"]
