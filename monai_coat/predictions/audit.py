# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The audit of a calibration on a folder of labelled predictions: does its promise hold there, and where not?"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from monai_coat.calibration import (
    FEATURES,
    AuditedPromise,
    ExpectedRisk,
    GroupAudit,
    MeanAudit,
    SlabAudit,
    audit_groups,
    audit_mean,
    audit_worst_slab,
    counted_presence,
    exchangeability_p_value,
    redrawing_p_value,
    size_strata,
)
from monai_coat.data import PredictionFolder
from monai_coat.functional.checks import check_delta
from monai_coat.predictions.audited_images import AuditedImages, audited_images
from monai_coat.predictions.calibrate import CalibratedMaps
from monai_coat.predictions.promises import SinglePromise, single_promises

__all__ = ["FolderAudit", "PromiseAudit", "audit_folder", "prefix_of"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PromiseAudit:
    """The audit of one promise: of one class, of one group if each has its own, of one risk if several are promised.

    Attributes:
        promise: what was promised.
        found: the verdict, and what it rests on.
        risks: of each image in ``ids`` order, NaN of one that does not count.
        groups: mean risk of groups of images, and of strata of size.
        slab: where the risk is largest; None with few images.
        exchangeability: p-value of the hypothesis that these images look like the calibration's; None if it is not
            known how those looked.
        features: names of what the slab is along.
    """

    promise: SinglePromise
    found: MeanAudit
    risks: tuple[float, ...]
    groups: tuple[GroupAudit, ...]
    slab: SlabAudit | None
    exchangeability: float | None
    features: tuple[str, ...] = FEATURES

    @property
    def directions(self) -> dict[str, float]:
        """Weight of each feature in the direction of the slab."""
        return {} if self.slab is None else dict(zip(self.features, self.slab.direction, strict=True))

    @property
    def sentence(self) -> str:
        """The verdict in words, and whether the images look like those of the calibration."""
        words = f"{self.promise.words}: {self.found.sentence}"
        if self.exchangeability is None or self.exchangeability > self.found.level:
            return words
        return f"{words}; the maps look unlike those of the calibration (p = {self.exchangeability:.2g})"


@dataclass(frozen=True)
class FolderAudit:
    """The audit of all promises of a calibration.

    Attributes:
        guarantee: the promise in the calibration's words.
        level: tolerated probability of any wrong "broken"; each of several promises has its part of it.
        ids: names of the images.
        promises: the audit of each.
        identity: what is the same in calibration and audit, in words.
        seed: of permutations and slabs.
    """

    guarantee: str
    level: float
    ids: tuple[str, ...]
    promises: tuple[PromiseAudit, ...]
    identity: str
    seed: int

    @property
    def verdict(self) -> str:
        """``broken`` if any promise is, ``kept`` if all are, else ``open``."""
        verdicts = {each.found.verdict for each in self.promises}
        return "broken" if "broken" in verdicts else "kept" if verdicts == {"kept"} else "open"

    @property
    def sentence(self) -> str:
        """The verdict of each promise in words."""
        return "; ".join(each.sentence for each in self.promises)


@dataclass(frozen=True)
class _Known:
    """What is kept of the calibration images."""

    features: NDArray[np.float64] | None
    critical: NDArray[np.float64] | None

    @classmethod
    def of(cls, calibrated: CalibratedMaps) -> _Known:
        """Their features, and their critical scores where the calibration can be drawn again."""
        fitted, is_drawn_again = calibrated.fitted, calibrated.result.kind == ExpectedRisk.name
        features, critical = (
            None if kept is None else kept.double().numpy() for kept in (fitted.features, fitted.critical)
        )
        return cls(features, critical if is_drawn_again else None)


def audit_folder(
    calibrated: CalibratedMaps,
    folder: PredictionFolder,
    level: float = 0.05,
    groups: Mapping[str, str] | None = None,
    seed: int = 0,
) -> FolderAudit:
    """Audit a calibration on predictions with masks of images that nothing was learned from.

    Images are taken as independent draws from what the promise is about. Frames of one video are not: they make a
    verdict surer than it should be.

    Args:
        calibrated: the calibration.
        folder: predictions with masks, opened with the format of the calibration; with metadata, see
            :func:`~monai_coat.data.with_table`, if the promise is for each group or over patients.
        level: tolerated probability of finding any promise broken although all hold, in (0, 1).
        groups: name of each image's group by id, such as its site, whose mean risks are reported; None for none.
        seed: of the permutations and of the worst slab.

    Returns:
        The audit.

    Raises:
        ValueError: naming the file, if a map or mask cannot be read, the image is one that was learned from or
            calibrated on, or is there twice; if metadata are missing, no image counts for a promise, or the promise is
            about images of other weights.
    """
    level = check_delta(level, "level")
    promises = single_promises(calibrated)
    images = audited_images(calibrated, folder, promises)
    share = level / len(promises)
    known = _Known.of(calibrated)
    found = tuple(_audited(promise, images, known, share, groups, seed) for promise in promises)
    calibration = sum(calibrated.result.n) if known.features is None else len(known.features)
    same = f"the same kind of maps ({calibrated.format.values}, {calibrated.result.method})"
    if calibrated.fitted.seen:
        same += f", and none of the {len(images.ids)} images is one of the calibration's {calibration}"
    else:
        same += "; which images were calibrated on is not known"
    return FolderAudit(calibrated.result.guarantee, level, images.ids, found, same, seed)


def prefix_of(name: str) -> str:
    """The part of a file's name before the first underscore or digit, by which files of one source often begin.

    Example:
        >>> prefix_of("clinicdb_014"), prefix_of("case7"), prefix_of("0123")
        ('clinicdb', 'case', 'no prefix')
    """
    found = re.match(r"[^_\d]*", name)
    return (found[0].rstrip("-. ") if found else "") or "no prefix"


def _audited(
    promise: SinglePromise,
    images: AuditedImages,
    known: _Known,
    level: float,
    groups: Mapping[str, str] | None,
    seed: int,
) -> PromiseAudit:
    """The audit of one promise."""
    risks, risk = images.risks_of(promise), promise.risk
    units = images.mean_over_units(risks) if promise.unit else risks[images.are_about(promise)]
    if not np.isfinite(units).any():
        raise ValueError(f"labels must be of {risk.counted} for {promise.words!r}, got none; give more images.")
    about = AuditedPromise(promise.alpha, promise.n, promise.delta, risk.binary and not promise.unit)
    redrawn = _redrawn(promise, images, known.critical, seed)
    level = level if redrawn is None else level / 2  # two ways to find a promise broken share the level
    features = images.features_of(promise)
    return PromiseAudit(
        promise=promise,
        found=replace(audit_mean(units, about, level), redrawn=redrawn),
        risks=tuple(risks.tolist()),
        groups=audit_groups(risks, _members(images, promise, groups), promise.alpha, level, risk.binary),
        slab=audit_worst_slab(risks, features, promise.alpha, seed, risk.binary),
        exchangeability=_exchangeability(promise, features[~np.isnan(risks)], known.features, seed),
        features=images.names_of(promise),
    )


def _members(
    images: AuditedImages, promise: SinglePromise, groups: Mapping[str, str] | None
) -> dict[str, NDArray[np.bool_]]:
    """Which images are of each group, if there are several, and of each stratum of size."""
    names = np.array([] if groups is None else [groups[name] for name in images.ids])
    several = sorted(set(names.tolist())) if len(set(names.tolist())) > 1 else []
    strata = size_strata(images.sizes_of(promise))
    return {**{name: names == name for name in several}, **{f"size: {name}": each for name, each in strata.items()}}


def _redrawn(
    promise: SinglePromise, images: AuditedImages, critical: NDArray[np.float64] | None, seed: int
) -> float | None:
    """By chance in who calibrates, how likely it is that images lose so much; None if it is not known."""
    if critical is None or images.critical is None:
        return None
    before, now = (part[:, promise.index] for part in (critical, images.critical))
    before, now = (part[~np.isnan(part[:, 0])] for part in (before, now))
    return redrawing_p_value(before, now, promise.alpha, seed=seed)


def _exchangeability(
    promise: SinglePromise, features: NDArray[np.float64], known: NDArray[np.float64] | None, seed: int
) -> float | None:
    """Calibration images against those of the audit, among those that count for the risk."""
    if known is None or promise.group is not None:
        return None
    present = known[:, :, 0].any(1) if promise.risk.joint else known[:, promise.index, 0] > 0
    calibration = known[:, :, 1:].reshape(len(known), -1) if promise.risk.joint else known[:, promise.index, 1:]
    counted = np.array(counted_presence(promise.risk))[present.astype(int)]
    return exchangeability_p_value(calibration[counted], features, seed=seed) if counted.any() else None
