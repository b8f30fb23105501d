# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The mergeable statistic that calibration is computed from: each image's foreground scores, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from monai_coat.calibration.pool import ScorePool
from monai_coat.functional import foreground_scores

__all__ = ["CoverageStatistic", "float32_below"]


class CoverageStatistic:
    """Foreground scores of the calibration images seen so far, per class.

    Filled batch by batch with maps of any size; needs no image twice; answers every alpha; merging the statistics of
    several workers gives the very cutoff of a single run, bit for bit, in any order. It keeps four bytes per foreground
    pixel. Images without foreground are left out of the class and counted in ``n_empty``.

    Example:
        >>> statistic = CoverageStatistic()
        >>> statistic.update(torch.tensor([[[0.2, 0.7, 0.9]]]), torch.tensor([[[0, 1, 1]]]))
        >>> statistic.n, statistic.n_empty
        ((1,), (0,))
    """

    def __init__(self) -> None:
        self._pools: list[ScorePool] = []

    @property
    def pools(self) -> tuple[ScorePool, ...]:
        """One pool of foreground scores per class."""
        return tuple(self._pools)

    @property
    def n(self) -> tuple[int, ...]:
        """Images with foreground, per class: the n of the guarantee."""
        return tuple(len(pool) for pool in self._pools)

    @property
    def n_empty(self) -> tuple[int, ...]:
        """Images left out because the class is absent from them, per class."""
        return tuple(pool.n_empty for pool in self._pools)

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add a batch of images.

        Args:
            scores: score maps ``(B, C, *spatial)``, floating point; kept as float32, float64 rounded down.
            labels: reference masks of the same shape, bool or {0, 1}.

        Raises:
            TypeError: if ``scores`` is not floating point.
            ValueError: if shapes differ, scores are not finite or below float32's range, labels hold anything but 0
                and 1, or the number of classes is not that of the batches before. Nothing is added then.
        """
        with torch.no_grad():
            values, (_, channels) = foreground_scores(scores, labels)
            images = [float32_below(value.detach().cpu()).numpy() for value in values]
        self._open(channels)
        for index, image in enumerate(images):
            self._pools[index % channels].add(image)

    def merge(self, other: CoverageStatistic) -> None:
        """Add all images of another statistic, for example of another worker; an empty one changes nothing.

        Raises:
            ValueError: if the two hold different numbers of classes.
        """
        if other._pools:
            self._open(len(other._pools))
        for mine, theirs in zip(self._pools, list(other._pools), strict=False):
            mine.extend(theirs)

    def _open(self, channels: int) -> None:
        if not self._pools:
            self._pools = [ScorePool() for _ in range(channels)]
        if len(self._pools) != channels:
            raise ValueError(
                f"scores must have the {len(self._pools)} classes of the batches before, got {channels}; "
                "use one CoverageStatistic per network."
            )

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors, for checkpoints and for other processes; see :meth:`load_state_dict`."""
        return {str(index): pool.state_dict() for index, pool in enumerate(self._pools)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the contents by those of :meth:`state_dict`."""
        self._pools = [ScorePool.from_state_dict(state[str(index)]) for index in range(len(state))]


def float32_below(scores: Tensor) -> Tensor:
    """The largest float32 not above each score: it passes a float32 cutoff if and only if the score itself does."""
    if scores.dtype != torch.float64:
        return scores
    if bool((scores < torch.finfo(torch.float32).min).any()):
        raise ValueError(f"scores must be within the range of float32, got {float(scores.min()):g}; scale them.")
    nearest = scores.float()
    return torch.where(nearest > scores, nearest.nextafter(torch.tensor(-math.inf)), nearest)


def statistic_of_maps(scores: Sequence[Tensor], labels: Sequence[Tensor]) -> CoverageStatistic:
    """The statistic of a sequence of single maps ``(C, *spatial)``, whose sizes may differ."""
    if len(scores) != len(labels):
        raise ValueError(f"scores and labels must have the same length, got {len(scores)} and {len(labels)}.")
    statistic = CoverageStatistic()
    for index, (score, label) in enumerate(zip(scores, labels, strict=True)):
        try:
            statistic.update(torch.as_tensor(score)[None], torch.as_tensor(label)[None])
        except (TypeError, ValueError) as error:
            raise type(error)(f"image {index} of the sequence: {error}") from None
    return statistic
