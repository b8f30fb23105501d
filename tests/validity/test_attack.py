# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Attacks on statistic files: they find what is there to be found, and nothing where the unit hides it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.validity.attack import size_from_difference, size_from_values, sizes_from_ends, sizes_from_jumps
from benchmarks.validity.inputs import LabelledMap
from benchmarks.validity.statistic_files import AttackedFile, Resolution, hits
from monai_coat.calibration import BinnedStatistic


def spread(size, low=0.0, high=1.0):
    """An image of so many foreground pixels with evenly spaced scores, and a background pixel."""
    scores = torch.cat([torch.linspace(low, high, size), torch.zeros(1)])
    return LabelledMap(scores[None, None], (torch.arange(size + 1) < size)[None, None])


def sums_of(images, unit, bins=512, hide_sizes=False):
    statistic = BinnedStatistic(-0.01, 1.01, bins, unit, hide_sizes)
    for image in images:
        statistic.update(*image.pair)
    return statistic.rates[0]


def test_a_fine_file_of_one_image_gives_its_size_away():
    # Seven pixels, one between two cutoffs: each jump is 2^32 / 7 = 613566756.6, rounded, and 2^32 over that is 7.
    sums = sums_of([spread(7)], 2**32)
    assert set(np.diff(sums)) - {0} == {613566756, 613566757}
    assert sizes_from_jumps(sums, 2**32, 12) == [7]
    assert sizes_from_ends(sums, 2**32, 1) == [7, 7]


def test_jumps_of_several_images_give_several_sizes():
    images = [spread(31), spread(57, 0.001, 0.999), spread(83, 0.002, 0.998)]
    assert set(sizes_from_jumps(sums_of(images, 2**32, 4096), 2**32, 3)) == {31, 57, 83}


def test_sizes_fit_their_values_as_counting_all_of_them_says():
    # Of 5 pixels rates of 1024 parts are 205, 410, 615, 820; 10 pixels have these too, and are not the smallest.
    values = np.array([0, 205, 410, 615, 820, 1024])
    assert size_from_values(values, 1024) == 5
    for size in (3, 17, 60):
        rates = np.array([-(-1024 * below // size) for below in range(size + 1)])
        assert size_from_values(rates, 1024) == size


def test_two_values_may_be_chance_and_are_not_taken():
    # 4 and 7 of 10 parts are those of 3 pixels, but a guess of 3 in 10 would be right twice by chance.
    assert size_from_values(np.array([4, 7, 10]), 10) is None
    assert size_from_values(np.array([0, 10]), 10) is None


@pytest.mark.parametrize(("size", "known"), [(40, True), (2000, False)])
def test_a_unit_hides_objects_that_have_more_pixels(size, known):
    # With 2000 pixels every one of 1024 parts is a rate, so that every size from 1024 on fits.
    rest = [spread(300 + 10 * index) for index in range(11)]
    more, fewer = (sums_of(images, 2**10) for images in ([*rest, spread(size)], rest))
    assert size_from_difference(more, fewer, 2**10) == (size if known else None)
    # Whatever the unit, the difference is the image's own curve.
    np.testing.assert_array_equal(more - fewer, sums_of([spread(size)], 2**10))


@pytest.mark.parametrize("size", [5, 40, 64, 93, 2000])
def test_with_hidden_sizes_a_difference_gives_no_size(size):
    rest = [spread(300 + 10 * index) for index in range(11)]
    more, fewer = (sums_of(images, 2**10, hide_sizes=True) for images in ([*rest, spread(size)], rest))
    assert size_from_difference(more, fewer, 2**10) is None


def test_an_image_alone_at_the_lower_end_is_found_by_a_small_unit_too():
    low = spread(50, 0.0, 0.4)
    rest = [spread(5000, 0.5, 1.0) for _ in range(11)]
    assert 50 in sizes_from_ends(sums_of([low, *rest], 2**10), 2**10, 12)
    assert 50 not in sizes_from_ends(sums_of([low, *rest], 2**5), 2**5, 12)


def test_files_know_their_truth():
    file = AttackedFile.of([spread(20), spread(33)], Resolution(2**32, 512).statistic((-0.01, 1.01)))
    assert file.sizes == (20, 33)
    assert file.difference_is_known
    assert hits(file.from_jumps, file.sizes) == 2


def test_hits_count_sizes_and_not_guesses():
    assert hits([100, 100, 7], [100, 101, 50]) == 1
    assert hits([100, 100, 7], [100, 101, 50], 0.01) == 2
