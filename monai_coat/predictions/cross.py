# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A folder of few predictions, which thresholds are learned from and which is calibrated, fold by fold."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from monai.data import MetaTensor
from torch import Tensor

from monai_coat.calibration import CrossRisk, FalseNegativeRate, Risk, with_reach
from monai_coat.data import PredictionFolder
from monai_coat.data.sample_maps import source_of
from monai_coat.files.progress import followed
from monai_coat.functional.checks import check_count
from monai_coat.predictions.calibrate import CALIBRATED, CalibratedMaps, calibrated_by, named_for, note_image
from monai_coat.predictions.fit import FITTED, check_method, fit_sketches
from monai_coat.predictions.fitted_scorer import FittedScorer, token_of
from monai_coat.scorers import FoldedScorer, SketchedMaps

__all__ = ["cross_calibrate_folder"]

logger = logging.getLogger(__name__)


def cross_calibrate_folder(
    folder: PredictionFolder,
    alpha: float = 0.1,
    method: str = "meg",
    folds: int = 20,
    seed: int = 0,
    risk: Risk | None = None,
    **settings: Any,
) -> CalibratedMaps:
    """Learn thresholds from a folder and calibrate them on it, by cross-validation: for some 20 to 60 images.

    The images are put into folds of one size at random. For each fold a scorer is fitted to the others, all in one
    random order, and scores the fold; of a new image, the set is the union of the sets of all these scorers. Where
    ``folds`` does not divide the number of images, all scorers learn from the rest, which is not calibrated on. Maps
    are read twice, one at a time.

    Args:
        folder: predictions with masks, drawn independently, as new ones will be, which the network has not seen.
        alpha: tolerated mean risk of a new image, in (0, 1), which thresholds are fitted to as well.
        method: one of the names in ``FOR_MAPS``.
        folds: number of folds and of scorers, at least 1 / alpha - 1 and at most one for each image.
        seed: of the folds, and of what is drawn at random in fits.
        risk: what is to be at most ``alpha``, rising with the cutoff; the false negative rate if none is given.
        **settings: the method's own.

    Returns:
        The calibration by :class:`~monai_coat.calibration.CrossRisk`, with a
        :class:`~monai_coat.scorers.FoldedScorer`.

    Raises:
        TypeError: if the risk falls with the cutoff.
        ValueError: naming the file, if it cannot be read or is there twice; or if there are too few folds for the
            level, or more than images.
    """
    check_method(alpha, method)
    guarantee = named_for(CrossRisk(risk or FalseNegativeRate(), alpha, folds), folder.format)
    if check_count(folds, "folds") > len(folder):
        raise ValueError(f"folds must be at most the {len(folder)} images, got {folds}; take fewer, or add images.")
    images = _Images()
    sketched = SketchedMaps.collect(images.sketchable(folder))
    generator = torch.Generator().manual_seed(seed)
    # Fits see the images in an order that says nothing of folds, so that all folds are alike to them.
    order, places = (torch.randperm(len(folder), generator=generator).tolist() for _ in range(2))
    size = len(folder) // folds
    fold_of = {place: position // size for position, place in enumerate(places[: size * folds])}
    fitted = [
        fit_sketches(sketched.rows(rows), alpha, method, seed, **settings)
        for rows in ([place for place in order if fold_of.get(place) != fold] for fold in range(folds))
    ]
    if size * folds < len(folder):
        logger.info("%d of %d images are learned from and not calibrated on", len(folder) - size * folds, len(folder))

    def score(maps: MetaTensor, masks: Tensor, source: str) -> Tensor | None:
        fold = fold_of.get(images.places[source])
        return None if fold is None else fitted[fold].score(maps)

    statistic = guarantee.statistic()
    forms = folder.collect(statistic, score)
    result = with_reach(guarantee.calibrate(statistic), guarantee, statistic, forms)
    seen = {
        token: FITTED if fold_of.get(images.places[source]) is None else CALIBRATED
        for token, source in images.sources.items()
    }
    return calibrated_by(folder, result, replace(_folded(fitted), seen=seen))


@dataclass
class _Images:
    """The images of a folder: the place of each file in the order that they are read, and the file of each token."""

    places: dict[str, int] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def sketchable(self, folder: PredictionFolder) -> Iterator[tuple[Tensor, Tensor]]:
        """Maps and masks, image by image; a copy of one is refused, since it would be in two folds."""
        for sample, maps, masks in followed(folder.pairs(), len(folder), logger, "fit"):
            source = source_of(sample)
            note_image(self.sources, token_of(maps.as_tensor(), masks), source)
            self.places[source] = len(self.places)
            yield maps.as_tensor(), masks


def _folded(fitted: list[FittedScorer]) -> FittedScorer:
    """Scorers of one method as one."""
    config = {"_target_": "FoldedScorer", "scorers": [dict(each.config) for each in fitted]}
    scorer = FoldedScorer([each.scorer for each in fitted]).eval()
    return FittedScorer(fitted[0].method, scorer, config, fitted[0].alpha)
