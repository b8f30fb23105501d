# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The division of samples by whole groups (video, patient, near repeats), none of which straddles two parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["allot", "generator", "group_names", "group_of", "shares", "sorted_samples", "split_by_group"]


def split_by_group(
    samples: Sequence[dict[str, Any]], fraction: float, seed: int = 0
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Hold a share of the samples out, whole groups at a time.

    Made for the validation images of the segmenter (out of ``base_train``) and of the threshold predictor (out of
    ``threshold_train``): neighbouring frames on both sides would make early stopping see its own training data.

    Args:
        samples: dictionaries with ``id`` and, optionally, ``group`` (default: its own id). Order is irrelevant.
        fraction: share to hold out, in (0, 1), of samples and not of groups; met as closely as whole groups allow.
        seed: non-negative seed of the draw.

    Returns:
        ``(rest, held_out)``, both sorted by id and neither of them empty.

    Raises:
        TypeError: if ``seed`` is no integer or an id no string.
        ValueError: if ``fraction`` is not in (0, 1), an id occurs twice, or there are fewer than two groups.

    Example:
        >>> frames = [{"id": f"{video}{i}", "group": video} for video in "abcd" for i in range(5)]
        >>> rest, held_out = split_by_group(frames, fraction=0.25)
        >>> len(rest), len(held_out), {s["group"] for s in rest} & {s["group"] for s in held_out}
        (15, 5, set())
    """
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"fraction must be in (0, 1), got {fraction}; it is the share to hold out, 0.1 for 10 %.")
    rng = generator(seed)
    targets = shares(len(samples), (1.0 - fraction, fraction))
    rest, held_out = allot(sorted_samples(samples, "samples"), targets, (1, 1), rng)
    return rest, held_out


def generator(seed: int) -> np.random.Generator:
    """A generator of random numbers for a checked seed."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed must be an integer, got {type(seed).__name__}; pass a non-negative int.")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}; pass a non-negative int.")
    return np.random.default_rng(int(seed))


def group_of(sample: dict[str, Any]) -> str:
    """The sample's group; a sample without one is a group of its own."""
    group = sample.get("group")
    return str(sample["id"] if group is None else group)


def group_names(samples: Sequence[Mapping[str, Any]]) -> list[str]:
    """The group of each sample, in their order; a sample that names none is a group of its own.

    Args:
        samples: dictionaries with, optionally, ``group`` and ``id``.

    Example:
        >>> group_names([{"id": "a1", "group": "a"}, {"id": "a2", "group": "a"}, {"id": "b"}, {}])
        ['a', 'a', 'b', 'sample 3']
    """
    names = (sample.get("id") if sample.get("group") is None else sample["group"] for sample in samples)
    return [f"sample {place}" if name is None else str(name) for place, name in enumerate(names)]


def sorted_samples(samples: Iterable[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Samples in the order of their ids, each of which must be a string that occurs once."""
    by_id: dict[str, dict[str, Any]] = {}
    for sample in samples:
        key = sample.get("id")
        if not isinstance(key, str):
            raise TypeError(f"{name} must have a string 'id' in every sample, got {key!r}; add one to each.")
        if key in by_id:
            raise ValueError(f"{name} must have unique ids, got {key!r} twice; drop or rename the repeat.")
        by_id[key] = sample
    return [by_id[key] for key in sorted(by_id)]


def shares(total: int, fractions: Sequence[float]) -> list[int]:
    """Whole numbers with sum ``total``, in proportion to ``fractions`` (method of the largest remainder)."""
    exact = total * np.asarray(fractions, dtype=np.float64) / sum(fractions)
    counts = np.floor(exact).astype(int)
    largest = np.argsort(counts - exact, kind="stable")
    counts[largest[: total - int(counts.sum())]] += 1
    return [int(count) for count in counts]


def allot(
    samples: Sequence[dict[str, Any]], targets: Sequence[int], minimum: Sequence[int], rng: np.random.Generator
) -> list[list[dict[str, Any]]]:
    """Distribute whole groups over parts of about ``targets`` samples and at least ``minimum`` groups.

    Large groups go first and small ones fill the gaps. A group's part is drawn with probability proportional to the
    room that is left there, so that a large group is no likelier than a single image to land in a particular part;
    with single images only, this is a uniformly random split of exactly the target sizes.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for sample in samples:
        groups.setdefault(group_of(sample), []).append(sample)
    if len(groups) < sum(minimum):
        raise ValueError(
            f"samples must form at least {sum(minimum)} groups to be split, got {len(groups)}; "
            "add data, or correct 'group' where images are independent."
        )
    shuffled = [list(groups.values())[k] for k in rng.permutation(len(groups))]
    parts: list[list[dict[str, Any]]] = [[] for _ in targets]
    room, lacking = np.asarray(targets, dtype=np.float64), np.maximum(minimum, 0)
    for placed, block in enumerate(sorted(shuffled, key=len, reverse=True)):
        scarce = len(groups) - placed <= lacking.sum()
        k = _draw_part(room, len(block), lacking > 0 if scarce else np.ones_like(room, dtype=bool), rng)
        parts[k] += block
        room[k] -= len(block)
        lacking[k] = max(lacking[k] - 1, 0)
    return [sorted(part, key=lambda sample: str(sample["id"])) for part in parts]


def _draw_part(room: NDArray[np.float64], size: int, allowed: NDArray[np.bool_], rng: np.random.Generator) -> int:
    """Index of a part with room for ``size`` samples or, if none has, of one with the most room."""
    weight = np.where(allowed & (room >= size), room, 0.0)
    if not weight.any():
        weight = (allowed & (room == room[allowed].max())).astype(np.float64)
    return int(rng.choice(len(room), p=weight / weight.sum()))
