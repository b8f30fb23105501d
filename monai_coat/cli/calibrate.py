# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command ``calibrate``.

Tested by tests/data/test_maps.py.
"""

from __future__ import annotations

import argparse
import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_coat.cli.level import level
from monai_coat.cli.output import check_output

__all__ = ["add_to", "run_command"]


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    command = commands.add_parser("calibrate", help="find the threshold for probability maps that are there already")
    command.add_argument(
        "--probs", type=Path, required=True, help="folder of probability maps (8 or 16 bit, float TIFF, NIfTI)"
    )
    command.add_argument("--labels", type=Path, required=True, help="folder of the masks of the same names")
    command.add_argument(
        "--mask-threshold", type=float, help="masks are foreground from this value on, if not 0/1 or 0/255"
    )
    command.add_argument("--alpha", type=level, default=0.1, help="tolerated mean false negative rate")
    command.add_argument("--output", type=Path, default=Path("calibration.json"), help="file to write")
    command.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> list[Path]:
    """Run the command; returns the files that were written."""
    from monai_coat.calibration import printed_cutoffs, save_calibration
    from monai_coat.data import calibrate_saved_maps, map_datalist
    from monai_coat.data.flat_files import has_eight_bits
    from monai_coat.files.names import is_volume

    check_output(options.output, [options.probs, options.labels])
    samples = map_datalist(options.probs, options.labels)
    result = calibrate_saved_maps(samples, options.alpha, options.mask_threshold)
    # Other maps, once they are rounded, are not what was calibrated.
    in_eight_bits = all(not is_volume(sample["probs"]) and has_eight_bits(sample["probs"]) for sample in samples)
    whole = f" (8-bit values >= {math.ceil(result.cutoff[0] * 255 - 1e-4)})" if in_eight_bits else ""
    save_calibration(replace(result, method="crc"), options.output)
    logging.getLogger(__name__).info(
        "take probabilities >= %s%s: %s; n = %d, %d without foreground left out",
        printed_cutoffs(result)[0],
        whole,
        result.guarantee,
        result.n[0],
        result.n_empty[0],
    )
    return [options.output]
