# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command ``audit``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_coat.cli.level import level
from monai_coat.cli.map_options import add_maps, add_to_commands, folder_of, inputs_of
from monai_coat.cli.outcome import Outcome
from monai_coat.cli.output import check_output
from monai_coat.cli.promise_options import add_table, table_of

if TYPE_CHECKING:
    from monai_coat.data import PredictionFolder

__all__ = ["add_to", "run_command"]

BROKEN = 1
"""Exit status where a promise is found broken."""


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    command = add_to_commands(
        commands,
        "audit",
        "say whether a calibration's promise holds on labelled images that nothing was learned from: kept, broken or "
        "open",
        "audit calibration.json --probs test/maps --labels test/masks --table images.csv --key site",
        "The exit status is 0 if the promise is kept, or there are too few images to tell, and 1 if it is broken. "
        "Whether it holds for each group, it says too, and whether the maps look like those of the calibration.",
    )
    command.add_argument("calibration", type=Path, help="file of 'calibrate'")
    add_maps(command, said=False)
    command.add_argument("--level", type=level, default=0.05, help="tolerated probability of a false alarm")
    groups = command.add_mutually_exclusive_group()
    groups.add_argument(
        "--group-by", choices=["prefix"], help="groups by what names of files have before the first '_' or digit"
    )
    groups.add_argument("--key", help="column of --table that names each image's group, such as site")
    add_table(command)
    command.add_argument("--seed", type=int, default=0, help="of permutations and of the worst slab")
    command.add_argument("--output", type=Path, default=Path("audit"), help="folder to write report and figure to")
    command.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> Outcome:
    """Run the command."""
    from monai_coat.predictions import audit_data, audit_folder, load_calibrated_maps, write_audit

    if options.key is not None and options.table is None:
        raise ValueError(f"table must be given with a key, got none for {options.key!r}; add --table FILE.")
    check_output(options.output, inputs_of(options))
    calibrated = load_calibrated_maps(options.calibration)
    table = table_of(options)
    folder = folder_of(options, calibrated.format, table=table)
    audit = audit_folder(calibrated, folder, options.level, _groups(options, folder, table), options.seed)
    files = write_audit(audit, options.output)
    logging.getLogger(__name__).info("%s", audit.sentence)
    return Outcome(files, audit_data(audit), BROKEN if audit.verdict == "broken" else 0)


def _groups(options: argparse.Namespace, folder: PredictionFolder, table: Any) -> dict[str, str] | None:
    """The group of each image by id, if groups were asked for."""
    from monai_coat.data import column_of
    from monai_coat.predictions import prefix_of

    ids = [str(sample["id"]) for sample in folder.samples]
    if options.group_by == "prefix":
        return {name: prefix_of(name) for name in ids}
    return None if options.key is None else column_of(table, options.key, ids)
