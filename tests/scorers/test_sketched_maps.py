# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is learned from a few hundred numbers of each image is what is learned from the maps."""

from __future__ import annotations

import pytest
import torch

from monai_coat.scorers import METHODS, PredictedMaps, SketchedMaps


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(0)
    probs = torch.rand(24, 1, 12, 10, generator=generator) ** 2
    label = torch.rand(probs.shape, generator=generator) < probs
    return PredictedMaps(tuple(map(str, range(24))), torch.zeros(24, 3, 12, 10, dtype=torch.uint8), label, probs)


@pytest.mark.parametrize("method", ["crc", "meg", "coat", "at", "aa_crc", "cra"])
def test_scores_are_those_of_a_method_that_saw_the_maps(maps, method):
    """Sketches have 512 points here and 256 there, so that thresholds of some may differ a little."""
    sketched = SketchedMaps.collect(zip(maps.probs, maps.label, strict=True))
    of_sketches, of_maps = (METHODS[method].fit(train, 0.2, 0).scorer for train in (sketched, maps))
    found, expected = of_sketches(maps.probs, maps.probs), of_maps(maps.image.float(), maps.probs)
    # COAT and AT resize what they read, where they see the maps.
    assert torch.allclose(found, expected, atol={"coat": 0.2, "at": 0.2, "aa_crc": 0.02}.get(method, 0))


@pytest.mark.parametrize("method", ["meg", "coat", "at", "aa_crc"])
def test_a_class_that_images_lack_is_learned_from_the_others(method):
    generator = torch.Generator().manual_seed(1)
    pairs = []
    for number in range(30):
        probs = torch.rand(2, 9 + number % 3, 8, 3, generator=generator) ** 2
        masks = torch.rand(probs.shape, generator=generator) < probs
        masks[1] &= number % 3 == 0
        pairs.append((probs, masks))
    scorer = METHODS[method].fit(SketchedMaps.collect(pairs), 0.2, 0).scorer
    thresholds = scorer.thresholds(pairs[0][0][None], pairs[0][0][None])
    assert thresholds.shape == (1, 2)
    assert bool(torch.isfinite(thresholds).all())


@pytest.mark.parametrize("settings", [{"isotonic": True}, {"strata": 2}])
def test_methods_that_learn_from_whole_maps_are_refused(maps, settings):
    sketched = SketchedMaps.collect(zip(maps.probs, maps.label, strict=True))
    with pytest.raises(ValueError, match=r"must be one that learns from summaries"):
        METHODS["cra"].fit(sketched, 0.2, 0, **settings)


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(ValueError, match="must hold at least one image"):
        SketchedMaps.collect([])


def test_rows_and_classes_are_those_of_their_own_maps():
    generator = torch.Generator().manual_seed(2)
    maps = [torch.rand(3, 7, 6, 5, generator=generator) for _ in range(4)]
    pairs = [(probs, torch.rand(probs.shape, generator=generator) < probs) for probs in maps]
    found = SketchedMaps.collect(pairs).rows([2, 0]).of_class(1)
    expected = SketchedMaps.collect([(pairs[i][0][1:2], pairs[i][1][1:2]) for i in (2, 0)])
    assert (len(found), found.num_classes) == (2, 1)
    for name in ("summaries", "sketches", "precision"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
