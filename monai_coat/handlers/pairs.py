# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pairs of scores and labels out of an engine's output, in any of its forms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from monai_coat.calibration import ScoreForms, gather_objects

__all__ = ["ENGINE_CUTS", "batches", "check_forms"]

ENGINE_CUTS = (
    "an engine's postprocessing has cut them (AsDiscrete), so take them before: handler.attach(engine, "
    "event=monai.engines.IterationEvents.FORWARD_COMPLETED), with the activation in output_transform"
)
"""What a user of MONAI's engines does about masks in place of scores."""


def check_forms(forms: ScoreForms, remedy: str = ENGINE_CUTS) -> None:
    """Refuse masks in place of scores, as all workers have seen them."""
    together = ScoreForms()
    for of_worker in gather_objects(forms):
        together.merge(of_worker)
    together.check(remedy)


def batches(output: Any, forms: ScoreForms | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches ``(B, C, *spatial)`` of scores and labels: one of two tensors, or one per item of two lists."""
    for scores, labels in _batches(output):
        if forms is not None:
            forms.take(scores)
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
