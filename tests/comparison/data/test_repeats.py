# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Repeats: nobody calibrates or tests on what was learned from, neither image nor group."""

from __future__ import annotations

import pytest
import torch

from monai_coat.comparison.data.images import Images
from monai_coat.comparison.data.repeats import repeats_of_saved_maps, repeats_of_study
from monai_coat.scorers import PredictedMaps

NAMES = [f"{video}{frame}" for video in "abcdefghijkl" for frame in range(5)]


@pytest.fixture
def images():
    """Five frames of each of twelve videos; each frame is a map of its own number."""
    maps = torch.arange(60, dtype=torch.uint8)[:, None, None, None].expand(60, 1, 4, 4).clone()
    return Images(tuple(NAMES), maps.expand(60, 3, 4, 4), torch.ones(60, 1, 4, 4, dtype=torch.bool), maps / 255)


@pytest.fixture
def samples():
    return [{"id": name, "group": name[0]} for name in NAMES]


def groups_of(ids):
    return {name[0] for name in ids}


@pytest.mark.parametrize("seed", range(5))
def test_saved_maps_are_learned_from_or_tested_on_and_never_both(tiny, images, samples, seed):
    protocol = tiny(repeats=4, fractions=[0, 0.5, 0.25, 0.25], seed=seed)
    repeats = repeats_of_saved_maps(images, samples, protocol)
    assert len(repeats) == 4
    for repeat in repeats:
        assert not set(repeat.train.ids) & set(repeat.pool.ids)
        assert not groups_of(repeat.train.ids) & groups_of(repeat.pool.ids)
        assert sorted((*repeat.train.ids, *repeat.pool.ids)) == sorted(NAMES)
        assert len(repeat.train) == len(repeat.pool) == 30


def test_the_share_that_is_learned_from_is_the_protocol_s(tiny, images, samples):
    (repeat,) = repeats_of_saved_maps(images, samples, tiny(fractions=[0.4, 0.25, 0.5, 0.25]))
    assert (len(repeat.train), len(repeat.pool)) == (15, 45)


def test_repeats_of_saved_maps_draw_other_images_each_time(tiny, images, samples):
    repeats = repeats_of_saved_maps(images, samples, tiny(repeats=3, fractions=[0, 0.5, 0.25, 0.25]))
    assert len({repeat.train.ids for repeat in repeats}) == 3
    again = repeats_of_saved_maps(images, samples[::-1], tiny(repeats=3, fractions=[0, 0.5, 0.25, 0.25]))
    assert [repeat.train.ids for repeat in again] == [repeat.train.ids for repeat in repeats]


def test_maps_stay_with_their_names_and_are_probabilities(tiny, images, samples):
    (repeat,) = repeats_of_saved_maps(images, samples, tiny(fractions=[0, 0.5, 0.25, 0.25]))
    for maps in (repeat.train, repeat.pool):
        for name, probs in zip(maps.ids, maps.probs, strict=True):
            assert torch.equal(probs, torch.full((1, 4, 4), NAMES.index(name) / 255))
        assert maps.groups == tuple(name[0] for name in maps.ids)


def test_a_study_holds_every_group_out_once(tiny, images, samples):
    train = PredictedMaps(images.ids, images.image, images.label, images.probs)
    repeats = repeats_of_study(train, samples, tiny(study=True, repeats=3))
    pools = [set(repeat.pool.ids) for repeat in repeats]
    assert sorted(name for pool in pools for name in pool) == sorted(NAMES)
    for repeat, pool in zip(repeats, pools, strict=True):
        assert set(repeat.train.ids) == set(NAMES) - pool
        assert not groups_of(repeat.train.ids) & groups_of(pool)
        assert len(pool) == 20
