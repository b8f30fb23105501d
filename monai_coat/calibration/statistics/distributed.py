# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The values of all workers; a worker without any sample takes part like the others."""

from __future__ import annotations

import copy
from typing import Any, Protocol, TypeVar

import torch.distributed as dist

__all__ = ["gather_objects", "gather_statistic"]

T = TypeVar("T")


class _Mergeable(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...

    def merge(self, other: Any) -> None: ...


Merged = TypeVar("Merged", bound=_Mergeable)


def gather_objects(value: T) -> list[T]:
    """The value of every worker, in rank order; only this one's where there is no process group.

    Every worker must call it. Values may have any size, also none.

    Example:
        >>> gather_objects("alone")
        ['alone']
    """
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def gather_statistic(statistic: Merged) -> Merged:
    """The merged statistic of all workers, of any kind, the same on each; shards may be uneven or empty.

    A sampler that repeats samples to make shards even would count images twice: turn that off
    (``DistributedSampler(even_divisible=False)``).
    """
    parts: list[Merged] = []
    for state in gather_objects(statistic.state_dict()):
        parts.append(copy.deepcopy(statistic))
        parts[-1].load_state_dict(state)
    for part in parts[1:]:
        parts[0].merge(part)
    return parts[0]
