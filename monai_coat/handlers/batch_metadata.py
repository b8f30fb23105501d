# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Metadata of the images of a batch: what a guarantee asks of each, such as its site.

Tested by tests/handlers/test_batch_metadata.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

__all__ = ["batch_metadata"]


def batch_metadata(batch: Any, keys: Sequence[str]) -> list[Mapping[str, Any]] | None:
    """A mapping for each image of a batch, with the entries that are asked for.

    An entry is looked for in the batch, a dictionary as MONAI's loaders make it or a list of them, and then in the
    metadata of its MetaTensors.

    Args:
        batch: ``engine.state.batch``.
        keys: entries that are asked for; none for none.

    Returns:
        The mappings, in the order of the images, or None if nothing is asked for.

    Raises:
        ValueError: if an entry is not there.

    Example:
        >>> batch_metadata({"image": [0, 0], "site": ["north", "south"]}, ["site"])
        [{'site': 'north'}, {'site': 'south'}]
    """
    if not keys:
        return None
    if isinstance(batch, Mapping):
        columns = {key: _column(batch, key) for key in keys}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if isinstance(batch, list | tuple) and batch and all(isinstance(item, Mapping) for item in batch):
        return [{key: _column(item, key, of_one=True) for key in keys} for item in batch]
    raise _missing(keys[0], type(batch).__name__)


def _column(batch: Mapping[Any, Any], key: str, of_one: bool = False) -> Any:
    """An entry of each image."""
    found = batch.get(key)
    for value in batch.values():
        meta = getattr(value, "meta", None)
        if found is None and isinstance(meta, Mapping):
            found = meta.get(key)
    if found is None:
        raise _missing(key, ", ".join(map(str, batch)))
    if of_one:
        return found
    if isinstance(found, Tensor):
        return found.tolist()
    return [found] if isinstance(found, str) or not hasattr(found, "__len__") else list(found)


def _missing(key: str, given: str) -> ValueError:
    return ValueError(
        f"batch must say {key!r} of every image, got {given[:200]}; add it to the data list, whose entries go "
        "into the batch."
    )
