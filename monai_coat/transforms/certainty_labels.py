# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The labels of a map of what is certain and what is possible, for classes that may touch or nest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import torch
from torch import Tensor

__all__ = ["CertaintyLabels"]

ABSENT, CERTAIN, POSSIBLE = 0, 1, 2
WORDS = ("", "certain", "possible")
MOST_CLASSES = 10


@dataclass(frozen=True)
class CertaintyLabels:
    """One label for every combination of classes, so that a voxel of several sets is taken from none of them.

    Of each class a voxel is either not in the possible set, or possible, or certain. Class k (from 0) alone has label
    ``2 k + 1`` where it is certain and ``2 k + 2`` where it is possible; labels from ``2 C + 1`` on are combinations,
    such as "a possible, b certain". From a label map, the sets that were calibrated can be had back exactly.

    Args:
        classes: names of the classes, distinct, at most ten: these have 59048 labels.

    Raises:
        ValueError: if there is no class, a name occurs twice, or there are too many.

    Example:
        >>> labels = CertaintyLabels(("a", "b"))
        >>> list(labels.values)[:5]
        ['a certain', 'a possible', 'b certain', 'b possible', 'a certain, b certain']
        >>> possible = torch.tensor([[True, True, False], [False, True, False]])
        >>> certain = torch.tensor([[True, False, False], [False, False, False]])
        >>> encoded = labels.encode(possible, certain)
        >>> encoded.tolist(), labels.possible(encoded).equal(possible), labels.certain(encoded).equal(certain)
        ([1, 8, 0], True, True)
    """

    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.classes) <= MOST_CLASSES or len(set(self.classes)) != len(self.classes):
            raise ValueError(
                f"classes must be one to {MOST_CLASSES} distinct names, got {len(self.classes)}: "
                f"{', '.join(self.classes)}; write one mask per class with ConformalMask instead."
            )

    @classmethod
    def of_count(cls, count: int) -> CertaintyLabels:
        """Labels of classes without names: "class 0" and so on."""
        return cls(tuple(f"class {index}" for index in range(count)))

    @cached_property
    def states(self) -> tuple[tuple[int, ...], ...]:
        """State of each class by label: 0 absent, 1 certain, 2 possible."""
        every = list(product((ABSENT, CERTAIN, POSSIBLE), repeat=len(self.classes)))
        single = [self._single(index, state) for index in range(len(self.classes)) for state in (CERTAIN, POSSIBLE)]
        several = [states for states in every if sum(map(bool, states)) > 1]
        return (every[0], *single, *several)

    def _single(self, index: int, state: int) -> tuple[int, ...]:
        return tuple(state if place == index else ABSENT for place in range(len(self.classes)))

    @cached_property
    def values(self) -> dict[str, int]:
        """Label of each name; 0 is the background and has none."""
        return {self._name(states): label for label, states in enumerate(self.states) if label}

    def _name(self, states: Sequence[int]) -> str:
        named = zip(self.classes, states, strict=True)
        return ", ".join(f"{name} {WORDS[state]}" for name, state in named if state)

    @property
    def dtype(self) -> torch.dtype:
        """The smallest type that holds the labels: uint8 up to five classes, else int32, which files can hold."""
        return torch.uint8 if len(self.states) <= 2**8 else torch.int32

    @cached_property
    def _codes(self) -> Tensor:
        """Label by code, in which the state of class k counts 3 to the power of k."""
        places = [sum(state * 3**k for k, state in enumerate(states)) for states in self.states]
        return torch.tensor(places).argsort()

    def encode(self, possible: Tensor, certain: Tensor) -> Tensor:
        """Labels ``(*spatial)`` of sets ``(C, *spatial)``; what is certain but not possible counts as neither."""
        code = torch.zeros(possible.shape[1:], dtype=torch.int64, device=possible.device)
        for k, (inside, sure) in enumerate(zip(possible.bool(), certain.bool(), strict=True)):
            code += torch.where(inside & sure, CERTAIN, torch.where(inside, POSSIBLE, ABSENT)) * 3**k
        return self._codes.to(code.device)[code].to(self.dtype)

    def possible(self, labels: Tensor) -> Tensor:
        """The possible set of each class, bool ``(C, *spatial)``, certain included.

        Raises:
            ValueError: if a label is none of these.
        """
        return self._decoded(labels, (False, True, True))

    def certain(self, labels: Tensor) -> Tensor:
        """The certain set of each class, bool ``(C, *spatial)``.

        Raises:
            ValueError: if a label is none of these.
        """
        return self._decoded(labels, (False, True, False))

    def _decoded(self, labels: Tensor, inside: tuple[bool, bool, bool]) -> Tensor:
        whole = labels.long()
        if bool((whole != labels).any()) or bool(((whole < 0) | (whole >= len(self.states))).any()):
            raise ValueError(
                f"labels must be whole numbers from 0 to {len(self.states) - 1}, got values from "
                f"{float(labels.min()):g} to {float(labels.max()):g}; they may be of other classes."
            )
        table = torch.tensor([[inside[state] for state in states] for states in self.states], device=labels.device)
        return table[whole].movedim(-1, 0)
