# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Groups of images that a promise is made for, each by itself: by metadata, or by how much is marked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from torch import Tensor

__all__ = ["Grouping", "MetadataKey", "SizeStrata", "as_grouping", "text_of", "value_of"]


class Grouping(Protocol):
    """From an image to the name of its group, without its reference mask."""

    @property
    def key(self) -> str:
        """The grouping in words that make it again, see :func:`as_grouping`."""

    def group_of(self, scores: Tensor, meta: Mapping[str, Any] | None) -> str:
        """The group of an image, given its score map ``(C, *spatial)`` and its metadata."""


@dataclass(frozen=True)
class MetadataKey:
    """The value of a metadata entry, such as the site or the device.

    Example:
        >>> import torch
        >>> MetadataKey("site").group_of(torch.rand(1, 4, 4), {"site": "north"})
        'north'
    """

    key: str

    def group_of(self, scores: Tensor, meta: Mapping[str, Any] | None) -> str:
        """The value as text; see :meth:`value`."""
        return self.value(meta)

    def value(self, meta: Mapping[str, Any] | None) -> str:
        """The value as text, which no score is needed for.

        Raises:
            ValueError: if the image has no such entry.
        """
        return text_of(value_of(meta, self.key))


@dataclass(frozen=True)
class SizeStrata:
    """How much of an image has a score of at least a level: what is predicted to be small, middling or large.

    No mask is needed, so the group of a new image is known before its set is.

    Args:
        edges: shares of the image between one stratum and the next, ascending in (0, 1).
        level: score, such as 0.5 of probabilities or 0 of margins.

    Raises:
        ValueError: if edges do not ascend within (0, 1), or the level is not finite.

    Example:
        >>> import torch
        >>> SizeStrata((0.1, 0.5)).group_of(torch.tensor([[0.9, 0.2, 0.1, 0.1]]), None)
        'from 0.1 to 0.5'
    """

    edges: tuple[float, ...]
    level: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", tuple(float(edge) for edge in self.edges))
        bounds = (0.0, *self.edges, 1.0)
        if not self.edges or not all(low < high for low, high in pairwise(bounds)):
            raise ValueError(f"edges must ascend within (0, 1), got {self.edges}; such as (0.01, 0.1).")
        if not math.isfinite(self.level):
            raise ValueError(f"level must be a finite score, got {self.level}; such as 0.5 of probabilities.")

    @property
    def key(self) -> str:
        """``size(level, edge, ...)``."""
        return f"size({', '.join(map(repr, (float(self.level), *self.edges)))})"

    def group_of(self, scores: Tensor, meta: Mapping[str, Any] | None) -> str:
        """The stratum of the share of pixels with a score of at least the level, in any class."""
        share = float((scores >= self.level).any(0).double().mean())
        bounds = (0.0, *self.edges, 1.0)
        index = sum(share >= edge for edge in self.edges)
        return f"from {_short(bounds[index])} to {_short(bounds[index + 1])}"


def _short(edge: float) -> str:
    """An edge with as few digits as tell it from all others."""
    return f"{edge:g}" if float(f"{edge:g}") == edge else repr(edge)


def as_grouping(key: str | Grouping) -> Grouping:
    """The grouping that a key stands for: ``size(0.5, 0.01, 0.1)`` for strata, any other text for metadata.

    Raises:
        ValueError: if a text that begins as strata do is none.

    Example:
        >>> as_grouping("size(0.5, 0.01, 0.1)"), as_grouping("site")
        (SizeStrata(edges=(0.01, 0.1), level=0.5), MetadataKey(key='site'))
    """
    if not isinstance(key, str):
        return key
    if not key.startswith("size("):
        return MetadataKey(key)
    try:
        level, *edges = (float(text) for text in key.removeprefix("size(").split(")")[0].split(","))
        if not key.endswith(")") or key.count(")") > 1:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"key must be a name or size(level, edge, ...), got {key!r}; such as size(0.5, 0.1)."
        ) from None
    return SizeStrata(tuple(edges), level)


MISSING = ("na", "n/a", "nan", "none", "null", "<na>")
"""How programs write that there is no value."""


def text_of(value: Any) -> str:
    """A value as text; 4 and 4.0, which loaders make of it, are one.

    Example:
        >>> text_of(4.0), text_of("04"), text_of(0.5)
        ('4', '04', '0.5')
    """
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def value_of(meta: Mapping[str, Any] | None, key: str) -> Any:
    """An entry of an image's metadata.

    Raises:
        ValueError: if it is not there, or empty.
    """
    value = None if meta is None else meta.get(key)
    value = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
    if isinstance(value, str) and value.strip().lower() in MISSING:
        raise ValueError(f"metadata must say {key!r} of every image, got {value!r}; write a name that means something.")
    if value is None or value == "" or value != value:  # noqa: PLR0124  NaN is no value
        known = "none" if not meta else ", ".join(sorted(map(str, meta)))[:200]
        if meta and key in meta:
            raise ValueError(f"metadata must say {key!r} of every image, got {value!r} of one; fill it in.")
        raise ValueError(
            f"metadata must say {key!r} of every image, got {known}; add it to the table or to the data list."
        )
    return value
