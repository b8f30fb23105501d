# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Bundles: steps of those of this package and copies that stand alone, and overlays for those of others."""

from __future__ import annotations

from monai_coat.bundles.config_file import config_text, write_config
from monai_coat.bundles.export import add_models, export_bundle, write_configs
from monai_coat.bundles.foreign import BundleIds, Given, OverlayOptions, Overlays, write_overlays
from monai_coat.bundles.label_app import write_label_app
from monai_coat.bundles.paths import as_path, common_folder
from monai_coat.bundles.steps import STEPS, config_of_step, read_metadata, step_configs

__all__ = [
    "STEPS",
    "BundleIds",
    "Given",
    "OverlayOptions",
    "Overlays",
    "add_models",
    "as_path",
    "common_folder",
    "config_of_step",
    "config_text",
    "export_bundle",
    "read_metadata",
    "step_configs",
    "write_config",
    "write_configs",
    "write_label_app",
    "write_overlays",
]
