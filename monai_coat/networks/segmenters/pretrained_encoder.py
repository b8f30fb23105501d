# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Segmenters that begin with an encoder that was trained before."""

from __future__ import annotations

import os
from typing import TypeVar

from torch import nn

from monai_coat.networks.segmenters.efficientnet_lite import EfficientNetLite0Encoder
from monai_coat.networks.segmenters.residual_encoder import ResidualEncoder
from monai_coat.networks.segmenters.sinet import SINet

__all__ = ["with_pretrained_encoder"]

Segmenter = TypeVar("Segmenter", bound=nn.Module)


def with_pretrained_encoder(segmenter: Segmenter, path: str | os.PathLike[str] | None = None) -> Segmenter:
    """Load pretrained weights into the encoder of a segmenter, in place, and return the segmenter.

    In a configuration it stands around the network that is trained. Where the trained network's own weights are loaded
    it can be left out, and what the extra installs is not needed. Both looks of SINet begin with the same weights.

    Args:
        segmenter: a segmenter of this package.
        path: a local file, as the encoder's ``load_pretrained`` takes it; None for the ImageNet weights of
            EfficientNet-Lite0, which the extra ``pretrained`` installs.

    Raises:
        TypeError: if the segmenter has no encoder of this package.
        ValueError: if ``path`` is None and the encoder is a residual one; and as ``load_pretrained``.
        FileNotFoundError: if there is no such file.
        OptionalImportError: if ``path`` is None and the extra is not installed.

    Example:
        >>> import torch
        >>> from monai_coat.networks import PSPNet
        >>> path = getfixture("tmp_path") / "resnet18.pth"
        >>> torch.save(ResidualEncoder(2, 3, features=(8, 8, 16, 16)).resnet.state_dict(), path)
        >>> network = with_pretrained_encoder(PSPNet(2, 3, 1, "resnet18", (8, 8, 16, 16)), path)
    """
    encoder = getattr(segmenter, "encoder", None)
    if isinstance(encoder, EfficientNetLite0Encoder):
        encoder.load_pretrained(path)
    elif not isinstance(encoder, ResidualEncoder):
        raise TypeError(
            f"segmenter must have an encoder of this package, got {type(segmenter).__name__}; "
            "give a DeepLabV3Plus, EncoderUNet, PSPNet or SINet itself, before anything is wrapped around it."
        )
    elif path is None:
        raise ValueError("path must name a file of weights for a residual encoder, got None; no extra installs any.")
    else:
        encoder.load_pretrained(path)
    if isinstance(segmenter, SINet):
        segmenter.copy_encoder_weights()
    return segmenter
