# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Errors by their cause: MONAI wraps what went wrong in a transform or a config in a RuntimeError that says where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["by_its_cause"]


@contextmanager
def by_its_cause() -> Iterator[None]:
    """Raise the ValueError or OSError at the bottom of an error, which has the sentence that a user needs.

    Example:
        >>> with by_its_cause():
        ...     try:
        ...         raise ValueError("image must be whole.")
        ...     except ValueError as error:
        ...         raise RuntimeError("applying transform") from error
        Traceback (most recent call last):
        ...
        ValueError: image must be whole.
    """
    try:
        yield
    except RuntimeError as error:
        reason: BaseException = error
        while reason.__cause__ is not None:
            reason = reason.__cause__
        if isinstance(reason, ValueError | OSError):
            raise reason from None
        raise
