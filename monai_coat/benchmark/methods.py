# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The methods of a benchmark: how each is fitted to the images that it may learn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pydoc import locate
from typing import Any

from torch import Tensor, nn

from monai_coat.benchmark.learning import learn_thresholds
from monai_coat.benchmark.maps import Maps
from monai_coat.calibration import exact_thresholds, fit_linear_thresholds
from monai_coat.functional import ideal_threshold
from monai_coat.networks import (
    BoundaryDistanceScorer,
    ExpectedCoverageScorer,
    ExpectedGapPredictor,
    IsotonicCalibration,
    LinearThresholdPredictor,
    MarginScorer,
    PredictedRiskScorer,
    ProbabilityScorer,
    ScoreSpace,
    StratifiedScorer,
    TrivialScorer,
)

__all__ = ["FITS", "Fitted", "fit_of"]

Rule = Callable[[Maps, Sequence[int], Sequence[int]], Tensor]
"""From the pool, and the places of calibration and test images in it, to probability thresholds of the latter."""


@dataclass(frozen=True)
class Fitted:
    """A fitted method: a scorer that is to be calibrated, or a rule whose thresholds are used as they are.

    Attributes:
        scorer: from image and probability map to scores.
        rule: see :data:`Rule`.
        losses: mean training loss of each epoch, if there were epochs.
    """

    scorer: nn.Module | None = None
    rule: Rule | None = None
    losses: tuple[float, ...] = ()


def crc(train: Maps, alpha: float, seed: int) -> Fitted:
    """One threshold for all images."""
    return Fitted(ProbabilityScorer())


def learned(train: Maps, alpha: float, seed: int, **settings: Any) -> Fitted:
    """AT, COAT and their kin; ``settings`` are those of :func:`~monai_coat.benchmark.learning.learn_thresholds`."""
    scorer, losses = learn_thresholds(train, alpha, seed, **settings)
    return Fitted(scorer, losses=losses)


def meg(train: Maps, alpha: float, seed: int, **settings: Any) -> Fitted:
    """Thresholds of minimum expected gap."""
    predictor = ExpectedGapPredictor(**settings).fit(train.probs, train.label, alpha, seed)
    return Fitted(MarginScorer(predictor, ScoreSpace.LOGIT))


def sacp(train: Maps, alpha: float, seed: int, **settings: Any) -> Fitted:
    """SACP, adapted."""
    return Fitted(BoundaryDistanceScorer(**settings))


def cra(train: Maps, alpha: float, seed: int, isotonic: bool = False, strata: int = 0) -> Fitted:
    """CRA, perhaps on calibrated probabilities, perhaps in strata."""
    calibration = IsotonicCalibration().fit(train.probs, train.label) if isotonic else None
    scorer: nn.Module = ExpectedCoverageScorer(calibration)
    if strata:
        scorer = StratifiedScorer(scorer, strata).fit(train.image, train.probs, train.label, alpha)
    return Fitted(scorer)


def recirc(train: Maps, alpha: float, seed: int, **settings: Any) -> Fitted:
    """ReCIRC with gradient boosting."""
    return Fitted(PredictedRiskScorer(**settings).fit(train.probs, train.label, seed))


def aa_crc(train: Maps, alpha: float, seed: int, form: str = "controlled", ridge: float = 0.0) -> Fitted:
    """AA-CRC: "published" and "exact" are fitted to the calibration images, "controlled" to others and calibrated."""
    if form == "controlled":
        predictor = LinearThresholdPredictor()
        theta = fit_linear_thresholds(train.summaries, train.sketches[:, 0], alpha, ridge)
        return Fitted(MarginScorer(predictor.set_coefficients(theta[None].float())))

    def rule(pool: Maps, calibration: Sequence[int], test: Sequence[int]) -> Tensor:
        seen, new = list(calibration), list(test)
        features, sketches = pool.summaries[seen], pool.sketches[seen, 0]
        if form == "exact":
            return exact_thresholds(features, sketches, pool.summaries[new], alpha).float()
        theta = fit_linear_thresholds(features, sketches, alpha - 1 / len(seen), ridge).float()
        return theta[0] + pool.summaries[new] @ theta[1:]

    if form not in ("published", "exact"):
        raise ValueError(f"form must be 'published', 'exact' or 'controlled', got {form!r}.")
    return Fitted(rule=rule)


def everything(train: Maps, alpha: float, seed: int) -> Fitted:
    """The predictor that takes every pixel: no coverage gap above alpha, and no use."""
    return Fitted(TrivialScorer())


def oracle(train: Maps, alpha: float, seed: int) -> Fitted:
    """Each test image's own ideal threshold, which takes its mask to know: the other end of the scale."""

    def rule(pool: Maps, calibration: Sequence[int], test: Sequence[int]) -> Tensor:
        rows = list(test)
        return ideal_threshold(pool.probs[rows], pool.label[rows], alpha)[:, 0]

    return Fitted(rule=rule)


FITS: Mapping[str, Callable[..., Fitted]] = {
    "crc": crc,
    "learned": learned,
    "meg": meg,
    "sacp": sacp,
    "cra": cra,
    "recirc": recirc,
    "aa_crc": aa_crc,
    "everything": everything,
    "oracle": oracle,
}
"""Fits by the name that a protocol calls them; a dotted path names one from elsewhere."""


def fit_of(name: str) -> Callable[..., Fitted]:
    """The fit of that name, or at that dotted path.

    Raises:
        ValueError: if there is none.
    """
    fit = FITS.get(name) or (locate(name) if "." in name else None)
    if not callable(fit):
        raise ValueError(f"fit must be one of {', '.join(FITS)} or a dotted path, got {name!r}.")
    return fit
