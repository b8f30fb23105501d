# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""PSPNet: each position sees averages over ever larger regions of the image.

Tested by tests/networks/segmenters/test_residual_encoder.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution
from monai.networks.layers import Pool
from torch import Tensor, nn

from monai_coat.networks.segmenters.encoders import make_encoder
from monai_coat.networks.segmenters.residual_encoder import EncoderDepth, resize_like

__all__ = ["PSPNet"]


class PSPNet(nn.Module):
    """Pyramid scene parsing network in 2D and 3D.

    The encoder's last stage (stride 8, dilated) is averaged over grids of several sizes; every average is projected,
    interpolated back and joined with the stage itself.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        out_channels: channels of the logits.
        depth: the encoder, one of :class:`EncoderDepth`.
        features: channels of a residual encoder's four stages; the decoder has as many as the third.
        bins: sides of the grids that are averaged over.

    Raises:
        ValueError: if ``bins`` is empty, an argument is not as described, or the encoder is not for it.

    Example:
        >>> network = PSPNet(3, 1, 2, features=(4, 8, 16, 32))
        >>> network(torch.rand(1, 1, 32, 40, 32)).shape
        torch.Size([1, 2, 32, 40, 32])

    Source:
        Zhao et al., Pyramid Scene Parsing Network (CVPR 2017), without its auxiliary loss.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        depth: EncoderDepth | str = EncoderDepth.RESNET18,
        features: Sequence[int] = (64, 128, 256, 512),
        bins: Sequence[int] = (1, 2, 3, 6),
    ) -> None:
        super().__init__()
        if not bins or min(bins) < 1:
            raise ValueError(f"bins must be positive and at least one, got {tuple(bins)}; the paper's are 1, 2, 3, 6.")
        self.encoder = make_encoder(spatial_dims, in_channels, depth, features, output_stride=8)
        coarse, width = self.encoder.channels[-1], features[2]
        share = max(coarse // len(bins), 1)
        pool = Pool[Pool.ADAPTIVEAVG, spatial_dims]
        # Without a norm, which a grid of one position has no statistics for.
        self.averages = nn.ModuleList(
            nn.Sequential(pool(side), Convolution(spatial_dims, coarse, share, kernel_size=1, act="RELU", norm=None))
            for side in bins
        )
        self.decoder = nn.Sequential(
            Convolution(spatial_dims, coarse + share * len(bins), width, act="RELU", norm="BATCH", bias=False),
            Convolution(spatial_dims, width, out_channels, kernel_size=1, conv_only=True),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(B, out_channels, *spatial)`` of images ``(B, in_channels, *spatial)``."""
        coarse = self.encoder(image)[-1]
        seen = [coarse] + [resize_like(average(coarse), coarse) for average in self.averages]
        return resize_like(self.decoder(torch.cat(seen, 1)), image)
