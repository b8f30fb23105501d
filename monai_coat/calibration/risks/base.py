# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The base of all risks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from monai_coat.calibration.statistics.base import Statistic
from monai_coat.calibration.statistics.exact import CoverageStatistic
from monai_coat.calibration.statistics.maps import MapStatistic
from monai_coat.calibration.statistics.shares import CriticalScores
from monai_coat.functional.checks import check_maps
from monai_coat.functional.foreground import plain

__all__ = ["Risk", "check_risk"]


class Risk(ABC):
    """What one image loses at a cutoff, in [0, 1], monotone in the cutoff.

    A new risk is one file with a subclass that says :attr:`name`, :attr:`words` and :meth:`image_risk`, and a row in
    this folder's table. It is then calibrated from whole maps, exactly; one that is a share of some scores names them
    in :meth:`critical_scores`, and can be collected in bins, too.
    """

    name: ClassVar[str]
    """Name in artifacts, configs and commands."""
    rises: ClassVar[bool] = True
    """Whether the risk rises with the cutoff, as what is missed does; what is falsely included falls."""
    monotone: ClassVar[bool] = True
    """Whether it only rises, or only falls, with the cutoff; what is not needs :class:`LearnThenTest`."""
    binary: ClassVar[bool] = False
    """Whether it is 0 or 1, nothing between."""
    of_places: ClassVar[bool] = True
    """Whether it says which pixels are rightly in the set, or out of it; a volume, or an empty image, says nothing."""
    joint: ClassVar[bool] = False
    """Whether there is one cutoff and one risk for all classes of an image together."""

    looks_at_shape: ClassVar[bool] = False
    """Whether it matters which voxels are neighbours, and not only how many there are."""

    @property
    def key(self) -> str:
        """The name with whatever else tells this risk from others of its class."""
        return self.name

    @property
    @abstractmethod
    def words(self) -> str:
        """The risk of an image as a formula in words, caps included: what stands in the brackets of ``E[...]``."""

    @property
    def phrase(self) -> str:
        """The risk in a sentence: what is "at most 0.1 on average", or of a risk that is 0 or 1 what happens."""
        return self.words

    @property
    def expected_words(self) -> str:
        """The mean of the risk over images, as a formula in words."""
        return f"E[{self.words}]"

    @property
    def counted(self) -> str:
        """Which images count, in words; the others are left out of the mean."""
        return "images with foreground"

    @property
    def left_out(self) -> str:
        """What the others lack, in words."""
        return "without foreground"

    @abstractmethod
    def image_risk(self, scores: Tensor, labels: Tensor, cutoff: float | Tensor) -> Tensor:
        """The risk of each image at a cutoff: the one definition that calibration, evaluation and tests share.

        Args:
            scores: score maps ``(B, C, *spatial)``, floating point.
            labels: reference masks of the same shape, bool or {0, 1}.
            cutoff: one number, or one per class ``(C,)``; a pixel is in the set where ``score >= cutoff``.

        Returns:
            Risks ``(B, C)``, or ``(B, 1)`` of a joint risk, in float64; NaN of an image that does not count. Each is a
            ratio of whole numbers of pixels.
        """

    def critical_scores(self, scores: Tensor, labels: Tensor) -> CriticalScores:
        """The numbers of each image of which its risk is the share below the cutoff, if it is such a share.

        Of a risk that falls as the cutoff rises they are negative scores v = -s, and the risk at cutoff c is the share
        of them with -v >= c.

        Args:
            scores: score maps ``(B, C, *spatial)``, floating point.
            labels: reference masks of the same shape, bool or {0, 1}.

        Returns:
            ``B * C`` one-dimensional tensors, class fastest, empty if an image does not count; and ``(B, C)``, or
            ``(B, 1)`` of a joint risk.

        Raises:
            TypeError: if the risk is no such share.
        """
        raise TypeError(
            f"risk must be a share of scores, which {self.key!r} is not; collect it by guarantee.statistic(), and not "
            "in bins."
        )

    def check_labels(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Refuse a batch that the risk is not of; returns its labels as they are kept, masks as bool.

        Raises:
            TypeError: if ``scores`` is not floating point.
            ValueError: if shapes differ, scores are not finite, or labels hold anything but 0 and 1.
        """
        return check_maps(plain(scores), plain(labels))

    @property
    def is_share(self) -> bool:
        """Whether it has :meth:`critical_scores`, which can be collected in bins and per patient."""
        return type(self).critical_scores is not Risk.critical_scores

    def statistic(self) -> Statistic:
        """An empty statistic that the risk can be calibrated from."""
        return CoverageStatistic(self) if self.is_share else MapStatistic(self)


def check_risk(risk: Any) -> None:
    """Refuse anything but a risk, such as its class.

    Raises:
        TypeError: if it is none.
    """
    if not isinstance(risk, Risk):
        name = risk.__name__ if isinstance(risk, type) else type(risk).__name__
        raise TypeError(f"risk must be a Risk such as FalseNegativeRate(), got {name}; make one, with brackets.")
