# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The encoders of the segmenters by name.

Tested by tests/networks/segmenters/test_efficientnet_lite.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from monai_coat.networks.segmenters.efficientnet_lite import EfficientNetLite0Encoder
from monai_coat.networks.segmenters.residual_encoder import EncoderDepth, ResidualEncoder, check_features

__all__ = ["make_encoder"]


def make_encoder(
    spatial_dims: int, in_channels: int, depth: EncoderDepth | str, features: Sequence[int], output_stride: int = 32
) -> ResidualEncoder | EfficientNetLite0Encoder:
    """The encoder of a segmenter.

    Args:
        spatial_dims: 2 or 3; EfficientNet-Lite0 is for 2 alone.
        in_channels: channels of the image; 3 for EfficientNet-Lite0.
        depth: one of :class:`EncoderDepth`.
        features: channels of a residual encoder's four stages; EfficientNet-Lite0 has channels of its own.
        output_stride: 8, 16 or 32.

    Raises:
        ValueError: if an argument is not as described.

    Example:
        >>> make_encoder(2, 3, "efficientnet_lite0", (64, 128, 256, 512)).channels
        (16, 24, 40, 112, 320)
    """
    if depth not in list(EncoderDepth):
        raise ValueError(f"depth must be one of {', '.join(EncoderDepth)}, got {depth!r}.")
    if depth == EncoderDepth.EFFICIENTNET_LITE0:
        check_features(features)
        return EfficientNetLite0Encoder(spatial_dims, in_channels, output_stride)
    return ResidualEncoder(spatial_dims, in_channels, depth, features, output_stride)
