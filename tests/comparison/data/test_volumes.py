# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Volumes: sketches are collected once, and what is read again is what was there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_coat.comparison.data import volumes as module
from monai_coat.comparison.data.own_maps import open_own_maps
from monai_coat.comparison.data.volumes import Volumes
from monai_coat.scorers import SketchedMaps


@pytest.fixture
def folder(own_volumes):
    return open_own_maps(own_volumes[3].datasets["a"])


def test_sketches_are_those_of_the_arrays_of_each_class(own_volumes, folder, tmp_path):
    _, maps, masks, _ = own_volumes
    volumes = Volumes(folder, tmp_path / "kept.npz")
    for index in range(2):
        of_class = volumes.of_class(index)
        pairs = [
            (torch.from_numpy(p[index : index + 1].copy()), torch.from_numpy(m[index : index + 1].copy()))
            for p, m in zip(maps, masks, strict=True)
        ]
        expected = SketchedMaps.collect(pairs)
        assert of_class.ids == tuple(f"case.{number:02}" for number in range(24))
        assert of_class.sketches.num_classes == 1
        for name in ("summaries", "sketches", "precision"):
            assert torch.equal(getattr(of_class.sketches, name), getattr(expected, name))


def test_sketches_are_collected_once(folder, tmp_path, monkeypatch):
    first = Volumes(folder, tmp_path / "kept.npz")
    monkeypatch.setattr(SketchedMaps, "collect", lambda pairs: pytest.fail("collected again"))
    again = Volumes(folder, tmp_path / "kept.npz")
    assert again.ids == first.ids
    assert torch.equal(again.sketches.sketches, first.sketches.sketches)


@pytest.mark.parametrize("room", [0, 50_000, 2**30])
def test_a_pool_reads_maps_and_masks_whatever_stays_in_memory(own_volumes, folder, tmp_path, monkeypatch, room):
    _, maps, masks, _ = own_volumes
    monkeypatch.setattr(module, "KEPT", room)
    samples = [{"id": "case.05"}, {"id": "case.02"}, {"id": "case.23"}]
    volumes = Volumes(folder, tmp_path / "kept.npz")
    pool = volumes.of_class(1).pool_of(samples)
    assert (pool.ids, len(pool)) == (("case.05", "case.02", "case.23"), 3)
    for _ in range(2):
        for place, number in enumerate((5, 2, 23)):
            probs, mask = pool.read(place)
            assert np.array_equal(probs.numpy(), maps[number][1:])
            assert np.array_equal(mask.numpy(), masks[number][1:])
    # A softmax of three channels stays as a whole.
    kept = sum(p.untyped_storage().nbytes() + m.nbytes for p, m in volumes._kept.values())
    assert kept <= room
    assert len(volumes._kept) == {0: 0, 50_000: 3}.get(room, 24)


def test_volumes_without_the_class_are_left_out_of_parts(own_volumes, folder, tmp_path):
    volumes = Volumes(folder, tmp_path / "kept.npz")
    volumes.sketches.sketches[3, 1] = torch.nan
    assert len(volumes.of_class(0).ids) == 24
    of_class = volumes.of_class(1)
    assert len(of_class.ids) == len(of_class.sketches) == 23
    samples = [{"id": "case.03"}, {"id": "case.04"}]
    assert of_class.pool_of(samples).ids == ("case.04",)
    assert torch.equal(of_class.sketches_of(samples).summaries, volumes.sketches.of_class(1).summaries[4:5])
