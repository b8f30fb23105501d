# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Files of weights that others trained: read without running code, refused where they do not fit.

Tested by tests/networks/segmenters/test_residual_encoder.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

__all__ = ["check_entries", "read_entries"]


def read_entries(path: Path) -> dict[str, Any]:
    """Entries of a file by name; a leading ``module.`` or ``state_dict`` is looked through.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no weights.
    """
    if not path.is_file():
        raise FileNotFoundError(f"path must name a file of weights, got {path}; correct the path.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        return {name.removeprefix("module."): value for name, value in state.items()}
    except Exception as error:
        raise ValueError(f"path must name a file of weights, got {path}, which is none ({error}).") from None


def check_entries(wrong: Sequence[str], path: Path, remedy: str) -> None:
    """Refuse a file by entries that an encoder has not, or has in another shape.

    Raises:
        ValueError: if there are any.
    """
    if wrong:
        raise ValueError(
            f"path must name weights of this encoder, got {path}, where {len(wrong)} entries are absent, unknown or of "
            f"another shape, such as {', '.join(map(repr, wrong[:3]))}; {remedy}."
        )
