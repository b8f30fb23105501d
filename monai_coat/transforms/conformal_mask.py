# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The prediction set of a score map by a calibration."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import get_track_meta
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends, convert_to_tensor
from torch import Tensor

from monai_coat.calibration import CalibrationResult, check_calibration_fits, load_calibration
from monai_coat.functional import float32_below
from monai_coat.functional.checks import check_finite

__all__ = ["ConformalMask", "ConformalMaskD", "ConformalMaskDict", "ConformalMaskd"]

logger = logging.getLogger(__name__)


class ConformalMask(Transform):
    """Mask ``score >= cutoff`` of a score map, one cutoff per channel; metadata is kept.

    Args:
        calibration: a calibration, or the path of its JSON artifact.

    Raises:
        FileNotFoundError: if there is no artifact at the path.
        ValueError: if the artifact is damaged; when called, if it is for another number of channels, or
            scores are not finite.

    Example:
        >>> calibration = CalibrationResult((0.5,), 0.1, (99,), (0,), (0.09,), "E[FNR] <= 0.1")
        >>> ConformalMask(calibration)(torch.tensor([[0.4, 0.5]]))
        metatensor([[0., 1.]])
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012  the host's class attribute

    def __init__(self, calibration: CalibrationResult | str | os.PathLike[str]) -> None:
        if not isinstance(calibration, CalibrationResult):
            calibration = load_calibration(calibration)
        self.calibration = calibration
        if not all(calibration.promised):
            logger.warning("%s", calibration.guarantee)

    def __call__(self, scores: NdarrayOrTensor) -> Tensor:
        """Mask, 0 or 1 in float32, of scores ``(C, *spatial)``."""
        maps: Tensor = convert_to_tensor(scores, track_meta=get_track_meta())
        check_calibration_fits(self.calibration, classes=maps.shape[0])
        cutoff = torch.tensor(self.calibration.cutoff, device=maps.device)
        check_finite(maps)
        mask: Tensor = float32_below(maps) >= cutoff.reshape(-1, *[1] * (maps.dim() - 1))
        return mask.float()


class ConformalMaskd(MapTransform):
    """Dictionary form of :class:`ConformalMask`.

    Args:
        keys: score maps to cut.
        calibration: see :class:`ConformalMask`.
        allow_missing_keys: whether keys may be missing.
    """

    backend = ConformalMask.backend

    def __init__(
        self,
        keys: KeysCollection,
        calibration: CalibrationResult | str | os.PathLike[str],
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = ConformalMask(calibration)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each score map by its mask."""
        return {**data, **{key: self.transform(data[key]) for key in self.key_iterator(data)}}


ConformalMaskD = ConformalMaskDict = ConformalMaskd
