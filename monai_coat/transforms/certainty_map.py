# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The label map of what is certain and what is possible, which any viewer can show."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor, get_track_meta
from monai.transforms import MapTransform, Transform
from monai.utils import TransformBackends, convert_to_tensor
from torch import Tensor

from monai_coat.calibration import CalibrationResult, check_calibration_fits, load_calibration, risk_named
from monai_coat.functional import float32_below
from monai_coat.functional.checks import check_finite
from monai_coat.transforms.certainty_labels import CertaintyLabels

__all__ = ["CertaintyMap", "CertaintyMapD", "CertaintyMapDict", "CertaintyMapd"]

logger = logging.getLogger(__name__)

Calibration = CalibrationResult | str | os.PathLike[str]


class CertaintyMap(Transform):
    r"""Labels of what is certain and what is possible, one for every combination of classes.

    Possible is the prediction set, which misses little: ``score >= cutoff`` of the calibration of what is missed.
    Certain is the part of it with ``score >= cutoff`` of the calibration of false positives, in which little is wrong.
    The map holds both sets of every class exactly, also where classes touch or nest, see
    :class:`~monai_coat.transforms.CertaintyLabels`: what was promised about a set is true of the map.

    Args:
        possible: calibration of what is missed, or the path of its JSON artifact.
        certain: calibration of false positives, or the path of its JSON artifact.

    Raises:
        FileNotFoundError: if there is no artifact at a path.
        ValueError: if the calibrations are not of these risks, or of different pipelines or numbers of classes; when
            called, if scores are not finite.

    Example:
        >>> possible = CalibrationResult((0.25,), 0.1, (99,), (0,), (0.09,), "E[FNR] <= 0.1")
        >>> certain = CalibrationResult((0.75,), 0.1, (99,), (0,), (0.09,), "", controls="false_positive_ratio")
        >>> CertaintyMap(possible, certain)(torch.tensor([[0.1, 0.3, 0.7, 0.9]]))
        metatensor([[0, 2, 2, 1]], dtype=torch.uint8)
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012  the host's class attribute

    def __init__(self, possible: Calibration, certain: Calibration) -> None:
        self.possible, self.certain = loaded_calibration(possible), loaded_calibration(certain)
        check_possible_and_certain(self.possible, self.certain)
        for calibration in (self.possible, self.certain):
            if not all(calibration.promised):
                logger.warning("%s", calibration.guarantee)
        self.labels = CertaintyLabels.of_count(len(self.possible.cutoff))

    def __call__(self, scores: NdarrayOrTensor) -> Tensor:
        """Labels ``(1, *spatial)`` of scores ``(C, *spatial)``."""
        maps: Tensor = convert_to_tensor(scores, track_meta=get_track_meta())
        check_calibration_fits(self.possible, classes=maps.shape[0])
        check_finite(maps)
        possible, certain = (
            set_of_scores(float32_below(maps), calibration) for calibration in (self.possible, self.certain)
        )
        labels = self.labels.encode(possible, certain)[None]
        if not isinstance(maps, MetaTensor):
            return labels
        return MetaTensor(labels, meta=maps.meta, applied_operations=maps.applied_operations)


def check_possible_and_certain(possible: CalibrationResult, certain: CalibrationResult | None) -> None:
    """Refuse two calibrations of which the first is not of what is missed, or the second not of false positives.

    Raises:
        ValueError: also if they are of different pipelines or numbers of classes.
    """
    for name, calibration in (("possible", possible), ("certain", certain)):
        if calibration is not None and not risk_named(calibration.controls).of_places:
            raise ValueError(
                f"{name} must be a calibration of what is missed or falsely marked, got one of "
                f"{calibration.controls!r}, which says nothing about where; calibrate another."
            )
    if not risk_named(possible.controls).rises:
        raise ValueError("possible must be a calibration of what is missed, got one of false positives; swap the two.")
    if certain is None:
        return
    if risk_named(certain.controls).rises:
        raise ValueError(
            f"certain must be a calibration of false positives, got one of {certain.controls!r}; calibrate with "
            "ExpectedRisk(FalsePositiveRatio(), alpha)."
        )
    check_calibration_fits(certain, classes=len(possible.cutoff), identity=possible.identity)


def set_of_scores(scores: Tensor, calibration: CalibrationResult) -> Tensor:
    """The set of each class, bool, of float32 scores ``(C, *spatial)``."""
    cutoff = torch.tensor(calibration.cutoff, device=scores.device).reshape(-1, *[1] * (scores.dim() - 1))
    return (scores >= cutoff).as_subclass(Tensor)


def loaded_calibration(calibration: Calibration) -> CalibrationResult:
    """A calibration, read if a path is given."""
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
