# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command ``fit``.

Tested by tests/predictions/test_folders.py.
"""

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
    from monai_coat.predictions.fitted_scorer import FittedScorer

__all__ = ["add_to", "run_command"]

METHODS = ("crc", "meg", "meg2", "coat", "coat2", "at", "aa_crc", "cra", "sacp")


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    command = add_to_commands(
        commands,
        "fit",
        "learn a threshold per image, from predictions of images that no calibration will use",
        "fit --probs train/maps --labels train/masks --alpha 0.1 --method meg --output meg.pt",
    )
    add_maps(command)
    command.add_argument("--alpha", type=level, default=0.1, help="tolerated mean false negative rate, 0.1 for 10 %%")
    command.add_argument("--method", choices=METHODS, default="meg", help="how thresholds are learned (default meg)")
    command.add_argument("--seed", type=int, default=0, help="of what is drawn at random")
    add_table(command)
    command.add_argument(
        "--group",
        metavar="KEY",
        default="",
        help="column of --table that says what belongs together, such as video or patient; for meg2",
    )
    command.add_argument(
        "--precision",
        type=level,
        help="mean precision that is worth a larger gap; for meg2, which asks for that of one threshold",
    )
    command.add_argument(
        "--frontier", type=Path, metavar="PNG", help="picture of what precision costs to write; for meg2"
    )
    command.add_argument("--output", type=Path, default=Path("scorer.pt"), help="file to write")
    command.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> Outcome:
    """Run the command."""
    from monai_coat.predictions import fit_folder

    check_output(options.output, inputs_of(options))
    settings = _settings_of(options)
    if options.frontier is not None:
        check_output(options.frontier, [*inputs_of(options), options.output])
    folder = folder_of(options, table=table_of(options))
    fitted = fit_folder(folder, options.alpha, options.method, options.seed, options.group, **settings)
    fitted.save(options.output)
    files = [options.output, *_drawn(fitted, options)]
    logging.getLogger(__name__).info("%s learned from %d images; calibrate it on others", options.method, len(folder))
    data = {"method": fitted.method, "alpha": fitted.alpha, "images": len(folder), "maps": folder.format.to_entries()}
    return Outcome(files, data)


def _drawn(fitted: FittedScorer, options: argparse.Namespace) -> list[Path]:
    """The picture of what precision costs, if it is asked for."""
    if options.frontier is None:
        return []
    from monai_coat.report import draw_frontier

    names = fitted.format.names if fitted.format is not None else ()
    draw_frontier(fitted.scorer, options.alpha, options.frontier, names)  # type: ignore[arg-type]
    return [options.frontier]


def _settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """The method's own settings, or a refusal of what goes with another method or option."""
    for name in ("group", "precision", "frontier"):
        if getattr(options, name) and options.method not in ("meg2", "coat2"):
            raise ValueError(f"{name} must go with method meg2, got {options.method}; add --method meg2.")
    if bool(options.group) != (options.table is not None):
        raise ValueError("group must go with a table, and a table with it; say --table FILE --group KEY.")
    return {} if options.precision is None else {"precision": options.precision}
