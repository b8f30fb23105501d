# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The module for export: a calibrated network whose output is the mask."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from monai_coat.networks.adaptive_segmenter import AdaptiveSegmenter
from monai_coat.networks.unwrapping import unwrap_adaptive_segmenter

__all__ = ["CalibratedMask"]


class CalibratedMask(nn.Module):
    """The prediction set ``score >= cutoff`` as the network's output, with the cutoff inside.

    An exported :class:`~monai_coat.networks.AdaptiveSegmenter` gives scores, and leaves the cut to who reads the file.
    This module gives the mask itself: TorchScript, ``torch.export`` and ONNX files of it need no Python of this
    package. It holds a copy of the network as it was calibrated, and stays in evaluation mode. The mask is uint8, which
    every runtime and viewer takes; several have no bool. A file cannot refuse scores that
    are NaN or infinite: they are inside.

    Args:
        network: a calibrated network, bare or wrapped.

    Raises:
        TypeError: if it is no :class:`~monai_coat.networks.AdaptiveSegmenter`.
        RuntimeError: if it is not calibrated, see :meth:`AdaptiveSegmenter.require_calibration`.

    Example:
        >>> network = AdaptiveSegmenter(nn.Conv2d(3, 1, 1)).eval()
        >>> network.set_calibration((0.5,), alpha=0.1, n=(99,))
        >>> image = torch.rand(2, 3, 8, 8)
        >>> bool((CalibratedMask(network)(image).bool() == network.prediction_set(image)).all())
        True
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        calibrated = unwrap_adaptive_segmenter(network)
        calibrated.eval().require_calibration()
        self.network: AdaptiveSegmenter = copy.deepcopy(calibrated)
        self.eval()

    def train(self, mode: bool = True) -> CalibratedMask:
        """Nothing: the mode stays evaluation."""
        return super().train(False)

    def forward(self, image: Tensor) -> Tensor:
        """Mask ``(B, C, *spatial)``, uint8 in {0, 1}, of images ``(B, channels, *spatial)``."""
        scores: Tensor = self.network(image)
        cutoff = self.network.calibrated_cutoff.reshape([1, -1] + [1] * (scores.dim() - 2))
        outside = (scores < cutoff) & (scores >= -3.4028234663852886e38)  # the lowest finite; neither is true of NaN
        return (~outside).to(torch.uint8)
