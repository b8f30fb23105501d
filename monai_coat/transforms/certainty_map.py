# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is certain and what is possible, as one label map that any viewer can show."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import get_track_meta
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends, convert_to_tensor
from torch import Tensor

from monai_coat.calibration import CalibrationResult, ConformalRisk, check_calibration_fits, load_calibration

__all__ = ["CertaintyMap", "CertaintyMapD", "CertaintyMapDict", "CertaintyMapd"]

Calibration = CalibrationResult | str | os.PathLike[str]


class CertaintyMap(Transform):
    r"""Disjoint labels: class k (from 0) is :math:`2k + 1` where it is certain and :math:`2k + 2` where possible.

    Possible is the prediction set, which misses little: ``score >= cutoff`` of the calibration of misses. Certain is
    the part of it with ``score >= cutoff`` of the calibration of false alarms, in which little is wrong. Where classes
    meet, certain goes before possible, and among equals the class whose score is furthest above its own cutoff.

    Args:
        possible: calibration of what is missed, or the path of its JSON artifact.
        certain: calibration of false alarms, or the path of its JSON artifact.

    Raises:
        FileNotFoundError: if there is no artifact at a path.
        ValueError: if the calibrations are not of these risks, or of different networks or numbers of classes.

    Example:
        >>> possible = CalibrationResult((0.3,), 0.1, (99,), (0,), (0.09,), "E[FNR] <= 0.1")
        >>> certain = CalibrationResult((0.8,), 0.1, (99,), (0,), (0.09,), "few wrong", controls="false_alarm")
        >>> CertaintyMap(possible, certain)(torch.tensor([[0.1, 0.3, 0.7, 0.9]]))
        metatensor([[0, 2, 2, 1]], dtype=torch.uint8)
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012  the host's class attribute

    def __init__(self, possible: Calibration, certain: Calibration) -> None:
        self.possible, self.certain = _loaded(possible), _loaded(certain)
        if self.possible.controls == ConformalRisk.FALSE_ALARM:
            raise ValueError("possible must be a calibration of what is missed, got one of false alarms; swap the two.")
        if self.certain.controls != ConformalRisk.FALSE_ALARM:
            raise ValueError(
                f"certain must be a calibration of false alarms, got one of {self.certain.controls!r}; calibrate with "
                "risk='false_alarm'."
            )
        check_calibration_fits(self.certain, classes=len(self.possible.cutoff), network=self.possible.network)

    def __call__(self, scores: NdarrayOrTensor) -> Tensor:
        """Labels ``(1, *spatial)``, uint8, of scores ``(C, *spatial)``."""
        maps: Tensor = convert_to_tensor(scores, track_meta=get_track_meta())
        check_calibration_fits(self.possible, classes=maps.shape[0])
        possible, certain = (_above(maps.float(), each) for each in (self.possible, self.certain))
        certain = torch.where(possible > -torch.inf, certain, -torch.inf)
        labels = torch.where(possible.amax(0) > -torch.inf, 2 * possible.argmax(0) + 2, 0)
        labels = torch.where(certain.amax(0) > -torch.inf, 2 * certain.argmax(0) + 1, labels)
        return labels[None].to(torch.uint8)


def _above(scores: Tensor, calibration: CalibrationResult) -> Tensor:
    """How far scores are above the cutoff of their class; minus infinity below it."""
    cutoff = torch.tensor(calibration.cutoff, device=scores.device).reshape(-1, *[1] * (scores.dim() - 1))
    return torch.where(scores >= cutoff, scores - cutoff, -torch.inf)


def _loaded(calibration: Calibration) -> CalibrationResult:
    return calibration if isinstance(calibration, CalibrationResult) else load_calibration(calibration)


class CertaintyMapd(MapTransform):
    """Dictionary form of :class:`CertaintyMap`.

    Args:
        keys: score maps.
        possible: see :class:`CertaintyMap`.
        certain: see :class:`CertaintyMap`.
        allow_missing_keys: whether keys may be missing.
    """

    backend = CertaintyMap.backend

    def __init__(
        self, keys: KeysCollection, possible: Calibration, certain: Calibration, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = CertaintyMap(possible, certain)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each score map by its labels."""
        return {**data, **{key: self.transform(data[key]) for key in self.key_iterator(data)}}


CertaintyMapD = CertaintyMapDict = CertaintyMapd
