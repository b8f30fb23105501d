# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The check that a network was fitted before it is used."""

from __future__ import annotations

import torch
from torch import Tensor

__all__: list[str] = []


def check_fitted(fitted: Tensor, name: str, method: str = "fit") -> None:
    """Refuse a network whose numbers are still missing; in TorchScript too.

    Export cannot branch on values: an exported program does not look.

    Args:
        fitted: whether it is, one element.
        name: what the caller knows it by.
        method: what to call.
    """
    if torch.jit.is_scripting() or not torch.compiler.is_compiling():  # noqa: SIM102
        if not bool(fitted):
            raise RuntimeError(f"{name} must be fitted before it is used; call {method}, or load fitted weights.")
