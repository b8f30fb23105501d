# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Networks: the segmenters, and the network that carries a segmenter, a scorer and the calibration."""

from __future__ import annotations

from monai_coat.networks.adaptive_segmenter import AdaptiveSegmenter, ProbabilityActivation
from monai_coat.networks.calibrated_mask import CalibratedMask
from monai_coat.networks.logits_of import LogitsOf
from monai_coat.networks.segmenters.deeplab import DeepLabV3Plus
from monai_coat.networks.segmenters.efficientnet_lite import EfficientNetLite0Encoder
from monai_coat.networks.segmenters.encoder_unet import EncoderUNet
from monai_coat.networks.segmenters.pretrained_encoder import with_pretrained_encoder
from monai_coat.networks.segmenters.pspnet import PSPNet
from monai_coat.networks.segmenters.residual_encoder import EncoderDepth, ResidualEncoder
from monai_coat.networks.segmenters.sinet import SINet
from monai_coat.networks.unwrapping import unwrap_adaptive_segmenter
from monai_coat.networks.weights import load_weights, save_weights

__all__ = [
    "AdaptiveSegmenter",
    "CalibratedMask",
    "DeepLabV3Plus",
    "EfficientNetLite0Encoder",
    "EncoderDepth",
    "EncoderUNet",
    "LogitsOf",
    "PSPNet",
    "ProbabilityActivation",
    "ResidualEncoder",
    "SINet",
    "load_weights",
    "save_weights",
    "unwrap_adaptive_segmenter",
    "with_pretrained_encoder",
]
