# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The table of methods: how each is made, and fitted to the images that it may learn from."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from monai_coat.functional import ideal_threshold
from monai_coat.scorers.base import Scorer
from monai_coat.scorers.expected_coverage import ExpectedCoverageScorer
from monai_coat.scorers.fitting.aa_crc import exact_thresholds, fit_linear_thresholds
from monai_coat.scorers.fitting.gradient_descent import learn_thresholds
from monai_coat.scorers.isotonic import IsotonicCalibration
from monai_coat.scorers.predicted_maps import PredictedMaps
from monai_coat.scorers.predicted_risk import PredictedRiskScorer
from monai_coat.scorers.scorer_config import scorer_of_config
from monai_coat.scorers.sketched_maps import SketchedMaps
from monai_coat.scorers.stratified import StratifiedScorer

__all__ = ["METHODS", "FittedMethod", "MethodRow", "command_of", "method_of"]

Maps = PredictedMaps | SketchedMaps
"""What a method learns from."""

Rule = Callable[[PredictedMaps, Sequence[int], Sequence[int]], Tensor]
"""From the pool, and the places of calibration and test images in it, to probability thresholds of the latter."""


@dataclass(frozen=True)
class FittedMethod:
    """A fitted method: a scorer that is to be calibrated, or a rule whose thresholds are used as they are.

    Attributes:
        scorer: from image and probability map to scores.
        rule: see :data:`Rule`.
        losses: mean training loss of each epoch, if there were epochs.
        config: how the scorer is made again before its weights are loaded, see
            :func:`~monai_coat.scorers.scorer_of_config`; None if it is not kept in files.
    """

    scorer: Scorer | None = None
    rule: Rule | None = None
    losses: tuple[float, ...] = ()
    config: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class MethodRow:
    """A row of the table of methods.

    Attributes:
        fit: function of images to learn from, ``alpha``, ``seed`` and the method's own settings, see
            :class:`~monai_coat.scorers.PredictedMaps`.
        step: step of a bundle that learns the method's scorer; empty if there is nothing to learn.
        score_range: lowest and highest score, for grids of cutoffs.
        for_maps: whether it needs a map alone, of any size, and its scorer can be kept in a file.
        is_bound: whether it marks an end of the scale, of no use or in need of the mask, and is never called the best.
    """

    fit: Callable[..., FittedMethod]
    step: str = ""
    score_range: tuple[float, float] = (-1.0, 1.0)
    for_maps: bool = False
    is_bound: bool = False


def _made(config: Mapping[str, Any]) -> FittedMethod:
    return FittedMethod(scorer_of_config(config), config=config)


def _margins(predictor: Mapping[str, Any], space: str) -> dict[str, Any]:
    return {"_target_": "MarginScorer", "predictor": dict(predictor), "space": str(space)}


COAT_LOSS = {"_target_": "monai_coat.losses.SoftTPRLoss", "temperature": 0.05}
AT_LOSS = {"_target_": "monai_coat.losses.ThresholdRegressionLoss"}


def crc(train: Maps, alpha: float, seed: int, by_place: bool = False) -> FittedMethod:
    """CRC: one threshold for all images, perhaps with ties at probability 0 and 1 broken by place."""
    config = {"_target_": "ProbabilityScorer"}
    return _made({"_target_": "PlacedScorer", "scorer": config, "slope": 1.0} if by_place else config)


def learned(train: Maps, alpha: float, seed: int, **settings: Any) -> FittedMethod:
    """Thresholds learned by gradient descent, with any loss and in any space; see :func:`learn_thresholds`."""
    scorer, losses = learn_thresholds(train, alpha, seed, **settings)
    predictor = {"_target_": "ThresholdPredictor", "spatial_dims": 2, "backbone": "none"}
    predictor |= {"in_channels": train.in_channels, "num_classes": train.num_classes, "input_size": train.input_size}
    return FittedMethod(scorer, losses=losses, config=_margins(predictor, scorer.space))


