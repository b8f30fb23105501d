# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Images marked by several people: the mean over raters by drawings, and its promise in rational numbers."""

from __future__ import annotations

import itertools
import logging
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ignite.engine import Engine

from monai_coat.calibration import (
    BinnedStatistic,
    CollectedStatistic,
    ConfidentRisk,
    Exceeds,
    ExpectedRisk,
    FalseAlarm,
    FalseNegativeRate,
    FalsePositiveRatio,
    LearnThenTest,
    LesionsMissed,
    MapStatistic,
    MeanOverRaters,
    PerGroup,
    PerPatient,
    VolumeUnderestimated,
    Weighted,
    WorstClassFalseNegativeRate,
    calibrate_maps,
    load_calibration,
    promise_in_words,
    rater_risks,
    risk_named,
    save_calibration,
    save_statistic,
)
from monai_coat.functional import exact_level
from monai_coat.handlers import ConformalCalibration

FNR = MeanOverRaters(FalseNegativeRate())
# Four pixels; the first rater marks all of them, the second the upper half, the third none.
SCORES = torch.tensor([[[0.2, 0.4, 0.7, 0.9]]])
LABELS = torch.tensor([[[[1, 1, 1, 1]], [[0, 0, 1, 1]], [[0, 0, 0, 0]]]])
INNER = [FalseNegativeRate(), FalsePositiveRatio(), LesionsMissed(), Exceeds(FalseNegativeRate(), 0.3)]
INNER += [FalseAlarm(), VolumeUnderestimated()]


@pytest.mark.parametrize(
    # Of the first rater's four and the second's two pixels are missed 0 and 0, 2 and 0, 3 and 1, 4 and 2.
    ("cutoff", "first", "second"),
    [(0.2, 0, 0), (0.5, 0.5, 0), (0.8, 0.75, 0.5), (1.0, 1, 1)],
)
def test_the_mean_by_hand(cutoff, first, second):
    assert FNR.image_risk(SCORES, LABELS, cutoff).tolist() == [[(first + second) / 2]]
    found = rater_risks(FNR, SCORES, LABELS, torch.tensor([cutoff]))
    assert found.shape == (1, 3, 1)
    assert found.nan_to_num(-1).flatten().tolist() == [first, second, -1]


def test_an_image_that_nobody_marked_is_left_out():
    assert FNR.image_risk(SCORES, LABELS * 0, 0.5).isnan().tolist() == [[True]]
    statistic = FNR.statistic()
    statistic.update(SCORES.expand(2, 1, 4), torch.cat([LABELS, LABELS * 0]))
    assert (statistic.n, statistic.n_empty) == ((1,), (1,))


def test_the_mean_is_rounded_once_in_any_order_of_raters():
    """Thirds and fifths: their mean is the float next to the rational number, whichever comes first."""
    scores = torch.arange(30.0).reshape(1, 1, 30)
    masks = [torch.arange(30) % k == 0 for k in (2, 3, 5, 7)]
    exact = sum(Fraction(int((m & (scores[0, 0] < 11)).sum()), int(m.sum())) for m in masks) / 4
    for order in itertools.permutations(masks):
        assert FNR.image_risk(scores, torch.stack(order)[None, :, None], 11.0).item() == float(exact)


def generated(seed, count, raters=(1, 4), classes=2, pixels=7):
    """Images with scores in steps of 1/4 and raters of whom some mark nothing."""
    generator = torch.Generator().manual_seed(seed)
    images = []
    for _ in range(count):
        number = int(torch.randint(raters[0], raters[1] + 1, (), generator=generator))
        scores = torch.randint(0, 5, (1, classes, pixels), generator=generator) / 4
        labels = torch.rand(1, number, classes, pixels, generator=generator) < 0.4 + 0.4 * scores[:, None]
        labels &= torch.rand(1, number, classes, 1, generator=generator) < 0.7
        images.append((scores, labels))
    return images


def collected(guarantee, images):
    statistic = guarantee.statistic()
    for scores, labels in images:
        statistic.update(scores, labels)
    return statistic


def exact_risk(risk, image, cutoff, index):
    """The risk as a rational number, by its definition, rater by rater; None where nobody counts."""
    scores, labels = image
    each = [
        float(risk.risk.image_risk(scores, labels[:, r], torch.tensor(cutoff))[0, index]) for r in range(len(labels[0]))
    ]
    ratios = [Fraction(v).limit_denominator(100) for v in each if v == v]  # noqa: PLR0124
    return sum(ratios, Fraction(0)) / len(ratios) if ratios else None


