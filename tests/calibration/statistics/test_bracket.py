# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A second pass: exact on the same images at the same level, and refused on anything else."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_coat.calibration import BinnedStatistic, Brackets, BracketStatistic, CoverageStatistic, calibrate
from tests.calibration.images import filled, images

LEVELS = st.sampled_from([0.1, 0.125, 0.25, 0.3, 0.5])
MAPS = images(2, 20, pixels=6, values=(-1.0, -0.875, -0.3, 0.0, 0.1, 0.125, 0.13, 0.5, 0.99, 1.0))
UNIFORM = torch.linspace(0, 1, 5000).reshape(50, 100).T.reshape(100, 1, 50), torch.ones(100, 1, 50)


def first_pass(scores, labels, alpha):
    statistic = BinnedStatistic(0.0, 1.0, 16)
    statistic.update(scores, labels)
    return statistic.brackets(alpha)


def second_pass(brackets, scores, labels):
    statistic = BracketStatistic(brackets)
    statistic.update(scores, labels)
    return statistic


@given(MAPS, LEVELS, st.integers(1, 300), st.sampled_from([1, 64, 2**10, 2**32]), st.booleans())
def test_a_second_pass_is_exact(maps, alpha, bins, unit, hide_sizes):
    first = filled(BinnedStatistic(-1.0, 1.0, bins, unit, hide_sizes), maps)
    exact = filled(CoverageStatistic(), maps)
    if Fraction(str(alpha)) * (exact.n[0] + 1) < 1:
        with pytest.raises(ValueError, match="needs more images of a class, got"):
            first.brackets(alpha)
        return
    brackets = first.brackets(alpha)
    halves = [filled(BracketStatistic(brackets), part) for part in (maps[1:], maps[:1])]
    halves[0].merge(halves[1])
    copy = BracketStatistic(Brackets(((0.0, 1.0),), 0.5, (1,)))
    copy.load_state_dict(halves[0].state_dict())
    expected, result = calibrate(exact, alpha), calibrate(copy, alpha)
    assert (result.cutoff, result.n, result.n_empty, result.guarantee) == (
        expected.cutoff,
        expected.n,
        expected.n_empty,
        expected.guarantee,
    )
    assert result.risk == pytest.approx(expected.risk, abs=1e-15)
    assert brackets.bounds[0][0] <= result.cutoff[0] < brackets.bounds[0][1]


@given(MAPS, MAPS, LEVELS, LEVELS, st.integers(1, 40), st.sampled_from([0.3, 1.0, 2.0]))
def test_whatever_a_second_pass_has_seen_a_result_is_right_for_it_or_there_is_none(
    maps, others, alpha, level, bins, factor
):
    seen = [[[(score * factor, inside) for score, inside in image[0]]] for image in others]
    try:
        brackets = filled(BinnedStatistic(-1.0, 1.0, bins), maps).brackets(alpha)
        result = calibrate(filled(BracketStatistic(brackets), seen), level)
    except ValueError:
        return
    exact = filled(CoverageStatistic(), seen)
    assert (result.alpha, result.n) == (alpha, exact.n)
    assert result.cutoff == calibrate(exact, level).cutoff
    images_ = [torch.tensor([score for score, inside in image[0] if inside]) for image in seen]
    rates = [Fraction(int((s < result.cutoff[0]).sum()), s.numel()) for s in images_ if s.numel()]
    assert sum(rates) + 1 <= Fraction(str(level)) * (result.n[0] + 1)


def test_brackets_of_another_level_are_refused():
    # The brackets of 0.3 begin at 0.25, above the cutoff of 0.1: it cannot be told from what they keep.
    statistic = second_pass(first_pass(*UNIFORM, 0.3), *UNIFORM)
    assert calibrate(statistic, 0.3).alpha == 0.3
    with pytest.raises(ValueError, match=r"level must be the one of the brackets, alpha=0.3, got another; find brack"):
        calibrate(statistic, 0.1)


@pytest.mark.parametrize("factor", [0.3, 2.0])
def test_a_second_pass_over_other_scores_is_refused(factor):
    scores, labels = UNIFORM
    statistic = second_pass(first_pass(scores, labels, 0.1), scores * factor, labels)
    with pytest.raises(
        ValueError, match=r"must have its cutoff in \[0.0625, 0.125\), .* got scores of class 0 that ha"
    ):
        calibrate(statistic, 0.1)