def coat(train: Maps, alpha: float, seed: int, **settings: Any) -> FittedMethod:
    """COAT as published: a threshold per image, learned from the soft true positive rate of probabilities."""
    return learned(train, alpha, seed, **{"loss": COAT_LOSS, **settings})


def at(train: Maps, alpha: float, seed: int, **settings: Any) -> FittedMethod:
    """AT: a threshold per image, learned by regression on its ideal threshold."""
    return learned(train, alpha, seed, **{"loss": AT_LOSS, **settings})


def meg(train: Maps, alpha: float, seed: int, **settings: Any) -> FittedMethod:
    """MEG: the threshold of minimum expected gap on curves of coverage and precision that are predicted per image."""
    made = _made(_margins({"_target_": "ExpectedGapPredictor", **settings, "num_classes": train.num_classes}, "logit"))
    predictor: Any = made.scorer.predictor  # type: ignore[union-attr]
    predictor.fit_curves(*train.curves(predictor, alpha), alpha, seed)
    return made


def meg2(train: Maps, alpha: float, seed: int, **settings: Any) -> FittedMethod:
    """MEG, second edition: the price on coverage is calibrated, on curves that are predicted per image."""
    config = {"_target_": "ExpectedGapScorer", **settings, "num_classes": train.num_classes}
    scorer: Any = scorer_of_config(config)
    scorer.fit_curves(train.summaries, train.observed, alpha, train.groups)
    return FittedMethod(scorer, config=config)


def coat2(train: Maps, alpha: float, seed: int, **settings: Any) -> FittedMethod:
    """COAT's loss as :func:`meg2` has its own: on curves that are predicted per image, and the price calibrated."""
    return meg2(train, alpha, seed, objective="soft_tpr", **settings)


def sacp(train: Maps, alpha: float, seed: int, **settings: Any) -> FittedMethod:
    """SACP, adapted: probabilities weighted by the distance to the predicted boundary."""
    return _made({"_target_": "BoundaryDistanceScorer", **settings})


def cra(train: Maps, alpha: float, seed: int, isotonic: bool = False, strata: int = 0) -> FittedMethod:
    """CRA: one expected coverage for all images, perhaps of isotonic probabilities, perhaps in strata (CCRA-S)."""
    if not isotonic and not strata:
        return _made({"_target_": "ExpectedCoverageScorer"})
    calibration = IsotonicCalibration().fit(train.probs, train.label) if isotonic else None
    scorer: Scorer = ExpectedCoverageScorer(calibration)
    if strata:
        scorer = StratifiedScorer(scorer, strata).fit(train.image, train.probs, train.label, alpha)
    return FittedMethod(scorer)


def recirc(train: Maps, alpha: float, seed: int, **settings: Any) -> FittedMethod:
    """ReCIRC: one predicted risk for all images, by gradient boosting."""
    return FittedMethod(PredictedRiskScorer(**settings).fit(train.probs, train.label, seed))


def aa_crc(train: Maps, alpha: float, seed: int, form: str = "controlled", ridge: float = 0.0) -> FittedMethod:
    """AA-CRC: thresholds that are linear in features of the map.

    Args:
        train: images to learn from.
        alpha: tolerated mean false negative rate.
        seed: not used.
        form: "controlled" is fitted to the training images and then calibrated as all others are; "published" and
            "exact" are fitted to the calibration images, and their thresholds are used as they are.
        ridge: weight of the penalty on coefficients.
    """
    if form not in ("published", "exact", "controlled"):
        raise ValueError(f"form must be 'published', 'exact' or 'controlled', got {form!r}; take one of these.")
    if form == "controlled":
        made = _made(
            _margins({"_target_": "LinearThresholdPredictor", "num_classes": train.num_classes}, "probability")
        )
        of_classes = train.sketches.unbind(1)
        fitted = [fit_linear_thresholds(train.summaries, sketches, alpha, ridge) for sketches in of_classes]
        made.scorer.predictor.set_coefficients(torch.stack(fitted).float())  # type: ignore[union-attr,operator]
        return made

    def rule(pool: PredictedMaps, calibration: Sequence[int], test: Sequence[int]) -> Tensor:
        seen, new = list(calibration), list(test)
        features, sketches = pool.summaries[seen], pool.sketches[seen, 0]
        if form == "exact":
            return exact_thresholds(features, sketches, pool.summaries[new], alpha).float()
        coefficients = fit_linear_thresholds(features, sketches, alpha - 1 / len(seen), ridge).float()
        return coefficients[0] + pool.summaries[new] @ coefficients[1:]

    return FittedMethod(rule=rule)


