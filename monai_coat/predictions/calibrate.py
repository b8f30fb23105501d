# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The calibration of a folder of predictions, and its file.

Tested by tests/predictions/test_refusals.py.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from monai.data import MetaTensor
from torch import Tensor

from monai_coat.calibration import (
    CalibrationResult,
    CrossRisk,
    Guarantee,
    LearnThenTest,
    PipelineIdentity,
    as_guarantee,
    check_calibration_fits,
    critical_sketch,
    identity_of,
    load_calibration,
    risk_named,
    save_calibration,
    with_reach,
)
from monai_coat.data import MapFormat, PredictionFolder
from monai_coat.predictions.fitted_scorer import FittedScorer, image_features, load_scorer, token_of
from monai_coat.scorers import ProbabilityScorer, scorer_of_config

__all__ = [
    "CALIBRATED",
    "CalibratedMaps",
    "calibrate_folder",
    "calibrated_by",
    "crc_for",
    "load_calibrated_maps",
    "named_for",
    "note_image",
    "scorer_beside",
]

logger = logging.getLogger(__name__)

AnyGuarantee = TypeVar("AnyGuarantee", bound=Guarantee)

CALIBRATED = "calibrated on"

PLAIN = FittedScorer("crc", ProbabilityScorer(), {"_target_": "ProbabilityScorer"})
"""One threshold for all images: of distances, on a grid of probabilities, and of calibrations made elsewhere."""

_PLACED = {"_target_": "PlacedScorer", "scorer": {"_target_": "ProbabilityScorer"}, "slope": 1.0}
CRC = FittedScorer("crc", scorer_of_config(_PLACED), _PLACED)
"""One threshold for all images, with ties at probability 0 and 1 broken by place."""

UNLIKE = (
    "%d of %d images are unlike those that the scorer was fitted to, such as %s: they have one threshold in place of "
    "their own. The promise holds all the same; if these are many, fit a scorer to images of this kind."
)
FOLDS = (
    "; the maps are of {} folders: if these are folds of a cross-validation, it is about new images of one of their "
    "networks, and nothing is promised about an ensemble of them"
)


@dataclass(frozen=True)
class CalibratedMaps:
    """A calibration of saved maps with the scorer that it is of.

    Attributes:
        result: the cutoff per class and what is promised.
        fitted: the scorer, which knows the images that it was fitted to and calibrated on.
    """

    result: CalibrationResult
    fitted: FittedScorer

    @property
    def format(self) -> MapFormat:
        """How the maps are read."""
        return MapFormat.from_entries(self.result.identity.pipeline)

    def for_image(self, scores: Tensor, sample: Mapping[str, Any]) -> CalibrationResult:
        """The result of the group of an image, see :meth:`~monai_coat.calibration.CalibrationResult.for_image`.

        Raises:
            ValueError: naming its file, if the image's group is not known, or was not calibrated on.
        """
        with _of_sample(sample):
            return self.result.for_image(scores, sample.get("meta"))

    def check_samples(self, samples: Iterable[Mapping[str, Any]]) -> None:
        """Refuse images about which nothing is promised, as far as their metadata say so, before a map is read.

        Raises:
            ValueError: naming the file.
        """
        for sample in samples:
            with _of_sample(sample):
                self.result.check_meta(sample.get("meta"))

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the calibration, and beside it its scorer; returns both files.

        The scorer is written first: a run that ends between the two leaves no calibration without its scorer.

        Raises:
            ValueError: if the path is a folder, or does not end in ``.json``.
        """
        path = Path(path)
        beside = scorer_beside(path)
        if path.is_dir() or beside.is_dir():
            raise ValueError(f"output must be a file, got {path}, which is a folder; name another.")
        self.fitted.save(beside)
        save_calibration(self.result, path)
        return [path, beside]


@contextmanager
def _of_sample(sample: Mapping[str, Any]) -> Iterator[None]:
    """What is refused within names the sample."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{error} (in {sample['id']}; a table says it, --table)") from None


