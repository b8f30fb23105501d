# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The threshold predictor f_D: an image and its probability map in, one threshold per class out."""

from __future__ import annotations

import math

import torch
from monai.data import MetaTensor
from monai.networks.nets import Regressor, resnet
from monai.utils import StrEnum
from torch import Tensor, nn

from monai_coat.scorers.predictors.map_summaries import MapSummaries

__all__ = ["PredictorBackbone", "ThresholdPredictor"]


class PredictorBackbone(StrEnum):
    """MONAI networks that can look at the image for the threshold predictor; "none" leaves the summaries alone."""

    SMALL = "small"
    NONE = "none"
    RESNET10 = "resnet10"
    RESNET18 = "resnet18"
    RESNET34 = "resnet34"
    RESNET50 = "resnet50"


class ThresholdPredictor(nn.Module):
    r"""Predict an image's threshold, :math:`\hat\tau = f_D(X, \hat p) \in [0, 1]`, for each class.

    Image and map are resized to a fixed size, joined along channels and read by the backbone; label-free summaries of
    the map are read beside it. The cost does not grow with the image.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        num_classes: channels of the probability map, and thresholds per image.
        backbone: one of :class:`PredictorBackbone`; the paper's is "resnet50". Those of the ResNet family normalise by
            batch: train them with at least two images a batch.
        input_size: side that image and map are resized to, at least 16; by default 64 in 2D and 32 in 3D. 0: the map is
            read as it is, which takes the backbone "none".
        summaries: whether to read :class:`MapSummaries` too.

    Raises:
        ValueError: if ``spatial_dims`` or ``backbone`` is unknown, nothing is left to read, or ``input_size`` is too
            small; when called, if channels or the sizes of image and map disagree.

    Example:
        >>> predictor = ThresholdPredictor(spatial_dims=2, in_channels=3)
        >>> predictor(torch.rand(4, 3, 96, 80), torch.rand(4, 1, 96, 80)).shape
        torch.Size([4, 1])

    Source:
        COAT (ICLR 2026), threshold predictor, there ResNet-50 on four channels.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        num_classes: int = 1,
        backbone: PredictorBackbone | str = PredictorBackbone.SMALL,
        input_size: int | None = None,
        summaries: bool = True,
    ) -> None:
        super().__init__()
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims}.")
        if backbone not in list(PredictorBackbone):
            raise ValueError(f"backbone must be one of {', '.join(PredictorBackbone)}, got {backbone!r}.")
        if backbone == PredictorBackbone.NONE and not summaries:
            raise ValueError("summaries must be True with backbone='none', got False; there is nothing else to read.")
        reads_whole = input_size == 0 and backbone == PredictorBackbone.NONE
        if input_size is not None and input_size < 16 and not reads_whole:
            raise ValueError(f"input_size must be at least 16, which the backbones halve four times, got {input_size}.")
        self.in_channels, self.num_classes = in_channels, num_classes
        usual = 64 if spatial_dims == 2 else 32
        self.input_size = [usual if input_size is None else input_size] * spatial_dims
        self.mode = "bilinear" if spatial_dims == 2 else "trilinear"
        self.has_backbone, self.has_summaries = backbone != PredictorBackbone.NONE, summaries
        features = 0
        self.summaries: nn.Module = nn.Identity()
        self.anchor: nn.Module = nn.Identity()
        if summaries:
            self.summaries, self.anchor = MapSummaries(num_classes), _anchor(num_classes)
            features += MapSummaries.per_class * num_classes
        self.backbone: nn.Module = nn.Identity()
        if self.has_backbone:
            self.backbone = _backbone(str(backbone), in_channels + num_classes, self.input_size)
            features += _EMBEDDING
        self.head = nn.Sequential(nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, num_classes))

    def forward(self, image: Tensor, probs: Tensor) -> Tensor:
        """Thresholds ``(B, num_classes)`` of images ``(B, in_channels, *spatial)`` and maps ``(B, C, *spatial)``."""
        if not torch.jit.is_scripting():
            image, probs = _plain(image), _plain(probs)
        if image.shape[1] != self.in_channels or probs.shape[1] != self.num_classes:
            raise ValueError(
                f"image and probs must have {self.in_channels} and {self.num_classes} channels, "
                f"got {image.shape[1]} and {probs.shape[1]}."
            )
        if image.shape[2:] != probs.shape[2:]:
            raise ValueError(
                f"image and probs must have the same spatial size, got {image.shape[2:]} and {probs.shape[2:]}."
            )
        probs = self._resized(probs.to(image.dtype))
        features: list[Tensor] = []
        if self.has_backbone:
            features.append(self.backbone(torch.cat([self._resized(image), probs], 1)))
        if not self.has_summaries:
            return torch.sigmoid(self.head(torch.cat(features, 1)).float())
        summaries = self.summaries(probs.float())
        features.append(summaries)
        return self._of_features(summaries, torch.cat(features, 1))

    @torch.jit.unused
    def map_summaries(self, probs: Tensor) -> Tensor:
        """The :class:`MapSummaries` that the predictor reads, of the resized map."""
        summaries: Tensor = self.summaries(self._resized(_plain(probs).float()))
        return summaries

    @torch.jit.unused
    def of_summaries(self, summaries: Tensor) -> Tensor:
        """Thresholds from :class:`MapSummaries` that are at hand, of a predictor that reads nothing else."""
        if self.has_backbone:
            raise ValueError("backbone must be 'none' for thresholds from summaries alone; call the predictor itself.")
        return self._of_features(summaries, summaries)

    def _of_features(self, summaries: Tensor, features: Tensor) -> Tensor:
        return torch.sigmoid(self.anchor(summaries).float() + self.head(features).float())

    @torch.jit.unused
    def start_at(self, threshold: float) -> ThresholdPredictor:
        """Let training begin from one threshold for all images, in (0, 1), in place of one that follows the map.

        For thresholds that are shares of the expected coverage (:class:`~monai_coat.scorers.ScoreSpace`), which follow
        the map by themselves: ``alpha`` is a good start.
        """
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must be in (0, 1), got {threshold}; alpha is a good start.")
        start = math.log(threshold / (1 - threshold))
        if isinstance(self.anchor, nn.Linear):
            nn.init.zeros_(self.anchor.weight)
            nn.init.constant_(self.anchor.bias, start)
        else:
            nn.init.constant_(self.head[-1].bias, start)  # type: ignore[arg-type]
        return self

    def _resized(self, maps: Tensor) -> Tensor:
        if self.input_size[0] == 0:
            return maps
        return nn.functional.interpolate(maps, self.input_size, mode=self.mode, align_corners=False)


_EMBEDDING = 32


def _anchor(num_classes: int) -> nn.Linear:
    """A linear map of the summaries that begins as the threshold above which 0.9 of a map's mass lies.

    So training starts from thresholds that already follow the image. From one threshold for all, the soft rate of easy
    images saturates while hard ones still pull it down, and the loss comes to rest where every pixel is taken.
    """
    anchor = nn.Linear(MapSummaries.per_class * num_classes, num_classes)
    nn.init.zeros_(anchor.weight)
    nn.init.zeros_(anchor.bias)
    with torch.no_grad():
        for index in range(num_classes):
            anchor.weight[index, index * MapSummaries.per_class + MapSummaries.anchor] = MapSummaries.scale
    return anchor


def _backbone(name: str, channels: int, size: list[int]) -> nn.Module:
    if name == PredictorBackbone.SMALL:
        return Regressor((channels, *size), (_EMBEDDING,), (8, 16, 32, 32), (2, 2, 2, 2), num_res_units=1)
    network: nn.Module = getattr(resnet, name)(
        spatial_dims=len(size), n_input_channels=channels, num_classes=_EMBEDDING, conv1_t_stride=2
    )
    return network


def _plain(maps: Tensor) -> Tensor:
    """Drop metadata: a threshold is no map, and has no affine."""
    return maps.as_tensor() if isinstance(maps, MetaTensor) else maps
