# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Label maps: read back they are the sets, and the map of before took voxels out of them."""

from __future__ import annotations

import pytest
import torch

from benchmarks.validity.inputs import LabelledMap
from benchmarks.validity.label_maps import missed_in_forms, of_split, one_label_map
from benchmarks.validity.scenes import nested_pair, touching_bars
from monai_coat.calibration import CalibrationResult


def calibrations(possible, certain):
    """Results with these cutoffs for both of two classes."""
    return [
        CalibrationResult((cutoff, cutoff), 0.1, (99, 99), (0, 0), (0.09, 0.09), "", controls=controls)
        for cutoff, controls in ((possible, "false_negative_rate"), (certain, "false_positive_ratio"))
    ]


def test_a_voxel_of_two_sets_went_to_one_class():
    # Scores 0.25 and 0.75 are both above the cutoff of 0.125: the voxel is possible for both classes, and was labelled
    # "class 1 possible" alone. Where class 0 is certain and class 1 is possible, class 1 lost its voxel.
    scores = torch.tensor([[0.25, 1.0, 0.0], [0.75, 0.5, 0.0]])
    assert one_label_map(scores, *calibrations(0.125, 0.875)).tolist() == [4, 1, 0]


def test_what_is_missed_by_each_form_is_counted_by_hand():
    scores = torch.tensor([[[0.25, 1.0, 0.0, 0.5], [0.75, 0.5, 0.0, 0.0]]])
    label = torch.ones(1, 2, 4, dtype=torch.bool)
    sets, delivered, one_label = missed_in_forms(LabelledMap(scores, label), *calibrations(0.125, 0.875))
    assert sets.tolist() == [0.25, 0.5]
    assert delivered.tolist() == sets.tolist()
    assert one_label.tolist() == [0.5, 0.75]


@pytest.mark.parametrize("scenes", [touching_bars, nested_pair])
def test_the_delivered_map_misses_what_the_sets_miss(scenes):
    from benchmarks.validity.inputs import statistics_of
    from benchmarks.validity.label_maps import CERTAIN, MISSED

    images = scenes(60)
    parts = [statistics_of(risk, images) for risk in (MISSED, CERTAIN)]
    division = of_split(images, parts, 0.1, 0)
    assert division["differing"] == 0
    assert division["means"][0] == division["means"][1]
    assert max(division["means"][2]) > max(division["means"][0])
    assert division["words"].startswith("E[FNR] <= 0.1 on average")


def test_scenes_touch_and_nest():
    bars, pair = touching_bars(3), nested_pair(3)
    assert not any((image.label[0, 0] & image.label[0, 1]).any() for image in bars)
    assert all((image.label[0, 1] & ~image.label[0, 0]).sum() == 0 for image in pair)
