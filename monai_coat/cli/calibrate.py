# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command ``calibrate``.

Tested by tests/predictions/test_folders.py.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_coat.cli.fit import METHODS
from monai_coat.cli.map_options import add_maps, add_to_commands, folder_of, inputs_of
from monai_coat.cli.outcome import Outcome
from monai_coat.cli.output import check_output
from monai_coat.cli.promise_options import add_promise, guarantee_of, table_of

if TYPE_CHECKING:
    from monai_coat.predictions import CalibratedMaps

__all__ = ["add_to", "run_command"]


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    command = add_to_commands(
        commands,
        "calibrate",
        "find the exact cutoff of each class for predictions that are there already, and what is promised with it",
        "calibrate --probs maps --labels masks --alpha 0.1",
    )
    add_maps(command)
    add_promise(command)
    adapts = command.add_mutually_exclusive_group()
    adapts.add_argument("--scorer", type=Path, help="file of 'fit'; else there is one threshold for all images")
    adapts.add_argument(
        "--folds",
        type=int,
        metavar="K",
        help="learn thresholds per image from these very images, K times, each time without one of K folds, which is "
        "then calibrated on; for 20 to 60 images, and K of at least 1 / alpha - 1",
    )
    command.add_argument("--method", choices=METHODS, help="with --folds: how thresholds are learned (default meg)")
    command.add_argument("--seed", type=int, default=0, help="with --folds: of what is drawn at random")
    command.add_argument("--output", type=Path, default=Path("calibration.json"), help="file to write")
    command.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> Outcome:
    """Run the command."""
    from monai_coat.calibration import promise_in_words
    from monai_coat.predictions import describe_calibration, plain_values, scorer_beside

    check_output(options.output, inputs_of(options))
    check_output(scorer_beside(options.output), inputs_of(options))
    calibrated = _calibrated(options)
    files = calibrated.save(options.output)
    words = promise_in_words(calibrated.result)
    logging.getLogger(__name__).info("%s", describe_calibration(calibrated))
    logging.getLogger(__name__).info("in words: %s", words)
    return Outcome(files, {**plain_values(calibrated.result), "in_words": words})


def _calibrated(options: argparse.Namespace) -> CalibratedMaps:
    """By one threshold for all images, by a scorer, or by those of a cross-validation."""
    from monai_coat.calibration import CrossRisk
    from monai_coat.predictions import calibrate_folder, cross_calibrate_folder, load_scorer

    guarantee = guarantee_of(options)
    if options.method is not None and options.folds is None:
        raise ValueError("method must go with folds, got it alone; use 'fit' and --scorer, or give --folds.")
    fitted = None if options.scorer is None else load_scorer(options.scorer)
    folder = folder_of(options, table=table_of(options))
    if not isinstance(guarantee, CrossRisk):
        return calibrate_folder(folder, guarantee=guarantee, fitted=fitted)
    method, folds = options.method or "meg", guarantee.folds
    return cross_calibrate_folder(folder, guarantee.alpha, method, folds, options.seed, guarantee.risk)
