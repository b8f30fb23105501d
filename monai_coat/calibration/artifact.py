# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A calibration as a JSON file or message: versioned, written whole or not at all, refused when it does not fit."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_coat.calibration.guarantees import GUARANTEES, Guarantee, PerGroup, Referring, guarantee_named
from monai_coat.calibration.identity import PipelineIdentity
from monai_coat.calibration.referral import Referral
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.risks import RISKS, risk_named
from monai_coat.files import read_json, write_json
from monai_coat.files.json import LARGEST, parse_json
from monai_coat.functional import exact_level

__all__ = [
    "check_calibration_fits",
    "load_calibration",
    "pack_calibration",
    "save_calibration",
    "unpack_calibration",
]

FORMAT = "monai_coat calibration"
VERSION = 2
OF_GROUP = ("cutoff", "n", "n_empty", "risk", "guarantee")
NO_GROUPS: dict[str, Any] = {"groups": {}, "referral": None}
LATER: dict[str, Any] = {"settings": {}, **NO_GROUPS}
"""Entries that files of older releases do not have."""


def save_calibration(result: CalibrationResult, path: str | os.PathLike[str]) -> None:
    """Write a calibration to a JSON file; missing folders are made.

    The file is written beside its place and renamed: an interrupted run leaves the old file or none, never half a one.
    It ends with a checksum, so that a file that was edited by hand is noticed.

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
    if not isinstance(result, CalibrationResult):
        raise TypeError(
            f"result must be a CalibrationResult, got {type(result).__name__}; give what calibrate returned, and the "
            "path after it."
        )
    write_json(Path(path), _content(result))


def pack_calibration(result: CalibrationResult) -> bytes:
    """The content of the file that :func:`save_calibration` writes, for a message or a checkpoint.

    Example:
        >>> result = CalibrationResult((0.25,), 0.1, (99,), (1,), (0.0875,), "E[FNR] <= 0.1")
        >>> unpack_calibration(pack_calibration(result), "the server") == result
        True
    """
    return json.dumps(_content(result), allow_nan=False).encode()


def _content(result: CalibrationResult) -> dict[str, Any]:
    versions = {"torch": torch.__version__, "numpy": np.__version__}
    values = {**asdict(result), "identity": result.identity.to_json()}
    # A group is of the same pipeline, and only says what is its own.
    values["groups"] = {name: {key: values["groups"][name][key] for key in OF_GROUP} for name in values["groups"]}
    values["referral"] = None if result.referral is None else result.referral.to_json()
    content = {"format": FORMAT, "version": VERSION, **values, "versions": versions}
    return {**content, "checksum": _checksum(content)}


def load_calibration(path: str | os.PathLike[str]) -> CalibrationResult:
    """Read a calibration that :func:`save_calibration` wrote.

    Entries that this release does not know are passed over, as long as the checksum is right.

    Args:
        path: file to read.

    Returns:
        The result, equal to the one that was saved.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not a calibration, is of another version, was edited, has entries missing or
            impossible, or says something else in words than in numbers.
    """
    content = read_json(Path(path), "a calibration", "run the calibration first")
    if content.get("format") != FORMAT:
        raise ValueError(f"path must name a {FORMAT!r} file, got {path}, which is something else.")
    return _checked(content, path)


def unpack_calibration(content: bytes, sender: str) -> CalibrationResult:
    """The calibration in a message, checked as :func:`load_calibration` checks a file.

    Args:
        content: what :func:`pack_calibration` gave.
        sender: where it is from, for messages.

    Raises:
        TypeError: if the content is no bytes.
        ValueError: as :func:`load_calibration`.
    """
    if not isinstance(content, bytes):
        raise TypeError(f"content must be the bytes of a calibration, got {type(content).__name__} from {sender}.")
    try:
        if len(content) > LARGEST:
            raise ValueError(f"it has more than {LARGEST} bytes")
        given = parse_json(content.decode())
    except ValueError as error:
        raise ValueError(f"content must be a {FORMAT!r}, got another from {sender} ({error}).") from None
    if not isinstance(given, dict) or given.get("format") != FORMAT:
        raise ValueError(f"content must be a {FORMAT!r}, got something else from {sender}.")
    return _checked(given, sender)


def _checked(content: dict[str, Any], path: object) -> CalibrationResult:
    """The result, if its version is ours and nothing was changed."""
    if content.get("version") != VERSION:
        raise ValueError(
            f"{path} has version {content.get('version')!r}, this release reads {VERSION}; calibrate again or upgrade."
        )
    try:
        result = _result(content)
        is_whole = content.pop("checksum", None) == _checksum(content)
    except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}); calibrate again.") from None
    if not is_whole:
        raise ValueError(f"{path} was changed after it was written (its checksum is another); calibrate again.")
    return result


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _result(content: dict[str, Any]) -> CalibrationResult:
    """The result in ``content`` if every entry is there, of its kind and possible, and words and numbers agree."""
    known = {**LATER, **content}
    values = {field.name: known[field.name] for field in fields(CalibrationResult)}
    values["identity"] = PipelineIdentity.from_json(values["identity"])
    if str(values["controls"]).partition("(")[0] not in RISKS or values["kind"] not in GUARANTEES:
        raise ValueError(f"controls and kind must be known, got {values['controls']!r} and {values['kind']!r}")
    if values["referral"] is not None:
        values["referral"] = Referral.from_json(values["referral"])
    if not isinstance(values["settings"], dict) or not isinstance(values["groups"], dict):
        raise ValueError("settings and groups must be objects")
    guarantee = guarantee_named(values["kind"], risk_named(values["controls"]), values["alpha"], values["settings"])
    inner = {"kind": values["settings"].get("guarantee", values["kind"]), "settings": _inner(guarantee), **NO_GROUPS}
    values["groups"] = {
        str(name): _with_tuples({**values, **inner, **{key: group[key] for key in OF_GROUP}})
        for name, group in values["groups"].items()
    }
    result = _with_tuples(values)
    _check_says(result, guarantee)
    guarantee.check(result)
    return result


def _check_says(result: CalibrationResult, guarantee: Guarantee) -> None:
    """The words must be those that the settings make, and there must be what they speak of, and nothing else."""
    if dict(guarantee.settings) != dict(result.settings):
        raise ValueError(f"settings must be {dict(guarantee.settings)}, got {dict(result.settings)}")
    if bool(result.groups) != isinstance(guarantee, PerGroup):
        raise ValueError(f"groups must be there if the promise is for each, got {len(result.groups)}")
    begins, *more = result.guarantee.split("; ")
    # Words may be the bare promise, of results that were made by hand.
    if begins not in (guarantee.promise, guarantee.opening(result).split("; ")[0]):
        raise ValueError(f"guarantee must be {guarantee.opening(result)!r}, got {result.guarantee!r}")
    rule = "" if result.referral is None else f"of new images {result.referral.words}"
    if [text for text in more if "are referred to somebody" in text] != ([rule] if rule else []):
        raise ValueError(f"guarantee must say of referrals {rule!r}, got {result.guarantee!r}")
    if result.referral is not None and len(result.referral.sizes) != len(result.cutoff):
        raise ValueError(f"referral must be of the {len(result.cutoff)} classes, got {len(result.referral.sizes)}")


def _with_tuples(values: dict[str, Any]) -> CalibrationResult:
    """A result of what JSON has as lists."""
    return CalibrationResult(**{**values, **{name: tuple(values[name]) for name in OF_GROUP[:4]}})


def _inner(guarantee: Guarantee) -> dict[str, Any]:
    """Settings of what is promised of each group."""
    return dict(guarantee.guarantee.settings) if isinstance(guarantee, PerGroup) else {}


def check_calibration_fits(
    result: CalibrationResult,
    *,
    alpha: float | None = None,
    guarantee: Guarantee | None = None,
    classes: int | None = None,
    identity: PipelineIdentity | None = None,
) -> None:
    """Refuse a calibration that was made for another promise, another number of classes or another pipeline.

    Args:
        result: the calibration.
        alpha: level that is wanted, or None to take any.
        guarantee: what is to be promised, its risk and level, or None to take any.
        classes: number of score channels, or None to take any.
        identity: network and pipeline at hand, or None to take any. Of a pipeline, parts that only one of the two names
            are not compared.

    Raises:
        ValueError: naming what does not fit.

    Example:
        >>> result = CalibrationResult((0.25,), 0.1, (99,), (0,), (0.0875,), "E[FNR] <= 0.1")
        >>> check_calibration_fits(result, alpha=0.2)
        Traceback (most recent call last):
        ...
        ValueError: calibration is for alpha=0.1, wanted is alpha=0.2; calibrate for that level.
    """
    alpha = guarantee.alpha if guarantee is not None and alpha is None else alpha
    if alpha is not None and exact_level(alpha) != exact_level(result.alpha):
        raise ValueError(f"calibration is for alpha={result.alpha}, wanted is alpha={alpha}; calibrate for that level.")
    if guarantee is not None:
        _check_promise(result, guarantee)
    if classes is not None and classes != len(result.cutoff):
        raise ValueError(
            f"calibration is for {len(result.cutoff)} classes, the scores have {classes}; calibrate again."
        )
    if identity is None:
        return
    if identity.network and not result.identity.network:
        raise ValueError("calibration does not say which network it is of; calibrate this network again.")
    differences = result.identity.differences(identity)
    if differences:
        raise ValueError(
            f"calibration is of another pipeline: {', '.join(differences)}; calibrate this one, or use the network, "
            "preprocessing and inferer that were calibrated."
        )


def _check_promise(result: CalibrationResult, guarantee: Guarantee) -> None:
    """Refuse a calibration of another risk, guarantee, setting or rule."""
    made = (result.kind, result.controls)
    if made != (guarantee.name, guarantee.risk.key):
        raise ValueError(
            f"calibration is for {' of '.join(made)}, wanted is {guarantee.name} of {guarantee.risk.key}; calibrate "
            "for that promise."
        )
    share = None if result.referral is None else result.referral.share
    if isinstance(guarantee, Referring) and share != float(guarantee.share):
        raise ValueError(
            f"calibration must refer at most {guarantee.share:g} of new images, got a rule of {share}; calibrate for "
            "that share."
        )
    if dict(guarantee.settings) != dict(result.settings):
        raise ValueError(
            f"calibration is for {guarantee.name} with {dict(result.settings)}, wanted is {dict(guarantee.settings)}; "
            "calibrate for that promise."
        )
