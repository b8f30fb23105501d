# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Levels as they are typed.

Tested by tests/cli/test_main.py.
"""

from __future__ import annotations

import argparse

__all__ = ["level"]


def level(text: str) -> float:
    """The number of an option such as ``--alpha 0.1``.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"level must be a number, such as 0.1 for 10 %, got {text!r}.") from None
