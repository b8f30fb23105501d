# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The result of a calibration: a frozen value with the cutoff and everything the promise rests on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor

from monai_coat.calibration.grouping import MetadataKey, as_grouping
from monai_coat.calibration.identity import PipelineIdentity
from monai_coat.calibration.referral import Referral
from monai_coat.calibration.risks import RISKS, risk_named
from monai_coat.functional import exact_level

__all__ = ["CalibrationResult"]

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class CalibrationResult:
    """One cutoff per class and what is promised with it.

    The prediction set of a new image is ``{score >= cutoff}``. In the notation of COAT, whose scores are margins
    ``p - threshold``, the cutoff is minus the shift of all thresholds; conformal risk control calls it lambda-hat.

    A result that contradicts itself cannot be made: neither an impossible entry, nor words about another level or risk,
    nor an expected risk that its own calibration images break.

    Attributes:
        cutoff: cutoff per class, in the unit of the scores; each is exactly a float32.
        alpha: tolerated level, in (0, 1).
        n: calibration images that count, per class.
        n_empty: images left out because the class is absent from them, per class.
        risk: mean risk of the n images at the cutoff, per class; of an expected risk at most
            ``alpha - (1 - alpha) / n``.
        guarantee: the promise in words.
        method: name of the scorer that made the scores, such as "coat"; empty if not said.
        identity: the network and pipeline that made the scores; empty if not said.
        controls: key of the risk that ``risk`` is the mean of, see :class:`~monai_coat.calibration.Risk`.
        kind: name of the guarantee, see :class:`~monai_coat.calibration.Guarantee`.
        settings: what else the guarantee was made with, such as its ``delta``.
        groups: of a promise for each group, the result of each by name. ``cutoff`` is then the safest of them, which
            keeps the promise of every group that has one, and ``risk`` is that of images at their group's cutoff.
        referral: rule by which images are referred to somebody, if there is one.

    Raises:
        TypeError: if an entry is of another type.
        ValueError: if the entries contradict each other or themselves.
    """

    cutoff: tuple[float, ...]
    alpha: float
    n: tuple[int, ...]
    n_empty: tuple[int, ...]
    risk: tuple[float, ...]
    guarantee: str
    method: str = ""
    identity: PipelineIdentity = field(default_factory=PipelineIdentity)
    controls: str = "false_negative_rate"
    kind: str = "expected_risk"
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    groups: Mapping[str, CalibrationResult] = field(default_factory=dict, hash=False)
    referral: Referral | None = None

    def __post_init__(self) -> None:
        exact_level(self.alpha)
        _check_types(self)
        # A group is of the same pipeline, also where that is said afterwards.
        groups = {name: _of_pipeline(group, self) for name, group in self.groups.items()}
        object.__setattr__(self, "groups", groups)
        _check_entries(self)
        _check_promised(self)
        _check_words(self)
        if self.kind == "expected_risk":
            _check_expected_risk(self)

    @property
    def promised(self) -> tuple[bool, ...]:
        """Whether something is promised, per class; the cutoff of a class with too few images is out of all reach.

        Its set is everything or, of false positives, nothing.
        """
        return tuple(abs(cutoff) < _LARGEST for cutoff in self.cutoff)

    def of_group(self, group: str) -> CalibrationResult:
        """The result of one group; of a promise without groups it is the result itself.

        Raises:
            ValueError: if no image of this group was calibrated on.
        """
        if self.groups and group not in self.groups:
            raise ValueError(
                f"group must be one of {', '.join(self.groups)}, got {group!r}, about which nothing is promised; "
                "calibrate on images of it too."
            )
        return self.groups[group] if self.groups else self

    def for_image(self, scores: Tensor, meta: Mapping[str, Any] | None = None) -> CalibrationResult:
        """The result of the group of an image; of a promise without groups it is the result itself.

        Args:
            scores: score map ``(C, *spatial)``.
            meta: metadata of the image.

        Raises:
            ValueError: if the image does not say its group, or no image of it was calibrated on; or if its weight,
                where it says one, is above the largest that the promise is about.
        """
        self.check_meta(meta)
        if not self.groups:
            return self
        return self.of_group(as_grouping(self.settings["key"]).group_of(scores, meta))

    def check_meta(self, meta: Mapping[str, Any] | None) -> None:
        """Refuse an image of which its metadata say that nothing is promised about it, before its maps are read.

        Raises:
            ValueError: as :meth:`for_image` does, except about a group that only the scores tell.
        """
        if self.kind == "weighted" and (meta or {}).get(self.settings["key"]) not in (None, ""):
            self._check_weight(str(meta[self.settings["key"]]))  # type: ignore[index]
        if self.groups and isinstance(grouping := as_grouping(self.settings["key"]), MetadataKey):
            self.of_group(grouping.value(meta))

    def _check_weight(self, weight: str) -> None:
        largest, key = float(self.settings["largest"]), self.settings["key"]
        try:
            within = 0 <= float(weight) <= largest
        except ValueError:
            within = False
        if not within:
            raise ValueError(
                f"{key} must be a weight of at most {largest:g}, got {weight!r}, about which nothing is promised; "
                "calibrate with a larger one."
            )

    @property
    def shift(self) -> tuple[float, ...]:
        """COAT's t', minus the cutoff: subtracted from all thresholds of a margin scorer; positive = larger masks."""
        return tuple(-cutoff for cutoff in self.cutoff)


