# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The checks of arguments and their wording: argument, requirement, value received, remedy."""

from __future__ import annotations

import math
from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "check_alpha",
    "check_count",
    "check_delta",
    "check_finite",
    "check_forms",
    "check_labels",
    "check_maps",
    "check_scores",
    "check_temperature",
]


def check_alpha(alpha: float) -> float:
    """Return ``alpha`` as a Python float, or say why it is no level."""
    if isinstance(alpha, bool) or not isinstance(alpha, Real):
        shown = repr(alpha)[:40]
        raise TypeError(f"alpha must be a number in (0, 1), got {type(alpha).__name__} {shown}; give 0.1 for 10 %.")
    if not 0.0 < float(alpha) < 1.0:
        raise ValueError(
            f"alpha must be in (0, 1), got {float(alpha)}; it is the tolerated mean false negative rate, 0.1 for 10 %."
        )
    return float(alpha)


def check_delta(delta: float, name: str = "delta") -> float:
    """Return a probability ``delta`` as a Python float, or say why it is none that could be tolerated or asked for."""
    if isinstance(delta, bool) or not isinstance(delta, Real):
        raise TypeError(f"{name} must be a number in (0, 1), got {type(delta).__name__}; give 0.1 for 10 %.")
    if not 0.0 < float(delta) < 1.0:
        raise ValueError(f"{name} must be in (0, 1), got {float(delta)}; it is a probability, 0.1 for 10 %.")
    return float(delta)


def check_count(count: int, name: str = "n", least: int = 1) -> int:
    """Return ``count`` as a Python int, or say why nothing can have this number."""
    if isinstance(count, bool) or not isinstance(count, Integral):
        raise TypeError(f"{name} must be a whole number, got {type(count).__name__} {count!r:.40}; count them.")
    if count < least:
        raise ValueError(f"{name} must be at least {least}, got {count}; count them.")
    return int(count)


def check_temperature(temperature: float, name: str = "temperature") -> float:
    """Return ``temperature`` as a Python float, or say why nothing can be divided by it."""
    if isinstance(temperature, bool) or not isinstance(temperature, Real):
        raise TypeError(f"{name} must be a positive number, got {type(temperature).__name__}.")
    if not 0.0 < float(temperature) < math.inf:
        raise ValueError(
            f"{name} must be positive and finite, got {float(temperature)}; it is a divisor, small is sharp."
        )
    return float(temperature)


def check_maps(scores: Tensor, labels: Tensor) -> Tensor:
    """Require finite floating scores and {0, 1} labels of one shape ``(B, C, *spatial)``; return labels as bool."""
    check_forms(scores, labels)
    check_finite(scores)
    return check_labels(labels)


def check_scores(scores: Tensor, name: str = "scores") -> None:
    """Require a batch ``(B, C, *spatial)`` of finite floating point scores."""
    _check_form(scores, name)
    check_finite(scores, name)


def check_forms(scores: Tensor, labels: Tensor) -> None:
    """Require a batch ``(B, C, *spatial)`` of floating point scores and labels of its shape; no value is read."""
    _check_form(scores, "scores")
    if not isinstance(labels, Tensor):
        raise TypeError(f"labels must be a torch.Tensor, got {type(labels).__name__}.")
    if scores.shape != labels.shape:
        raise ValueError(
            f"scores and labels must have the same shape (B, C, *spatial), got {tuple(scores.shape)} and "
            f"{tuple(labels.shape)}; one-hot encode label maps, one channel per class."
        )


def _check_form(scores: Tensor, name: str) -> None:
    if not isinstance(scores, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(scores).__name__}.")
    if not scores.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {scores.dtype}; pass probabilities or margins, not masks.")
    if scores.dim() < 3:
        raise ValueError(f"{name} must have shape (B, C, *spatial), got {tuple(scores.shape)}; add the missing axes.")
    if 0 in scores.shape[:2]:
        raise ValueError(f"{name} must have at least one image and one class, got shape {tuple(scores.shape)}.")


def check_finite(scores: Tensor, name: str = "scores") -> None:
    """Require that no score is NaN or infinite."""
    # A finite sum has finite terms; only an infinite one, which large finite terms also give, is worth a second look.
    if not math.isfinite(float(scores.detach().sum())) and not bool(torch.isfinite(scores).all()):
        raise ValueError(f"{name} must be finite, got NaN or infinity; look at the network's output for this batch.")


def check_labels(labels: Tensor) -> Tensor:
    """Require reference masks that hold nothing but 0 and 1, and return them as bool."""
    if labels.dtype == torch.bool:
        return labels.detach()
    mask = _binary(labels.detach())
    if mask is None:
        values = labels.detach().double()
        other = float(values[(values != 0) & (values != 1)][0])
        raise ValueError(
            f"labels must hold only 0 and 1, got {other:.9g}; "
            "binarise masks (0/255 images too) and one-hot encode class maps first."
        )
    return mask


def _binary(labels: Tensor) -> Tensor | None:
    """Labels as bool, or None if any is neither 0 nor 1; by NumPy on a CPU, where torch takes ten times as long."""
    if labels.device.type != "cpu" or labels.dtype == torch.bfloat16:
        mask = labels != 0
        return mask if torch.equal(mask, labels == 1) else None
    array = labels.numpy()
    nonzero = array != 0
    return torch.from_numpy(nonzero) if np.array_equal(nonzero, array == 1) else None
