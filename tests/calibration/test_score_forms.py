# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Masks in place of scores, and maps without a class axis, by every way in."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine

from monai_coat.calibration import ExpectedRisk, FalsePositiveRatio, ScoreForms, calibrate_maps
from monai_coat.handlers import ConformalCalibration

MASKS = [torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])] * 12


def test_masks_are_refused_whatever_their_type():
    for dtype in (torch.float16, torch.float32, torch.float64):
        forms = ScoreForms()
        for mask in MASKS:
            forms.take(mask[None].to(dtype))
        with pytest.raises(ValueError, match="scores must have more values than 0 and 1, got masks; cut them later"):
            forms.check("cut them later")


@pytest.mark.parametrize("value", [0.5, 1e-7, -1.0, 1.0000001])
def test_one_other_value_is_enough(value):
    forms = ScoreForms()
    for scores in (MASKS[0], torch.full((1, 2, 2), value), MASKS[0]):
        forms.take(scores[None])
    forms.check("")


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_is_no_mask(value):
    """As the row predict-all has it."""
    forms = ScoreForms()
    forms.take(torch.full((3, 1, 2, 2), value))
    forms.check("")


def test_what_several_workers_saw_counts_together():
    zeros, ones, maps = ScoreForms(), ScoreForms(), ScoreForms()
    zeros.take(torch.zeros(1, 1, 2, 2))
    ones.take(torch.ones(1, 1, 2, 2))
    maps.take(torch.rand(1, 1, 2, 2))
    zeros.merge(ones)
    with pytest.raises(ValueError, match="got masks"):
        zeros.check("")
    zeros.merge(maps)
    zeros.check("")


def test_calibrate_maps_refuses_both():
    labels = [torch.ones(1, 2, 2)] * 12
    with pytest.raises(ValueError, match="got masks; give the scores that they were cut from"):
        calibrate_maps(MASKS, labels, 0.2)
    with pytest.raises(
        ValueError, match=r"image 0 .* must have the axes \(C, \*spatial\), got \(8, 9\), .* 8 classes .* score\[None\]"
    ):
        calibrate_maps([torch.rand(8, 9)] * 12, [torch.ones(8, 9)] * 12, 0.2)
    assert len(calibrate_maps([torch.rand(1, 9)] * 12, [torch.ones(1, 9)] * 12, 0.2).cutoff) == 1


def by_sequence(maps):
    return calibrate_maps(maps, [torch.ones_like(m) for m in maps], 0.2)


def by_engine(scores, labels):
    engine = Engine(lambda engine, batch: batch)
    ConformalCalibration(0.2).attach(engine)
    return engine.run([(scores, labels)]).calibration


def by_lists(maps):
    return by_engine(maps, [torch.ones_like(m) for m in maps])


def by_batch(maps):
    return by_engine(torch.stack(maps), torch.ones_like(torch.stack(maps)))


@pytest.mark.parametrize("way", [by_sequence, by_lists, by_batch])
@pytest.mark.parametrize("size", [(8, 9), (2, 9)])
def test_the_remedy_for_a_map_without_class_axis_is_one(way, size):
    """What the message says makes one class of it, whichever way the map comes in."""
    maps = [torch.rand(size) for _ in range(12)]
    one, remedy = (way is not by_batch), r"score\[None\]" if way is not by_batch else r"scores\[:, None\]"
    shape = ", ".join(map(str, size if one else (12, *size)))
    with pytest.raises(ValueError, match=rf"scores must have the axes .*, got \({shape}\), .* {remedy}, if there is"):
        way(maps)
    assert way([score[None] for score in maps]).n == (12,)


@pytest.mark.parametrize("way", [by_sequence, by_lists, by_batch])
def test_a_class_axis_at_the_end_is_refused(way):
    maps = [torch.rand(8, 9, 1) for _ in range(12)]
    with pytest.raises(ValueError, match=r"would be 8 classes of 9 x 1 pixels; bring .*movedim\(-1, [01]\)"):
        way(maps)
    assert way([score.movedim(-1, 0) for score in maps]).n == (12,)


@pytest.mark.parametrize("way", [by_sequence, by_lists, by_batch])
@pytest.mark.parametrize(
    "size", [(1, 9), (1, 9, 1), (3, 1, 1), (2, 8, 9, 1), (3, 1, 9), (16, 4, 4), (2, 2, 1), (4, 4, 1)]
)
def test_maps_of_one_column_or_slice_are_taken(way, size, caplog):
    assert len(way([torch.rand(size) for _ in range(12)]).n) == size[0]
    assert "classes" not in caplog.text


@pytest.mark.parametrize("way", [by_sequence, by_lists, by_batch])
@pytest.mark.parametrize("size", [(17, 4, 4), (17, 1, 5), (20, 4, 4, 4)])
def test_many_classes_are_said_once(way, size, caplog):
    way([torch.rand(size) for _ in range(12)])
    assert caplog.text.count(f"scores have {size[0]} classes: the first axis of a map is that of classes") == 1


EVERYTHING = "the prediction set is everything in 20 of 20 images"


def two_classes(way, *kinds, **settings):
    """Scores of 0.25 and 0.75: where the mask is ("good"), where it is not ("inverted"), or in half of either."""
    torch.manual_seed(0)
    labels = [torch.rand(len(kinds), 8, 8) < 0.5 for _ in range(20)]
    flips = torch.tensor([kind == "inverted" for kind in kinds])[:, None, None]
    scores = [torch.where(label ^ flips, 0.75, 0.25) for label in labels]
    return way(scores, labels, **settings)


@pytest.mark.parametrize("way", [lambda s, y: calibrate_maps(s, y, 0.2), by_engine])
@pytest.mark.parametrize(
    ("kinds", "said"), [(["good"], ""), (["inverted"], "0"), (["good", "inverted"], "1"), (["inverted"] * 2, "01")]
)
def test_a_cutoff_below_all_scores_is_said_once(way, kinds, said, caplog):
    two_classes(way, *kinds)
    assert len(caplog.records) == bool(said)
    assert caplog.text.count(EVERYTHING) == len(said)
    assert all(f"can reach of class {index}: {EVERYTHING}" in caplog.text for index in said if len(kinds) > 1)


def test_masks_that_are_everything_are_said(caplog):
    """As with --mask-threshold 0: the cutoff is above some scores only if alpha allows for them."""
    calibrate_maps([torch.full((1, 4, 4), 0.5)] * 12, [torch.ones(1, 4, 4)] * 12, 0.2)
    assert caplog.text.count("the prediction set is everything in 12 of 12 images") == 1


def test_nothing_is_said_where_everything_would_be_wrong(caplog):
    """Of false positives a low cutoff cannot be had for nothing."""
    certain = ExpectedRisk(FalsePositiveRatio(), 0.5)
    for kind in ("good", "inverted"):
        two_classes(lambda s, y: calibrate_maps(s, y, guarantee=certain), kind)
    assert EVERYTHING not in caplog.text
