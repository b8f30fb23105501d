# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Methods that overlays can use: the scorer of each as a config, and how it is fitted.

Tested by tests/bundles/foreign/test_facts.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from monai_coat.bundles.foreign.facts import Facts

__all__ = ["OVERLAY_METHODS", "OverlayMethod", "overlay_method"]

BATCHES = "((batch['probs'], batch['label']) for batch in @coat_dataloader)"
MEG = f"$monai_coat.scorers.fit_meg(@coat_scorer, {BATCHES}, @coat_alpha, @coat_seed)"
SKETCHES = f"$monai_coat.scorers.fit_margins(@coat_scorer, {BATCHES}, @coat_loss, @coat_seed)"


@dataclass(frozen=True)
class OverlayMethod:
    """A method as config items.

    Attributes:
        scorer: config of the scorer for a network.
        fit: expression that fits ``@coat_scorer``; empty if there is nothing to learn.
        more: config items that the fit needs.
        is_margin: whether scores are margins, of which 0 is not the least.
    """

    scorer: Callable[[Facts], dict[str, Any]]
    fit: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)
    is_margin: bool = False


def _probability(facts: Facts) -> dict[str, Any]:
    return {"_target_": "monai_coat.scorers.ProbabilityScorer"}


def _margin(predictor: str, **arguments: Any) -> dict[str, Any]:
    return {
        "_target_": "monai_coat.scorers.MarginScorer",
        "predictor": {"_target_": f"monai_coat.scorers.{predictor}", **arguments},
        "space": "logit",
    }


def _expected_gap(facts: Facts) -> dict[str, Any]:
    return _margin("ExpectedGapPredictor", num_classes=len(facts.classes))


def _priced(facts: Facts) -> dict[str, Any]:
    return {"_target_": "monai_coat.scorers.ExpectedGapScorer", "num_classes": len(facts.classes)}


def _threshold(facts: Facts) -> dict[str, Any]:
    size = {"spatial_dims": facts.spatial_dims, "in_channels": facts.in_channels}
    return _margin("ThresholdPredictor", **size, num_classes=len(facts.classes), backbone="none")


def _loss(name: str, **arguments: Any) -> dict[str, Any]:
    return {"coat_loss": {"_target_": f"monai_coat.losses.{name}", "alpha": "@coat_alpha", **arguments}}


OVERLAY_METHODS: Mapping[str, OverlayMethod] = {
    "crc": OverlayMethod(_probability),
    "meg": OverlayMethod(_expected_gap, MEG, is_margin=True),
    "meg2": OverlayMethod(_priced, MEG, is_margin=True),
    # Margins of log odds: their unit is about one, where that of probabilities is hundredths.
    "coat": OverlayMethod(_threshold, SKETCHES, _loss("SoftTPRLoss", temperature=0.5), is_margin=True),
    "at": OverlayMethod(_threshold, SKETCHES, _loss("ThresholdRegressionLoss"), is_margin=True),
}
"""Methods by name: a new one is a row here."""


def overlay_method(name: str) -> OverlayMethod:
    """The method of a name.

    Raises:
        ValueError: if there is none.

    Example:
        >>> overlay_method("crc").fit
        ''
    """
    if name not in OVERLAY_METHODS:
        raise ValueError(f"method must be one of {', '.join(OVERLAY_METHODS)}, got {name!r}; take one of these.")
    return OVERLAY_METHODS[name]
