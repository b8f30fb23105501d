# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A statistic for each group of images.

Tested by tests/calibration/guarantees/test_per_group.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray
from torch import Tensor

from monai_coat.calibration.grouping import Grouping
from monai_coat.calibration.statistics.base import Budget, Solution, Statistic, check_same_kind
from monai_coat.calibration.statistics.entries import check_names

__all__ = ["GroupedStatistic"]

MOST_GROUPS = 1000
"""More groups than that are names of images, not of sites."""


class GroupedStatistic(Statistic):
    """A statistic of the same risk for each group of images, by the group's name.

    Args:
        make: makes an empty statistic.
        grouping: says which group an image is of.

    Example:
        >>> import torch
        >>> from monai_coat.calibration import CoverageStatistic, MetadataKey
        >>> statistic = GroupedStatistic(CoverageStatistic, MetadataKey("site"))
        >>> statistic.update(torch.rand(2, 1, 4), torch.ones(2, 1, 4), [{"site": "north"}, {"site": "south"}])
        >>> {name: group.n for name, group in statistic.groups.items()}
        {'north': (1,), 'south': (1,)}
    """

    kind: ClassVar[str] = "groups"
    asks_metadata: ClassVar[bool] = True

    def __init__(self, make: Callable[[], Statistic], grouping: Grouping) -> None:
        self.make, self.grouping = make, grouping
        self.groups: dict[str, Statistic] = {}

    @property
    def measures(self) -> str:
        """Key of the risk."""
        return self.make().measures

    @property
    def n(self) -> tuple[int, ...]:
        """Images that count, of all groups, per class."""
        return tuple(map(sum, zip(*(group.n for group in self.groups.values()), strict=True)))

    @property
    def n_empty(self) -> tuple[int, ...]:
        """Images left out, of all groups, per class."""
        return tuple(map(sum, zip(*(group.n_empty for group in self.groups.values()), strict=True)))

    def update(self, scores: Tensor, labels: Tensor, meta: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Add a batch of images.

        Args:
            scores: score maps ``(B, C, *spatial)``.
            labels: reference masks of the same shape.
            meta: metadata of each image.

        Raises:
            ValueError: as :meth:`Statistic.update`, or if an image does not say its group; nothing is added then.
        """
        rows = [None] * len(scores) if meta is None else list(meta)
        if len(rows) != len(scores):
            raise ValueError(f"meta must have an entry for each of the {len(scores)} images, got {len(rows)}.")
        names = [self.grouping.group_of(score, row) for score, row in zip(scores, rows, strict=True)]
        known = {*self.groups, *names}
        if len(known) > MOST_GROUPS:
            raise ValueError(
                f"groups must be at most {MOST_GROUPS}, got {len(known)}; name an entry that images share."
            )
        batch = self.make()
        batch.update(scores, labels)  # refuses the batch as a whole
        if self.n and len(self.n) != len(batch.n):
            raise ValueError(f"scores must have the {len(self.n)} classes of the batches before, got {len(batch.n)}.")
        for index, name in enumerate(names):
            group = self.groups.setdefault(name, self.make())
            group.update(scores[index : index + 1], labels[index : index + 1])

    def merge(self, other: GroupedStatistic) -> None:
        """Add all images of another statistic, group by group.

        Raises:
            TypeError: if the other is of another kind.
            ValueError: if it is of another risk, grouping or number of classes.
        """
        check_same_kind(self, other)
        if self.grouping.key != other.grouping.key:
            raise ValueError(
                f"other must be of the groups by {self.grouping.key!r}, got those by {other.grouping.key!r}; collect "
                "both by one."
            )
        if self.n and other.n and len(self.n) != len(other.n):
            raise ValueError(f"other must have the {len(self.n)} classes of this one, got {len(other.n)}.")
        for name, group in list(other.groups.items()):
            self.groups.setdefault(name, self.make()).merge(group)

    def solve(self, budget: Budget) -> tuple[Solution, ...]:
        """Not for all groups at once.

        Raises:
            TypeError: always; :class:`~monai_coat.calibration.PerGroup` solves each group.
        """
        raise TypeError("guarantee must be PerGroup, which solves each group by itself, got another.")

    @property
    def images(self) -> Sequence[Mapping[int, NDArray[Any]]]:
        """Scores that are kept of each image, per group and class."""
        return [places for group in self.groups.values() for places in group.images]

    def state_dict(self) -> dict[str, Any]:
        """The state of each group, in the order of their names."""
        return {"groups": {name: self.groups[name].state_dict() for name in sorted(self.groups)}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the contents by those of :meth:`state_dict`.

        Raises:
            ValueError: if the contents contradict themselves.
        """
        check_names(state, ("groups",))
        groups = {str(name): self.make() for name in state["groups"]}
        for name, group in groups.items():
            group.load_state_dict(state["groups"][name])
        self.groups = groups
