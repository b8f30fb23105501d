# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A calibration as a JSON file: versioned, written whole or not at all, refused when it does not fit."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_coat.calibration.result import CalibrationResult, ConformalRisk
from monai_coat.functional import exact_level

__all__ = ["check_calibration_fits", "load_calibration", "save_calibration"]

FORMAT = "monai_coat calibration"
VERSION = 1

_LARGEST = float(np.finfo(np.float32).max)


def save_calibration(result: CalibrationResult, path: str | os.PathLike[str]) -> None:
    """Write a calibration to a JSON file; missing folders are made.

    The file is written beside its place and renamed: an interrupted run leaves the old file or none, never half a one.

    Args:
        result: what :func:`~monai_coat.calibration.calibrate` returned.
        path: file to write.

    Example:
        >>> path = getfixture("tmp_path") / "calibration.json"
        >>> result = CalibrationResult((0.25,), 0.1, (99,), (1,), (0.0875,), "E[FNR] <= 0.1")
        >>> save_calibration(result, path)
        >>> load_calibration(path) == result
        True
    """
    path = Path(path)
    versions = {"torch": torch.__version__, "numpy": np.__version__}
    content = {"format": FORMAT, "version": VERSION, **asdict(result), "versions": versions}
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not mkstemp, whose files nobody else may read: others will predict with this calibration.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_calibration(path: str | os.PathLike[str]) -> CalibrationResult:
    """Read a calibration that :func:`save_calibration` wrote.

    Args:
        path: file to read.

    Returns:
        The result, equal to the one that was saved.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not a calibration, is of a newer version, or has entries missing or impossible.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path must name a calibration file, got {path}; run the calibration first.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"path must name a JSON file, got {path}, which is none ({error}); calibrate again.") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"path must name a {FORMAT!r} file, got {path}, which is something else.")
    if content.get("version") != VERSION:
        raise ValueError(
            f"{path} has version {content.get('version')!r}, this release reads {VERSION}; calibrate again or upgrade."
        )
    try:
        return _checked(content)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); calibrate again.") from None


def _checked(content: dict[str, Any]) -> CalibrationResult:
    """The result in ``content`` if every entry is there, of its kind and possible."""
    known = {field.name for field in fields(CalibrationResult)}
    lists = {name: tuple(content[name]) for name in ("cutoff", "n", "n_empty", "risk")}
    result = CalibrationResult(**{name: lists.get(name, content[name]) for name in known})
    exact_level(result.alpha)
    if len({len(entry) for entry in lists.values()}) != 1 or not result.cutoff:
        raise ValueError("cutoff, n, n_empty and risk must have one entry per class")
    if not all(isinstance(c, float) and abs(c) <= _LARGEST and c == float(np.float32(c)) for c in result.cutoff):
        raise ValueError(f"cutoff must hold finite float32 numbers, got {result.cutoff}")
    if not all(isinstance(n, int) and n > 0 for n in result.n) or not all(0 <= r <= 1 for r in result.risk):
        raise ValueError(f"n must be positive and risk in [0, 1], got {result.n} and {result.risk}")
    if not all(isinstance(text, str) for text in (result.guarantee, result.method, result.network)):
        raise ValueError("guarantee, method and network must be text")
    ConformalRisk(result.controls)
    return result


def check_calibration_fits(
    result: CalibrationResult, *, alpha: float | None = None, classes: int | None = None, network: str | None = None
) -> None:
    """Refuse a calibration that was made for another level, another number of classes or another network.

    Args:
        result: the calibration.
        alpha: level that is wanted, or None to take any.
        classes: number of score channels, or None to take any.
        network: fingerprint of the network at hand, or None to take any; a calibration without one is taken too.

    Raises:
        ValueError: naming what does not fit.

    Example:
        >>> result = CalibrationResult((0.25,), 0.1, (99,), (0,), (0.0875,), "E[FNR] <= 0.1")
        >>> check_calibration_fits(result, alpha=0.2)
        Traceback (most recent call last):
        ...
        ValueError: calibration is for alpha=0.1, wanted is alpha=0.2; calibrate for that level.
    """
    if alpha is not None and exact_level(alpha) != exact_level(result.alpha):
        raise ValueError(f"calibration is for alpha={result.alpha}, wanted is alpha={alpha}; calibrate for that level.")
    if classes is not None and classes != len(result.cutoff):
        raise ValueError(
            f"calibration is for {len(result.cutoff)} classes, the scores have {classes}; calibrate again."
        )
    if network and result.network and network != result.network:
        raise ValueError(
            f"calibration is for network {result.network[:12]}, this is network {network[:12]}; "
            "calibrate this network, or load the weights that were calibrated."
        )
