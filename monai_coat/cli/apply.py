# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command ``apply``.

Tested by tests/predictions/test_folders.py.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from monai_coat.cli.map_options import add_maps, add_to_commands, folder_of, inputs_of
from monai_coat.cli.outcome import Outcome
from monai_coat.cli.output import check_output
from monai_coat.cli.promise_options import add_table, table_of

__all__ = ["add_to", "run_command"]

TYPES = ("BINARY", "LABELMAP", "FRACTIONAL")


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    command = add_to_commands(
        commands,
        "apply",
        "write the masks of new predictions by a calibration, each in its map's own space and format",
        "apply calibration.json --probs new/maps --output new/masks",
    )
    command.add_argument("calibration", type=Path, help="file of 'calibrate'")
    add_maps(command, labels=False, said=False)
    command.add_argument("--certain", type=Path, help="calibration with --risk false_positive_ratio: writes label maps")
    command.add_argument(
        "--series",
        type=Path,
        metavar="FOLDER",
        help="DICOM series of images, by name: writes <name>_seg.dcm too",
    )
    command.add_argument("--segmentation-type", choices=TYPES, default=TYPES[0], help="of these (default BINARY)")
    add_table(command)
    command.add_argument("--output", type=Path, required=True, help="folder to write to")
    command.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> Outcome:
    """Run the command."""
    from monai_coat.predictions import DicomOutput, apply_calibration, load_calibrated_maps

    check_output(options.output, inputs_of(options))
    calibrated = load_calibrated_maps(options.calibration)
    certain = None if options.certain is None else load_calibrated_maps(options.certain)
    folder = folder_of(options, calibrated.format, table=table_of(options))
    dicom = None if options.series is None else DicomOutput(options.series, options.segmentation_type)
    rows = apply_calibration(calibrated, folder, options.output, certain, dicom)
    logging.getLogger(__name__).info("masks of %d images: %s", len(folder), calibrated.result.guarantee)
    return Outcome([options.output], {"guarantee": calibrated.result.guarantee, "sets": rows})
