# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Paths among the settings of a bundle, as they were typed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from monai.utils import optional_import

__all__ = ["as_path", "common_folder"]

read_value, has_fire = optional_import("fire.parser", name="DefaultParseValue")


def as_path(setting: Any, *names: str) -> str:
    """The path that a setting of a bundle means, and below it ``names``.

    MONAI's command line reads values as Python does, so that ``2024`` is a number, ``(a)`` is ``a``, and of ``scan#7``
    the end is a comment; its configs write ``::`` for ``#``. Here all of them are what was typed; only of a name with
    ``::`` that did not come from the command line is the file there to tell.

    Args:
        setting: value of the setting.
        names: what follows below it.

    Raises:
        TypeError: if the setting is something else, such as a number with a point.
        ValueError: if two arguments of the command line, such as ``scan`` and ``scan#7``, read the same.

    Example:
        >>> as_path(2024, "masks"), as_path("scans/case::7")
        ('2024/masks', 'scans/case#7')
    """
    typed = _typed(setting)
    if typed is not None:
        return os.path.join(typed, *names)
    if isinstance(setting, bool) or not isinstance(setting, str | int | os.PathLike):
        raise TypeError(
            f"path must be a file or folder, got {setting!r} of type {type(setting).__name__}; write it as a string."
        )
    path = str(setting) if isinstance(setting, int) else os.fspath(setting)
    if "::" in path and not os.path.exists(path):
        path = path.replace("::", "#")
    return os.path.join(path, *names)


def common_folder(samples: Iterable[Mapping[str, Any]]) -> str:
    """The folder that all images of a data list are in, so that what is written for them keeps the folders below it.

    Two images of one name in different folders, such as frames of two videos, would overwrite each other otherwise.

    Args:
        samples: dictionaries with the path ``image``, or several paths, of which the first counts.

    Returns:
        An absolute path; empty without samples.

    Example:
        >>> common_folder([{"image": "/set/a/1.png"}, {"image": ["/set/b/1.png", "/set/c/1.png"]}])
        '/set'
    """
    images = (sample["image"] for sample in samples)
    paths = [os.path.abspath(image[0] if isinstance(image, list | tuple) else image) for image in images]
    return os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""


def _typed(setting: Any) -> str | None:
    """The argument of the command line that was read as the setting, if there is one."""
    arguments = {argument.partition("=")[2] if argument.startswith("--") else argument for argument in sys.argv[1:]}
    same = sorted(argument for argument in arguments if argument and _is_read_as(argument, setting))
    if len(same) > 1:
        raise ValueError(
            f"path must be one that the command line keeps apart, got {same[0]!r} and {same[1]!r}, which read the "
            f"same; type ./{same[1]}."
        )
    return same[0] if same else None


def _is_read_as(argument: str, setting: Any) -> bool:
    if argument[0] in "'\"":  # quoted, and so read as it is meant
        return False
    value = read_value(argument) if has_fire else argument
    if isinstance(value, str):
        value = value.replace("#", "::")
    return type(value) is type(setting) and value == setting
