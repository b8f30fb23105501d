# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""SINet: a search for what is hidden in the image, and a second look where something was found.

Tested by tests/networks/segmenters/test_residual_encoder.py.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution, SimpleASPP
from monai.networks.layers import GaussianFilter
from torch import Tensor, nn

from monai_coat.networks.segmenters.encoders import make_encoder
from monai_coat.networks.segmenters.residual_encoder import EncoderDepth, resize_like

__all__ = ["SINet"]


class SINet(nn.Module):
    """Search and identification network in 2D and 3D.

    The search module reads all levels of the encoder and gives a coarse map. Blurred, this is the attention with which
    the features of stride 8 are read again, by copies of the last two stages; the identification module decodes what
    they see. Receptive fields are MONAI's dilated pyramids, where the paper's branches have convolutions along one axis
    each. Attention is of the strongest of the channels.

    Weights that are loaded into ``encoder`` reach the copies by ``copy_encoder_weights``, as
    :func:`with_pretrained_encoder` does it.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        out_channels: channels of the logits.
        depth: the encoder, one of :class:`EncoderDepth`; the paper's is "resnet50".
        features: channels of a residual encoder's four stages; the decoder has half of the first.
        deep_supervision: whether training mode gives ``[identification, search]``, for MONAI's ``DeepSupervisionLoss``,
            in place of the first alone.

    Raises:
        ValueError: if an argument is not as described, or the encoder is not for it.

    Example:
        >>> network = SINet(2, 3, 1, features=(8, 16, 32, 64))
        >>> network(torch.rand(2, 3, 96, 80)).shape
        torch.Size([2, 1, 96, 80])

    Source:
        Fan et al., Camouflaged Object Detection (CVPR 2020), section 4.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        depth: EncoderDepth | str = EncoderDepth.RESNET18,
        features: Sequence[int] = (64, 128, 256, 512),
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision
        self.encoder = make_encoder(spatial_dims, in_channels, depth, features)
        width = max(features[0] // 2, 4)
        channels = self.encoder.channels[1:]
        self.search = _Decoder(spatial_dims, channels, width, out_channels)
        self.blur = GaussianFilter(spatial_dims, sigma=1.0)
        self.again = copy.deepcopy(nn.ModuleList(self.encoder.deepest_stages()))
        self.identification = _Decoder(spatial_dims, channels[1:], width, out_channels)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Logits ``(B, out_channels, *spatial)`` of images ``(B, in_channels, *spatial)``."""
        levels = self.encoder(image)[1:]
        coarse = self.search(levels)
        seen = [self._attended(levels[1], coarse)]
        for stage in self.again:
            seen.append(stage(seen[-1]))
        logits = resize_like(self.identification(seen), image)
        return [logits, resize_like(coarse, image)] if self.deep_supervision and self.training else logits

    def copy_encoder_weights(self) -> None:
        """Give the second look the weights that the encoder has now."""
        for again, stage in zip(self.again, self.encoder.deepest_stages(), strict=True):
            again.load_state_dict(stage.state_dict())

    def _attended(self, features: Tensor, coarse: Tensor) -> Tensor:
        """Features where something was found, at full strength at the strongest find."""
        attention = torch.sigmoid(resize_like(coarse, features)).amax(1, keepdim=True)
        blurred = self.blur(attention)
        strongest = blurred.flatten(2).amax(-1).reshape(blurred.shape[:2] + (1,) * (blurred.dim() - 2))
        return features * torch.maximum(attention, blurred / strongest.clamp(min=1e-6))


class _Decoder(nn.Module):
    """Wide receptive fields on every level, joined from coarse to fine, each gated by the coarser ones."""

    def __init__(self, spatial_dims: int, channels: Sequence[int], width: int, out_channels: int) -> None:
        super().__init__()
        quarter = max(width // 4, 1)
        self.fields = nn.ModuleList(
            nn.Sequential(
                Convolution(spatial_dims, count, width, kernel_size=1, act="RELU", norm="BATCH", bias=False),
                SimpleASPP(spatial_dims, width, quarter, (1, 3, 3, 3), (1, 3, 5, 7), acti_type="RELU"),
            )
            for count in channels
        )
        self.gates = nn.ModuleList(
            Convolution(spatial_dims, quarter * 4, quarter * 4, act=None, norm="BATCH", bias=False)
            for _ in channels[1:]
        )
        self.joins = nn.ModuleList(
            Convolution(spatial_dims, quarter * 8, quarter * 4, act="RELU", norm="BATCH", bias=False)
            for _ in channels[1:]
        )
        self.out = Convolution(spatial_dims, quarter * 4, out_channels, kernel_size=1, conv_only=True)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """A map at the finest level's size."""
        fields = [field(level) for field, level in zip(self.fields, levels, strict=True)]
        joined = fields.pop()
        for gate, join in zip(self.gates, self.joins, strict=True):
            finer = fields.pop()
            coarse = resize_like(joined, finer)
            joined = join(torch.cat([finer * gate(coarse), coarse], 1))
        found: Tensor = self.out(joined)
        return found
