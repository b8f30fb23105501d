# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Thresholds learned by gradient descent, in seconds: from summaries of maps and sketches of their foreground."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from torch import Tensor

from monai_coat.functional import expected_coverage_scores, foreground_sketch, logit_scores, temperature_of_spread
from monai_coat.scorers.margin import MarginScorer, ScoreSpace
from monai_coat.scorers.predicted_maps import PredictedMaps
from monai_coat.scorers.predictors.threshold import ThresholdPredictor
from monai_coat.scorers.sketched_maps import SketchedMaps

__all__ = ["learn_thresholds"]

BATCH = 64


def learn_thresholds(
    train: PredictedMaps | SketchedMaps,
    alpha: float,
    seed: int,
    loss: Mapping[str, Any],
    space: str = ScoreSpace.PROBABILITY,
    epochs: int = 60,
) -> tuple[MarginScorer, tuple[float, ...]]:
    """Train a :class:`~monai_coat.scorers.ThresholdPredictor` that reads summaries of the map.

    The losses look at foreground scores alone, so that a sketch of each image's foreground stands for its map.

    Args:
        train: images that no calibration will use.
        alpha: tolerated mean false negative rate.
        seed: of weights and order.
        loss: configuration of a loss of :mod:`monai_coat.losses` without ``alpha``. A ``temperature`` of "spread" is
            set from the data, to half the median spread (interquartile range) of an image's foreground scores; one of
            two numbers falls from the first to the second, by the same factor each epoch.
        space: one of :class:`~monai_coat.scorers.ScoreSpace`.
        epochs: number of passes.

    Returns:
        The scorer, and the mean loss of each epoch.
    """
    torch.manual_seed(seed)
    scorer = MarginScorer(ThresholdPredictor(2, train.in_channels, train.num_classes, "none", train.input_size), space)
    predictor: Any = scorer.predictor
    if space == ScoreSpace.EXPECTED_COVERAGE:
        predictor.start_at(alpha)
    sketches = _sketches(train, space)
    absent = torch.isnan(sketches)
    present = None if not bool(absent.any()) else (~absent).float()
    sketches = sketches.masked_fill(absent, 0.0)
    temperatures = _temperatures(loss.get("temperature"), sketches, epochs)
    optimizer = torch.optim.AdamW(predictor.parameters(), 3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * math.ceil(len(train) / BATCH))
    losses = []
    # Reading a configuration takes longer than an epoch.
    criteria = {temperature: _criterion(loss, alpha, temperature) for temperature in set(temperatures)}
    for temperature in temperatures:
        criterion = criteria[temperature]
        total = 0.0
        for rows in torch.randperm(len(train)).split(BATCH):
            thresholds = predictor.of_summaries(train.summaries[rows])
            if space == ScoreSpace.LOGIT:
                thresholds = logit_scores(thresholds)
            value = criterion(sketches[rows] - thresholds[..., None], None if present is None else present[rows])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
            total += value.item() * len(rows)
        losses.append(total / len(train))
    return scorer.eval(), tuple(losses)


def _sketches(train: PredictedMaps | SketchedMaps, space: str) -> Tensor:
    if space == ScoreSpace.PROBABILITY:
        return train.sketches
    if space == ScoreSpace.LOGIT and isinstance(train, SketchedMaps):
        return logit_scores(train.sketches)
    scores = logit_scores(train.probs) if space == ScoreSpace.LOGIT else expected_coverage_scores(train.probs)
    return foreground_sketch(scores, train.label, train.sketches.shape[-1])


def _criterion(loss: Mapping[str, Any], alpha: float, temperature: float | None) -> Any:
    """The loss of an epoch."""
    settings = {**loss, "alpha": alpha}
    if temperature is not None:
        settings["temperature"] = temperature
    return ConfigParser(settings).get_parsed_content()


def _temperatures(setting: Any, sketches: Tensor, epochs: int) -> list[float | None]:
    """The loss's temperature in each epoch, None if it has none."""
    if setting is None:
        return [None] * epochs
    if setting == "spread":
        setting = temperature_of_spread(sketches)
    first, last = setting if isinstance(setting, Sequence) else (setting, setting)
    return [float(temperature) for temperature in np.geomspace(first, last, epochs)]
