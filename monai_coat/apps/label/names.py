# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a name may be that a client chooses: MONAI Label makes paths of them as they come.

Tested by tests/apps/test_names_of_requests.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from monai_coat.files.names import SUFFIXES, suffix_of

__all__ = ["check_drawn_tag", "check_file_name", "check_image", "check_session", "check_tag", "check_word"]

LONGEST = 200
"""Bytes of a name: file systems take 255, and endings are added."""

PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
SHOWN = 60


def check_tag(value: Any, name: str = "tag") -> None:
    """Refuse what is no plain word; a tag becomes a folder.

    Raises:
        ValueError: with a sentence.

    Example:
        >>> check_tag("version_2")
        >>> check_tag("../final")
        Traceback (most recent call last):
        ...
        ValueError: tag must be a word of at most 64 letters, digits, '_', '.' and '-' that does not begin with a dot or hold '..', got '../final'; choose another.
    """  # noqa: E501
    if not isinstance(value, str) or not PLAIN.fullmatch(value) or ".." in value:
        raise ValueError(
            f"{name} must be a word of at most 64 letters, digits, '_', '.' and '-' that does not begin with a dot or "
            f"hold '..', got {_shown(value)}; choose another."
        )


def check_drawn_tag(value: Any) -> None:
    """Refuse tags under which the model may not keep what it has drawn: "final" is for people.

    Raises:
        ValueError: with a sentence.
    """
    check_tag(value, "label_tag")
    if value.lower() == "final":
        raise ValueError("label_tag must be another than 'final' for what the model draws, which is no annotation.")


def check_image(value: Any, name: str = "image") -> None:
    """Refuse what cannot be the name of an image in the studies: letters of any script and spaces are welcome.

    Raises:
        ValueError: with a sentence.
    """
    _check(value, name, value != "")


def check_word(value: Any, name: str) -> None:
    """Refuse what is no part of an address that this server could have.

    Raises:
        ValueError: with a sentence.
    """
    _check(value, name, True)


def check_session(value: Any, name: str = "session_id") -> None:
    """Refuse what this server does not give out as the name of a session.

    Raises:
        ValueError: with a sentence.
    """
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9-]{1,64}", value):
        raise ValueError(f"{name} must be what the server has called a session, got {_shown(value)}; open one first.")


def check_file_name(value: Any, name: str = "file") -> None:
    """Refuse the name of an upload whose last part is no name, or has another ending than images and label maps have.

    MONAI Label's client sends the name with the folder where the file lies on its side, of which nothing is used.

    Raises:
        ValueError: with a sentence.
    """
    last = value.replace("\\", "/").rsplit("/", 1)[-1] if isinstance(value, str) else value
    _check(last, f"name of the upload {name!r}", last != "")
    if not suffix_of(last) or len(value.rsplit("/", 1)[-1].encode()) > LONGEST:
        raise ValueError(
            f"upload {name!r} must be named with one of the endings {', '.join(SUFFIXES)}, got {_shown(last)}; "
            "convert the file."
        )


def _check(value: Any, name: str, filled: bool) -> None:
    """Refuse what is empty, leads elsewhere, is hidden, cannot be printed or is too long for a file system."""
    good: list[Callable[[str], bool]] = [
        str.isprintable,
        lambda text: not re.search(r"[/\\:]|\.\.|^\.", text),
        lambda text: len(text.encode(errors="surrogatepass")) <= LONGEST,
    ]
    if not isinstance(value, str) or not filled or not all(rule(value) for rule in good):
        raise ValueError(
            f"{name} must be a plain name of at most {LONGEST} bytes, without separators, '..' and a dot in front, got "
            f"{_shown(value)}; choose another."
        )


def _shown(value: Any) -> str:
    """A value for a message, not longer than a line."""
    text = ascii(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