@pytest.mark.parametrize("inner", INNER, ids=lambda risk: risk.key)
@pytest.mark.parametrize("alpha", [0.25, 0.4])
def test_the_left_out_image_loses_on_average_at_most_alpha(inner, alpha):
    """The bound holds for every finite set, in rational numbers."""
    guarantee, lost = ExpectedRisk(MeanOverRaters(inner), alpha), Fraction(0)
    for seed in range(6):
        images = generated(seed, 12)
        totals, counts = [Fraction(0)] * 2, [0, 0]
        for place, image in enumerate(images):
            cutoff = guarantee.calibrate(collected(guarantee, images[:place] + images[place + 1 :])).cutoff
            for index in range(2):
                risk = exact_risk(guarantee.risk, image, cutoff, index)
                if risk is not None:
                    totals[index], counts[index] = totals[index] + risk, counts[index] + 1
        for total, count in zip(totals, counts, strict=True):
            assert total <= exact_level(alpha) * count
            lost += total
    assert lost > 0 or isinstance(inner, FalseAlarm)  # of alarms in every other image nothing is left


@pytest.mark.parametrize("inner", INNER, ids=lambda risk: risk.key)
def test_order_and_merging_are_no_matter_to_the_bit(inner):
    guarantee, images = ExpectedRisk(MeanOverRaters(inner), 0.3), generated(7, 13)
    expected = guarantee.calibrate(collected(guarantee, images))
    assert repr(guarantee.calibrate(collected(guarantee, images[::-1]))) == repr(expected)
    parts = [collected(guarantee, part) for part in (images[::3], images[1::3], images[2::3], [])]
    for order in itertools.permutations(range(4)):
        whole = guarantee.statistic()
        for place in order:
            whole.merge(parts[place])
        assert repr(guarantee.calibrate(whole)) == repr(expected)
        assert sum(n + empty for n, empty in zip(whole.n, whole.n_empty, strict=True)) == 2 * 13


@pytest.mark.parametrize("inner", INNER, ids=lambda risk: risk.key)
def test_the_cutoff_is_the_last_within_the_budget_by_the_definition(inner):
    guarantee, images = ExpectedRisk(MeanOverRaters(inner), 0.3), generated(3, 15)
    result = guarantee.calibrate(collected(guarantee, images))
    for index in range(2):

        def rows(cutoff, index=index):
            found = [exact_risk(guarantee.risk, image, (cutoff, cutoff), index) for image in images]
            return [risk for risk in found if risk is not None]

        assert sum(rows(result.cutoff[index])) <= guarantee.budget(result.n[index])
        assert result.n[index] == len(rows(0.0))
        assert result.risk[index] == pytest.approx(float(sum(rows(result.cutoff[index])) / result.n[index]), abs=1e-12)
        step = torch.tensor(result.cutoff[index]).nextafter(torch.tensor(9.0 if inner.rises else -9.0))
        assert sum(rows(float(step))) > guarantee.budget(result.n[index])


@pytest.mark.parametrize("bound", ["hoeffding_bentkus", "hinge", "betting"])
def test_every_bound_takes_means_over_raters(bound):
    guarantee, images = ConfidentRisk(FNR, 0.4, 0.2, bound), generated(5, 60)
    result = guarantee.calibrate(collected(guarantee, images))
    assert all(result.promised)
    guarantee.check(result)
    for index in range(2):
        risks = [exact_risk(FNR, image, result.cutoff, index) for image in images]
        kept = [risk for risk in risks if risk is not None]
        assert result.risk[index] == pytest.approx(float(sum(kept) / len(kept)), abs=1e-12)
    # One rater alone: what the same risk without raters gives.
    single = [(scores, labels[:, 0]) for scores, labels in images]
    alone = ConfidentRisk(FalseNegativeRate(), 0.4, 0.2, bound)
    assert guarantee.calibrate(collected(guarantee, single)).cutoff == alone.calibrate(collected(alone, single)).cutoff


def test_the_exact_bound_of_events_is_refused_for_a_mean():
    with pytest.raises(ValueError, match="got binomial, which is of risks that are 0 or 1"):
        ConfidentRisk(MeanOverRaters(Exceeds(FalseNegativeRate(), 0.2)), 0.1, 0.1, "binomial")
    event = ConfidentRisk(Exceeds(FNR, 0.5), 0.4, 0.2, "binomial")
    result = event.calibrate(collected(event, generated(5, 60)))
    lost = [
        sum(
            risk > Fraction(1, 2)
            for image in generated(5, 60)
            if (risk := exact_risk(FNR, image, result.cutoff, k)) is not None
        )
        for k in range(2)
    ]
    assert [round(risk * n) for risk, n in zip(result.risk, result.n, strict=True)] == lost


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), tolerance=st.sampled_from([0.0, 0.25, 0.3, 0.45, 0.5]))
def test_whether_a_mean_exceeds_a_tolerance_is_decided_exactly(seed, tolerance):
    risk = Exceeds(FNR, tolerance)
    for image in generated(seed, 3):
        for cutoff in (0.0, 0.25, 0.5, 0.75, 1.0, 1.25):
            found = risk.image_risk(*image, cutoff)[0].tolist()
            for index in range(2):
                mean = exact_risk(FNR, image, (cutoff, cutoff), index)
                expected = None if mean is None else float(mean > Fraction(str(tolerance)))
                assert (found[index] if found[index] == found[index] else None) == expected


