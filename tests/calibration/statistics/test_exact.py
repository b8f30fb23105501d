# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The statistic: what it takes, what it refuses, and that merging changes nothing."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

from monai_coat.calibration import CoverageStatistic, calibrate, calibrate_maps
from monai_coat.functional import images_needed, true_positive_rate


def statistic_of(pairs):
    statistic = CoverageStatistic()
    for scores, labels in pairs:
        statistic.update(scores, labels)
    return statistic


def state(statistic):
    """Everything a statistic holds, as plain values."""
    return [(pool.state_dict()["scores"].tolist(), pool.sizes.tolist(), pool.n_empty) for pool in statistic.pools]


@st.composite
def images(draw):
    """Batches of one image each: two classes, sizes that differ, ties, zeros of both signs, classes that are absent."""
    generator = np.random.default_rng(draw(st.integers(0, 2**31)))
    found = []
    for _ in range(draw(st.integers(4, 12))):
        shape = (1, 2, *generator.integers(1, 5, 2))
        scores = generator.integers(-2, 3, shape) * generator.choice([0.25, 0.1, 1e30, -1e-42])
        labels = generator.random(shape) < generator.choice([0.0, 0.5, 1.0])
        found.append((torch.from_numpy(scores).float(), torch.from_numpy(labels)))
    return found


def result_of(statistic, alpha):
    """The result bit for bit, signs of zero and last digits included; or the refusal."""
    try:
        return repr(calibrate(statistic, alpha))
    except ValueError as error:
        return str(error)


@settings(max_examples=60)
@given(images(), st.randoms(use_true_random=False), st.sampled_from([0.15, 0.3, 0.5, 0.7]))
def test_merging_in_any_order_and_grouping_is_a_single_run(pairs, random, alpha):
    expected = result_of(statistic_of(pairs), alpha)
    workers = [CoverageStatistic() for _ in range(random.randint(1, 5))]  # some may stay empty
    for scores, labels in random.sample(pairs, len(pairs)):
        random.choice(workers).update(scores, labels)
    while len(workers) > 1:
        one = workers.pop(random.randrange(len(workers)))
        random.choice(workers).merge(one)
    assert result_of(workers[0], alpha) == expected


@settings(max_examples=40)
@given(images(), st.integers(0, 2**31))
def test_order_of_pixels_plays_no_part(pairs, seed):
    generator = torch.Generator().manual_seed(seed)
    moved = []
    for scores, labels in pairs:
        order = torch.randperm(scores[0, 0].numel(), generator=generator)
        moved.append((scores.flatten(2)[..., order], labels.flatten(2)[..., order]))
    assert result_of(statistic_of(moved), 0.5) == result_of(statistic_of(pairs), 0.5)


def test_batches_are_their_images(rng):
    scores, labels = (
        torch.from_numpy(rng.random((6, 2, 3, 4))).float(),
        torch.from_numpy(rng.random((6, 2, 3, 4)) < 0.3),
    )
    single = statistic_of([(scores[i : i + 1], labels[i : i + 1]) for i in range(6)])
    assert state(single) == state(statistic_of([(scores, labels)]))


def test_counts_per_class():
    labels = torch.tensor([[[1, 1], [0, 0]], [[1, 0], [0, 1]], [[0, 0], [0, 0]]])
    statistic = statistic_of([(torch.rand(3, 2, 2), labels)])
    assert (statistic.n, statistic.n_empty) == ((2, 1), (1, 2))


@settings(max_examples=40)
@given(images())
def test_saving_and_loading_is_identity(pairs):
    statistic, file = statistic_of(pairs), io.BytesIO()
    torch.save(statistic.state_dict(), file)
    file.seek(0)
    loaded = statistic_of([(torch.rand(1, 5, 3), torch.ones(1, 5, 3))])  # what it held before is replaced
    loaded.load_state_dict(torch.load(file, weights_only=True))
    assert state(loaded) == state(statistic)
    assert result_of(loaded, 0.5) == result_of(statistic, 0.5)


def test_merging_leaves_the_other_alone_and_copies_nothing_back():
    one, other = (statistic_of([(torch.full((1, 1, 2), v), torch.ones(1, 1, 2))]) for v in (0.25, 0.75))
    before = state(other)
    one.merge(other)
    one.update(torch.rand(1, 1, 2), torch.ones(1, 1, 2))
    assert state(other) == before
    other.merge(other)
    assert other.n == (2,)


def test_what_was_taken_does_not_change_with_the_input():
    scores = torch.full((1, 1, 2), 0.25)
    statistic = statistic_of([(scores, torch.ones(1, 1, 2))])
    scores.zero_()
    assert statistic.pools[0].state_dict()["scores"].tolist() == [0.25, 0.25]


