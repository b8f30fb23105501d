# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The probability maps of a frozen segmenter as a transform, so that MONAI's caching datasets keep them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import get_track_meta
from monai.inferers import Inferer, SimpleInferer
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends, convert_to_tensor
from torch import Tensor

from monai_coat.calibration.identity import network_identity
from monai_coat.networks import AdaptiveSegmenter

__all__ = ["SegmenterProbs", "SegmenterProbsD", "SegmenterProbsDict", "SegmenterProbsd"]


class SegmenterProbs(Transform):
    """Probabilities of an image by a frozen segmenter, on the CPU.

    Deterministic: put it before the random transforms, inside a ``CacheDataset``, and each map is made once.

    Args:
        network: network whose segmenter and activation are used.
        inferer: how the segmenter is run, such as MONAI's ``SlidingWindowInferer``; by default in one piece.
        device: where it is run.

    Example:
        >>> probs = SegmenterProbs(AdaptiveSegmenter(torch.nn.Conv2d(3, 1, 1)))(torch.rand(3, 8, 8))
        >>> probs.shape
        torch.Size([1, 8, 8])
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012  the host's class attribute

    def __init__(
        self, network: AdaptiveSegmenter, inferer: Inferer | None = None, device: torch.device | str = "cpu"
    ) -> None:
        self.network = network.to(device)
        self.inferer = inferer or SimpleInferer()
        self.device = device

    @torch.no_grad()
    def __call__(self, image: NdarrayOrTensor) -> Tensor:
        """Probabilities ``(C, *spatial)`` of an image ``(channels, *spatial)``."""
        batch: Tensor = convert_to_tensor(image, track_meta=get_track_meta(), device=self.device)[None]
        with torch.autocast(batch.device.type, enabled=False):
            logits = self.inferer(batch.float(), self.network.segment)
            return self.network.activate(logits)[0].cpu()

    def identity_settings(self) -> dict[str, object]:
        """What the probabilities depend on, of which the network's scorer is none."""
        network = self.network
        activation = [network.activation, float(network.logit_temperature)]
        return {"segmenter": network_identity(network.segmenter), "activation": activation, "inferer": self.inferer}


class SegmenterProbsd(MapTransform):
    """Dictionary form of :class:`SegmenterProbs`; writes the probabilities of the image under ``name``.

    Args:
        keys: the image.
        network: see :class:`SegmenterProbs`.
        name: key of the probabilities.
        inferer: see :class:`SegmenterProbs`.
        device: see :class:`SegmenterProbs`.
        allow_missing_keys: whether the image may be missing.

    Raises:
        ValueError: if there is more than one key.
    """

    backend = SegmenterProbs.backend

    def __init__(
        self,
        keys: KeysCollection,
        network: AdaptiveSegmenter,
        name: str = "probs",
        inferer: Inferer | None = None,
        device: torch.device | str = "cpu",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if len(self.keys) != 1:
            raise ValueError(f"keys must name one image, got {self.keys}.")
        self.name = name
        self.transform = SegmenterProbs(network, inferer, device)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the probabilities."""
        result = dict(data)
        for key in self.key_iterator(data):
            result[self.name] = self.transform(data[key])
        return result


SegmenterProbsD = SegmenterProbsDict = SegmenterProbsd
