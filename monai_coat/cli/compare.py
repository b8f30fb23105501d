# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command ``compare``.

Tested by tests/comparison/test_run.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from monai_coat.cli.outcome import Outcome
from monai_coat.cli.output import check_output

__all__ = ["add_to", "run_command"]


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    command = commands.add_parser(
        "compare",
        help="compare all methods; a run that was stopped goes on",
        description="Compare all methods over many splits. The log says how much time is left. A run that was stopped "
        "goes on, and what is done is run again only if its files, settings or version changed. On one core the "
        "protocol quick takes about a minute, maps of your own take minutes to an hour, and paper takes two hours.",
    )
    commands.choices["benchmark"] = command  # its name before; still accepted, but not listed
    command.add_argument("--protocol", help="JSON file, or paper (the default), predictions, study or quick")
    command.add_argument("--quick", action="store_true", help="the protocol quick: a minute, on generated images")
    command.add_argument("--output", type=Path, default=Path("comparison_output"), help="folder for everything")
    command.add_argument("--probs", type=Path, help="folder of your own probability maps, to compare methods on them")
    command.add_argument("--labels", type=Path, help="folder of the masks that go with them")
    command.add_argument("--images", type=Path, help="folder of the images, to keep near repeats in one part")
    command.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> Outcome:
    """Run the command."""
    from monai_coat.comparison import load_protocol, protocol_of_folder, write_comparison

    inputs = [path for path in (options.probs, options.labels, options.images) if path]
    check_output(options.output, inputs)
    check_output(options.output / "results.json", [Path(options.protocol)] if options.protocol else [])
    has_own_maps = options.probs or options.labels
    protocol = load_protocol(
        "quick" if options.quick else options.protocol or ("predictions" if has_own_maps else "paper")
    )
    if has_own_maps:
        protocol = protocol_of_folder(protocol, options.probs, options.labels, options.images)
    return Outcome(write_comparison(protocol, options.output))
