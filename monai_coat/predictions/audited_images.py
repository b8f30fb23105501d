# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What an audit keeps of each labelled image: its risks at the calibrated cutoff, size, features and group.

Tested by tests/predictions/test_audit.py.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.calibration import FEATURES, as_grouping, critical_sketch
from monai_coat.calibration.grouping import value_of
from monai_coat.data import PredictionFolder
from monai_coat.data.sample_maps import source_of
from monai_coat.files.progress import followed
from monai_coat.predictions.calibrate import CalibratedMaps
from monai_coat.predictions.fitted_scorer import image_features, token_of
from monai_coat.predictions.promises import SinglePromise

__all__ = ["AuditedImages", "audited_images"]

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class AuditedImages:
    """The images of an audit.

    Attributes:
        ids: their names.
        risks: of each risk by key, ``(n, K)`` for K classes, or ``(n, 1)`` of a joint risk.
        sizes: share of the image that is foreground, ``(n, K)``.
        features: ``(n, K, F)``.
        critical: critical scores, thinned, ``(n, K, 64)``, if the promised risk is a share of them.
        groups: name of the group whose promise is about the image; None if there is one promise for all.
        units: what is averaged over, such as the patient; empty texts if images are.
    """

    ids: tuple[str, ...]
    risks: Mapping[str, Array]
    sizes: Array
    features: Array
    critical: Array | None
    groups: tuple[str | None, ...]
    units: tuple[str, ...]

    def risks_of(self, promise: SinglePromise) -> Array:
        """Risks ``(n,)``; NaN of images that do not count, or that the promise is not about."""
        risks = self.risks[promise.risk.key]
        return np.where(self.are_about(promise), risks[:, 0 if promise.risk.joint else promise.index], np.nan)

    def are_about(self, promise: SinglePromise) -> NDArray[np.bool_]:
        """Which images are of the group that a promise is about, ``(n,)``."""
        return np.array([promise.group is None or group == promise.group for group in self.groups])

    def mean_over_units(self, risks: Array) -> Array:
        """The mean over the images of each unit that count; NaN where none does."""
        of_unit: dict[str, list[float]] = {name: [] for name in self.units}
        for name, risk in zip(self.units, risks.tolist(), strict=True):
            of_unit[name] += [] if math.isnan(risk) else [risk]
        return np.array([math.fsum(each) / len(each) if each else math.nan for each in of_unit.values()])

    def features_of(self, promise: SinglePromise) -> Array:
        """Features ``(n, F)``; of a joint risk those of all classes."""
        return self.features.reshape(len(self.ids), -1) if promise.risk.joint else self.features[:, promise.index]

    def names_of(self, promise: SinglePromise) -> tuple[str, ...]:
        """What the features are called; of a joint risk, with the number of the class if there are several."""
        classes = self.features.shape[1]
        if not promise.risk.joint or classes == 1:
            return FEATURES
        return tuple(f"{name}, class {index}" for index in range(classes) for name in FEATURES)

    def sizes_of(self, promise: SinglePromise) -> Array:
        """Sizes ``(n,)``; of a joint risk the sum over classes."""
        sizes: Array = self.sizes.sum(1) if promise.risk.joint else self.sizes[:, promise.index]
        return sizes


def audited_images(
    calibrated: CalibratedMaps, folder: PredictionFolder, promises: Sequence[SinglePromise]
) -> AuditedImages:
    """Read every image of a folder once, and keep what its audit needs.

    Args:
        calibrated: the calibration.
        folder: predictions with masks, opened with its format.
        promises: what was promised.

    Raises:
        ValueError: naming the file, as :func:`~monai_coat.predictions.audit_folder`.
    """
    risks = {promise.risk.key: promise.risk for promise in promises}
    of_risk: dict[str, list[Tensor]] = {key: [] for key in risks}
    ids: list[str] = []
    tokens: dict[str, str] = {}
    features: list[Tensor] = []
    critical: list[Tensor] = []
    sizes: list[Tensor] = []
    groups: list[str | None] = []
    units: list[str] = []
    for sample, maps, masks in followed(folder.pairs(), len(folder), logger, "audit"):
        source = source_of(sample)
        _refuse_known(calibrated, token_of(maps.as_tensor(), masks), source, tokens)
        scores = calibrated.fitted.score(maps)
        group = _group_of(calibrated, scores, sample)
        cutoff = torch.tensor((calibrated.result if group is None else calibrated.result.groups[group]).cutoff)
        for key, risk in risks.items():
            of_risk[key].append(risk.image_risk(scores[None], masks[None], cutoff)[0])
        if promises[0].risk.is_share:
            critical.append(critical_sketch(promises[0].risk, scores, masks))
        ids.append(str(sample["id"]))
        features.append(image_features(maps, masks)[:, 1:])
        sizes.append(masks.flatten(1).double().mean(1))
        groups.append(group)
        units.append(_unit_of(promises[0].unit, sample))
        del maps, masks, scores  # before the next ones are read
    return AuditedImages(
        ids=tuple(ids),
        risks={key: torch.stack(rows).numpy() for key, rows in of_risk.items()},
        sizes=torch.stack(sizes).numpy(),
        features=torch.stack(features).double().numpy(),
        critical=torch.stack(critical).double().numpy() if critical else None,
        groups=tuple(groups),
        units=tuple(units),
    )


def _refuse_known(calibrated: CalibratedMaps, token: str | None, source: str, tokens: dict[str, str]) -> None:
    """Refuse an image that was learned from, calibrated on, or is there twice."""
    calibrated.fitted.refuse_seen(token, source)
    if token is None:
        return
    if token in tokens:
        raise ValueError(
            f"images must be different ones, got the map and mask of {tokens[token]} again in {source}; leave copies "
            "out."
        )
    tokens[token] = source


def _group_of(calibrated: CalibratedMaps, scores: Tensor, sample: Mapping[str, Any]) -> str | None:
    """The group whose promise is about an image; None if there is one promise for all."""
    result = calibrated.result
    if not result.groups:
        return None
    calibrated.for_image(scores, sample)  # refuses an image of no group that was calibrated on
    return as_grouping(str(result.settings["key"])).group_of(scores, sample.get("meta"))


def _unit_of(key: str, sample: Mapping[str, Any]) -> str:
    """What an image's risk is averaged over with that of others, such as the patient; empty if nothing is."""
    try:
        return str(value_of(sample.get("meta"), key)) if key else ""
    except ValueError as error:
        raise ValueError(f"{error} (in {sample['id']}; a table says it, --table)") from None
