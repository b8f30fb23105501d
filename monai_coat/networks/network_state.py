# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The state of a network: whether it is still what was calibrated.

Tested by tests/networks/test_adaptive_segmenter.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monai_coat.calibration.identity import identity_of, tensors_of
from monai_coat.calibration.module_settings import plain_settings
from monai_coat.calibration.settings import class_path, digest_of_settings

__all__ = ["NetworkState", "identity_bytes", "is_same_state", "state_of"]

NetworkState = tuple[Sequence[Tensor], tuple[object, ...]]
"""Tensors that matter, and what else may change."""


def state_of(network: nn.Module) -> NetworkState:
    """Something cheap that changes with every write to a weight and with every layer and setting."""
    tensors = [*(tensor for _, tensor in tensors_of(network)), *_calibration(network)]
    layers = [(path, class_path(module), plain_settings(module)) for path, module in network.named_modules()]
    return tensors, (*map(_version, tensors), repr(layers))


def is_same_state(state: NetworkState, other: NetworkState) -> bool:
    """Whether the very tensors are there, and nothing was written; kept tensors leave their ids to no others."""
    same = len(state[0]) == len(other[0]) and all(a is b for a, b in zip(state[0], other[0], strict=True))
    return same and state[1] == other[1]


def identity_bytes(network: nn.Module) -> Tensor:
    """A digest of the network and its calibration as ``(32,)`` bytes on the CPU."""
    digest = hashlib.sha256(bytes.fromhex(identity_of(network).digest))
    for name in ("calibrated_cutoff", "calibrated_alpha", "calibrated_n"):
        digest.update(getattr(network, name).cpu().numpy().tobytes())
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)


def _calibration(network: nn.Module) -> list[Tensor]:
    return [getattr(network, name) for name in getattr(type(network), "calibration_buffers", ())]


def _version(tensor: Tensor) -> object:
    """How often a tensor was written to; tensors made in inference mode do not count, so theirs is what they hold."""
    return digest_of_settings(tensor) if tensor.is_inference() else tensor._version
