# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""An inferer that runs the segmenter window by window if need be, and the scorer on the whole image."""

from __future__ import annotations

from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SimpleInferer
from torch import Tensor, nn

from monai_coat.networks import unwrap_adaptive_segmenter

__all__ = ["AdaptiveInferer"]


class AdaptiveInferer(Inferer):
    """Run the segmenter by another inferer and the scorer on the whole image.

    Scores of a calibrated network carry each image's calibrated threshold in ``meta["calibrated_threshold"]``,
    shape ``(B, C)``, if images are MetaTensors.

    Args:
        inferer: how the segmenter is run, such as MONAI's ``SlidingWindowInferer``; by default in one piece.
        append_probs: whether the probabilities are given too, as further channels ``(B, 2 C, *spatial)``: of one pass,
            to be brought back to the image's own space and saved together.

    Raises:
        TypeError: when called with a network that is not an :class:`~monai_coat.networks.AdaptiveSegmenter`.

    Example:
        >>> from monai.inferers import SlidingWindowInferer
        >>> from monai_coat.networks import AdaptiveSegmenter
        >>> network = AdaptiveSegmenter(nn.Conv2d(3, 1, 1))
        >>> AdaptiveInferer(SlidingWindowInferer(roi_size=(8, 8)))(torch.rand(1, 3, 20, 20), network).shape
        torch.Size([1, 1, 20, 20])
    """

    def __init__(self, inferer: Inferer | None = None, append_probs: bool = False) -> None:
        super().__init__()
        self.inferer = inferer or SimpleInferer()
        self.append_probs = append_probs

    def __call__(  # type: ignore[override]
        self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Scores ``(B, C, *spatial)`` of images ``(B, channels, *spatial)``; see ``append_probs``."""
        network = unwrap_adaptive_segmenter(network)
        device = network.calibrated_cutoff.device
        with torch.autocast(device.type, enabled=False):
            probs = network.activate(self.inferer(inputs.float(), network.segment, *args, **kwargs), inputs)
            # A sliding window may keep image and map of a volume on another device than the network's.
            image, maps = inputs.float().to(device), probs.to(device)
            scores: Tensor = network.scorer(image, maps).to(probs.device)
            if self.append_probs:
                scores = torch.cat([scores, probs], 1)
        if isinstance(scores, MetaTensor) and bool(network.calibrated):
            thresholds = network.thresholds_or_none(image, maps)
            if thresholds is not None:
                # A dictionary of its own: a batch shares the images' with everything made from them.
                scores.meta = {**scores.meta, "calibrated_threshold": thresholds}
        return scores

    def identity_settings(self) -> dict[str, object]:
        """What the scores depend on: the segmenter's inferer."""
        return {"inferer": self.inferer}