@pytest.mark.parametrize(
    ("scores", "labels", "error", "message"),
    [
        (torch.rand(1, 3, 4), torch.ones(1, 3, 4), ValueError, "must have the 2 classes of the batches before, got 3"),
        (torch.rand(1, 1, 4), torch.ones(1, 1, 4), ValueError, "must have the 2 classes of the batches before, got 1"),
        (torch.full((1, 2, 4), torch.nan), torch.ones(1, 2, 4), ValueError, "must be finite"),
        (torch.rand(1, 2, 4), torch.full((1, 2, 4), 2), ValueError, "labels must hold only 0 and 1, got 2"),
        (torch.rand(1, 2, 4), torch.ones(1, 2, 5), ValueError, "same shape"),
        (torch.ones(1, 2, 4, dtype=torch.int), torch.ones(1, 2, 4), TypeError, "must be floating point"),
        (np.ones((1, 2, 4)), torch.ones(1, 2, 4), TypeError, r"scores must be a torch\.Tensor, got ndarray"),
        (torch.ones(1, 2, 4).double() * -1e300, torch.ones(1, 2, 4), ValueError, r"range of float32, got -1e\+300"),
    ],
)
def test_what_is_refused_adds_nothing(scores, labels, error, message):
    statistic = statistic_of([(torch.rand(2, 2, 4), torch.ones(2, 2, 4))])
    before = state(statistic)
    with pytest.raises(error, match=message):
        statistic.update(scores, labels)
    assert state(statistic) == before


def test_first_batch_that_is_refused_leaves_the_number_of_classes_open():
    statistic = CoverageStatistic()
    with pytest.raises(ValueError, match="must be finite"):
        statistic.update(torch.full((1, 3, 2), torch.inf), torch.ones(1, 3, 2))
    statistic.update(torch.rand(1, 1, 2), torch.ones(1, 1, 2))
    assert statistic.n == (1,)


def test_merging_other_numbers_of_classes_is_refused_and_adds_nothing():
    one, other = (statistic_of([(torch.rand(1, c, 2), torch.ones(1, c, 2))]) for c in (1, 2))
    with pytest.raises(ValueError, match="must have the 1 classes of the batches before, got 2"):
        one.merge(other)
    assert one.n == (1,)


@pytest.mark.parametrize("label_dtype", [torch.bool, torch.uint8, torch.int64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_types_of_scores_and_labels(rng, dtype, label_dtype):
    scores = torch.from_numpy(rng.random((4, 1, 3, 2, 2))).to(dtype)
    labels = torch.from_numpy(rng.random(scores.shape) < 0.5)
    exact = scores.bfloat16() if dtype == torch.float64 else scores  # float64 beyond float32: see below
    expected = state(statistic_of([(exact.float(), labels)]))
    wrapped = MetaTensor(exact.to(dtype).requires_grad_(), meta={"name": "a"}), MetaTensor(labels.to(label_dtype))
    assert state(statistic_of([wrapped])) == expected


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.sampled_from([0.1, 0.3, 0.5]))
def test_cutoff_keeps_its_promise_on_double_precision_maps(seed, alpha):
    # Rounded to the nearest, 0.1 would become a float32 above 0.1, and a cutoff of it would exclude the map's own 0.1.
    generator = np.random.default_rng(seed)
    n = images_needed(alpha) + int(generator.integers(0, 5))
    scores = torch.from_numpy(generator.integers(1, 10, (n, 1, 6)) / 10 * generator.choice([1, -1, 1e-44, 1e37]))
    result = calibrate_maps(list(scores), [torch.ones(1, 6)] * n, alpha)
    coverage = true_positive_rate(scores, torch.ones_like(scores), result.cutoff[0])
    assert float(1 - coverage.mean()) == pytest.approx(result.risk[0], abs=1e-12)
    assert true_positive_rate(scores.float(), torch.ones_like(scores), result.cutoff[0]).mean() >= coverage.mean()


def test_double_precision_beyond_float32_is_its_largest_number():
    scores = torch.tensor([[[1e300, 0.1]]], dtype=torch.float64)
    kept = statistic_of([(scores, torch.ones(1, 1, 2))]).pools[0].state_dict()["scores"]
    assert kept.tolist() == [torch.finfo(torch.float32).max, np.nextafter(np.float32(0.1), np.float32(0))]


def test_sequences_may_mix_sizes_and_name_the_image_at_fault():
    scores = [torch.rand(1, 4, 4), torch.rand(1, 3, 9), torch.rand(1, 2, 2)]
    labels = [torch.ones_like(score) for score in scores]
    result = calibrate_maps(scores, labels, 0.5)
    assert result == calibrate(statistic_of([(s[None], y[None]) for s, y in zip(scores, labels, strict=True)]), 0.5)
    assert result == calibrate_maps([s.numpy() for s in scores], [y.numpy() for y in labels], 0.5)
    labels[1] = labels[1] * 2
    with pytest.raises(ValueError, match="image 1 of the sequence: labels must hold only 0 and 1, got 2"):
        calibrate_maps(scores, labels, 0.5)
    with pytest.raises(TypeError, match="image 2 of the sequence: scores must be floating point"):
        calibrate_maps([*scores[:2], scores[2].int()], [torch.ones_like(score) for score in scores], 0.5)
    with pytest.raises(ValueError, match="scores and labels must have the same length, got 3 and 2"):
        calibrate_maps(scores, labels[:2], 0.5)


def test_volumes_and_planes_may_be_mixed():
    # alpha = 0.5, n = 2: a budget of 0.5 * 3 - 1 = 1/2. At 0.25 half of the plane is missed, at 0.5 all of it.
    plane, volume = torch.tensor([[[0.25, 0.125]]]), torch.full((1, 2, 3, 4), 0.5)
    result = calibrate_maps([plane, volume], [torch.ones_like(plane), torch.ones_like(volume)], 0.5)
    assert (result.cutoff, result.n, result.risk) == ((0.25,), (2,), (0.25,))
