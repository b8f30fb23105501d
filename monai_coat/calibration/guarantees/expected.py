# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Conformal risk control: the expected risk of a new image is at most alpha."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import torch
from torch import Tensor

from monai_coat.calibration.guarantees.base import Guarantee, MeanGuarantee
from monai_coat.calibration.reach import with_reach
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.risks.base import Risk, check_risk
from monai_coat.calibration.risks.false_negative import FalseNegativeRate
from monai_coat.calibration.score_forms import ScoreForms
from monai_coat.calibration.statistics.base import Statistic, update_with
from monai_coat.functional import exact_level

__all__ = ["ExpectedRisk", "as_guarantee", "calibrate", "calibrate_maps"]


@dataclass(frozen=True)
class ExpectedRisk(MeanGuarantee):
    r"""The mean risk of a new image is at most ``alpha``, for each class.

    With :math:`L_i(c)` the risk of image i at cutoff c and n images that count, the cutoff of a risk that rises with it
    is

    .. math:: \hat c = \max\Big\{c : \sum_{i=1}^{n} L_i(c) + 1 \le \alpha\,(n + 1)\Big\},

    and the infimum of such cutoffs where it falls. It is exact, ties included, and found without a grid. If the
    calibration images and a new image are exchangeable, and the scorer has seen none of them,
    :math:`E[L_{n+1}(\hat c)] \le \alpha`. The promise is about the average over images that count, not about each
    image.

    Args:
        risk: what one image loses, in [0, 1].
        alpha: tolerated mean risk, in (0, 1); read as the decimal that it prints as.
        class_names: what messages and the words of the promise call the classes, such as ``("liver", "tumour")``.

    Raises:
        ValueError: if ``alpha`` is outside (0, 1).

    Example:
        >>> guarantee = ExpectedRisk(FalseNegativeRate(), alpha=0.5)
        >>> statistic = guarantee.statistic()
        >>> statistic.update(torch.tensor([[[0.2, 0.8]], [[0.4, 0.9]], [[0.6, 0.7]]]), torch.ones(3, 1, 2))
        >>> result = guarantee.calibrate(statistic)
        >>> [round(c, 4) for c in result.cutoff], result.n, [round(r, 4) for r in result.risk]
        ([0.6], (3,), [0.3333])

    Source:
        Angelopoulos et al., Conformal Risk Control (ICLR 2024), equation 4 and Theorem 1; COAT (ICLR 2026), post-hoc
        correction, which is this rule on margins.
    """

    name: ClassVar[str] = "expected_risk"
    risk: Risk = field(default_factory=FalseNegativeRate)
    alpha: float = 0.1
    class_names: Sequence[str] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        check_risk(self.risk)
        exact_level(self.alpha)

    @property
    def promise(self) -> str:
        """The mean of the risk, and the level."""
        return f"{self.risk.expected_words} <= {float(self.alpha)}"

    def budget(self, n: int) -> Fraction:
        """The level of n + 1 images, less the most that the new one can lose."""
        return exact_level(self.alpha) * (n + 1) - 1


def as_guarantee(guarantee: Guarantee | None, alpha: float | None = None) -> Guarantee:
    """A guarantee, for which ``alpha`` alone is the short form: the expected false negative rate.

    Raises:
        TypeError: if both are given or neither, or ``guarantee`` is something else.

    Example:
        >>> as_guarantee(None, alpha=0.1)
        ExpectedRisk(risk=FalseNegativeRate(), alpha=0.1)
    """
    if (guarantee is None) == (alpha is None):
        raise TypeError(
            f"alpha or guarantee must be given, and not both, got {alpha} and {guarantee}; alpha=0.1 alone means "
            "ExpectedRisk(FalseNegativeRate(), 0.1)."
        )
    if guarantee is None:
        return ExpectedRisk(alpha=alpha)  # type: ignore[arg-type]
    if not isinstance(guarantee, Guarantee):
        raise TypeError(
            f"guarantee must be a Guarantee such as ExpectedRisk(FalseNegativeRate(), 0.1), got "
            f"{type(guarantee).__name__}; a level alone is alpha."
        )
    return guarantee


