# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Pairs of scores and labels out of an engine's output, in any of its forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_coat.calibration import ScoreForms, gather_objects

__all__ = ["ENGINE_CUTS", "batches", "check_forms"]

ENGINE_CUTS = (
    "an engine's postprocessing has cut them (AsDiscrete), so take them before: handler.attach(engine, "
    "event=monai.engines.IterationEvents.FORWARD_COMPLETED), with the activation in output_transform"
)
"""What a user of MONAI's engines does about masks in place of scores."""


def check_forms(forms: ScoreForms, remedy: str = ENGINE_CUTS) -> ScoreForms:
    """Refuse masks in place of scores, as all workers have seen them; returns what they have seen together."""
    together = ScoreForms()
    for of_worker in gather_objects(forms):
        together.merge(of_worker)
    together.check(remedy)
    return together


def batches(output: Any, forms: ScoreForms | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches ``(B, C, *spatial)`` of scores and labels: one of two tensors, or one per item of two lists."""
    of_one = not isinstance(output, tuple | list) or not output or not isinstance(output[0], Tensor | np.ndarray)
    for scores, labels in _batches(output):
        if forms is not None:
            forms.take(scores, of_one)
        yield scores, labels


def transformed(output_transform: Callable[[Any], Any], output: Any) -> Any:
    """What ``output_transform`` makes of an engine's output, with a sentence where it cannot.

    Raises:
        ValueError: if it fails on this form of output.
    """
    try:
        return output_transform(output)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise ValueError(
            f"output_transform must take (scores, labels) out of the engine's output, got {_form(output)}, and failed "
            f"({type(error).__name__}: {error}); name keys that are there, as in monai.handlers.from_engine(['pred', "
            "'label']), which is for lists of dictionaries; with event=monai.engines.IterationEvents.FORWARD_COMPLETED "
            "it is one dictionary."
        ) from error


def _form(output: Any) -> str:
    """An output in words."""
    if isinstance(output, list | tuple) and output:
        return f"a {type(output).__name__} of {len(output)}, the first {_form(output[0])}"
    if isinstance(output, Mapping):
        return f"a dictionary of {', '.join(map(str, output))}"
    return type(output).__name__


def _batches(output: Any) -> Iterator[tuple[Tensor, Tensor]]:
    if not isinstance(output, tuple | list) or len(output) != 2:
        raise ValueError(
            f"output_transform must return (scores, labels), got {type(output).__name__}; for dictionaries use "
            'monai.handlers.from_engine(["pred", "label"]), where "pred" has scores: before they are cut, as at '
            "IterationEvents.FORWARD_COMPLETED of MONAI's evaluators."
        )
    scores, labels = (torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in output)
    if isinstance(scores, Tensor):
        yield scores, labels
        return
    if not all(isinstance(part, list | tuple) for part in (scores, labels)):
        raise ValueError(
            f"output_transform must return batches or lists of maps, got {_form(scores)} as scores and {_form(labels)} "
            'as labels; for dictionaries use monai.handlers.from_engine(["pred", "label"]).'
        )
    if len(scores) != len(labels):
        raise ValueError(
            f"scores and labels must have the same length, got {len(scores)} and {len(labels)}; give one mask "
            "for each map."
        )
    for score, label in zip(scores, labels, strict=True):
        for name, value in (("scores", score), ("labels", label)):
            if not isinstance(value, Tensor | np.ndarray):
                raise TypeError(
                    f"{name} must be a list of maps (C, *spatial), got {_form(value)} in it; let the loader give an "
                    'image and its label, and output_transform name both, as from_engine(["pred", "label"]).'
                )
        yield torch.as_tensor(score)[None], torch.as_tensor(label)[None]
