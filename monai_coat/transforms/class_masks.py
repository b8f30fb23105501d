# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The masks of the foreground classes of a label map."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import get_track_meta
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends, convert_to_tensor
from torch import Tensor

__all__ = ["ClassMasks", "ClassMasksD", "ClassMasksDict", "ClassMasksd"]


class ClassMasks(Transform):
    """Masks ``label == value``, one channel per foreground class; metadata is kept.

    A value that is neither 0 nor one of the classes is refused: taken for background, it would be a part of the organ
    that nobody promised to find.

    Args:
        values: label of each class, distinct and not 0.

    Raises:
        ValueError: if ``values`` are not as described; when called, if the label has more than one channel or a value
            that is neither 0 nor one of these, or one of these is so large that the label's type
            merges it with its neighbour.

    Example:
        >>> ClassMasks((1, 2))(torch.tensor([[0, 2, 1, 2]]))
        metatensor([[0., 0., 1., 0.],
                [0., 1., 0., 1.]])
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012  the host's class attribute

    def __init__(self, values: Sequence[int]) -> None:
        if not values or len(set(values)) != len(values) or 0 in values:
            raise ValueError(f"values must be distinct labels other than 0, got {tuple(values)}; name each class once.")
        self.values = tuple(values)

    def __call__(self, label: NdarrayOrTensor) -> Tensor:
        """Masks ``(C, *spatial)``, 0 or 1 in float32, of a label map ``(1, *spatial)``."""
        labels: Tensor = convert_to_tensor(label, track_meta=get_track_meta())
        if labels.shape[0] != 1:
            raise ValueError(f"label must have one channel of class values, got {labels.shape[0]}; it may be masks.")
        largest = max(map(abs, self.values))
        if labels.is_floating_point() and largest >= 2 / torch.finfo(labels.dtype).eps:
            raise ValueError(
                f"values must be whole numbers that the label's type tells apart, got {largest} for {labels.dtype}"
                f"{_source(labels)}; give labels as integers, or number them anew, from 1 on."
            )
        known = torch.tensor([0, *self.values], dtype=labels.dtype, device=labels.device)
        unknown = labels[~torch.isin(labels, known)]
        if unknown.numel():
            raise ValueError(
                f"label must hold 0 and {', '.join(map(str, self.values))}, got {float(unknown.flatten()[0]):.9g}"
                f"{_source(labels)}; add it to values, or correct the label."
            )
        return torch.cat([(labels == value).float() for value in self.values])


def _source(label: Tensor) -> str:
    """The file that a label came from, in words, if it is known."""
    source = getattr(label, "meta", {}).get("filename_or_obj")
    return f" in {source}" if source else ""


class ClassMasksd(MapTransform):
    """Dictionary form of :class:`ClassMasks`.

    Args:
        keys: label maps.
        values: see :class:`ClassMasks`.
        allow_missing_keys: whether keys may be missing.
    """

    backend = ClassMasks.backend

    def __init__(self, keys: KeysCollection, values: Sequence[int], allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = ClassMasks(values)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each label map by its masks."""
        return {**data, **{key: self.transform(data[key]) for key in self.key_iterator(data)}}


ClassMasksD = ClassMasksDict = ClassMasksd
