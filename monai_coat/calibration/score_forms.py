# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What score maps look like: whether they can be meant as scores at all."""

from __future__ import annotations

from torch import Tensor

__all__ = ["ScoreForms"]


class ScoreForms:
    """The forms of score maps seen so far, so that masks and maps without a class axis are not calibrated by mistake.

    Nothing is read of further maps once one has held another value than 0 and 1.

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

    def take(self, scores: Tensor) -> None:
        """Look at a batch of scores.

        Raises:
            ValueError: if it has classes in rows of pixels, which is a map without a class axis.
        """
        if isinstance(scores, Tensor) and scores.dim() == 3 and scores.shape[1] > 1:
            batch, classes, pixels = scores.shape
            raise ValueError(
                f"scores must have the axes (B, C, *spatial), got {(batch, classes, pixels)}, which would be {classes} "
                f"classes in a row of {pixels} pixels; add the axis of the class, scores[:, None], if there is one."
            )
        if self._only_masks and isinstance(scores, Tensor):
            zeros, ones = scores == 0, scores == 1
            self._only_masks = bool((zeros | ones).all())
            self._zero, self._one = self._zero or bool(zeros.any()), self._one or bool(ones.any())

    def merge(self, other: ScoreForms) -> None:
        """Add what another one has seen."""
        self._only_masks = self._only_masks and other._only_masks
        self._zero, self._one = self._zero or other._zero, self._one or other._one

    def check(self, remedy: str) -> None:
        """Refuse masks.

        Raises:
            ValueError: if all scores were 0 or 1, and both were there.
        """
        if self._only_masks and self._zero and self._one:
            raise ValueError(f"scores must have more values than 0 and 1, got masks; {remedy}.")
