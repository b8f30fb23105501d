# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Statistic files that were edited: refused by their checksum, and with a new one if they contradict themselves."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

from monai_coat.calibration import (
    BinnedStatistic,
    CollectedStatistic,
    CoverageStatistic,
    FalsePositiveStatistic,
    WorstClassStatistic,
    calibrate,
    load_statistic,
    merge_statistics,
    save_statistic,
)

EXACT = (CoverageStatistic, WorstClassStatistic, FalsePositiveStatistic)


@pytest.fixture
def write(tmp_path):
    """Write the file of 20 images of two classes, edit its arrays and its head, and give its path."""

    def make(kind, arrays=None, head=None, forged=True):
        collected = CollectedStatistic(kind())
        collected.update(torch.rand(20, 2, 9), torch.rand(20, 2, 9) < 0.5)
        path = tmp_path / "north.npz"
        save_statistic(collected, path)
        with np.load(path) as content:
            stored = {name: content[name] for name in content.files}
        entries = json.loads(str(stored.pop("head"))) | (head or {})
        stored |= {name: change(stored) for name, change in (arrays or {}).items()}
        if forged:
            entries["checksum"] = checksum(entries, stored)
        np.savez(path, head=np.array(json.dumps(entries)), **stored)
        return path

    return make


def checksum(head, arrays):
    """As documented: the head without its checksum, then name, type, shape and bytes of each array."""
    rest = {name: value for name, value in head.items() if name != "checksum"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}\n".encode() + arrays[name].tobytes())
    return digest.hexdigest()


def spoiled(scores):
    return np.where(np.arange(scores.size) == 3, np.float32("nan"), scores)


SUMS = [
    ({"rates": lambda a: -a["rates"]}, "rates must rise along the grid, from 0 or more"),
    ({"rates": lambda a: a["rates"] - 10**6}, "rates must rise along the grid, from 0 or more"),
    ({"rates": lambda a: a["rates"][:, ::-1]}, "rates must rise along the grid"),
    ({"rates": lambda a: a["rates"] * 100}, "to at most one per image"),
    ({"rates": lambda a: a["rates"] / 2}, "rates must be int64 with 2 axes, got float64"),
    ({"rates": lambda a: a["rates"][:, 1:]}, "one entry per class and cutoff"),
    ({"rates": lambda a: a["n"], "n": lambda a: a["rates"]}, "rates must|n must"),
    ({"n": lambda a: a["n"] * 100}, "must count each image once, got 2000 images of a class and 20 tokens"),
    ({"n": lambda a: a["n"][::-1]}, "to at most one per image"),
    ({"n": lambda a: -a["n"]}, "n not negative"),
    ({"n": lambda a: a["n"] + np.array([[0, 0], [3, 0]])}, "classes must be of the same images"),
    ({"unit": lambda a: np.array(1)}, "to at most one per image"),
    ({"grid": lambda a: a["grid"][:2]}, "one entry per class and cutoff of the grid"),
    ({"grid": lambda a: np.array([0.0, np.nan, 512.0])}, "ascending grid"),
]
SCORES = [
    ({"0/scores": lambda a: spoiled(a["0/scores"])}, "scores must be finite"),
    ({"0/scores": lambda a: a["0/scores"][1:]}, "must describe the scores, image by image"),
    ({"0/scores": lambda a: a["0/scores"].astype(np.float64)}, "scores must be float32 with 1 axes, got float64"),
    ({"1/sizes": lambda a: a["1/sizes"] + 1}, "must describe the scores"),
    ({"1/sizes": lambda a: -a["1/sizes"]}, "must describe the scores"),
    ({"1/sizes": lambda a: a["1/positions"], "1/positions": lambda a: a["1/sizes"]}, "must describe the scores"),
    ({"1/positions": lambda a: np.zeros_like(a["1/positions"])}, "must describe the scores"),
    ({"1/positions": lambda a: a["1/positions"] + 1}, "must describe the scores"),
    ({"0/n_empty": lambda a: np.array(-5)}, "n_empty must be a whole number from 0 to"),
    ({"0/n_empty": lambda a: a["0/n_empty"] + 7}, "classes must be of the same images"),
    ({"2/scores": lambda a: a["0/scores"]}, "sizes"),
]


@pytest.mark.parametrize(
    ("kind", "edits", "message"),
    [(BinnedStatistic, *row) for row in SUMS] + [(kind, *row) for kind in EXACT for row in SCORES],
)
def test_what_contradicts_itself_is_refused_though_its_checksum_is_right(write, kind, edits, message):
    path = write(kind, edits)
    for read in (load_statistic, lambda name: merge_statistics([name])):
        with pytest.raises(
            ValueError, match=rf"path must name a statistic file of version 2, got {path} \(.*{message}"
        ):
            read(path)


@pytest.mark.parametrize(
    ("kind", "edits"),
    [
        (BinnedStatistic, {"rates": lambda a: np.zeros_like(a["rates"])}),
        (BinnedStatistic, {"rates": lambda a: a["rates"] // 2}),
        (BinnedStatistic, {"grid": lambda a: a["grid"] / [2, 2, 1]}),
        (CoverageStatistic, {"0/scores": lambda a: a["0/scores"] + np.float32(0.5)}),
    ],
)
def test_what_is_possible_but_not_what_was_written_is_refused_by_its_checksum(write, kind, edits):
    path = write(kind, edits, forged=False)
    with pytest.raises(ValueError, match=rf"got {path} \(it was changed after it was written: its checksum is another"):
        load_statistic(path)
    load_statistic(write(kind, edits))  # whoever forges the checksum too is believed


@pytest.mark.parametrize(
    "head", [{"method": "at"}, {"identity": {"network": {"weights": "x"}, "pipeline": {}}}, {"images": ["0" * 16] * 20}]
)
def test_the_head_is_under_the_checksum_too(write, head):
    with pytest.raises(ValueError, match=r"north.npz \(it was changed after it was written"):
        load_statistic(write(BinnedStatistic, head=head, forged=False))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"version": 1}, "version 1"),
        ({"format": "other"}, "format 'other'"),
        ({"kind": "maps"}, "'maps'"),
        ({"identity": "abc"}, "identity must be there, a dict"),
        ({"images": ["0" * 16]}, "must count each image once, got 20 images of a class and 1 tokens"),
    ],
)
def test_heads_that_are_none_are_refused_though_their_checksum_is_right(write, head, message):
    with pytest.raises(ValueError, match=rf"north.npz \(.*{message}"):
        load_statistic(write(BinnedStatistic, head=head))


def test_a_file_that_was_only_packed_anew_is_taken(write):
    statistic = load_statistic(write(BinnedStatistic, forged=False)).statistic
    assert statistic.n == (20, 20)
    assert calibrate(statistic, 0.1).n == (20, 20)
