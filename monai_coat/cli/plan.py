# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command ``plan``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_coat.cli.level import level
from monai_coat.cli.map_options import add_maps, add_to_commands, folder_of, inputs_of
from monai_coat.cli.outcome import Outcome
from monai_coat.cli.output import check_output
from monai_coat.cli.promise_options import add_promise, guarantee_of, table_of

if TYPE_CHECKING:
    pass

__all__ = ["add_to", "run_command"]


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    command = add_to_commands(
        commands,
        "plan",
        "say how many calibration images a promise needs, and how far one calibration will scatter",
        "plan --alpha 0.1 --within 0.02 --output plan",
        "Nothing is needed for it. With maps and masks of a few labelled images, the pilot, it says how far risks like "
        "theirs scatter. The pilot must be of images like those to come, none of which the network was trained on.",
    )
    add_promise(command)
    command.add_argument(
        "--within",
        type=level,
        help="say how many images keep 95 of 100 calibrations at most this far above alpha",
    )
    command.add_argument("--sizes", type=int, nargs="+", default=[], metavar="N", help="numbers of images to look at")
    add_maps(command, required=False)
    command.add_argument("--output", type=Path, help="folder to write table, numbers and picture to")
    command.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> Outcome:
    """Run the command."""
    from monai_coat.predictions import plan_folder, write_plan
    from monai_coat.report import plan_to_markdown

    has_pilot = bool(options.probs or options.masks)
    if has_pilot != (options.labels is not None):
        given, lacking = ("maps", "labels") if has_pilot else ("labels", "probs or masks")
        raise ValueError(f"{lacking} must be given for a pilot, got {given} alone; give both, or neither.")
    if options.output is not None:
        check_output(options.output, inputs_of(options))
    plan = plan_folder(
        guarantee_of(options),
        folder_of(options, table=table_of(options)) if has_pilot else None,
        options.sizes,
        within=options.within,
    )
    logging.getLogger(__name__).info("\n%s", plan_to_markdown(plan))
    return Outcome([] if options.output is None else write_plan(plan, options.output), plan.to_json())
