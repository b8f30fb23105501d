# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The steps of a bundle, and the overlays that each of them is made of.

Tested by tests/bundles/test_configs.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from monai_coat.files import read_json

__all__ = ["STEPS", "config_of_step", "read_metadata", "step_configs"]

STEPS = {
    "train": ("common", "training", "segmenter"),
    "train_thresholds": ("common", "training", "thresholds"),
    "fit": ("common", "training", "thresholds", "fit"),
    "calibrate": ("common", "calibrate"),
    "collect": ("common", "calibrate", "collect"),
    "evaluate": ("common", "evaluate"),
    "inference": ("common", "inference"),
}
"""Overlays of each step of a bundle of this package, first to last."""


def step_configs(bundle: Path, step: str) -> list[Path]:
    """Configs of a step of a bundle, first to last; of a bundle without overlays, the one self-contained config.

    A bundle that is a variant of another names it in its metadata, ``"base": "../polyp_coat"``; its own overlays, which
    say what differs, go over those of the base: one that has the name of an overlay in the steps of that overlay, any
    other in every step.

    Args:
        bundle: folder of the bundle.
        step: one of :data:`STEPS`.

    Returns:
        The files.

    Raises:
        FileNotFoundError: if one of them is missing.
    """
    overlays, base = bundle / "configs" / "overlays", read_metadata(bundle).get("base")
    alone = bundle / "configs" / f"{step}.json"
    if not overlays.is_dir() and alone.is_file():
        return [alone]
    home = bundle / base / "configs" / "overlays" if base else overlays
    files = [home / f"{name}.json" for name in STEPS[step]]
    missing = [file for file in files if not file.is_file()]
    if missing:
        wrong = f"bundle must hold configs/overlays/{missing[0].name}, got {home.parents[1]}"
        raise FileNotFoundError(f"{wrong}; {'correct base in its metadata' if base else 'name a bundle folder'}.")
    own = {file.stem: file for file in sorted(overlays.glob("*.json"))} if base else {}
    known = {name for names in STEPS.values() for name in names}
    general = [file for name, file in own.items() if name not in known]
    return files + general + [own[name] for name in STEPS[step] if name in own]


def config_of_step(bundle: Path, step: str) -> dict[str, Any]:
    """The merged config of a step, as it stands in the bundle's own ``configs/<step>.json``."""
    parser = ConfigParser()
    parser.read_config(step_configs(bundle, step))
    return {key: value for key, value in parser.get().items() if key != "_meta_"}  # which the parser adds, empty


def read_metadata(bundle: Path) -> dict[str, Any]:
    """The bundle's metadata, or nothing if it has none."""
    path = bundle / "configs" / "metadata.json"
    return read_json(path, "metadata", "correct the file") if path.exists() else {}
