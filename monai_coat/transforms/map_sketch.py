# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The few numbers of a probability map and its label that training looks at.

Tested by tests/scorers/predictors/test_sketch_margins.py.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends, convert_to_tensor
from torch import Tensor

from monai_coat.calibration.module_settings import plain_settings
from monai_coat.functional import foreground_sketch
from monai_coat.scorers import ThresholdPredictor

__all__ = ["MapSketch", "MapSketchD", "MapSketchDict", "MapSketchd"]


class MapSketch(Transform):
    """Summaries of a probability map and a sketch of its foreground, for :class:`~monai_coat.scorers.SketchMargins`.

    Args:
        predictor: predictor that is to be trained; it says what it reads of a map.
        points: length of the sketch; the soft true positive rate is off by at most one over it.

    Raises:
        ValueError: if the predictor reads more than summaries.

    Example:
        >>> predictor = ThresholdPredictor(spatial_dims=3, in_channels=1, num_classes=2, backbone="none")
        >>> summaries, sketch, label = MapSketch(predictor, 64)(torch.rand(2, 8, 8, 8), torch.ones(2, 8, 8, 8))
        >>> summaries.shape, sketch.shape, label.shape
        (torch.Size([60]), torch.Size([2, 64]), torch.Size([2, 64]))
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012  the host's class attribute

    def __init__(self, predictor: ThresholdPredictor, points: int = 512) -> None:
        if predictor.has_backbone:
            raise ValueError("predictor must have the backbone 'none', got another; train it on maps.")
        self.predictor, self.points = predictor, points

    @torch.no_grad()
    def __call__(  # type: ignore[override]
        self, probs: NdarrayOrTensor, label: NdarrayOrTensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Summaries ``(features,)``, sketch ``(C, points)`` and the label of the sketch, all foreground.

        Of a class that the image does not contain, sketch and label are 0, and losses leave it out.
        """
        maps: Tensor = convert_to_tensor(probs, track_meta=False)[None].float()
        masks: Tensor = convert_to_tensor(label, track_meta=False)[None]
        sketch = foreground_sketch(maps, masks, self.points)
        present = ~torch.isnan(sketch)
        device = next(self.predictor.parameters()).device
        return (
            self.predictor.map_summaries(maps.to(device))[0].cpu(),
            torch.where(present, sketch, 0.0)[0],
            present[0].float(),
        )

    def identity_settings(self) -> dict[str, object]:
        """What summaries and sketch depend on, of which the predictor's weights are none."""
        return {"predictor": plain_settings(self.predictor), "points": self.points}


class MapSketchd(MapTransform):
    """Dictionary form of :class:`MapSketch`: leaves "image" (summaries), "sketch" and "label", and drops the maps.

    These are the keys that MONAI's ``PrepareBatchExtraInput("sketch")`` hands to a trainer. A cache of them holds
    kilobytes per image.

    Args:
        keys: the probability map.
        predictor: see :class:`MapSketch`.
        label_key: key of the masks.
        points: see :class:`MapSketch`.
        allow_missing_keys: whether the map may be missing.

    Raises:
        ValueError: if there is more than one key.
    """

    backend = MapSketch.backend

    def __init__(
        self,
        keys: KeysCollection,
        predictor: ThresholdPredictor,
        label_key: str = "label",
        points: int = 512,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if len(self.keys) != 1:
            raise ValueError(f"keys must name one probability map, got {self.keys}.")
        self.label_key = label_key
        self.transform = MapSketch(predictor, points)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace maps by their sketches."""
        result = dict(data)
        for key in self.key_iterator(data):
            summaries, sketch, label = self.transform(result.pop(key), data[self.label_key])
            result |= {"image": summaries, "sketch": sketch, self.label_key: label}
        return result


MapSketchD = MapSketchDict = MapSketchd
