# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The ideal threshold of an image as a transform."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends, convert_to_tensor
from torch import Tensor

from monai_coat.functional import exact_level, ideal_threshold

__all__ = ["IdealThreshold", "IdealThresholdD", "IdealThresholdDict", "IdealThresholdd"]


class IdealThreshold(Transform):
    """Largest threshold with coverage of at least ``1 - alpha``, per channel; NaN without foreground.

    Args:
        alpha: tolerated false negative rate, in (0, 1).

    Example:
        >>> import torch
        >>> IdealThreshold(alpha=0.5)(torch.tensor([[0.25, 0.75]]), torch.ones(1, 2))
        tensor([0.7500])
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012  the host's class attribute

    def __init__(self, alpha: float) -> None:
        exact_level(alpha)
        self.alpha = float(alpha)

    def __call__(self, probs: NdarrayOrTensor, label: NdarrayOrTensor) -> Tensor:  # type: ignore[override]
        """Thresholds ``(C,)`` of a probability map and a mask, both ``(C, *spatial)``."""
        maps, masks = (convert_to_tensor(x, track_meta=False) for x in (probs, label))
        return ideal_threshold(maps[None], masks[None], self.alpha)[0]


class IdealThresholdd(MapTransform):
    """Dictionary form of :class:`IdealThreshold`; writes ``<key>_ideal_threshold`` beside each key.

    Args:
        keys: probability maps.
        alpha: see :class:`IdealThreshold`.
        label_key: the mask.
        allow_missing_keys: whether keys may be missing.
    """

    backend = IdealThreshold.backend

    def __init__(
        self, keys: KeysCollection, alpha: float, label_key: str = "label", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_key = label_key
        self.transform = IdealThreshold(alpha)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the ideal thresholds."""
        label = data[self.label_key]
        found: dict[Hashable, Any] = {
            f"{key!s}_ideal_threshold": self.transform(data[key], label) for key in self.key_iterator(data)
        }
        return {**data, **found}


IdealThresholdD = IdealThresholdDict = IdealThresholdd
