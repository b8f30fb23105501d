# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The base of all risks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from monai_coat.calibration.statistics.base import Statistic
from monai_coat.calibration.statistics.maps import MapStatistic

__all__ = ["Risk"]


class Risk(ABC):
    """What one image loses at a cutoff, in [0, 1], monotone in the cutoff.

    A new risk is one file with a subclass that says :attr:`name`, :attr:`words` and :meth:`image_risk`, and a row in
    this folder's table. It is then calibrated from whole maps, exactly; one that can do with less says so in
    :meth:`statistic`.
    """

    name: ClassVar[str]
    """Name in artifacts, configs and commands."""
    rises: ClassVar[bool] = True
    """Whether the risk rises with the cutoff, as what is missed does; what is falsely included falls."""
    monotone: ClassVar[bool] = True
    """Whether the risk goes one way with the cutoff, which calibration by a sum of risks takes for granted."""
    joint: ClassVar[bool] = False
    """Whether there is one cutoff and one risk for all classes of an image together."""

    @property
    def key(self) -> str:
        """The name with whatever else tells this risk from others of its class."""
        return self.name

    @property
    @abstractmethod
    def words(self) -> str:
        """The risk of an image as a formula in words, caps included: what stands in the brackets of ``E[...]``."""

    @property
    def expected_words(self) -> str:
        """The risk's mean over new images in words: what stands before ``<=`` in a promise about it."""
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

    def statistic(self) -> Statistic:
        """An empty statistic that the risk can be calibrated from."""
        return MapStatistic(self)
