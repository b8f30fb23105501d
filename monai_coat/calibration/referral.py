# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Refer or accept: which images somebody must look at, with a promised share of them.

Tested by tests/calibration/test_referral.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.functional import exact_level, float32_below

__all__ = ["Referral", "SizeSketch", "distance_to", "quantile_of", "rule_of"]

BLOCKS = 1024
QUANTILES = 16
REFERENCES = 50
"""Most images that a new one is compared with: they are in the artifact."""


@dataclass(frozen=True)
class SizeSketch:
    """The scores of an image and class in 1024 blocks of equal numbers: the largest score of each, ascending.

    From them follow a bound on the share of the image in a set, and sixteen quantiles that say what the image is like.
    """

    largest: NDArray[np.float32]

    @classmethod
    def of(cls, scores: Tensor) -> SizeSketch:
        """The sketch of a map ``(*spatial)``, with fewer blocks if it has fewer pixels."""
        values = np.sort(float32_below(scores.detach().cpu()).numpy().ravel())
        count = min(BLOCKS, values.size)
        ends = -(-np.arange(1, count + 1) * values.size // count) - 1
        return cls(values[ends])

    def share_at(self, cutoff: float) -> float:
        """An upper bound of the share with a score of at least the cutoff, too large by at most one block."""
        return float((self.largest >= np.float32(cutoff)).mean())

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Sixteen scores, evenly spaced in rank."""
        places = np.linspace(0, self.largest.size - 1, QUANTILES).round().astype(int)
        return tuple(self.largest[places].tolist())


@dataclass(frozen=True)
class Referral:
    r"""A rule by which at most a promised share of new images is referred to somebody.

    An image is referred if the set of a class is a larger share of the image than its limit, or if the image is unlike
    those of the calibration: its distribution of scores is further from the nearest of some calibration images, by the
    mean difference of sixteen quantiles, than the limit. Both limits are order statistics, each of which a new image
    exceeds with probability at most half of the share, so that

    .. math:: P(\text{referred}) \le \text{share}

    over new images exchangeable with those of the calibration, whatever they are like. What is accepted keeps no better
    promise than all images do: the promise of the calibration is about all of them, referred or not.

    Attributes:
        share: tolerated share of new images that are referred, in (0, 1).
        sizes: limit of the set's share of the image, per class; 1 if it is never exceeded.
        distance: limit of the distance to the nearest reference; infinite if there were too few images.
        references: quantiles of scores, for each reference and class.

    Raises:
        ValueError: if an entry is impossible.
    """

    share: float
    sizes: tuple[float, ...]
    distance: float
    references: tuple[tuple[tuple[float, ...], ...], ...]

    def __post_init__(self) -> None:
        exact_level(self.share)
        is_table = np.asarray(self.references, dtype=np.float64).shape[1:] == (len(self.sizes), QUANTILES)
        if not all(0 <= size <= 1 for size in self.sizes) or not self.distance >= 0 or not is_table:
            raise ValueError("referral must have a limit of size per class in [0, 1], a distance, and its references")

    def decide(self, sets: Tensor, scores: Tensor) -> dict[str, Any]:
        """Whether an image is referred, and why, fit for JSON.

        Args:
            sets: its prediction set ``(C, *spatial)``.
            scores: its score map of the same shape.

        Example:
            >>> import torch
            >>> rule = Referral(0.1, (0.25,), math.inf, (((0.0,) * 16,),))
            >>> rule.decide(torch.tensor([[True, True, False, False]]), torch.zeros(1, 4))
            {'decision': 'refer', 'why': ['class 0: its set is 0.5 of the image, more than 0.25']}
        """
        shares = sets.as_subclass(Tensor).bool().flatten(1).double().mean(1).tolist()
        why = [
            f"class {index}: its set is {share:.3g} of the image, more than {limit:.3g}"
            for index, (share, limit) in enumerate(zip(shares, self.sizes, strict=True))
            if share > limit
        ]
        distance = distance_to([SizeSketch.of(score).quantiles for score in scores], self.references)
        if distance > self.distance:
            why.append(f"unlike the calibration's images: {distance:.3g} away, more than {self.distance:.3g}")
        return {"decision": "refer" if why else "accept", "why": why}

    @property
    def words(self) -> str:
        """What is promised about it."""
        return f"at most {float(100 * exact_level(self.share)):g} in 100 are referred to somebody"

    def to_json(self) -> dict[str, Any]:
        """Plain values; an infinite distance is null."""
        distance = None if math.isinf(self.distance) else self.distance
        return {"share": self.share, "sizes": list(self.sizes), "distance": distance, "references": self.references}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Referral:
        """The rule that :meth:`to_json` describes."""
        references = tuple(tuple(tuple(map(float, row)) for row in image) for image in content["references"])
        distance = math.inf if content["distance"] is None else float(content["distance"])
        return cls(float(content["share"]), tuple(map(float, content["sizes"])), distance, references)


def rule_of(images: Sequence[Sequence[SizeSketch]], cutoffs: Sequence[float], share: float) -> Referral:
    r"""The rule that refers at most a share of new images.

    A calibration image's set is measured at ``cutoffs``, where it must be at least as large as at any cutoff that
    would have been found with the new image among the others: of a risk that rises with the cutoff, where the
    calibration's risks add up to 1 less than is tolerated; of one that falls, to 1 more. Then the set of the new image
    is the largest of n + 1 exchangeable ones with the chance of any other, or smaller. The references are the first
    images, and distances to them are compared among the others and the new one.

    Args:
        images: sketches of each calibration image, per class.
        cutoffs: of each class.
        share: tolerated share of new images, in (0, 1).
    """
    level, classes = exact_level(share), len(cutoffs)
    sizes = [
        quantile_of([sketches[index].share_at(cutoff) for sketches in images], level / (2 * classes), 1.0)
        for index, cutoff in enumerate(cutoffs)
    ]
    quantiles = [tuple(sketch.quantiles for sketch in sketches) for sketches in images]
    count = min(REFERENCES, len(quantiles) // 2)
    references, others = tuple(quantiles[:count]), quantiles[count:]
    distances = [distance_to(each, references) for each in others]
    distance = quantile_of(distances, level / 2, math.inf)
    if math.isinf(distance) and level / (2 * classes) * (len(images) + 1) < 1:
        raise ValueError(
            f"share={float(share)} is so small that a rule of {len(images)} images refers none; add images, or "
            "raise it."
        )
    return Referral(float(share), tuple(sizes), distance, references)


def quantile_of(values: Sequence[float], level: Fraction, otherwise: float) -> float:
    r"""The limit that one more exchangeable value is above with probability at most the level.

    It is the value of rank :math:`\lceil (1 - \text{level}) (n + 1) \rceil` from below, or ``otherwise`` if there are
    too few.

    Example:
        >>> quantile_of([3.0, 1.0, 2.0], Fraction(1, 2), math.inf), quantile_of([1.0], Fraction(1, 10), math.inf)
        (2.0, inf)
    """
    rank = math.ceil((1 - level) * (len(values) + 1))
    return sorted(values)[rank - 1] if rank <= len(values) else otherwise


def distance_to(image: Sequence[Sequence[float]], references: Sequence[Sequence[Sequence[float]]]) -> float:
    """Mean difference of quantiles to the nearest reference, of the class that differs most; 0 if there is none."""
    if not references:
        return 0.0
    differences = np.abs(np.asarray(references, dtype=np.float64) - np.asarray(image, dtype=np.float64)).mean(-1)
    return float(differences.max(1).min())