@pytest.mark.parametrize("inner", INNER, ids=lambda risk: risk.key)
def test_of_one_rater_it_is_the_other_risk(inner):
    images = generated(11, 30, raters=(1, 1))
    several, plain = ExpectedRisk(MeanOverRaters(inner), 0.3), ExpectedRisk(inner, 0.3)
    expected = plain.calibrate(collected(plain, [(scores, labels[:, 0]) for scores, labels in images]))
    for given_ in (images, [(scores, labels[:, 0]) for scores, labels in images]):
        found = several.calibrate(collected(several, given_))
        assert (found.cutoff, found.n, found.n_empty, found.risk) == (
            expected.cutoff,
            expected.n,
            expected.n_empty,
            expected.risk,
        )


def test_an_image_weighs_one_however_many_raters_it_has():
    """Ten copies of one rater's mask change nothing; as images of their own they would."""
    images = generated(2, 12, raters=(1, 1))
    guarantee = ExpectedRisk(FNR, 0.3)
    repeated = [(scores, labels.repeat(1, 10 if k < 4 else 1, 1, 1)) for k, (scores, labels) in enumerate(images)]
    expected = guarantee.calibrate(collected(guarantee, images))
    found = guarantee.calibrate(collected(guarantee, repeated))
    assert (found.cutoff, found.n) == (expected.cutoff, expected.n)
    assert found.risk == pytest.approx(expected.risk, abs=1e-12)


def test_maps_and_engines_take_the_axis_of_raters():
    images, guarantee = generated(4, 20), ExpectedRisk(FNR, 0.3)
    images = [(scores[..., None], labels[..., None]) for scores, labels in images]
    expected = guarantee.calibrate(collected(guarantee, images))
    maps, masks = [scores[0] for scores, _ in images], [labels[0] for _, labels in images]
    assert calibrate_maps(maps, masks, guarantee=guarantee) == expected
    engine = Engine(lambda engine, batch: batch)
    ConformalCalibration(guarantee=guarantee).attach(engine)
    assert engine.run([(maps[:9], masks[:9]), (maps[9:], masks[9:])]).calibration.cutoff == expected.cutoff
    same = generated(4, 20, raters=(3, 3))
    batch = tuple(torch.cat(parts)[..., None] for parts in zip(*same, strict=True))
    assert batch[1].shape == (20, 3, 2, 7, 1)
    assert engine.run([batch]).calibration == guarantee.calibrate(collected(guarantee, [batch]))


def test_groups_have_raters_too():
    images, inner = generated(6, 24), ExpectedRisk(FNR, 0.3)
    guarantee = PerGroup(inner, "site")
    statistic = guarantee.statistic()
    for place, (scores, labels) in enumerate(images):
        statistic.update(scores, labels, [{"site": "ns"[place % 2]}])
    result = guarantee.calibrate(statistic)
    for place, name in enumerate("ns"):
        assert result.of_group(name).cutoff == inner.calibrate(collected(inner, images[place::2])).cutoff


def test_several_risks_at_once_take_raters():
    guarantee = LearnThenTest(FNR, 0.4, 0.2, {}, (-0.5, 1.5, 40), "fixed_sequence")
    result = guarantee.calibrate(collected(guarantee, generated(5, 60)))
    assert all(result.promised)


@pytest.mark.parametrize("make", [PerPatient, Weighted])
def test_units_of_units_are_refused(make):
    with pytest.raises(TypeError, match=r"share of scores.*got .*(mean_over_raters|MeanOverRaters)"):
        make(ExpectedRisk(FNR, 0.1))


@pytest.mark.parametrize("inner", [WorstClassFalseNegativeRate(), FNR], ids=lambda risk: risk.key)
def test_what_is_no_share_has_no_mean_over_raters(inner):
    with pytest.raises(TypeError, match=r"risk must be a share of scores to have a mean over raters, got"):
        MeanOverRaters(inner)


@pytest.mark.parametrize("inner", [FalseNegativeRate, "false_negative_rate", None], ids=repr)
def test_the_other_risk_must_be_one(inner):
    with pytest.raises(TypeError, match=r"risk must be a Risk such as FalseNegativeRate\(\)"):
        MeanOverRaters(inner)


