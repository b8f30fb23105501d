# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The program ``python -m monai_coat``.

Commands import what they need when they are run, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence

from monai_coat.cli import apply, audit, calibrate, compare, evaluate, export, fit, label_app, merge, overlay, plan

__all__ = ["main"]

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m monai_coat",
        description="Commands beside python -m monai.bundle. Each says more, with an example: COMMAND --help.",
        epilog="Exit status: 0, done; 1, done, and 'audit' found a promise broken; 2, refused, with a sentence that "
        "says why; 130, interrupted. Files are written whole or not at all. Words go to standard error; standard "
        "output has the names of files, or JSON.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command in (plan, calibrate, fit, apply, evaluate, audit, compare, overlay, merge, export, label_app):
        command.add_to(commands)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        outcome = options.run(options)
    except (OSError, TypeError, ValueError, ImportError) as error:
        parser.exit(2, f"{parser.prog}: {_sentence(error)}\n")
    except KeyboardInterrupt:
        parser.exit(INTERRUPTED, f"{parser.prog}: interrupted; what was written is whole.\n")
    lines = [json.dumps(outcome.data)] if getattr(options, "json", False) else outcome.files
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return int(outcome.status)


def _sentence(error: Exception) -> str:
    """What an error says, without the number that the system has for it."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    return error.strerror + (f": {error.filename}" if error.filename else "")
