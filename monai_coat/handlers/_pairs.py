# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pairs of scores and labels out of an engine's output, in any of its forms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from monai_coat.calibration import ScoreForms, gather_objects

__all__: list[str] = []


def check_forms(forms: ScoreForms) -> ScoreForms:
    """Refuse masks in place of scores, as all workers have seen them; returns what they have seen together."""
    together = ScoreForms()
    for of_worker in gather_objects(forms):
        together.merge(of_worker)
    together.check(
        "an engine's postprocessing has cut them (AsDiscrete), so take them before: handler.attach(engine, "
        "event=monai.engines.IterationEvents.FORWARD_COMPLETED), with the activation in output_transform"
    )
    return together


def batches(output: Any, forms: ScoreForms | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches ``(B, C, *spatial)`` of scores and labels: one of two tensors, or one per item of two lists."""
    of_one = not isinstance(output, tuple | list) or not output or not isinstance(output[0], Tensor)
    for scores, labels in _batches(output):
        if forms is not None:
            forms.take(scores, of_one)
        yield scores, labels


def _batches(output: Any) -> Iterator[tuple[Tensor, Tensor]]:
    if not isinstance(output, tuple | list) or len(output) != 2:
        raise ValueError(
            f"output_transform must return (scores, labels), got {type(output).__name__}; "
            'for dictionaries use monai.handlers.from_engine(["pred", "label"]).'
        )
    scores, labels = output
    if isinstance(scores, Tensor):
        yield scores, labels
        return
    if len(scores) != len(labels):
        raise ValueError(f"scores and labels must have the same length, got {len(scores)} and {len(labels)}.")
    for score, label in zip(scores, labels, strict=True):
        yield score[None], label[None]
