# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A promise for each group of images, such as each hospital: Mondrian calibration."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from monai_coat.calibration.grouping import Grouping, MetadataKey, as_grouping
from monai_coat.calibration.guarantees.around import Around
from monai_coat.calibration.guarantees.base import Guarantee, MeanGuarantee
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.statistics.base import LARGEST, Statistic
from monai_coat.calibration.statistics.grouped import GroupedStatistic

__all__ = ["PerGroup"]


@dataclass(frozen=True)
class PerGroup(Around, Guarantee):  # type: ignore[override]
    r"""A guarantee for the images of each group by themselves, with cutoffs of their own.

    .. math:: E[L(\hat c_g) \mid \text{group} = g] \le \alpha \quad \text{for each } g

    An average over all hospitals may be good in most and bad in one; this promise is for each. A group is what an entry
    of the metadata says, or a stratum of what is predicted, ``size(level, edge, ...)``. It must be known of a new image
    before its mask is. A group with too few images gets no promise, and the words say so; an image of a group that was
    not calibrated on is refused where the group is asked for. Where only one cutoff can be kept, as in a network's
    buffers, it is the safest of all groups, which keeps the promise of each.

    Args:
        guarantee: what is promised of each group.
        key: entry of the metadata that names the group, or a :class:`~monai_coat.calibration.Grouping`.

    Raises:
        TypeError: if the guarantee asks for metadata itself, or is none of a risk's mean.

    Example:
        >>> import torch
        >>> from monai_coat.calibration import ExpectedRisk, FalseNegativeRate
        >>> guarantee = PerGroup(ExpectedRisk(FalseNegativeRate(), alpha=0.25), key="site")
        >>> statistic = guarantee.statistic()
        >>> sites = [{"site": name} for name in ("north", "south") * 4]
        >>> statistic.update(torch.rand(8, 1, 16), torch.ones(8, 1, 16), sites)
        >>> result = guarantee.calibrate(statistic)
        >>> result.of_group("north").n, result.cutoff == min(group.cutoff for group in result.groups.values())
        ((4,), True)

    Source:
        Vovk, Conditional validity of inductive conformal predictors (ACML 2012), Mondrian predictors.
    """

    name: ClassVar[str] = "per_group"
    guarantee: MeanGuarantee
    key: str | Grouping = "site"
    class_names: Sequence[str] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        as_grouping(self.key)  # refuses what is none
        is_mean = isinstance(self.guarantee, MeanGuarantee)
        if not is_mean or self.guarantee.keys or not self.guarantee.of_parts:
            raise TypeError(
                f"guarantee must be one such as ExpectedRisk(risk, alpha), got {self.guarantee!r}; give the inner one."
            )

    @property
    def grouping(self) -> Grouping:
        """Says which group an image is of."""
        return as_grouping(self.key)

    @property
    def promise(self) -> str:
        """The promise of each group."""
        return f"for each {self.grouping.key}: {self.guarantee.promise}"

    def in_words(self, result: CalibrationResult) -> str:
        """The sentence for each group; see :meth:`Guarantee.in_words`."""
        names = ", ".join(result.groups)
        lacking = [text for text in result.guarantee.split("; ")[1:] if "nothing is promised" in text]
        except_for = f" Except: {'; '.join(lacking)}." if lacking else ""
        return f"For each {self.grouping.key} among {names}: {self.guarantee.in_words(result)}{except_for}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """What is promised of each group, and the key."""
        return {"guarantee": self.guarantee.name, "key": self.grouping.key, **self.guarantee.settings}

    @property
    def keys(self) -> tuple[str, ...]:
        """The entry that names the group."""
        return (self.grouping.key,) if isinstance(self.grouping, MetadataKey) else ()

    def statistic(self) -> GroupedStatistic:
        """An empty statistic for each group."""
        return GroupedStatistic(self.guarantee.statistic, self.grouping)

    def useful_levels(self, statistic: Statistic, floors: Sequence[float]) -> tuple[float | None, ...]:
        """The largest of all groups that are promised something; see :meth:`Guarantee.useful_levels`."""
        groups: list[Statistic] = list(statistic.groups.values())  # type: ignore[attr-defined]
        return tuple(self._useful_level(groups, index, floors) for index in range(len(floors)))

    def _useful_level(self, groups: Sequence[Statistic], index: int, floors: Sequence[float]) -> float | None:
        large = [group for group in groups if group.n and self.guarantee.budget(group.n[index]) >= 0]
        levels = [self.guarantee.useful_levels(group, floors)[index] for group in large]
        known = [level for level in levels if level is not None]
        return max(known) if known and len(known) == len(levels) else None

    def calibrate(self, statistic: Statistic) -> CalibrationResult:
        """Find the cutoffs of each group; see :meth:`Guarantee.calibrate`."""
        if not isinstance(statistic, GroupedStatistic):
            raise TypeError(
                f"statistic must be one for each group, got {type(statistic).__name__}; use guarantee.statistic(), or "
                "merge files of which each is of one group."
            )
        if statistic.grouping.key != self.grouping.key:
            raise ValueError(
                f"statistic must be of the groups by {self.grouping.key!r}, got those by {statistic.grouping.key!r}; "
                "use guarantee.statistic()."
            )
        guarantee = self.guarantee
        if self.class_names and not guarantee.class_names:
            guarantee = replace(guarantee, class_names=self.class_names)  # type: ignore[type-var]
        groups, small = {}, {}
        for name in sorted(statistic.groups):
            group = statistic.groups[name]
            if group.n and all(guarantee.budget(n) < 0 for n in group.n):
                small[name] = max(group.n)
            else:
                groups[name] = guarantee.calibrate(group)
        if not groups:
            given = ", ".join(f"{n} of {name}" for name, n in small.items()) or "none"
            raise ValueError(
                f"alpha={float(self.alpha)} needs at least {guarantee.images_needed} calibration {self.risk.counted} "
                f"of a group, got {given}; join groups, enlarge the calibration set or raise alpha."
            )
        return self._joined(groups, small)

    def _joined(self, groups: Mapping[str, CalibrationResult], small: Mapping[str, int]) -> CalibrationResult:
        """One result that keeps the promise of every group."""
        safest = min if self.risk.rises else max
        columns = list(zip(*((each.cutoff, each.promised) for each in groups.values()), strict=True))
        cutoffs = []
        for index in range(len(columns[0][0])):
            rows = [each.cutoff[index] for each in groups.values() if each.promised[index]]
            cutoffs.append(safest(rows) if rows else next(iter(groups.values())).cutoff[index])
        n = tuple(map(sum, zip(*(each.n for each in groups.values()), strict=True)))
        risks = [
            math.fsum(each.risk[index] * each.n[index] for each in groups.values()) / max(n[index], 1)
            for index in range(len(n))
        ]
        words = [self._opening(groups)]
        words += [f"{name}: {text}" for name, each in groups.items() for text in _remarks(each)]
        words += [f"no promise about {self._called(k)} in any" for k, c in enumerate(cutoffs) if abs(c) == LARGEST]
        words += [
            f"nothing is promised about {name}: {count} of the {self.guarantee.images_needed} "
            f"{self.risk.counted} that it takes"
            for name, count in small.items()
        ]
        return CalibrationResult(
            cutoff=tuple(cutoffs),
            alpha=float(self.alpha),
            n=n,
            n_empty=tuple(map(sum, zip(*(each.n_empty for each in groups.values()), strict=True))),
            risk=tuple(risks),
            guarantee="; ".join(words),
            controls=self.risk.key,
            kind=self.name,
            settings=self.settings,
            groups=groups,
        )

    def _opening(self, groups: Iterable[str]) -> str:
        return f"{self.promise} {self.guarantee.scope}, in each of {', '.join(groups)}"

    def opening(self, result: CalibrationResult) -> str:
        """How the words of a result begin."""
        return self._opening(result.groups)

    def _called(self, index: int) -> str:
        names = self.class_names or self.guarantee.class_names
        return repr(names[index]) if names else f"class {index}"

    def check(self, result: CalibrationResult) -> None:
        """Refuse a result without groups, whose groups do not support the promise, or whose cutoff is not the safest.

        Raises:
            ValueError: saying which.
        """
        if not result.groups:
            raise ValueError("groups must be there, got none")
        for name, group in result.groups.items():
            if (group.kind, group.controls, group.alpha) != (self.guarantee.name, self.risk.key, float(self.alpha)):
                raise ValueError(f"groups must be of the promise {self.promise!r}, got {group.guarantee!r} of {name}")
            self.guarantee.check(group)
        joined = self._joined(result.groups, {})
        if joined.cutoff != result.cutoff:
            raise ValueError(f"cutoff must be the safest of the groups, got {result.cutoff}")
        if (joined.n, joined.n_empty, joined.risk) != (result.n, result.n_empty, result.risk):
            raise ValueError(f"n and risk must be those of the groups together, got {result.n} and {result.risk}")


def _remarks(result: CalibrationResult) -> list[str]:
    """What the words of a group say after its promise; of the whole, "no promise" says that no group has one."""
    return [text.replace("no promise", "nothing is promised") for text in result.guarantee.split("; ")[1:]]
