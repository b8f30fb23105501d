# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command ``evaluate``.

Tested by tests/predictions/test_folders.py.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monai_coat.cli.map_options import add_maps, add_to_commands, folder_of, inputs_of
from monai_coat.cli.outcome import Outcome
from monai_coat.cli.output import check_output
from monai_coat.cli.promise_options import add_table, table_of

__all__ = ["add_to", "run_command"]


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    command = add_to_commands(
        commands,
        "evaluate",
        "say what a calibration covers on labelled images that nothing was learned from, and what it costs",
        "evaluate calibration.json --probs test/maps --labels test/masks --output report",
    )
    command.add_argument("calibration", type=Path, help="file of 'calibrate'")
    add_maps(command, said=False)
    command.add_argument("--images", type=Path, metavar="FOLDER", help="the images, for the pictures")
    add_table(command)
    command.add_argument("--output", type=Path, required=True, help="folder to write table, records and pictures to")
    command.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> Outcome:
    """Run the command."""
    from monai_coat.predictions import evaluate_folder, load_calibrated_maps

    check_output(options.output, inputs_of(options))
    calibrated = load_calibrated_maps(options.calibration)
    folder = folder_of(options, calibrated.format, options.images, table_of(options))
    tables = evaluate_folder(calibrated, folder, options.output)
    rows = {name: [_plain(asdict(row)) for row in table] for name, table in tables.items()}
    return Outcome([options.output], {"guarantee": calibrated.result.guarantee, "classes": rows})


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Without NaN, which JSON has not."""
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
