# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What all metrics promise: MONAI's cumulative form, NaN left out, and one answer however the images are spread."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch
from monai.data import MetaTensor
from monai.metrics import CumulativeIterationMetric

from monai_coat.metrics import CoverageGapMetric, CoverageMetric, SetSizeMetric
from tests.metrics.two_workers import METRICS, shard

MAKE = {
    "coverage": CoverageMetric,
    "gap": lambda *args, **kwargs: CoverageGapMetric(0.1, *args, **kwargs),
    "relative": lambda *args, **kwargs: SetSizeMetric("relative", *args, **kwargs),
    "fraction": lambda *args, **kwargs: SetSizeMetric("fraction", *args, **kwargs),
    "precision": lambda *args, **kwargs: SetSizeMetric("precision", *args, **kwargs),
}
every_metric = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE.keys())


@pytest.fixture
def two_classes():
    """Four images of two classes; class 1 is absent from the first, both from the second."""
    labels = (torch.rand(4, 2, 6, 6) > 0.5).float()
    labels[0, 1] = labels[1] = 0
    return torch.rand(4, 2, 6, 6), labels


@every_metric
def test_it_is_a_metric_of_the_host(make):
    assert isinstance(make(), CumulativeIterationMetric)
    pickle.loads(pickle.dumps(copy.deepcopy(make([0.1, 0.2]))))


@every_metric
def test_reductions_are_means_and_sums_over_what_is_there(make, two_classes):
    metric = make()
    values = metric(*two_classes)
    assert values.shape == (4, 2)
    for name, expected in {
        "mean_batch": values.nanmean(0),
        "sum_batch": values.nansum(0),
        "mean_channel": values.nanmean(1).nan_to_num(0),
        "sum_channel": values.nansum(1),
        "sum": values.nansum(),
        "mean": values.nanmean(1).nanmean(),  # classes first, then images, as the host has it
        "none": values,
    }.items():
        found = metric.aggregate(name).double()
        torch.testing.assert_close(found.reshape(expected.shape), expected, equal_nan=True)
        other = make(reduction=name)
        other(*two_classes)
        torch.testing.assert_close(other.aggregate().double(), found, equal_nan=True)


@every_metric
def test_per_image_values_are_kept_also_after_reduction(make, two_classes):
    metric = make()
    values = metric(*two_classes)
    metric.aggregate()
    torch.testing.assert_close(metric.get_buffer(), values, equal_nan=True)
    metric(*two_classes)
    torch.testing.assert_close(metric.get_buffer(), torch.cat([values, values]), equal_nan=True)


@every_metric
def test_numbers_of_images_that_count(make, two_classes):
    metric = make(get_not_nans=True, reduction="mean_batch")
    values = metric(*two_classes)
    assert metric.aggregate()[1].tolist() == (~values.isnan()).sum(0).tolist()


def test_images_without_foreground_are_left_out_of_coverage(two_classes):
    metric = CoverageMetric(cutoff=0.0, get_not_nans=True, reduction="mean_batch")
    metric(*two_classes)
    assert [x.tolist() for x in metric.aggregate()] == [[1.0, 1.0], [3.0, 2.0]]


@every_metric
def test_background_can_be_left_out(make, two_classes):
    with_it, without = make(reduction="mean_batch"), make(reduction="mean_batch", include_background=False)
    with_it(*two_classes)
    without(*two_classes)
    assert without.aggregate().tolist() == with_it.aggregate().tolist()[1:]


@every_metric
def test_a_single_class_is_not_background(make, images):
    with pytest.raises(ValueError, match=r"include_background=False needs at least two channels, got one"):
        make(include_background=False)(*images)


@every_metric
def test_lists_of_maps_may_differ_in_size(make):
    maps = [(torch.rand(1, n, n + 1), (torch.rand(1, n, n + 1) > 0.5).float()) for n in (4, 7, 5)]
    metric, alone = make(), make()
    values = metric([score for score, _ in maps], [MetaTensor(label) for _, label in maps])
    expected = torch.cat([alone(score[None], label[None]) for score, label in maps])
    assert torch.equal(values, expected)
    assert torch.equal(metric.aggregate(), alone.aggregate())


@every_metric
def test_batches_and_single_images_give_the_same(make, two_classes):
    whole, parts = make(), make()
    whole(*two_classes)
    for score, label in zip(*two_classes, strict=True):
        parts(score[None], label[None])
    assert torch.equal(whole.aggregate(), parts.aggregate())


@every_metric
def test_reset_forgets_everything(make, images):
    metric = make()
    metric(*images)
    metric.reset()
    with pytest.raises(ValueError, match=r"there is no image to aggregate; call the metric on at least one batch"):
        metric.aggregate()
    # Another number of classes is fine then.
    metric(*(torch.cat([x, x], 1) for x in images))
    assert metric.get_buffer().shape == (3, 2)


@every_metric
def test_wrong_input_is_refused(make, images):
    scores, labels = images
    with pytest.raises(ValueError, match=r"y must be the reference masks, got None"):
        make()(scores)
    with pytest.raises(ValueError, match=r"y_pred and y must have the same length, got 3 and 2"):
        make()(list(scores), list(labels[:2]))
    with pytest.raises(ValueError, match=r"scores must be finite, got NaN"):
        make()(torch.full_like(scores, torch.nan), labels)
    with pytest.raises(TypeError, match=r"scores must be floating point"):
        make()(labels, labels)


@pytest.mark.parametrize("make", [m for name, m in MAKE.items() if name != "fraction"])
def test_wrong_labels_are_refused(make, images):
    scores, labels = images
    with pytest.raises(ValueError, match=r"labels must hold only 0 and 1"):
        make()(scores, labels * 255)
    with pytest.raises(ValueError, match=r"must have the same shape"):
        make()(scores, labels[..., :3])


def test_workers_with_uneven_and_empty_shards_find_what_one_finds(run_workers):
    """Also where the second worker has a single image, or none at all, or nobody has any."""
    found = run_workers(str(Path(__file__).with_name("two_workers.py")))
    assert found[0] == found[1]
    for name, metric in METRICS.items():
        for image in range(5):
            metric(*(x[None] for x in shard(image)))
        expected, values = metric.aggregate().tolist(), metric.get_buffer()
        assert found[0][f"{name} uneven"] == found[0][f"{name} empty"] == pytest.approx(expected), name
        counted = (~values.isnan()).sum(0).tolist()
        assert found[0][f"{name} uneven count"] == found[0][f"{name} empty count"] == counted
        assert found[0][f"{name} nobody"] == "there is no image to aggregate; call the metric on at least one batch."
        metric.reset()
