# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Parts of images that a network was not trained on: to fit, to calibrate and to test."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from monai_coat.data.groups import allot, generator, shares, sorted_samples
from monai_coat.data.partition import Partition
from monai_coat.data.seen_images import image_files, same_files
from monai_coat.files.names import stem_of

__all__ = ["held_out_parts"]

REMEDY = "keep to it, or remove the file, and fit and calibrate again"


def held_out_parts(
    path: str | os.PathLike[str],
    samples: Sequence[Mapping[str, Any]],
    fractions: Sequence[float] = (0.0, 0.5, 0.5),
    seed: int = 0,
    trained_on: Iterable[Mapping[str, Any]] = (),
) -> Partition:
    """Draw images to fit, to calibrate and to test from images that a network was not trained on.

    The draw is random, depends on names, groups and ``seed`` alone, and is kept in a file, so that the steps of a
    project share it. Whole groups are drawn to fit; calibration and test are drawn image by image from the rest, and
    so are exchangeable.

    Args:
        path: file that keeps the parts; it is made by the first step.
        samples: dictionaries with the paths ``image`` and ``label``, and perhaps ``id`` and ``group``. Without ``id``
            an image is called by its label's file, with as many folders before it as tell all files apart.
        fractions: shares to fit, to calibrate and to test, with sum 1. Without a method that learns the first is 0.
        seed: of the draw.
        trained_on: samples that the network was trained on. They are known by their paths, and images also by the
            bytes of their files; one that was saved anew is not known.

    Returns:
        A partition whose part ``base_train`` is empty and whose part ``threshold_train`` is for the fit.

    Raises:
        ValueError: if a sample has no label, was trained on, or is there twice; if ``fractions`` are not as described,
            leave an asked part empty, or there is another draw in the file.

    Example:
        >>> samples = [{"image": f"images/{i}.nii", "label": f"labels/{i}.nii"} for i in range(20)]
        >>> parts = held_out_parts(getfixture("tmp_path") / "parts.json", samples)
        >>> len(parts.threshold_train), len(parts.calibration), len(parts.test)
        (0, 10, 10)
    """
    named = _named(samples)
    _check_untrained(named, trained_on)
    made = _drawn(named, _checked(fractions), seed)
    if not Path(path).is_file():
        made.save(path)
        return made
    saved = Partition.load(path, named)
    if saved != made:
        raise ValueError(
            f"fractions and seed must give the parts in {path}, got {tuple(fractions)} and {seed}, which give others; "
            f"{REMEDY}."
        )
    return saved


def _drawn(samples: list[dict[str, Any]], fractions: tuple[float, ...], seed: int) -> Partition:
    rng = generator(seed)
    to_fit, to_calibrate, to_test = shares(len(samples), fractions)
    least = tuple(int(fraction > 0) for fraction in (fractions[0], 1 - fractions[0]))
    fit, rest = allot(sorted_samples(samples, "samples"), (to_fit, to_calibrate + to_test), least, rng)
    count = round(len(rest) * fractions[1] / (fractions[1] + fractions[2]))
    if not count or (fractions[2] and count == len(rest)):
        raise ValueError(
            f"samples must be enough for each part, got {len(samples)} for the shares {fractions}; add images."
        )
    chosen = {*rng.permutation(len(rest))[:count].tolist()}
    calibration = [sample for index, sample in enumerate(rest) if index in chosen]
    test = [sample for index, sample in enumerate(rest) if index not in chosen]
    return Partition((), tuple(fit), tuple(calibration), tuple(test), seed)


def _checked(fractions: Sequence[float]) -> tuple[float, ...]:
    values = tuple(float(fraction) for fraction in fractions)
    if len(values) != 3 or min(values) < 0 or values[1] == 0 or abs(sum(values) - 1) > 1e-6:
        raise ValueError(
            f"fractions must be three shares with sum 1, to fit, to calibrate (above 0) and to test, got {values}; "
            "divide them by their sum."
        )
    return values


def _named(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Samples with ids."""
    lacking = [sample for sample in samples if not isinstance(sample.get("label"), str | os.PathLike)]
    if lacking:
        raise ValueError(
            f"samples must have the path of a label, got {dict(lacking[0])}; give a list of images with labels."
        )
    if all(isinstance(sample.get("id"), str) for sample in samples):
        return [dict(sample) for sample in samples]
    names = _names([PurePath(os.path.abspath(sample["label"])) for sample in samples])
    return [{**sample, "id": name} for sample, name in zip(samples, names, strict=True)]


def _names(paths: Sequence[PurePath]) -> list[str]:
    """The shortest names by which files can be told apart, all of the same number of folders."""
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise ValueError(f"samples must be different images, got the label {twice[0]} twice; drop the repeat.")
    folders = 0
    while True:
        names = ["/".join([*path.parts[:-1][len(path.parts) - 1 - folders :], stem_of(path)]) for path in paths]
        if len({*names}) == len(names) or folders > max(len(path.parts) for path in paths):
            return names
        folders += 1


def _check_untrained(samples: Iterable[Mapping[str, Any]], trained_on: Iterable[Mapping[str, Any]]) -> None:
    """Refuse an image that the network has seen, whatever its file is called."""
    samples, trained_on = list(samples), list(trained_on)
    seen = {file for sample in trained_on for file in _files(sample)}
    images = [image_files(sample) for sample in samples]
    same = same_files(itertools.chain(*images), itertools.chain(*map(image_files, trained_on)))
    for sample, files in zip(samples, images, strict=True):
        copied = next((same[file] for file in files if file in same), "")
        if seen & _files(sample) or copied:
            which = f"which has the bytes of {copied}, which was" if copied else "which was"
            raise ValueError(
                f"samples must not have been trained on, got {sample['id']!r}, {which}: on it the network errs less "
                "than on new images; calibrate and test on others."
            )


def _files(sample: Mapping[str, Any]) -> set[str]:
    """Files of a sample, each by one name."""
    values = [sample.get(key) for key in ("image", "label")]
    paths = [path for value in values for path in (value if isinstance(value, list | tuple) else [value])]
    return {os.path.realpath(path) for path in paths if isinstance(path, str | os.PathLike)}
