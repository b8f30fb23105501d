# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command ``export-bundle``."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from monai_coat.cli.outcome import Outcome
from monai_coat.files.json import parse_json

__all__ = ["add_to", "run_command"]


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    command = commands.add_parser("export-bundle", help="write a self-contained copy of a bundle")
    command.add_argument("source", type=Path, help="folder of the bundle")
    command.add_argument("target", type=Path, help="folder to make")
    command.add_argument("--models", type=Path, help="folder of calibrated models to put in, for MONAI Label's own app")
    command.add_argument("--method", default="coat", help="which of the models")
    command.add_argument(
        "--overrides", type=parse_json, default={}, help="JSON of settings that the models were calibrated with"
    )
    command.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> Outcome:
    """Run the command."""
    from monai_coat.bundles import add_models, export_bundle

    models = {"models": options.models, "method": options.method, "overrides": options.overrides}
    files = export_bundle(options.source, options.target, partial(add_models, **models) if options.models else None)
    return Outcome(files)
