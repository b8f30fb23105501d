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

from monai_coat.cli.outcome import Outcome
from monai_coat.cli.output import check_output
from monai_coat.cli.promise_options import add_promise, guarantee_of

__all__ = ["add_to", "run_command"]


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    command = commands.add_parser("merge", help="calibrate together what several sites have collected")
    command.add_argument("files", type=Path, nargs="+", help="statistic files of different images")
    add_promise(command, risk=False)
    command.add_argument("--largest", type=int, default=512, help="MiB that a file may unpack to (default 512)")
    command.add_argument("--output", type=Path, default=Path("calibration.json"), help="file to write")
    command.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> Outcome:
    """Run the command."""
    from monai_coat.calibration import merge_groups, merge_statistics, save_calibration, summary_of

    check_output(options.output, options.files)
    collected = merge_statistics(options.files, largest=options.largest * 2**20)
    guarantee = guarantee_of(options, collected.statistic.measures)
    statistic = collected.statistic
    if options.per_group:
        statistic = merge_groups(options.files, options.per_group, largest=options.largest * 2**20)
    result = guarantee.calibrate(statistic)
    save_calibration(replace(result, method=collected.method, identity=collected.identity), options.output)
    logging.getLogger(__name__).info("%d files: %s", len(options.files), summary_of(result))
    return Outcome([options.output])
