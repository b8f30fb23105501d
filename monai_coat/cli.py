# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Commands beside ``python -m monai.bundle``."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from monai.bundle import ConfigParser

__all__ = ["STEPS", "export_bundle", "main"]

STEPS = {
    "segmenter": ("common", "training", "segmenter"),
    "train": ("common", "training", "train"),
    "calibrate": ("common", "calibrate"),
    "evaluate": ("common", "evaluate"),
    "inference": ("common", "inference"),
}
"""Overlays of each step of a bundle of this package, first to last."""


def export_bundle(source: Path, target: Path) -> list[Path]:
    """Copy a bundle with each step's overlays merged into one self-contained config, as MONAI Label reads it.

    Args:
        source: bundle with overlays in ``configs``.
        target: folder to make; it must not exist.

    Returns:
        The merged configs.

    Raises:
        FileNotFoundError: if an overlay is missing.
        FileExistsError: if ``target`` exists.
    """
    needed = sorted({name for overlays in STEPS.values() for name in overlays})
    missing = [name for name in needed if not (source / "configs" / f"{name}.json").is_file()]
    if missing:
        raise FileNotFoundError(f"source must hold configs/{missing[0]}.json, got {source}; name a bundle's folder.")
    if target.exists():
        raise FileExistsError(f"target must not exist, got {target}; remove it or name another.")
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("output", "*.ckpt", "__pycache__"))
    for name in set(needed) - set(STEPS):
        (target / "configs" / f"{name}.json").unlink()
    written = []
    for step, overlays in STEPS.items():
        parser = ConfigParser()
        parser.read_config([source / "configs" / f"{name}.json" for name in overlays])
        written.append(target / "configs" / f"{step}.json")
        ConfigParser.export_config_file(parser.get(), str(written[-1]), fmt="json", indent=4)
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m monai_coat", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    export = commands.add_parser("export-bundle", help="write a self-contained copy of a bundle")
    export.add_argument("source", type=Path, help="folder of the bundle")
    export.add_argument("target", type=Path, help="folder to make")
    options = parser.parse_args(arguments)
    try:
        written = export_bundle(options.source, options.target)
    except OSError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    sys.stdout.writelines(f"{path}\n" for path in written)
    return 0
