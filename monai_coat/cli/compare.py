# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command ``compare``.

Tested by tests/comparison/test_run.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from monai_coat.cli.map_options import add_maps, add_to_commands, inputs_of, maps_of, said_of
from monai_coat.cli.outcome import Outcome
from monai_coat.cli.output import check_output

__all__ = ["add_to", "run_command"]


OWN = ("probs", "masks", "labels", "images", "classes", "axes", "map_suffix", "mask_threshold")
"""Options of somebody's own maps."""


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    command = add_to_commands(
        commands,
        "compare",
        "compare all methods, on your own maps too; a run that was stopped goes on",
        "compare --probs maps --labels masks --output compared",
        "Methods are compared over many splits, each class for itself; tables.md says which has the smallest coverage "
        "gap, and what it costs. Flat maps are brought to one size, volumes stay at their own. The log says how much "
        "time is left. What is done is run again only if its files, options, settings or version changed. On one core "
        "maps of your own take minutes to an hour, the protocol quick a minute, paper_small two hours, and paper "
        "half a day, of which it trains twelve networks.",
    )
    commands.choices["benchmark"] = command  # its name before; still accepted, but not listed
    add_maps(command, required=False)
    command.add_argument("--images", type=Path, metavar="FOLDER", help="the images: near repeats stay in one part")
    command.add_argument(
        "--protocol",
        help="JSON file, or paper, paper_small, predictions (of flat maps), volumes (of volumes), study or quick",
    )
    command.add_argument("--quick", action="store_true", help="the protocol quick: a minute, on generated images")
    command.add_argument("--output", type=Path, default=Path("comparison_output"), help="folder for everything")
    command.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> Outcome:
    """Run the command."""
    from monai_coat.comparison import load_protocol, plain_results, protocol_of_folder, write_comparison

    check_output(options.output, inputs_of(options))
    check_output(options.output / "results.json", [Path(options.protocol)] if options.protocol else [])
    name = "quick" if options.quick else options.protocol
    if any(getattr(options, each) not in (None, "") for each in OWN):
        given = load_protocol(name) if name else None
        protocol = protocol_of_folder(given, maps_of(options), options.labels, options.images, said_of(options))
    else:
        protocol = load_protocol(name or "paper")
    files = write_comparison(protocol, options.output)
    return Outcome(files, {"protocol": protocol.name, "methods": plain_results(options.output, protocol)})
