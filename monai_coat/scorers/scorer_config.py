# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scorers by a description of plain values, which a file can hold and nobody can hide code in.

Tested by tests/scorers/test_methods.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from monai_coat.scorers.base import Scorer
from monai_coat.scorers.boundary_distance import BoundaryDistanceScorer
from monai_coat.scorers.expected_coverage import ExpectedCoverageScorer
from monai_coat.scorers.expected_gap import ExpectedGapScorer
from monai_coat.scorers.folded import FoldedScorer
from monai_coat.scorers.margin import MarginScorer
from monai_coat.scorers.placed import PlacedScorer
from monai_coat.scorers.predict_all import PredictAllScorer
from monai_coat.scorers.predictors.expected_gap import ExpectedGapPredictor
from monai_coat.scorers.predictors.linear import LinearThresholdPredictor
from monai_coat.scorers.predictors.threshold import ThresholdPredictor
from monai_coat.scorers.probability import ProbabilityScorer

__all__ = ["scorer_of_config"]

SCORERS = (
    BoundaryDistanceScorer,
    ExpectedCoverageScorer,
    ExpectedGapScorer,
    FoldedScorer,
    MarginScorer,
    PlacedScorer,
    PredictAllScorer,
    ProbabilityScorer,
)
PREDICTORS = (ExpectedGapPredictor, LinearThresholdPredictor, ThresholdPredictor)
PARTS: Mapping[str, Callable[..., Any]] = {part.__name__: part for part in (*SCORERS, *PREDICTORS)}
"""Classes that a description may name."""


def scorer_of_config(config: Mapping[str, Any]) -> Scorer:
    """The scorer of a description: the class's name as ``_target_`` and its arguments, as in a MONAI config.

    Raises:
        ValueError: if it is the description of something else.

    Example:
        >>> predictor = {"_target_": "ExpectedGapPredictor", "num_classes": 2}
        >>> scorer_of_config({"_target_": "MarginScorer", "predictor": predictor, "space": "logit"}).space
        'logit'
    """
    scorer = _part(config)
    if not isinstance(scorer, Scorer):
        raise ValueError(f"config must be that of a scorer, got {config!r}; fit the scorer again.")
    return scorer


def _part(config: Mapping[str, Any]) -> Any:
    name = config.get("_target_")
    if name not in PARTS:
        raise ValueError(f"_target_ must be one of {', '.join(PARTS)}, got {name!r}; fit the scorer again.")
    arguments = {key: _argument(value) for key, value in config.items()}
    del arguments["_target_"]
    try:
        return PARTS[str(name)](**arguments)
    except TypeError as error:
        raise ValueError(f"arguments must be those of {name}, got {arguments!r} ({error}); fit it again.") from None


def _argument(value: Any) -> Any:
    """A plain value, or the part or parts that it describes."""
    if isinstance(value, list | tuple) and value and all(isinstance(each, Mapping) for each in value):
        return [_part(each) for each in value]
    return _part(value) if isinstance(value, Mapping) else value
