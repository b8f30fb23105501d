# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a command has done: for people the files, for machines one JSON object.

Tested by tests/predictions/test_folders.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Outcome"]


@dataclass(frozen=True)
class Outcome:
    """Files that were written, and what ``--json`` prints.

    Attributes:
        files: what was written.
        data: plain values; without numbers that are none.
        status: exit status of the program: 0, or 1 if what was asked is answered no.
    """

    files: Sequence[Path]
    data: Mapping[str, Any] = field(default_factory=dict)
    status: int = 0
