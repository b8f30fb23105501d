# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command ``merge``.

Tested by tests/cli/test_merge.py.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_coat.cli.level import level
from monai_coat.cli.outcome import Outcome
from monai_coat.cli.output import check_output

__all__ = ["add_to", "run_command"]


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    command = commands.add_parser("merge", help="calibrate together what several sites have collected")
    command.add_argument("files", type=Path, nargs="+", help="statistic files of different images")
    command.add_argument("--alpha", type=level, default=0.1, help="tolerated mean of the risk (default 0.1)")
    command.add_argument("--largest", type=int, default=512, help="MiB that a file may unpack to (default 512)")
    command.add_argument("--output", type=Path, default=Path("calibration.json"), help="file to write")
    command.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> Outcome:
    """Run the command."""
    from monai_coat.calibration import ExpectedRisk, merge_statistics, risk_named, save_calibration, summary_of

    check_output(options.output, options.files)
    collected = merge_statistics(options.files, largest=options.largest * 2**20)
    guarantee = ExpectedRisk(risk_named(collected.statistic.measures), options.alpha)
    result = guarantee.calibrate(collected.statistic)
    save_calibration(replace(result, method=collected.method, identity=collected.identity), options.output)
    logging.getLogger(__name__).info("%d files: %s", len(options.files), summary_of(result))
    return Outcome([options.output])
