# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Voxels that are left out: neither foreground nor background, because nobody knows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from monai_coat.calibration.risks.around import RiskOfAnother
from monai_coat.calibration.risks.base import Risk
from monai_coat.calibration.risks.false_negative import FalseNegativeRate
from monai_coat.calibration.risks.mean_over_raters import MeanOverRaters
from monai_coat.calibration.statistics.shares import CriticalScores
from monai_coat.functional.checks import check_finite, check_forms
from monai_coat.functional.foreground import at_least_float32, plain

__all__ = ["Ignoring"]

Found = TypeVar("Found")


@dataclass(frozen=True)
class Ignoring(RiskOfAnother):
    r"""Another risk of what is left of an image without the voxels of one label, of each class by itself.

    .. math:: L(s_V, Y \cap V, c), \qquad V = \{j : y_j \ne v\}

    Labels hold 0, 1 and the value v. Voxels of this value are neither foreground nor background, nor do they count in
    the size of a set, whatever their scores, which must be finite all the same. No lesion has one of them; what they
    part are two lesions. A class of which all voxels are ignored does not count. It goes the way of the other risk with
    the cutoff.

    Which voxels are ignored must not depend on the scores, or the promise is about others. Folders of predictions are
    read as masks without such voxels.

    Args:
        risk: the other risk.
        value: label of the voxels, a whole number other than 0 and 1, such as 255 or -1.

    Raises:
        TypeError: if ``risk`` is no risk, or ignores a value or is a mean over raters itself, or ``value`` is no
            number.
        ValueError: if ``value`` is 0 or 1, or not whole.

    Example:
        >>> scores, labels = torch.tensor([[[0.2, 0.4, 0.7, 0.9]]]), torch.tensor([[[1, 255, 1, 0]]])
        >>> Ignoring(FalseNegativeRate()).image_risk(scores, labels, 0.5)
        tensor([[0.5000]], dtype=torch.float64)
    """

    name: ClassVar[str] = "ignoring"
    risk: Risk = field(default_factory=FalseNegativeRate)
    value: int = 255

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.risk, Ignoring | MeanOverRaters):
            raise TypeError(
                f"risk must be that of one mask without ignored voxels, got {self.risk.key!r}; write "
                "mean_over_raters(ignoring(...)), and one value."
            )
        if isinstance(self.value, bool) or not isinstance(self.value, Real):
            raise TypeError(f"value must be a whole number, got {type(self.value).__name__}; give a label such as 255.")
        if self.value in (0, 1) or not float(self.value).is_integer():
            raise ValueError(f"value must be a whole number other than 0 and 1, got {self.value}; these are the mask.")
        object.__setattr__(self, "value", int(self.value))

    @property
    def key(self) -> str:
        """The name with the other risk's key and the value."""
        return f"{self.name}({self.risk.key}, {self.value})"

    @property
    def words(self) -> str:
        """The other risk, and what is left out of it."""
        words, end = (self.risk.words[:-1], "}") if self.binary else (self.risk.words, "")
        return f"{words}, voxels of {self.value} left out{end}"

    @property
    def expected_words(self) -> str:
        """A mean or a probability."""
        expected = self.risk.expected_words
        return f"{expected[:-1]}, voxels of {self.value} left out{expected[-1]}"

    @property
    def phrase(self) -> str:
        """In a sentence."""
        return f"{self.risk.phrase.rstrip(',')}, voxels of {self.value} left out" + ("" if self.binary else ",")

    @property
    def binary(self) -> bool:  # type: ignore[override]
        """As of the other risk."""
        return self.risk.binary

    @property
    def is_share(self) -> bool:
        """As of the other risk."""
        return self.risk.is_share

    def image_risk(self, scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
        """Risks of what is left ``(B, C)``, or ``(B, 1)`` of a joint risk; see :meth:`Risk.image_risk`."""
        parts = self._parts(scores, labels)
        if self._in_place:
            return self.risk.image_risk(*_in_place(*parts), cutoff)
        cutoffs = torch.as_tensor(cutoff, dtype=torch.float64).expand(scores.shape[:2]).flatten().tolist()
        nothing = torch.full((1, 1), math.nan, dtype=torch.float64, device=scores.device)
        found = _each(*parts, lambda s, y, place: self.risk.image_risk(s, y, cutoffs[place]), nothing)
        return torch.cat(found).reshape(scores.shape[:2])

    def critical_scores(self, scores: Tensor, labels: Tensor) -> CriticalScores:
        """Those of the other risk among the voxels that are left; see :meth:`Risk.critical_scores`."""
        if not self.is_share:
            return super().critical_scores(scores, labels)
        parts = self._parts(scores, labels)
        if self._in_place:
            return self.risk.critical_scores(*_in_place(*parts))
        nothing = parts[0].new_empty(0)
        found = _each(*parts, lambda s, y, _: self.risk.critical_scores(s, y)[0][0], nothing)
        return tuple(found), (scores.shape[0], scores.shape[1])

    def check_labels(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The labels as they are, checked; see :meth:`Risk.check_labels`."""
        self._parts(scores, labels)
        return plain(labels)

    @property
    def _in_place(self) -> bool:
        """Whether voxels are blotted out and not taken out, where each has its place or classes belong together."""
        return self.looks_at_shape or self.joint

    def _parts(self, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores, foreground, and which voxels are left, each ``(B, C, *spatial)``.

        Raises:
            TypeError: if ``scores`` is not floating point.
            ValueError: if shapes differ, scores are not finite, or labels hold anything but 0, 1 and the value.
        """
        scores, labels = plain(scores), plain(labels)
        check_forms(scores, labels)
        check_finite(scores)
        kept, masks = labels != self.value, labels == 1
        other = kept & ~masks & (labels != 0)
        if bool(other.any()):
            raise ValueError(
                f"labels must hold only 0, 1 and {self.value}, got {float(labels[other][0]):.9g}; one-hot encode class "
                "maps first, with the ignored voxels in every channel."
            )
        return at_least_float32(scores), masks, kept


def _in_place(scores: Tensor, masks: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Maps in which the other voxels are background that no set holds."""
    return torch.where(kept, scores, torch.finfo(torch.float32).min), masks & kept


def _each(
    scores: Tensor, masks: Tensor, kept: Tensor, of_one: Callable[[Tensor, Tensor, int], Found], nothing: Found
) -> list[Found]:
    """What is found for each image and class, class fastest, in maps ``(1, 1, voxels)`` of the voxels that are left."""
    found = []
    rows = zip(*(part.flatten(0, 1) for part in (scores, masks, kept)), strict=True)
    for place, (row, mask, inside) in enumerate(rows):
        left = row[inside][None, None], mask[inside][None, None]
        found.append(of_one(*left, place) if left[0].numel() else nothing)
    return found
