# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Exceeding a tolerance: whether an image is one of those that go wrong."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor

from monai_coat.calibration.risks.around import RiskOfAnother
from monai_coat.calibration.risks.base import Risk
from monai_coat.functional import exact_share, float32_below
from monai_coat.functional.foreground import plain
from monai_coat.functional.ranks import NEVER

__all__ = ["Exceeds"]


@dataclass(frozen=True)
class Exceeds(RiskOfAnother):
    r"""Whether another risk of the image is above a tolerance: 1 if it is, 0 if not.

    .. math:: 1\{L(c) > t\}

    Its mean over new images is the probability of such an image, so that the expected risk of
    ``Exceeds(FalseNegativeRate(), 0.2)`` at most 0.1 reads: of at most one image in ten, more than a fifth is missed.
    It goes the way of the other risk with the cutoff, and counts the same images. A risk equal to the tolerance does
    not exceed it.

    Args:
        risk: the other risk.
        tolerance: in [0, 1), read as the decimal that it prints as.

    Raises:
        TypeError: if ``risk`` is no risk, or ``tolerance`` no number.
        ValueError: if ``tolerance`` is outside [0, 1).

    Example:
        >>> from monai_coat.calibration import FalseNegativeRate
        >>> risk = Exceeds(FalseNegativeRate(), 0.2)
        >>> risk.image_risk(torch.tensor([[[0.2, 0.7, 0.9]]]), torch.tensor([[[0, 1, 1]]]), 0.8)
        tensor([[1.]], dtype=torch.float64)
        >>> risk.expected_words
        'P(FNR > 0.2)'
    """

    name: ClassVar[str] = "exceeds"
    binary: ClassVar[bool] = True
    risk: Risk
    tolerance: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if exact_share(self.tolerance, "tolerance") == 1:
            raise ValueError("tolerance must be in [0, 1), got 1; no risk exceeds 1, give a smaller one.")

    @property
    def key(self) -> str:
        """The name with the other risk's key and the tolerance."""
        return f"{self.name}({self.risk.key}, {float(self.tolerance)})"

    @property
    def phrase(self) -> str:
        """In a sentence."""
        return f"{self.risk.phrase} is more than {float(self.tolerance):g}"

    @property
    def words(self) -> str:
        """An indicator."""
        return f"1{{{self.risk.words} > {float(self.tolerance)}}}"

    @property
    def expected_words(self) -> str:
        """A probability."""
        return f"P({self.risk.words} > {float(self.tolerance)})"

    @property
    def is_share(self) -> bool:
        """Whether it has a critical score: that of any risk that goes one way with the cutoff."""
        return self.monotone

    def image_risk(self, scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
        """1 or 0, ``(B, C)`` or ``(B, 1)``; see :meth:`Risk.image_risk`."""
        risks = self.risk.image_risk(scores, labels, cutoff)
        most, tolerance = scores[0].numel(), exact_share(self.tolerance)
        flags = [math.nan if math.isnan(r) else float(_ratio(r, most) > tolerance) for r in risks.flatten().tolist()]
        return torch.tensor(flags, dtype=torch.float64, device=risks.device).reshape(risks.shape)

    def critical_scores(self, scores: Tensor, labels: Tensor) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        r"""One number for each image and class: the largest cutoff that keeps the tolerance.

        Of m critical scores of the other risk it is the one of rank :math:`\lfloor t\,m \rfloor + 1` from below, for
        above the tolerance are more than :math:`t\,m` of them. Of another kind of risk it is found by bisection.

        Returns:
            ``B * C`` tensors of one number, class fastest, empty of an image that does not count, and ``(B, C)``; of
            a joint risk ``B`` tensors and ``(B, 1)``. The risk is 1 at cutoffs above the number. Of a risk that falls,
            numbers are of negated scores, and the risk is 1 at cutoffs up to minus the number.

        Raises:
            TypeError: if the other risk does not go one way with the cutoff.
        """
        if not self.monotone:
            raise TypeError(
                f"risk must go one way with the cutoff to have a critical score, got {self.risk.key!r}; "
                "use image_risk, at the cutoffs of interest."
            )
        if not self.risk.is_share:
            return self._by_bisection(scores, labels)
        values, shape = self.risk.critical_scores(scores, labels)
        return tuple(_of_rank(v, exact_share(self.tolerance)) for v in values), shape

    def _by_bisection(self, scores: Tensor, labels: Tensor) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        """Critical scores by the definition alone: an image's risk changes at its scores only."""
        defined = ~self.image_risk(scores, labels, 0.0).isnan()
        rows = float32_below(plain(scores).detach())
        found = []
        for index, images in enumerate(rows.reshape(len(scores), -1)):
            image = scores[index : index + 1], labels[index : index + 1]
            cutoffs = torch.cat([images.unique(), images.new_tensor([NEVER])]).tolist()
            for column, is_counted in enumerate(defined[index].tolist()):
                numbers = [_critical_score(self, image, column, cutoffs)] if is_counted else []
                found.append(rows.new_tensor(numbers))
        return tuple(found), (defined.shape[0], defined.shape[1])


def _ratio(risk: float, pixels: int) -> Fraction:
    """The ratio of whole numbers of pixels that a float stands for; of a risk that is none, the decimal."""
    ratio = Fraction(risk).limit_denominator(pixels)
    return ratio if float(ratio) == risk else Fraction(str(risk))


def _of_rank(values: Tensor, tolerance: Fraction) -> Tensor:
    """The first of the ascending critical scores whose loss exceeds the tolerance; there is one, for it is below 1."""
    if not values.numel():
        return values
    return values.kthvalue(math.floor(tolerance * values.numel()) + 1).values.reshape(1)


def _critical_score(risk: Risk, image: tuple[Tensor, Tensor], column: int, cutoffs: Sequence[float]) -> float:
    """The critical score of an indicator, given an image's scores in ascending order, and a number above them."""

    def is_lost(cutoff: float) -> bool:
        return bool(risk.image_risk(*image, cutoff)[0, column])

    if risk.rises:
        kept = bisect_left(cutoffs, True, key=is_lost)
        return cutoffs[kept - 1] if kept else -NEVER
    falling = cutoffs[::-1]
    kept = bisect_left(falling, True, key=is_lost)
    return -falling[kept] if kept < len(falling) else NEVER