def _of_pipeline(group: CalibrationResult, whole: CalibrationResult) -> CalibrationResult:
    """The result of a group with method and identity of the whole."""
    same = (group.method, group.identity) == (whole.method, whole.identity)
    return group if same else replace(group, method=whole.method, identity=whole.identity)


def _check_entries(result: CalibrationResult) -> None:
    """Each entry must be of its kind, and possible."""
    lists = (result.cutoff, result.n, result.n_empty, result.risk)
    if len({len(entry) for entry in lists}) != 1 or not result.cutoff:
        raise ValueError("cutoff, n, n_empty and risk must have one entry per class")
    if not all(isinstance(c, float) and abs(c) <= _LARGEST and c == float(np.float32(c)) for c in result.cutoff):
        raise ValueError(f"cutoff must hold finite float32 numbers, got {result.cutoff}")
    if not all(_is_count(n) and n >= kept for n, kept in zip(result.n, result.promised, strict=True)) or not all(
        _is_count(n) for n in result.n_empty
    ):
        raise ValueError(f"n must hold positive whole numbers and n_empty no negative ones, got {lists[1:3]}")
    if not all(isinstance(r, float | int) and not isinstance(r, bool) and 0 <= r <= 1 for r in result.risk):
        raise ValueError(f"risk must be in [0, 1], got {result.risk}")


def _check_types(result: CalibrationResult) -> None:
    """Texts must be texts, and groups of the classes of the whole."""
    for name in ("guarantee", "method", "controls", "kind"):
        if not isinstance(getattr(result, name), str):
            raise TypeError(f"{name} must be text, got {type(getattr(result, name)).__name__}")
    if not isinstance(result.settings, Mapping) or not isinstance(result.groups, Mapping):
        raise TypeError("settings and groups must be mappings")
    if not all(isinstance(group, CalibrationResult) for group in result.groups.values()):
        raise TypeError("groups must hold a result of each")
    if any(len(group.cutoff) != len(result.cutoff) for group in result.groups.values()):
        raise ValueError(f"groups must have the {len(result.cutoff)} classes of the result")


def _check_promised(result: CalibrationResult) -> None:
    """A class without a promise must be one of several, and the words must say so."""
    if not any(result.promised):
        raise ValueError("cutoff must be promised for at least one class, got none")
    if result.guarantee and all(result.promised) == ("no promise" in result.guarantee):
        raise ValueError(f"guarantee must say of which classes it is, got {result.guarantee!r} and {result.cutoff}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _check_words(result: CalibrationResult) -> None:
    """The first level that the words name must be the level, and the risk the one that is controlled."""
    said = re.search(r"<= ([-+.\w]+)", result.guarantee)
    if said and said[1].rstrip(".") != str(float(result.alpha)):
        raise ValueError(f"guarantee must be about alpha={float(result.alpha)}, got {result.guarantee!r}")
    if result.guarantee and result.controls.partition("(")[0] in RISKS:
        risk = risk_named(result.controls)
        if risk.expected_words not in result.guarantee.partition("<=")[0]:
            raise ValueError(f"guarantee must be about {risk.words}, got {result.guarantee!r}")


def _check_expected_risk(result: CalibrationResult) -> None:
    """``risk * n + 1 <= alpha * (n + 1)``, but for the rounding of the mean."""
    level = exact_level(result.alpha)
    for n, risk, promised in zip(result.n, result.risk, result.promised, strict=True):
        budget = level * (n + 1) - 1
        if promised and risk * n > float(budget) + 1e-12 * n:
            raise ValueError(
                f"risk must be at most alpha - (1 - alpha) / n, {float(budget / n):.6g} with alpha={float(level)} and "
                f"n = {n}, got {risk:.6g}: these images do not support the promise"
            )
