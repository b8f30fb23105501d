# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Values of all workers; a worker without any sample takes part like the others."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch.distributed as dist

__all__ = ["gather_objects", "gather_statistic"]

T = TypeVar("T")


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


def gather_statistic(statistic: T) -> T:
    """The merged statistic of all workers, of any kind, the same on each; shards may be uneven or empty.

    A sampler that repeats samples to make shards even would count images twice: turn that off
    (``DistributedSampler(even_divisible=False)``).
    """
    parts: list[Any] = []
    for state in gather_objects(statistic.state_dict()):  # type: ignore[attr-defined]
        parts.append(copy.deepcopy(statistic))
        parts[-1].load_state_dict(state)
    merged: T = parts[0]
    for part in parts[1:]:
        merged.merge(part)  # type: ignore[attr-defined]
    return merged
