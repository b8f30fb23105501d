# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""States of random numbers, so that a resumed training draws what an undisturbed one would have drawn."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine

__all__ = ["RandomStates"]


class RandomStates:
    """Generators of torch, NumPy and Python, and those of the transforms of an engine's data, for checkpoints.

    Workers of a data loader take their seeds from torch's generator at the beginning of each epoch.

    Args:
        engine: engine whose data set has random transforms.

    Example:
        >>> states = RandomStates(Engine(lambda engine, batch: None))
        >>> saved = states.state_dict()
        >>> drawn = torch.rand(1)
        >>> states.load_state_dict(saved)
        >>> bool(torch.rand(1) == drawn)
        True
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers."""
        version, numbers, gauss = random.getstate()
        return {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "numpy": _numbers_of(np.random.get_state(legacy=False)),
            "python": [version, list(numbers), gauss],
            "transforms": [_numbers_of(state.get_state(legacy=False)) for state in self._transforms()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken; other transforms keep the states that they have."""
        torch.set_rng_state(state["torch"])
        if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda"])
        np.random.set_state(_state_of(state["numpy"]))
        version, numbers, gauss = state["python"]
        random.setstate((version, tuple(numbers), gauss))
        transforms = list(self._transforms())
        if len(transforms) == len(state["transforms"]):
            for generator, saved in zip(transforms, state["transforms"], strict=True):
                generator.set_state(_state_of(saved))

    def _transforms(self) -> Iterator[np.random.RandomState]:
        """Generators within the data set, each once, in the order of its attributes."""
        return _generators(getattr(self.engine.state.dataloader, "dataset", None), set())


def _generators(value: Any, seen: set[int]) -> Iterator[np.random.RandomState]:
    # Not into dictionaries: samples that are kept in memory are some, and there are many.
    if id(value) in seen or isinstance(value, dict | str | torch.Tensor | np.ndarray):
        return
    seen.add(id(value))
    if isinstance(value, np.random.RandomState):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _generators(item, seen)
    elif hasattr(value, "__dict__") and not isinstance(value, type | torch.nn.Module):
        for item in vars(value).values():
            yield from _generators(item, seen)


def _numbers_of(state: Any) -> list[Any]:
    """A NumPy state in what a checkpoint may hold."""
    key = torch.from_numpy(state["state"]["key"].astype(np.int64))
    return [key, int(state["state"]["pos"]), int(state["has_gauss"]), float(state["gauss"])]


def _state_of(numbers: list[Any]) -> tuple[Any, ...]:
    key, *rest = numbers
    return ("MT19937", key.numpy().astype(np.uint32), *rest)