@pytest.mark.parametrize(
    "labels",
    [LABELS[:, :0], LABELS[:, :, :, :3], LABELS[0], LABELS[:, :, 0], LABELS[None], torch.cat([LABELS, LABELS])],
    ids=lambda labels: str(tuple(labels.shape)),
)
def test_labels_of_another_shape_are_refused_and_nothing_is_added(labels):
    statistic = FNR.statistic()
    for call in (lambda: statistic.update(SCORES, labels), lambda: FNR.image_risk(SCORES, labels, 0.5)):
        with pytest.raises(ValueError, match="labels must be masks by R >= 1 raters of the same shape"):
            call()
    assert not statistic.n


def test_a_batch_with_one_bad_rater_adds_nothing():
    statistic = FNR.statistic()
    statistic.update(SCORES, LABELS)
    with pytest.raises(ValueError, match="labels must hold only 0 and 1, got 2"):
        statistic.update(SCORES, LABELS * torch.tensor([1, 2, 1])[:, None, None])
    with pytest.raises(ValueError, match="scores must have the 1 classes"):
        statistic.update(SCORES.expand(1, 2, 4), LABELS.expand(1, 3, 2, 4))
    assert (statistic.n, statistic.n_empty) == ((1,), (0,))
    with pytest.raises(TypeError, match=r"labels must be a torch\.Tensor"):
        statistic.update(SCORES, LABELS.numpy())


def test_there_is_no_form_in_bins_or_files():
    with pytest.raises(TypeError, match=r"risk must be a share of scores, which 'mean_over_raters.* not in bins"):
        BinnedStatistic(0.0, 1.0, risk=FNR).update(SCORES, LABELS)
    with pytest.raises(
        ValueError, match=r"labels must be one mask of each image, got \(1, 3, 1, 4\) of several raters"
    ):
        CollectedStatistic(FNR.statistic()).update(SCORES, LABELS)
    with pytest.raises(TypeError, match="statistic must be one of"):
        save_statistic(CollectedStatistic(FNR.statistic()), "never.npz")
    with pytest.raises(ValueError, match="same shape"):
        MapStatistic(FNR).update(SCORES, LABELS)


def test_the_state_is_kept_and_checked():
    guarantee, images = ExpectedRisk(FNR, 0.3), generated(9, 12)
    statistic = collected(guarantee, images[:6])
    again = guarantee.statistic()
    again.load_state_dict(statistic.state_dict())
    for each in (statistic, again):
        for scores, labels in images[6:]:
            each.update(scores, labels)
    assert repr(guarantee.calibrate(again)) == repr(guarantee.calibrate(statistic))
    state = statistic.state_dict()
    for entries in (state["entries"][1:], ["x", *state["entries"][1:]], ["99", *state["entries"][1:]]):
        with pytest.raises(ValueError, match="entries must"):
            guarantee.statistic().load_state_dict({**state, "entries": entries})
    other = MeanOverRaters(FalsePositiveRatio()).statistic()
    with pytest.raises(ValueError, match="other must be of the risk"):
        statistic.merge(other)


def test_raters_who_agree_are_no_copies_and_an_image_that_is_there_twice_is(caplog):
    generator = torch.Generator().manual_seed(0)
    guarantee = ExpectedRisk(FNR, 0.3)
    images = [(torch.rand(1, 1, 40, generator=generator), torch.ones(1, 2, 1, 40)) for _ in range(8)]
    with caplog.at_level(logging.WARNING):
        guarantee.calibrate(collected(guarantee, images))
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        guarantee.calibrate(collected(guarantee, [*images, images[2]]))
    assert "got 1 of 9 with the very same scores as another, such as image 9 and image 3" in caplog.text


def test_words_and_artifact(tmp_path):
    guarantee = ExpectedRisk(FNR, 0.3)
    result = guarantee.calibrate(collected(guarantee, generated(1, 30)))
    assert result.guarantee.startswith(
        "E[mean over raters of FNR] <= 0.3 on average over new images with foreground by any"
    )
    assert promise_in_words(result).startswith(
        "Over new images with foreground by any rater, the mean over an image's raters of the share of the foreground "
        "that is missed is at most 0.3 on average."
    )
    save_calibration(result, tmp_path / "c.json")
    assert load_calibration(tmp_path / "c.json") == result
    nested = MeanOverRaters(Exceeds(LesionsMissed(0.5), 0.2))
    assert risk_named(nested.key) == nested
    assert nested.phrase.startswith("the share of an image's raters by whom the share of lesions of which")
    with pytest.raises(ValueError, match=r"needs at least 9 calibration .* \(3 without foreground by every rater were"):
        ExpectedRisk(FNR, 0.1).calibrate(collected(guarantee, [(s, y & False) for s, y in generated(1, 3)]))
