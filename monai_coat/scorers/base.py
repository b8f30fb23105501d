# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The base of all scorers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

__all__ = ["Scorer"]


class Scorer(nn.Module, ABC):
    """What adapts to an image: image and probability map in, one number per pixel and class out.

    A larger score means "include sooner"; the prediction set of a calibrated scorer is ``{score >= cutoff}``. A new
    scorer is one file with a subclass that says :meth:`forward`, and a row in this folder's table.
    """

    adapts: ClassVar[bool] = True
    """Whether a score depends on more of the image than its pixel: then the scorer must see the image whole."""

    @abstractmethod
    def forward(self, image: Tensor, probs: Tensor) -> Tensor:
        """Scores ``(B, C, *spatial)`` in float32.

        Args:
            image: images ``(B, channels, *spatial)``.
            probs: their probability maps ``(B, C, *spatial)`` in [0, 1].
        """

    @torch.jit.unused
    def calibrated_threshold(self, image: Tensor, probs: Tensor, cutoff: Tensor) -> Tensor | None:
        """Each image's threshold in its probability map, ``(B, C)``, at which ``{score >= cutoff}`` cuts it.

        None if the sets are no cuts of the map, as those of a scorer that moves pixels past each other.

        Args:
            image: images ``(B, channels, *spatial)``.
            probs: their probability maps.
            cutoff: calibrated cutoff per class, ``(C,)``.
        """
        return None
