# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The fingerprint of a network: what a calibration belongs to."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

__all__ = ["fingerprint"]


def fingerprint(network: nn.Module, exclude: str = "calibrated") -> str:
    """SHA-256 of a network's parameters and buffers: names, types, shapes and bytes.

    Args:
        network: any module; where it runs and whether it is in training mode play no part.
        exclude: entries whose last name begins so are left out: a network's own calibration is not part of what was
            calibrated.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> a, b = nn.Linear(2, 1), nn.Linear(2, 1)
        >>> fingerprint(a) == fingerprint(b), fingerprint(a) == fingerprint(a)
        (False, True)
    """
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        if name.rpartition(".")[2].startswith(exclude):
            continue
        array = value.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