def predict_all(train: Maps, alpha: float, seed: int) -> FittedMethod:
    """Every pixel: of no use, but with a coverage gap of exactly alpha."""
    return _made({"_target_": "PredictAllScorer"})


def oracle(train: Maps, alpha: float, seed: int) -> FittedMethod:
    """The ideal threshold of each test image, which only its mask tells."""

    def rule(pool: PredictedMaps, calibration: Sequence[int], test: Sequence[int]) -> Tensor:
        rows = list(test)
        return ideal_threshold(pool.probs[rows], pool.label[rows], alpha)[:, 0]

    return FittedMethod(rule=rule)


METHODS: Mapping[str, MethodRow] = {
    "crc": MethodRow(crc, score_range=(0.0, 1.0), for_maps=True),
    "meg": MethodRow(meg, "fit", score_range=(-30.0, 30.0), for_maps=True),
    "meg2": MethodRow(meg2, "fit", score_range=(-101.0, 101.0), for_maps=True),
    "coat": MethodRow(coat, "train_thresholds", for_maps=True),
    "coat2": MethodRow(coat2, "fit", score_range=(-101.0, 101.0), for_maps=True),
    "at": MethodRow(at, "train_thresholds", for_maps=True),
    "learned": MethodRow(learned, "train_thresholds"),
    "aa_crc": MethodRow(aa_crc, for_maps=True),
    "cra": MethodRow(cra, score_range=(0.0, 1.0), for_maps=True),
    "sacp": MethodRow(sacp, score_range=(0.0, 1.0), for_maps=True),
    "recirc": MethodRow(recirc, score_range=(0.0, 1.1)),
    "predict-all": MethodRow(predict_all, score_range=(0.0, 1.0), is_bound=True),
    "oracle": MethodRow(oracle, is_bound=True),
}
"""Methods by name: a new one is a row here, read by bundles, comparison and retraining alike."""


def command_of(settings: Mapping[str, Any]) -> str:
    """What the command ``fit`` calls the method of a protocol's settings; empty if it has not this very one.

    Example:
        >>> command_of({"fit": "meg"}), command_of({"fit": "meg", "members": 2})
        ('meg', '')
    """
    plain = {"coat": COAT_LOSS, "at": AT_LOSS}
    for name, loss in plain.items():
        if settings == {"fit": "learned", "loss": loss}:
            return name
    name = str(settings["fit"])
    return name if set(settings) == {"fit"} and name in METHODS and METHODS[name].for_maps else ""


def method_of(name: str) -> MethodRow:
    """The method of a name, a row of :data:`METHODS`; a dotted path names a ``fit`` from elsewhere.

    Raises:
        ValueError: if there is none.

    Example:
        >>> method_of("meg").step
        'fit'
    """
    if name in METHODS:
        return METHODS[name]
    module, _, function = name.rpartition(".")
    try:
        return MethodRow(getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError, ValueError):
        known = ", ".join(METHODS)
        raise ValueError(
            f"method must be one of {known}, or the dotted path of a fit, got {name!r}; correct the name."
        ) from None
