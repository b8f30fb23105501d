# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Voxels that are left out: as if they were not there, where places are no matter, and background where they are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ignite.engine import Engine

from monai_coat.calibration import (
    BinnedStatistic,
    CoverageStatistic,
    Exceeds,
    ExpectedRisk,
    FalseAlarm,
    FalseDiscoveryRate,
    FalseNegativeRate,
    FalsePositiveRatio,
    Ignoring,
    LearnThenTest,
    LesionsMissed,
    MapStatistic,
    MarkedShare,
    MeanOverRaters,
    PerGroup,
    PerPatient,
    VolumeOverestimated,
    VolumeUnderestimated,
    Weighted,
    WorstClassFalseNegativeRate,
    calibrate_maps,
    load_calibration,
    promise_in_words,
    risk_named,
    save_calibration,
)
from monai_coat.handlers import ConformalCalibration
from tests.calibration.risks.critical import batches, check_critical_scores, interesting_cutoffs

SHARES = [FalseNegativeRate(), FalsePositiveRatio(), FalseAlarm(), FalseAlarm(2), MarkedShare(), VolumeUnderestimated()]
SHARES += [VolumeOverestimated(), LesionsMissed(), LesionsMissed(0.5), Exceeds(FalseNegativeRate(), 0.3)]
SHARES += [Exceeds(FalsePositiveRatio(), 0.25), Exceeds(LesionsMissed(0.5), 0.5)]
JOINT = [WorstClassFalseNegativeRate(), Exceeds(WorstClassFalseNegativeRate(), 0.5)]
ALL = [*SHARES, *JOINT, FalseDiscoveryRate()]
BY_KEY = {"ids": lambda risk: risk.key}


@st.composite
def with_ignored(draw, value=255):
    """Batches as of other risks, some of whose voxels are ignored, and of some classes all."""
    scores, masks = draw(batches())
    count = masks.numel()
    ignored = torch.tensor(draw(st.lists(st.booleans(), min_size=count, max_size=count))).reshape(masks.shape)
    ignored[0, 0] |= draw(st.booleans())
    dtype = draw(
        st.sampled_from([torch.uint8, torch.int64, torch.float32] if value > 0 else [torch.int64, torch.float32])
    )
    return scores, torch.where(ignored, torch.tensor(value), masks.long()).to(dtype)


@pytest.mark.parametrize("risk", [*SHARES, JOINT[1]], **BY_KEY)
@settings(max_examples=40)
@given(maps=with_ignored())
def test_the_risk_is_the_share_of_critical_scores_on_the_wrong_side(risk, maps):
    check_critical_scores(Ignoring(risk), *maps)