def calibrate_folder(
    folder: PredictionFolder,
    alpha: float | None = None,
    guarantee: Guarantee | None = None,
    fitted: FittedScorer | None = None,
) -> CalibratedMaps:
    """Calibrate a folder of predictions: the exact cutoff of each class, and what is promised with it.

    Args:
        folder: predictions with masks, exchangeable with new ones, which the network has not seen.
        alpha: tolerated mean false negative rate, in (0, 1).
        guarantee: what is promised, in place of ``alpha``; classes without names get those of the folder.
        fitted: the scorer that adapts to an image; None for one threshold for all, see :func:`crc_for`.

    Raises:
        TypeError: if the guarantee is one of a cross-validation.
        ValueError: naming the file, if it cannot be read, or an image was one of those that the scorer was fitted to;
            or if the maps are of another format, or too few for the level.
    """
    fitted = crc_for(folder, guarantee) if fitted is None else fitted
    if fitted.format is not None and fitted.format != folder.format:
        differences = PipelineIdentity({}, fitted.format.to_entries()).differences(
            PipelineIdentity({}, folder.format.to_entries())
        )
        raise ValueError(
            f"maps must be as those that the scorer was fitted to, but differ in {', '.join(differences)}; fit it to "
            "maps of this kind."
        )
    promised = named_for(as_guarantee(guarantee, alpha), folder.format)
    if isinstance(promised, CrossRisk):
        raise TypeError(
            "guarantee must be another than CrossRisk, whose scorers learn from the images themselves; use "
            "cross_calibrate_folder."
        )
    sources: dict[str, str] = {}
    features: list[Tensor] = []
    critical: list[Tensor] = []
    unlike: list[str] = []
    statistic = promised.statistic()

    def score(maps: MetaTensor, masks: Tensor, source: str) -> Tensor:
        token = token_of(maps.as_tensor(), masks)
        fitted.refuse_seen(token, source)
        note_image(sources, token, source)
        features.append(image_features(maps, masks))
        if not fitted.is_like(maps.as_tensor()):
            unlike.append(source)
        scores = fitted.score(maps)
        if promised.risk.is_share:
            critical.append(critical_sketch(promised.risk, scores, masks))
        return scores

    forms = folder.collect(statistic, score)
    if unlike:
        logger.warning(UNLIKE, len(unlike), len(features), unlike[0])
    result = with_reach(promised.calibrate(statistic), promised, statistic, forms, fitted.saturated)
    seen = {**fitted.seen, **dict.fromkeys(sources, CALIBRATED)}
    known = replace(
        fitted, seen=seen, features=torch.stack(features), critical=torch.stack(critical) if critical else None
    )
    return calibrated_by(folder, result, known)


def crc_for(folder: PredictionFolder, guarantee: Guarantee | None = None) -> FittedScorer:
    """One threshold for all images of a folder, with ties at probability 0 and 1 broken by place.

    Distances to predicted masks have no such ties. Cutoffs of a grid, of
    :class:`~monai_coat.calibration.LearnThenTest`, are probabilities, of which 0 takes everything: there none are
    broken.
    """
    is_plain = folder.options.are_masks or isinstance(guarantee, LearnThenTest)
    return PLAIN if is_plain else CRC


def calibrated_by(folder: PredictionFolder, result: CalibrationResult, fitted: FittedScorer) -> CalibratedMaps:
    """The calibration of a folder by a scorer that knows which images it has seen."""
    words = result.guarantee + (FOLDS.format(folder.folders) if folder.folders > 1 else "")
    identity = replace(identity_of(fitted.scorer), pipeline=folder.format.to_entries())
    result = replace(result, guarantee=words, method=fitted.method, identity=identity)
    return CalibratedMaps(result, replace(fitted, format=folder.format))


def note_image(sources: dict[str, str], token: str | None, source: str) -> None:
    """Remember the file of an image.

    Raises:
        ValueError: naming both files, if it is there already.
    """
    if token is None:
        return
    if token in sources:
        raise ValueError(
            f"images must be different ones, got the map and mask of {sources[token]} again in {source}; leave copies "
            "out."
        )
    sources[token] = source


def named_for(guarantee: AnyGuarantee, format: MapFormat) -> AnyGuarantee:
    """The guarantee, with the names of the classes if it has none."""
    if guarantee.class_names or not format.names or not hasattr(guarantee, "__dataclass_fields__"):
        return guarantee
    return replace(guarantee, class_names=format.names)  # type: ignore[type-var]


def load_calibrated_maps(path: str | os.PathLike[str]) -> CalibratedMaps:
    """Read a calibration of saved maps with its scorer.

    A calibration of probabilities alone, such as one that was merged from several hospitals, needs no scorer's file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no calibration of saved maps, or the scorer beside it is another than it was made with.
    """
    result, beside = load_calibration(path), scorer_beside(Path(path))
    format = MapFormat.from_entries(result.identity.pipeline)
    has_none = result.method == "crc" and not beside.exists()
    if has_none:
        logger.warning("%s is not there: nothing tells whether an image is one of the calibration's", beside)
    fitted = _without_file(result) if has_none else load_scorer(beside)
    try:
        _check_seen(fitted, result, has_none)
        expected = replace(identity_of(fitted.scorer), pipeline=format.to_entries())
        check_calibration_fits(result, classes=format.count, identity=expected)
    except ValueError as error:
        raise ValueError(f"{beside} must be the scorer that {path} was made with ({error})") from None
    return CalibratedMaps(result, replace(fitted, format=format))


def _without_file(result: CalibrationResult) -> FittedScorer:
    """The threshold for all images that a calibration was made with."""
    is_placed = not result.identity.differences(identity_of(CRC.scorer))
    return CRC if is_placed else PLAIN


def _check_seen(fitted: FittedScorer, result: CalibrationResult, has_none: bool) -> None:
    """Images without foreground have no token, as blank ones are alike: where they count, nothing can be said."""
    all_have_tokens = "with foreground" in risk_named(result.controls).counted
    if all_have_tokens and not has_none and list(fitted.seen.values()).count(CALIBRATED) < max(result.n):
        raise ValueError(f"it has not seen the {max(result.n)} images of the calibration")


def scorer_beside(path: Path) -> Path:
    """The file of a calibration's scorer.

    Raises:
        ValueError: if the calibration's does not end in ``.json``.
    """
    if path.suffix != ".json":
        raise ValueError(f"calibration must be a file that ends in .json, got {path}; name it {path.stem}.json.")
    return path.with_name(f"{path.stem}.scorer.pt")
