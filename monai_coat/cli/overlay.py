# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command ``overlay``.

Tested by tests/bundles/foreign/test_overlays.py.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from monai_coat.cli.level import level
from monai_coat.cli.outcome import Outcome
from monai_coat.files.json import parse_json

__all__ = ["add_to", "run_command"]

IDS = {
    "network_def": "network",
    "inferer": "inferer",
    "preprocessing": "preprocessing",
    "postprocessing": "postprocessing",
    "dataset": "dataset",
    "evaluator": "evaluator",
    "label_preprocessing": "preprocessing of images and labels in train.json",
}


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    command = commands.add_parser(
        "overlay",
        help="write configs that calibrate, evaluate and run a bundle of somebody else",
        description="Look at a bundle and write configs/coat_<step>.json beside its own, which stay as they are; then "
        "print what was inferred, what is promised on which images, and the commands to type. Example: "
        "python -m monai_coat overlay spleen_ct_segmentation --alpha 0.1",
    )
    command.add_argument("bundle", type=Path, help="folder of the bundle")
    command.add_argument("--method", default="crc", help="crc (nothing to learn), meg, coat or at (default crc)")
    command.add_argument("--alpha", type=level, default=0.1, help="tolerated mean false negative rate (default 0.1)")
    command.add_argument("--promise", default="each", help="about each class by itself, or the worst of each image")
    command.add_argument(
        "--calibration-data",
        nargs="+",
        default=[],
        metavar="DATA",
        help="images that the network was not trained on: an id or expression of the config, or two folders, of images "
        "and labels (default: the bundle's validation images)",
    )
    command.add_argument("--training-data", help="id or expression of the images that the network was trained on")
    command.add_argument(
        "--shares", type=float, nargs=3, default=[], metavar="SHARE", help="of these images, to fit, calibrate and test"
    )
    command.add_argument("--activation", help="softmax, sigmoid or identity, if it cannot be told")
    command.add_argument("--out-channels", type=int, help="channels of the network's output, if they cannot be told")
    command.add_argument("--spatial-dims", type=int, help="2 or 3, if it cannot be told")
    command.add_argument(
        "--label-transforms", type=parse_json, help="JSON list of transforms from a label map to masks of classes"
    )
    for name, what in IDS.items():
        command.add_argument(f"--{name.replace('_', '-')}", metavar="ID", help=f"id of the {what}, if not the usual")
    command.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> Outcome:
    """Run the command."""
    from monai_coat.bundles import BundleIds, Given, OverlayOptions, write_overlays

    wanted = OverlayOptions(
        method=options.method,
        alpha=options.alpha,
        promise=options.promise,
        data=options.calibration_data,
        trained_on=options.training_data,
        shares=options.shares,
        labels=options.label_transforms,
        given=Given(options.activation, options.out_channels, options.spatial_dims),
    )
    ids = BundleIds(**{name: getattr(options, name) for name in IDS if getattr(options, name)})
    overlays = write_overlays(options.bundle, wanted, ids)
    log = logging.getLogger(__name__)
    for note in overlays.notes:
        log.info("%s", note)
    log.info("type in %s:\n%s", options.bundle, "\n".join(overlays.commands))
    return Outcome(list(overlays.files))
