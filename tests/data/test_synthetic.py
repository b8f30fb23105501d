# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_coat.data import synthetic_images, synthetic_maps


def best_dice(sample):
    """Overlap with the reference of the best single threshold on the mean over channels."""
    grey, label = sample["image"].mean(0).numpy(), sample["label"][0].numpy() > 0
    masks = [grey >= cut for cut in np.quantile(grey, np.linspace(0.02, 0.99, 60))]
    return max(2 * (mask & label).sum() / (mask.sum() + label.sum()) for mask in masks)


def ideal_threshold(sample, alpha=0.1):
    """Largest threshold that keeps at least 1 - alpha of the foreground: an order statistic."""
    inside = np.sort(sample["probs"][sample["label"] > 0].numpy())
    return float(inside[int(alpha * len(inside))])


@pytest.mark.parametrize("size", [(32, 48), (16, 12, 20)])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_types_and_ranges(size, channels):
    for sample in synthetic_images(6, size, channels=channels):
        image, label = sample["image"], sample["label"]
        assert (image.dtype, label.dtype) == (torch.float32, torch.float32)
        assert (tuple(image.shape), tuple(label.shape)) == ((channels, *size), (1, *size))
        assert 0 <= image.min() < image.max() <= 1
        assert set(label.unique().tolist()) == {0.0, 1.0}
        assert 0 <= sample["difficulty"] <= 1


@pytest.mark.parametrize("size", [(8, 8), (32, 48), (12, 16, 10)])
def test_maps_are_strictly_between_0_and_1(size):
    for sample in synthetic_maps(20, size):
        assert sample["probs"].dtype == sample["label"].dtype == torch.float32
        assert sample["probs"].shape == sample["label"].shape == (1, *size)
        assert 0 < sample["probs"].min() < sample["probs"].max() < 1
        assert sample["label"].sum() > 0


@pytest.mark.parametrize("make", [synthetic_images, synthetic_maps])
def test_a_longer_list_begins_with_the_shorter(make):
    short, long = make(3, (16, 16), seed=7), make(5, (16, 16), seed=7)
    for one, other in zip(short, long, strict=False):
        assert all(torch.equal(one[k], v) if isinstance(v, torch.Tensor) else one[k] == v for k, v in other.items())
    assert not torch.equal(make(1, (16, 16), seed=8)[0]["label"], short[0]["label"])


def test_difficulty_is_what_it_says():
    samples = synthetic_images(120, (48, 48), seed=2)
    easy = [best_dice(s) for s in samples if s["difficulty"] < 0.2]
    hard = [best_dice(s) for s in samples if s["difficulty"] > 0.8]
    assert min(len(easy), len(hard)) >= 20  # both kinds are common
    assert np.median(easy) > 0.95
    assert np.median(hard) < 0.6


def test_no_single_threshold_suits_all_maps():
    thresholds = [ideal_threshold(sample) for sample in synthetic_maps(150, (32, 32), seed=1)]
    low, high = np.quantile(thresholds, [0.1, 0.9])
    assert low < 0.1
    assert high > 0.85


def test_ideal_threshold_can_be_told_from_the_map():
    samples = synthetic_maps(150, (32, 32), seed=3)
    peaks = np.array([float(sample["probs"].max()) for sample in samples])
    thresholds = np.array([ideal_threshold(sample) for sample in samples])
    ranks = [values.argsort().argsort() for values in (peaks, thresholds)]
    assert np.corrcoef(ranks)[0, 1] > 0.5


@pytest.mark.parametrize("make", [synthetic_images, synthetic_maps])
def test_impossible_requests_are_refused(make):
    with pytest.raises(ValueError, match=r"count must be at least 1, got 0"):
        make(0)
    with pytest.raises(ValueError, match=r"spatial_size must be 2 or 3 lengths of at least 8, got \(64,\)"):
        make(1, (64,))
    with pytest.raises(ValueError, match=r"spatial_size must be 2 or 3 lengths of at least 8, got \(64, 7\)"):
        make(1, (64, 7))


def test_images_need_a_channel():
    with pytest.raises(ValueError, match=r"channels must be at least 1, got 0"):
        synthetic_images(1, channels=0)