@pytest.mark.parametrize(
    ("count", "message"), [(4, "needs at least 9 .*, got 4"), (99, "must hold the 100 .*, got 99")]
)
def test_a_second_pass_over_fewer_images_is_refused(count, message):
    scores, labels = UNIFORM
    statistic = second_pass(first_pass(scores, labels, 0.1), scores[:count], labels[:count])
    with pytest.raises(ValueError, match=message):
        calibrate(statistic, 0.1)


def test_a_second_pass_over_more_images_is_refused():
    statistic = second_pass(first_pass(*UNIFORM, 0.1), *UNIFORM)
    statistic.update(UNIFORM[0][:1], UNIFORM[1][:1])
    with pytest.raises(ValueError, match=r"must hold the 100 images of class 0 that the brackets are of, got 101"):
        calibrate(statistic, 0.1)


def test_a_second_pass_that_keeps_nothing_is_refused():
    statistic = BracketStatistic(Brackets(((0.2, 0.3),), 0.1, (20,)))
    statistic.update(torch.full((20, 1, 4), 0.9), torch.ones(20, 1, 4))
    assert statistic.kept == (0,)
    with pytest.raises(ValueError, match=r"statistic must have its cutoff in \[0.2, 0.3\), as the brackets say"):
        calibrate(statistic, 0.1)
    with pytest.raises(ValueError, match="classes of the brackets, got 2"):
        statistic.update(torch.rand(1, 2, 4), torch.ones(1, 2, 4))


def test_bounds_are_those_of_the_grid_on_either_side_of_the_cutoff():
    # The foreground is spread evenly: the mean rate at c is about c, and alpha 0.1 lies between 1/16 and 2/16.
    brackets = first_pass(*UNIFORM, 0.1)
    assert brackets == Brackets(((0.0625, 0.125),), 0.1, (100,))
    everything = BinnedStatistic(0.0, 1.0, 16)
    everything.update(torch.full((9, 1, 2), 5.0), torch.ones(9, 1, 2))
    assert everything.brackets(0.1).bounds == ((1.0, float("inf")),)


def test_what_does_not_fit_is_refused():
    brackets = Brackets(((0.2, 0.3),), 0.1, (20,))
    statistic = BracketStatistic(brackets)
    for other in (Brackets(((0.1, 0.3),), 0.1, (20,)), Brackets(((0.2, 0.3),), 0.2, (20,))):
        with pytest.raises(ValueError, match="other must have the brackets"):
            statistic.merge(BracketStatistic(other))
    with pytest.raises(TypeError, match="other must be a BracketStatistic, got CoverageStatistic"):
        statistic.merge(CoverageStatistic())


def test_each_class_keeps_within_its_own_bounds():
    statistic = BracketStatistic(Brackets(((0.2, 0.4), (0.5, 0.9)), 0.5, (1, 1)))
    statistic.update(torch.tensor([[[0.1, 0.2, 0.4], [0.1, 0.6, 0.9]]]), torch.ones(1, 2, 3))
    assert statistic.kept == (1, 1)
    assert [part.scores.tolist() for part in map(statistic.part, range(2))] == [
        [pytest.approx(0.2)],
        [pytest.approx(0.6)],
    ]
    assert [part.missed.tolist() for part in map(statistic.part, range(2))] == [[1], [1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"empty": [-1]}, "empty must be a whole number from 0"),
        ({"empty": [0, 0]}, "must be of the same classes"),
        ({"counts": [[(0, 3)]]}, "counts must say of each image"),
        ({"counts": [[(2, 3)] * 2]}, "counts must say of each image"),
        ({"counts": [[(-1, 3)] * 2]}, "counts must say of each image"),
        ({"counts": [[(0, 0)] * 2]}, "counts must say of each image"),
        ({"scores": [[torch.tensor([0.5, 0.9])] * 2]}, "scores must lie within the brackets"),
        ({"scores": [[torch.tensor([0.5, float("nan")])] * 2]}, "scores must lie within the brackets"),
        ({"scores": [[torch.tensor([0.5, 0.6], dtype=torch.float64)] * 2]}, "scores must be float32"),
        ({"extra": 1}, "entries must be brackets, counts, empty, scores"),
    ],
)
def test_states_that_contradict_themselves_are_refused_and_change_nothing(change, message):
    statistic = second_pass(
        Brackets(((0.5, 0.8),), 0.1, (2,)), torch.tensor([[[0.2, 0.5, 0.6]]] * 2), torch.ones(2, 1, 3)
    )
    before = str(statistic.state_dict())
    with pytest.raises(ValueError, match=message):
        statistic.load_state_dict(statistic.state_dict() | change)
    assert str(statistic.state_dict()) == before
