# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The mean over raters: what an image loses where several people have marked it and do not agree."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor

from monai_coat.calibration.risks.around import RiskOfAnother
from monai_coat.calibration.risks.base import Risk
from monai_coat.calibration.risks.false_negative import FalseNegativeRate
from monai_coat.calibration.statistics.raters import RatersStatistic, masks_of_raters

__all__ = ["MeanOverRaters", "rater_risks"]


@dataclass(frozen=True)
class MeanOverRaters(RiskOfAnother):
    r"""The mean of another risk over the raters of an image, of each class by itself.

    .. math:: L(c) = \frac{1}{|R|} \sum_{r \in R} L_r(c)

    :math:`L_r` is the other risk with rater r's mask as the reference. Labels are ``(B, R, C, *spatial)``; those of the
    scores' shape are of a single rater. A rater whose mask does not count for a class, such as one who marked nothing
    of it, is not in that class's mean, and an image of which none counts is left out. Numbers of raters may differ from
    batch to batch. It goes the way of the other risk with the cutoff.

    An image weighs 1, however many raters it has: its masks are no images of their own. The mean is that over a rater
    drawn at random, and says nothing of the rater whom the set suits worst, for whom there is :func:`rater_risks`.

    Args:
        risk: the other risk, a share of scores.

    Raises:
        TypeError: if ``risk`` is no risk, or no share of scores, such as that of the worst class.

    Example:
        >>> scores = torch.tensor([[[0.2, 0.4, 0.7, 0.9]]])
        >>> labels = torch.tensor([[[[1, 1, 1, 1]], [[0, 0, 1, 1]], [[0, 0, 0, 0]]]])
        >>> MeanOverRaters(FalseNegativeRate()).image_risk(scores, labels, 0.5)
        tensor([[0.2500]], dtype=torch.float64)
    """

    name: ClassVar[str] = "mean_over_raters"
    risk: Risk = field(default_factory=FalseNegativeRate)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.risk.is_share:
            raise TypeError(
                f"risk must be a share of scores to have a mean over raters, got {self.risk.key!r}; take one such as "
                "false_negative_rate."
            )

    @property
    def key(self) -> str:
        """The name with the other risk's key."""
        return f"{self.name}({self.risk.key})"

    @property
    def words(self) -> str:
        """A mean."""
        return f"mean over raters of {self.risk.words}"

    @property
    def phrase(self) -> str:
        """In a sentence."""
        of_raters = (
            "the share of an image's raters by whom" if self.risk.binary else "the mean over an image's raters of"
        )
        return f"{of_raters} {self.risk.phrase}"

    @property
    def counted(self) -> str:
        """Images that count by one rater at least."""
        return self._by("any rater", self.risk.counted)

    @property
    def left_out(self) -> str:
        """Images that do not count by any."""
        return self._by("every rater", self.risk.left_out)

    def _by(self, raters: str, words: str) -> str:
        return words if self.risk.counted == "images" else f"{words} by {raters}"

    def image_risk(self, scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
        """Means over raters ``(B, C)``, rounded once; see :meth:`Risk.image_risk`.

        Args:
            scores: score maps ``(B, C, *spatial)``.
            labels: reference masks of R raters ``(B, R, C, *spatial)``, or of one ``(B, C, *spatial)``.
            cutoff: one number, or one per class ``(C,)``.
        """
        risks, pixels = rater_risks(self.risk, scores, labels, cutoff), scores[0].numel()
        means = [_mean(row, pixels) for row in risks.movedim(1, 2).flatten(0, 1).tolist()]
        return torch.tensor(means, dtype=torch.float64, device=risks.device).reshape(len(risks), -1)

    def statistic(self) -> RatersStatistic:
        """Critical scores of every mask, the masks of an image together."""
        return RatersStatistic(self.risk, self.key)


def rater_risks(risk: Risk, scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
    """The risk of each image by each of its raters: its largest is that of the rater whom the set suits worst.

    Args:
        risk: any risk; of a :class:`MeanOverRaters` it is what the mean is of.
        scores: score maps ``(B, C, *spatial)``.
        labels: reference masks of R raters ``(B, R, C, *spatial)``, or of one ``(B, C, *spatial)``.
        cutoff: one number, or one per class ``(C,)``.

    Returns:
        Risks ``(B, R, C)``, or ``(B, R, 1)`` of a joint risk, in float64; NaN where a rater's mask does not count.

    Raises:
        ValueError: if labels are of another shape.

    Example:
        >>> labels = torch.tensor([[[[1, 1, 1, 1]], [[0, 0, 1, 1]]]])
        >>> rater_risks(FalseNegativeRate(), torch.tensor([[[0.2, 0.4, 0.7, 0.9]]]), labels, 0.5).flatten()
        tensor([0.5000, 0.0000], dtype=torch.float64)
    """
    inner = risk.risk if isinstance(risk, MeanOverRaters) else risk
    raters = masks_of_raters(scores, labels).unbind(1)
    return torch.stack([inner.image_risk(scores, masks, cutoff) for masks in raters], 1)


def _mean(risks: list[float], pixels: int) -> float:
    """The mean of ratios of numbers of pixels, rounded once, so that the order of raters is no matter."""
    ratios = [Fraction(risk).limit_denominator(pixels) for risk in risks if not math.isnan(risk)]
    return float(sum(ratios, Fraction(0)) / len(ratios)) if ratios else math.nan
