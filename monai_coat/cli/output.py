# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Outputs as they are typed: never what a command reads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from monai_coat.files.names import MAPS, suffix_of

__all__ = ["check_output"]


def check_output(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output that would replace an input; links are followed.

    Args:
        output: file or folder that a command is about to write.
        inputs: files and folders that it reads, which need not exist; of a folder, the images in it count too.

    Raises:
        ValueError: if the output is one of them.

    Example:
        >>> check_output(Path("calibration.json"), [Path("masks")])
    """
    if not output.exists():
        return
    for given in inputs:
        files = [file for file in given.iterdir() if suffix_of(file, MAPS)] if given.is_dir() else []
        for file in (given, *files):
            if file.exists() and output.samefile(file):
                raise ValueError(f"output must be none of the inputs, got {output}; give a name of its own.")