@pytest.mark.parametrize("risk", ALL, **BY_KEY)
@settings(max_examples=40)
@given(maps=with_ignored(-1), shift=st.sampled_from([-0.75, 0.3, 5.0]))
def test_scores_of_ignored_voxels_are_no_matter(risk, maps, shift):
    scores, labels = maps
    other = torch.where(labels == -1, shift - scores, scores)
    for cutoff in interesting_cutoffs(scores):
        expected = Ignoring(risk, -1).image_risk(scores, labels, float(cutoff))
        found = Ignoring(risk, -1).image_risk(other, labels, float(cutoff))
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("risk", [risk for risk in ALL if not risk.looks_at_shape and not risk.joint], **BY_KEY)
@settings(max_examples=40)
@given(maps=with_ignored(), cutoffs=st.tuples(*[st.sampled_from([-0.5, 0.25, 0.5, 2.0])] * 2))
def test_it_is_the_risk_of_an_image_without_them(risk, maps, cutoffs):
    scores, labels = maps
    cutoff = torch.tensor(cutoffs[: scores.shape[1]])
    found = Ignoring(risk).image_risk(scores, labels, cutoff)
    for image in range(scores.shape[0]):
        for index in range(scores.shape[1]):
            kept = labels[image, index] != 255
            if not bool(kept.any()):
                assert found[image, index].isnan()
                continue
            left = scores[image, index][kept][None, None], labels[image, index][kept][None, None]
            expected = risk.image_risk(*left, float(cutoff[index]))
            torch.testing.assert_close(found[image, index], expected[0, 0], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("risk", ALL, **BY_KEY)
@settings(max_examples=40)
@given(maps=batches())
def test_without_any_it_is_the_other_risk(risk, maps):
    scores, masks = maps
    for cutoff in (-0.5, 0.25, 0.5, 2.0):
        for labels in (masks, masks.to(torch.uint8)):
            found = Ignoring(risk).image_risk(scores, labels, cutoff)
            torch.testing.assert_close(found, risk.image_risk(scores, masks, cutoff), rtol=0, atol=0, equal_nan=True)


def test_sizes_by_hand():
    # Five voxels, of which the last two are ignored: one of three is marked, one of two missed, one beside them.
    scores = torch.tensor([[[0.9, 0.2, 0.8, 0.95, 0.99]]])
    labels = torch.tensor([[[1, 1, 0, 255, 255]]])
    for risk, expected in (
        (FalseNegativeRate(), 0.5),
        (FalsePositiveRatio(), 1.0),  # of the single voxel of background
        (FalseDiscoveryRate(), 0.5),
        (VolumeUnderestimated(), 0.0),
        (VolumeOverestimated(), 0.0),
    ):
        assert Ignoring(risk).image_risk(scores, labels, 0.5).item() == expected, risk.key
    blank = torch.where(labels == 1, 0, labels)
    assert Ignoring(MarkedShare()).image_risk(scores, blank, 0.5).item() == pytest.approx(2 / 3)
    assert Ignoring(FalseAlarm(3)).image_risk(scores, blank, 0.5).item() == 0.0
    assert MarkedShare().image_risk(scores, blank * 0, 0.5).item() == 0.8


def test_lesions_end_at_ignored_voxels():
    # A bar of five voxels, the middle one unknown: two lesions of two. Were it taken out, there would be one of four.
    scores, labels = torch.tensor([[[0.9, 0.9, 0.9, 0.1, 0.1]]]), torch.tensor([[[1, 1, 255, 1, 1]]])
    assert Ignoring(LesionsMissed()).image_risk(scores, labels, 0.5).item() == 0.5
    assert Ignoring(LesionsMissed(1.0)).image_risk(scores, labels, 0.5).item() == 0.5
    assert LesionsMissed().image_risk(scores, labels.clamp(max=1), 0.5).item() == 0.0
    assert Ignoring(LesionsMissed()).image_risk(scores, labels.where(labels == 255, 255), 0.5).isnan().item()


def test_classes_ignore_voxels_of_their_own():
    scores, labels = torch.tensor([[[0.2, 0.8], [0.2, 0.8]]]), torch.tensor([[[255, 1], [1, 255]]])
    assert Ignoring(FalseNegativeRate()).image_risk(scores, labels, 0.5).tolist() == [[0.0, 1.0]]
    assert Ignoring(WorstClassFalseNegativeRate()).image_risk(scores, labels, 0.5).tolist() == [[1.0]]


def images(count=40, classes=2, seed=0):
    """Scores in steps of 1/16, masks, and a tenth of voxels ignored."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(count, classes, 5, 6, generator=generator) < 0.4).to(torch.uint8)
    scores = torch.randint(0, 9, labels.shape, generator=generator) / 16 + 0.4 * labels
    labels[torch.rand(labels.shape, generator=generator) < 0.1] = 255
    return scores, labels


@pytest.mark.parametrize("risk", [r for r in ALL if r.monotone and r.counted != "images without foreground"], **BY_KEY)
def test_the_small_statistic_gives_what_whole_maps_give(risk):
    guarantee, results = ExpectedRisk(Ignoring(risk), 0.3), []
    for statistic in (guarantee.statistic(), MapStatistic(guarantee.risk)):
        statistic.update(*images())
        results.append(guarantee.calibrate(statistic))
    small, whole = results
    assert (small.cutoff, small.n, small.n_empty) == (whole.cutoff, whole.n, whole.n_empty)
    assert small.risk == pytest.approx(whole.risk, abs=1e-15)
    state = statistic.state_dict()
    again = MapStatistic(guarantee.risk)
    again.load_state_dict(state)
    assert guarantee.calibrate(again) == whole


@pytest.mark.parametrize("risk", [FalseNegativeRate(), LesionsMissed(), WorstClassFalseNegativeRate()], **BY_KEY)
def test_maps_engines_and_groups_take_them(risk):
    scores, labels = images()
    guarantee = ExpectedRisk(Ignoring(risk), 0.3)
    expected = calibrate_maps(list(scores), list(labels), guarantee=guarantee)
    for kind in (torch.float32, torch.int16):
        engine = Engine(lambda engine, batch: batch)
        ConformalCalibration(guarantee=guarantee).attach(engine)
        found = engine.run([(scores[:9], labels[:9].to(kind)), (list(scores[9:]), list(labels[9:]))]).calibration
        assert repr(found) == repr(expected)
    sites = [{"site": "ns"[index % 2]} for index in range(len(scores))]
    result = calibrate_maps(list(scores), list(labels), guarantee=PerGroup(guarantee, "site"), meta=sites)
    alone = calibrate_maps(list(scores[::2]), list(labels[::2]), guarantee=guarantee)
    assert result.of_group("n").cutoff == alone.cutoff


def test_patients_weights_bins_raters_and_several_risks_take_them():
    scores, labels = images(60)
    risk = Ignoring(FalseNegativeRate())
    inner = ExpectedRisk(risk, 0.3)
    plain = calibrate_maps(list(scores), list(labels), guarantee=inner)
    meta = [{"patient": str(index), "weight": 1.0} for index in range(60)]
    for guarantee in (PerPatient(inner), Weighted(inner, largest=1.0)):
        assert calibrate_maps(list(scores), list(labels), guarantee=guarantee, meta=meta).cutoff == plain.cutoff
    raters = ExpectedRisk(MeanOverRaters(risk), 0.3)
    assert calibrate_maps(list(scores), list(labels[:, None]), guarantee=raters).cutoff == plain.cutoff
    binned = BinnedStatistic(0.0, 1.0, 4096, risk=risk)
    binned.update(scores, labels)
    assert inner.calibrate(binned).cutoff == pytest.approx(plain.cutoff, abs=1e-3)
    several = LearnThenTest(
        Ignoring(FalseNegativeRate()), 0.4, 0.2, {"ignoring(false_discovery_rate, 255)": 0.9}, (0.0, 1.0, 20)
    )
    statistic = several.statistic()
    statistic.update(scores, labels)
    assert any(several.calibrate(statistic).promised)


@pytest.mark.parametrize("make", [lambda r: r.statistic(), CoverageStatistic, MapStatistic])
@pytest.mark.parametrize(("label", "said"), [(2, "2"), (254, "254"), (-1.0, "-1"), (0.5, "0.5"), (float("nan"), "nan")])
def test_other_labels_are_refused_by_name(make, label, said):
    statistic = make(Ignoring(FalseNegativeRate()))
    scores = torch.rand(1, 1, 4)
    with pytest.raises(ValueError, match=f"labels must hold only 0, 1 and 255, got {said}; one-hot encode"):
        statistic.update(scores, torch.tensor([[[0, 1, 255, label]]]))
    with pytest.raises(ValueError, match="same shape"):
        statistic.update(scores, torch.zeros(1, 1, 5))
    with pytest.raises(ValueError, match="scores must be finite"):
        statistic.update(scores / 0, torch.zeros(1, 1, 4))
    assert not statistic.n


def test_what_it_cannot_be_made_with_is_refused():
    for inner in (FalseNegativeRate, "false_negative_rate", None):
        with pytest.raises(TypeError, match=r"risk must be a Risk such as FalseNegativeRate\(\)"):
            Ignoring(inner)
    for inner in (Ignoring(FalseNegativeRate(), 2), MeanOverRaters(FalseNegativeRate())):
        with pytest.raises(TypeError, match="risk must be that of one mask without ignored voxels"):
            Ignoring(inner)
    for value, error in ((0, ValueError), (1, ValueError), (2.5, ValueError), (True, TypeError), ("255", TypeError)):
        with pytest.raises(error, match="value must be a whole number"):
            Ignoring(FalseNegativeRate(), value)


@pytest.mark.parametrize("risk", ALL, **BY_KEY)
@pytest.mark.parametrize("value", [255, -1])
def test_it_is_found_by_its_key(risk, value):
    made = Ignoring(risk, value)
    assert risk_named(made.key) == made
    assert made.key == f"ignoring({risk.key}, {value})"


def test_words_and_artifact(tmp_path):
    scores, labels = images()
    for risk, expected, sentence in (
        (
            FalseNegativeRate(),
            "E[FNR, voxels of 255 left out] <= 0.3",
            "the share of the foreground that is missed, voxels of 255 left out, is at most 0.3 on average.",
        ),
        (
            Exceeds(FalseNegativeRate(), 0.2),
            "P(FNR > 0.2, voxels of 255 left out) <= 0.3",
            "the share of the foreground that is missed is more than 0.2, voxels of 255 left out.",
        ),
        (
            FalsePositiveRatio(),
            "E[min(1, false positives / foreground), voxels of 255 left out] <= 0.3",
            "in sizes of the structure and at most 1, voxels of 255 left out, is at most 0.3 on average.",
        ),
    ):
        result = calibrate_maps(list(scores), list(labels), guarantee=ExpectedRisk(Ignoring(risk), 0.3))
        assert result.guarantee.startswith(expected)
        assert sentence in promise_in_words(result)
        save_calibration(result, tmp_path / "c.json")
        assert load_calibration(tmp_path / "c.json") == result
    assert Ignoring(Exceeds(FalseNegativeRate(), 0.2)).words == "1{FNR > 0.2, voxels of 255 left out}"
