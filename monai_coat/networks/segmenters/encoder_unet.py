# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A U-Net over an encoder that can begin with weights from elsewhere.

Tested by tests/networks/segmenters/test_residual_encoder.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution
from monai.networks.nets.basic_unet import TwoConv
from torch import Tensor, nn

from monai_coat.networks.segmenters.encoders import make_encoder
from monai_coat.networks.segmenters.residual_encoder import EncoderDepth, resize_like

__all__ = ["EncoderUNet"]


class EncoderUNet(nn.Module):
    """U-Net in 2D and 3D whose contracting path is an encoder of this package.

    The decoder is that of MONAI's ``FlexibleUNet``, except that features are interpolated to the size of the finer
    ones, where MONAI's are doubled: so images may have any size.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        out_channels: channels of the logits.
        depth: the encoder, one of :class:`EncoderDepth`.
        features: channels of a residual encoder's four stages. The decoder has those of the first three, then half and
            a quarter of the first; by default those of ``FlexibleUNet``.

    Raises:
        ValueError: if an argument is not as described, or the encoder is not for it.

    Example:
        >>> network = EncoderUNet(2, 3, 1, "efficientnet_lite0", features=(32, 64, 128, 256))
        >>> network(torch.rand(2, 3, 96, 80)).shape
        torch.Size([2, 1, 96, 80])

    Source:
        Ronneberger et al., U-Net (MICCAI 2015).
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        depth: EncoderDepth | str = EncoderDepth.RESNET18,
        features: Sequence[int] = (64, 128, 256, 512),
    ) -> None:
        super().__init__()
        self.encoder = make_encoder(spatial_dims, in_channels, depth, features)
        widths = [*reversed(features[:3]), max(features[0] // 2, 4)]
        narrow = max(features[0] // 4, 4)
        *skips, coarse = self.encoder.channels
        self.joins = nn.ModuleList(
            TwoConv(spatial_dims, below + skip, width, act="RELU", norm="BATCH", bias=False)
            for below, skip, width in zip([coarse, *widths[:-1]], reversed(skips), widths, strict=True)
        )
        self.last = TwoConv(spatial_dims, widths[-1], narrow, act="RELU", norm="BATCH", bias=False)
        self.out = Convolution(spatial_dims, narrow, out_channels, kernel_size=1, conv_only=True)

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(B, out_channels, *spatial)`` of images ``(B, in_channels, *spatial)``."""
        levels = self.encoder(image)
        levels.reverse()
        features = levels[0]
        for index, join in enumerate(self.joins):
            finer = levels[index + 1]
            features = join(torch.cat([resize_like(features, finer), finer], 1))
        logits: Tensor = self.out(self.last(resize_like(features, image)))
        return logits
