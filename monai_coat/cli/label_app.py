# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command ``label-app``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from monai_coat.cli.outcome import Outcome

__all__ = ["add_to", "run_command"]


def add_to(commands: Any) -> None:
    """Add the command to the program."""
    command = commands.add_parser("label-app", help="write the folder that MONAI Label's start_server takes as --app")
    command.add_argument("folder", type=Path, help="folder to make")
    command.set_defaults(run=run_command)


def run_command(options: argparse.Namespace) -> Outcome:
    """Run the command."""
    from monai_coat.bundles import write_label_app

    return Outcome([write_label_app(options.folder)])
