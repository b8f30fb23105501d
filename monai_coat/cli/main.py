# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The program ``python -m monai_coat``.

Commands import what they need when they are run, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from monai_coat.cli import calibrate, compare, export, label_app, merge, overlay

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m monai_coat", description="Commands beside python -m monai.bundle.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command in (export, overlay, compare, calibrate, merge, label_app):
        command.add_to(commands)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        written = options.run(options)
    except (OSError, TypeError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    sys.stdout.writelines(f"{path}\n" for path in written)
    return 0
