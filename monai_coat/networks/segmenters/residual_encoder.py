# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The residual encoder of this package's segmenters: MONAI's ResNet, read at every resolution."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from monai.networks.nets.resnet import ResNet, ResNetBlock, ResNetBottleneck
from monai.utils import StrEnum
from torch import Tensor, nn

from monai_coat.networks.segmenters.pretrained_files import check_entries, read_entries

__all__ = ["EncoderDepth", "ResidualEncoder", "check_features", "check_output_stride", "resize_like"]


class EncoderDepth(StrEnum):
    """Encoders of the segmenters: four depths of the residual encoder, and EfficientNet-Lite0."""

    RESNET18 = "resnet18"
    RESNET34 = "resnet34"
    RESNET50 = "resnet50"
    RESNET101 = "resnet101"
    EFFICIENTNET_LITE0 = "efficientnet_lite0"


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
        depth: one of the residual networks in :class:`EncoderDepth`.
        features: channels of the four stages before a bottleneck's expansion; by default those of the ResNet papers,
            which pretrained weights need. Narrower stages are for small data and small machines.
        output_stride: 8, 16 or 32.

    Raises:
        ValueError: if an argument is not as described.

    Example:
        >>> import torch
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

    def deepest_stages(self) -> tuple[nn.Module, nn.Module]:
        """The stages that give the last two feature maps."""
        return self.resnet.layer3, self.resnet.layer4

    def load_pretrained(self, path: str | os.PathLike[str]) -> ResidualEncoder:
        """Load the weights of a ResNet from a local file, with the usual names (``layer1.0.conv1.weight``).

        The classification head is passed over. Files of the ResNet papers' 2D networks and of their 3D forms fit where
        depth, ``features`` and ``in_channels`` agree; a leading ``module.`` or ``state_dict`` is looked through.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file holds no weights or weights of another network. Nothing is loaded then.
        """
        state = read_entries(Path(path))
        expected = self.resnet.state_dict()
        wrong = sorted(n for n, v in expected.items() if n not in state or getattr(state[n], "shape", None) != v.shape)
        wrong = [name for name in wrong if not name.endswith("num_batches_tracked")]
        check_entries(wrong, Path(path), "choose depth, features and in_channels to fit the file")
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


def _check(spatial_dims: int, depth: str, features: Sequence[int], output_stride: int) -> None:
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims}.")
    if depth not in _BLOCKS:
        raise ValueError(f"depth must be one of {', '.join(_BLOCKS)}, got {depth!r}.")
    check_features(features)
    check_output_stride(output_stride)


def check_features(features: Sequence[int]) -> None:
    """Refuse channels that are not those of four stages.

    Raises:
        ValueError: if they are not.
    """
    if len(features) != 4 or min(features) < 1:
        raise ValueError(f"features must be four positive numbers of channels, got {tuple(features)}.")


def check_output_stride(output_stride: int) -> None:
    """Refuse a stride of the deepest features that an encoder cannot have.

    Raises:
        ValueError: if it is not 8, 16 or 32.
    """
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride must be 8, 16 or 32, got {output_stride}.")