def calibrate(
    statistic: Statistic, alpha: float | None = None, guarantee: Guarantee | None = None
) -> CalibrationResult:
    """Find the cutoffs that keep a promise: every method, risk and statistic is calibrated by this call.

    Args:
        statistic: of the calibration images.
        alpha: short for ``ExpectedRisk(FalseNegativeRate(), alpha)``.
        guarantee: what is promised, in place of ``alpha``.

    Returns:
        The cutoff per class, with n and the risk on the calibration set.

    Raises:
        TypeError: if the statistic is of another risk, or both or neither of ``alpha`` and ``guarantee`` are given.
        ValueError: if ``alpha`` is outside (0, 1), if the statistic holds no image, or if every class has too few
            images for ``alpha``: then not even predicting everything could be promised to meet it. One such class
            among others gets no promise.

    Example:
        >>> from monai_coat.calibration import CoverageStatistic
        >>> statistic = CoverageStatistic()
        >>> statistic.update(torch.rand(9, 1, 4, 4), torch.ones(9, 1, 4, 4))
        >>> calibrate(statistic, alpha=0.1).n
        (9,)
    """
    return as_guarantee(guarantee, alpha).calibrate(statistic)


def calibrate_maps(
    scores: Sequence[Tensor],
    labels: Sequence[Tensor],
    alpha: float | None = None,
    guarantee: Guarantee | None = None,
    meta: Sequence[Mapping[str, Any]] | None = None,
) -> CalibrationResult:
    """:func:`calibrate` for a sequence of score maps and masks ``(C, *spatial)``, whose sizes may differ.

    Args:
        scores: score maps, one per image.
        labels: reference masks of the same shapes, bool or {0, 1}.
        alpha: tolerated mean false negative rate, in (0, 1).
        guarantee: what is promised, in place of ``alpha``.
        meta: metadata of each image, if the guarantee asks for them, such as ``{"site": "north"}``.

    Returns:
        The result of :func:`calibrate`.

    Raises:
        TypeError: if a map is not floating point.
        ValueError: as :func:`calibrate`; naming the first image that is at fault; or if all scores are 0 or 1.

    Example:
        >>> scores = [torch.tensor([[0.2, 0.8]]), torch.tensor([[0.4, 0.9]]), torch.tensor([[0.6, 0.7]])]
        >>> calibrate_maps(scores, [torch.ones(1, 2, dtype=torch.bool)] * 3, alpha=0.5).n
        (3,)
    """
    promised = as_guarantee(guarantee, alpha)
    scores, labels = _sequence(scores, "scores"), _sequence(labels, "labels")
    if len(scores) != len(labels):
        raise ValueError(
            f"scores and labels must have the same length, got {len(scores)} and {len(labels)}; give one mask "
            "for each map."
        )
    if meta is not None and len(meta) != len(scores):
        raise ValueError(f"meta must have an entry for each of the {len(scores)} maps, got {len(meta)}.")
    statistic, forms = promised.statistic(), ScoreForms()
    for index, (score, label) in enumerate(zip(scores, labels, strict=True)):
        try:
            maps, masks = _map(score, "scores"), _map(label, "labels")
            forms.take(maps, of_one=True)
            update_with(statistic, maps, masks, None if meta is None else [meta[index]])
        except (TypeError, ValueError) as error:
            raise type(error)(f"image {index} of the sequence: {error}") from None
    forms.check("give the scores that they were cut from")
    return with_reach(promised.calibrate(statistic), promised, statistic, forms)


def _sequence(maps: Any, name: str) -> Sequence[Any]:
    """Maps that can be counted; those of a generator are kept."""
    if isinstance(maps, str | os.PathLike | Mapping) or not isinstance(maps, Iterable):
        raise TypeError(
            f"{name} must be a sequence of maps (C, *spatial), got {type(maps).__name__}; put them into a list, files "
            "read by monai_coat.data.read_map."
        )
    found: Any = maps if hasattr(maps, "__len__") else list(maps)
    if len(found) == 0:
        raise ValueError(f"{name} must hold at least one map, got none; give those of the calibration images.")
    return found  # type: ignore[no-any-return]


def _map(value: Any, name: str) -> Tensor:
    """A map as a batch of one."""
    try:
        return torch.as_tensor(value)[None]
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"{name} must hold tensors or arrays (C, *spatial), got {type(value).__name__}; read files by "
            "monai_coat.data.read_map and read_mask."
        ) from None
