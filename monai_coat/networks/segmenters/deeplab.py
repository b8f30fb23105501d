# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""DeepLabV3+: an atrous encoder, a spatial pyramid of dilated convolutions, and a decoder that sees fine detail.

Tested by tests/networks/segmenters/test_residual_encoder.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution, SimpleASPP
from torch import Tensor, nn

from monai_coat.networks.segmenters.encoders import make_encoder
from monai_coat.networks.segmenters.residual_encoder import EncoderDepth, resize_like

__all__ = ["DeepLabV3Plus"]


class DeepLabV3Plus(nn.Module):
    """DeepLabV3+ in 2D and 3D.

    The encoder's last stage (stride 16) goes through MONAI's spatial pyramid and a branch that sees the whole image;
    the decoder joins it with features of stride 4. Convolutions are ordinary ones, where the paper's are separable.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        out_channels: channels of the logits.
        depth: the encoder, one of :class:`EncoderDepth`.
        features: channels of a residual encoder's four stages; the decoder has as many as the third.
        dilations: of the pyramid's four convolutions, the first of which is pointwise. The paper's rates 6, 12, 18 are
            for images of 513 pixels; at stride 16 an image of 128 has only 8 positions a side.

    Raises:
        ValueError: if an argument is not as described, or the encoder is not for it.

    Example:
        >>> network = DeepLabV3Plus(2, 3, 1, features=(8, 16, 32, 64))
        >>> network(torch.rand(2, 3, 96, 80)).shape
        torch.Size([2, 1, 96, 80])

    Source:
        Chen et al., Encoder-Decoder with Atrous Separable Convolution (ECCV 2018).
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        depth: EncoderDepth | str = EncoderDepth.RESNET18,
        features: Sequence[int] = (64, 128, 256, 512),
        dilations: Sequence[int] = (1, 2, 4, 6),
    ) -> None:
        super().__init__()
        self.encoder = make_encoder(spatial_dims, in_channels, depth, features, output_stride=16)
        _, fine, _, _, coarse = self.encoder.channels
        width, narrow = features[2], max(features[0] // 2, 4)
        self.pyramid = SimpleASPP(
            spatial_dims, coarse, width // 4, kernel_sizes=(1, 3, 3, 3), dilations=dilations, acti_type="RELU"
        )
        # Without a norm: the statistics of one position per image are none.
        self.context = Convolution(spatial_dims, coarse, width // 4, kernel_size=1, act="RELU", norm=None)
        pyramid = width // 4 * 5
        self.detail = Convolution(spatial_dims, fine, narrow, kernel_size=1, act="RELU", norm="BATCH", bias=False)
        self.decoder = nn.Sequential(
            Convolution(spatial_dims, pyramid + narrow, width, act="RELU", norm="BATCH", bias=False),
            Convolution(spatial_dims, width, width, act="RELU", norm="BATCH", bias=False),
            Convolution(spatial_dims, width, out_channels, kernel_size=1, conv_only=True),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(B, out_channels, *spatial)`` of images ``(B, in_channels, *spatial)``."""
        levels = self.encoder(image)
        fine, coarse = levels[1], levels[4]
        whole = self.context(coarse.flatten(2).mean(-1).reshape(coarse.shape[:2] + (1,) * (coarse.dim() - 2)))
        seen = torch.cat([self.pyramid(coarse), whole.expand(-1, -1, *coarse.shape[2:])], 1)
        logits = self.decoder(torch.cat([resize_like(seen, fine), self.detail(fine)], 1))
        return resize_like(logits, image)
