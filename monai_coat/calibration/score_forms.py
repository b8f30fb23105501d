# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What score maps look like: whether they can be meant as scores at all."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import zip_longest

from torch import Tensor

__all__ = ["ScoreForms"]

logger = logging.getLogger(__name__)

BLOCK = 2**22
"""Values that are looked at a time: almost always the first ones tell."""

FEW_CLASSES, MANY_CLASSES = 4, 16
"""Up to so few classes a column of pixels may be one; more than so many are said, since they are likely rows."""


class ScoreForms:
    """The forms of score maps seen so far, so that masks and maps without a class axis are not calibrated by mistake.

    It also knows the smallest score of each image and class: a cutoff that low takes everything.

    Example:
        >>> import torch
        >>> forms = ScoreForms()
        >>> forms.take(torch.tensor([[[[0.0, 1.0]]]]))
        >>> forms.check("take the scores before they are cut")
        Traceback (most recent call last):
        ValueError: scores must have more values than 0 and 1, got masks; take the scores before they are cut.
    """

    def __init__(self) -> None:
        self._only_masks, self._zero, self._one = True, False, False
        self._lows: list[list[float]] = []

    @property
    def only_masks(self) -> bool:
        """Whether nothing but 0 and 1 was seen so far."""
        return self._only_masks

    @property
    def lowest(self) -> tuple[float, ...]:
        """The smallest score of each class."""
        return tuple(map(min, self._lows))

    def lows(self, index: int) -> tuple[float, ...]:
        """The smallest score of each image, of one class."""
        return tuple(self._lows[index])

    def take(self, scores: Tensor, of_one: bool = False) -> None:
        """Look at a batch of scores.

        Args:
            scores: the batch.
            of_one: whether it is a single map of a sequence, given without the axis of the batch.

        Raises:
            ValueError: if rows of pixels would be classes: of a map without a class axis, or with one at its end.
        """
        if not isinstance(scores, Tensor):
            return
        _check_axes(scores, of_one)
        if scores.dim() > 1 and scores.numel():
            rows = scores.detach().as_subclass(Tensor).reshape(*scores.shape[:2], -1).amin(2)
            self._see_lows(rows.transpose(0, 1).tolist())
        if self._only_masks:
            for block in scores.detach().as_subclass(Tensor).reshape(-1).split(BLOCK):
                self._see_values(block)
                if not self._only_masks:
                    break

    def _see_values(self, block: Tensor) -> None:
        zeros, ones = block == 0, block == 1
        self._only_masks = bool((zeros | ones).all())
        self._zero, self._one = self._zero or bool(zeros.any()), self._one or bool(ones.any())

    def _see_lows(self, rows: list[list[float]]) -> None:
        both: Iterable[tuple[list[float], list[float]]] = zip_longest(self._lows, rows, fillvalue=[])
        self._lows = [mine + more for mine, more in both]

    def merge(self, other: ScoreForms) -> None:
        """Add what another one has seen."""
        self._only_masks = self._only_masks and other._only_masks
        self._see_lows(other._lows)
        self._zero, self._one = self._zero or other._zero, self._one or other._one

    def check(self, remedy: str) -> None:
        """Refuse masks, and say in the log if there are more classes than is likely.

        Raises:
            ValueError: if all scores were 0 or 1, and both were there.
        """
        if self._only_masks and self._zero and self._one:
            raise ValueError(f"scores must have more values than 0 and 1, got masks; {remedy}.")
        if len(self._lows) > MANY_CLASSES:
            logger.warning(
                "scores have %d classes: the first axis of a map is that of classes, (C, *spatial); if these are rows "
                "or slices, add it, score[None].",
                len(self._lows),
            )


def _check_axes(scores: Tensor, of_one: bool) -> None:
    """Refuse maps whose first axis is surely none of classes."""
    classes = scores.shape[1] if scores.dim() > 1 else 1
    given = tuple(scores.shape[1:] if of_one else scores.shape)
    axes, added, moved = ("(B, C, *spatial)", "scores[:, None]", "scores.movedim(-1, 1)")
    if of_one:
        axes, added, moved = ("(C, *spatial)", "score[None]", "score.movedim(-1, 0)")
    if scores.dim() == 3 and classes > 1:
        raise ValueError(
            f"scores must have the axes {axes}, got {given}, which would be {classes} classes in a row of "
            f"{scores.shape[2]} pixels; add the axis of the class, {added}, if there is one."
        )
    if scores.dim() == 4 and classes > FEW_CLASSES and scores.shape[2] > 1 and scores.shape[3] == 1:
        raise ValueError(
            f"scores must have the axes {axes}, got {given}, which would be {classes} classes of {scores.shape[2]} x 1 "
            f"pixels; bring the axis of the class forward, {moved}."
        )
