# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The residual encoder of this package's segmenters: MONAI's ResNet, read at every resolution."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets.resnet import ResNet, ResNetBlock, ResNetBottleneck
from monai.utils import StrEnum
from torch import Tensor, nn

__all__ = ["EncoderDepth", "ResidualEncoder", "resize_like"]


class EncoderDepth(StrEnum):
    """Depths of the residual encoder."""

    RESNET18 = "resnet18"
    RESNET34 = "resnet34"
    RESNET50 = "resnet50"
    RESNET101 = "resnet101"


_BLOCKS: dict[str, tuple[type[nn.Module], list[int]]] = {
    EncoderDepth.RESNET18: (ResNetBlock, [2, 2, 2, 2]),
    EncoderDepth.RESNET34: (ResNetBlock, [3, 4, 6, 3]),
    EncoderDepth.RESNET50: (ResNetBottleneck, [3, 4, 6, 3]),
    EncoderDepth.RESNET101: (ResNetBottleneck, [3, 4, 23, 3]),
}


class ResidualEncoder(nn.Module):
    """Feature maps of strides 2, 4, 8, 16 and 32 of a ResNet.

    With a smaller ``output_stride`` the last stages keep their resolution and are dilated instead, so that they see at
    least as far as they would have.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        depth: one of :class:`EncoderDepth`.
        features: channels of the four stages before a bottleneck's expansion; by default those of the ResNet papers,
            which pretrained weights need. Narrower stages are for small data and small machines.
        output_stride: 8, 16 or 32.

    Raises:
        ValueError: if an argument is not as described.

    Example:
        >>> encoder = ResidualEncoder(2, 3, features=(8, 16, 32, 64), output_stride=16)
        >>> [tuple(level.shape[1:]) for level in encoder(torch.rand(1, 3, 64, 64))]
        [(8, 32, 32), (8, 16, 16), (16, 8, 8), (32, 4, 4), (64, 4, 4)]
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        depth: EncoderDepth | str = EncoderDepth.RESNET18,
        features: Sequence[int] = (64, 128, 256, 512),
        output_stride: int = 32,
    ) -> None:
        super().__init__()
        _check(spatial_dims, depth, features, output_stride)
        block, layers = _BLOCKS[EncoderDepth(depth)]
        self.resnet = ResNet(
            block,  # type: ignore[arg-type]
            layers,
            list(features),
            spatial_dims=spatial_dims,
            n_input_channels=in_channels,
            conv1_t_stride=2,
            feed_forward=False,
            bias_downsample=False,
        )
        expansion = 4 if block is ResNetBottleneck else 1
        self.channels = (features[0], *(width * expansion for width in features))
        if output_stride <= 16:
            _dilate(self.resnet.layer4, 32 // output_stride)
        if output_stride <= 8:
            _dilate(self.resnet.layer3, 2)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Five feature maps, finest first."""
        levels = [self.resnet.act(self.resnet.bn1(self.resnet.conv1(image)))]
        levels.append(self.resnet.layer1(self.resnet.maxpool(levels[0])))
        for stage in (self.resnet.layer2, self.resnet.layer3, self.resnet.layer4):
            levels.append(stage(levels[-1]))
        return levels

    def load_pretrained(self, path: str | os.PathLike[str]) -> ResidualEncoder:
        """Load the weights of a ResNet from a local file, with the usual names (``layer1.0.conv1.weight``).

        The classification head is passed over. Files of the ResNet papers' 2D networks and of their 3D forms fit where
        depth, ``features`` and ``in_channels`` agree; a leading ``module.`` or ``state_dict`` is looked through.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file holds no weights or weights of another network. Nothing is loaded then.
        """
        state = _state_of(Path(path))
        expected = self.resnet.state_dict()
        wrong = sorted(n for n, v in expected.items() if n not in state or getattr(state[n], "shape", None) != v.shape)
        wrong = [name for name in wrong if not name.endswith("num_batches_tracked")]
        if wrong:
            raise ValueError(
                f"path must name weights of this encoder, got {path}, where {len(wrong)} entries are absent or of "
                f"another shape, such as {wrong[0]!r}; choose depth, features and in_channels to fit the file."
            )
        self.resnet.load_state_dict({name: state.get(name, value) for name, value in expected.items()})
        return self


def resize_like(maps: Tensor, like: Tensor) -> Tensor:
    """Interpolate maps linearly to the spatial size of others."""
    mode = "bilinear" if maps.dim() == 4 else "trilinear"
    return nn.functional.interpolate(maps, like.shape[2:], mode=mode, align_corners=False)


def _dilate(stage: nn.Module, dilation: int) -> None:
    """Trade every stride of a stage for dilation."""
    for module in stage.modules():
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            dims = len(module.kernel_size)
            module.stride = (1,) * dims
            if module.kernel_size[0] == 3:
                module.dilation = module.padding = (dilation,) * dims


def _state_of(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"path must name a file of weights, got {path}; correct the path.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        return {name.removeprefix("module."): value for name, value in state.items()}
    except Exception as error:
        raise ValueError(f"path must name a file of weights, got {path}, which is none ({error}).") from None


def _check(spatial_dims: int, depth: str, features: Sequence[int], output_stride: int) -> None:
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims}.")
    if depth not in list(EncoderDepth):
        raise ValueError(f"depth must be one of {', '.join(EncoderDepth)}, got {depth!r}.")
    if len(features) != 4 or min(features) < 1:
        raise ValueError(f"features must be four positive numbers of channels, got {tuple(features)}.")
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride must be 8, 16 or 32, got {output_stride}.")
