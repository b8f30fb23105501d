# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Critical scores of every share risk, one by one and in bins: never unsafe, equal on a fine grid, and as files."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import (
    BinnedStatistic,
    CollectedStatistic,
    CoverageStatistic,
    Exceeds,
    ExpectedRisk,
    FalseNegativeRate,
    FalsePositiveRatio,
    VolumeUnderestimated,
    WorstClassFalseNegativeRate,
    load_statistic,
    merge_statistics,
    pack_statistic,
    risk_named,
    save_statistic,
    unpack_statistic,
)
from monai_coat.calibration.statistics.base import LARGEST
from monai_coat.calibration.statistics.shares import just_above
from tests.calibration.images import images, tensors
from tests.calibration.rows import MONOTONE, maps, masks_for

SHARES = {name: risk for name, risk in MONOTONE.items() if risk.is_share}
SHARES["exceeds the worst class"] = Exceeds(WorstClassFalseNegativeRate(), 0.25)
SHARES["exceeds false positives"] = Exceeds(FalsePositiveRatio(), 0.25)
EVERY = pytest.mark.parametrize("risk", SHARES.values(), ids=SHARES)


def test_all_but_the_worst_class_are_shares():
    # The mean over raters is a sum of shares, one for each of them.
    assert {*MONOTONE} - {*SHARES} == {WorstClassFalseNegativeRate.name, "mean_over_raters"}


def filled(statistic, examples):
    for image in examples:
        scores, labels = tensors(image)
        statistic.update(scores, masks_for(statistic.risk, labels))
    return statistic


def total(risk, examples, cutoff, index):
    """The summed risk in rational numbers, by the definition."""
    column = 0 if risk.joint else index
    values = [risk.image_risk(s, masks_for(risk, y), cutoff)[0, column].item() for s, y in map(tensors, examples)]
    return sum((Fraction(v).limit_denominator(14) for v in values if v == v), Fraction(0))  # noqa: PLR0124


@EVERY
@settings(max_examples=20)
@given(
    examples=images(6, 12, classes=2),
    grid=st.sampled_from([(-1.0, 1.5, 3), (-0.7, 1.3, 7), (-1.0, 1.5, 64)]),
    unit=st.sampled_from([4, 1024]),
    hides=st.booleans(),
)
def test_in_bins_it_is_never_less_safe_and_its_risk_never_too_small(risk, examples, grid, unit, hides):
    exact = filled(CoverageStatistic(risk), examples)
    binned = filled(BinnedStatistic(*grid, unit=unit, hide_sizes=hides, risk=risk), examples)
    assert (binned.n, binned.n_empty) == (exact.n, exact.n_empty)
    guarantee = ExpectedRisk(risk, 0.5)
    if max(guarantee.budget(n) for n in exact.n) < 0:
        return
    one, other = guarantee.calibrate(exact), guarantee.calibrate(binned)
    assert one.promised == other.promised
    for index in range(2):
        if one.promised[index]:
            found = total(risk, examples, other.cutoff[index], index)
            assert found <= guarantee.budget(exact.n[index])
            assert other.risk[index] * exact.n[index] >= found - 1e-9
        assert (other.cutoff[index] <= one.cutoff[index]) if risk.rises else (other.cutoff[index] >= one.cutoff[index])


@EVERY
@settings(max_examples=20)
@given(examples=images(6, 12, classes=2))
def test_on_a_grid_of_all_scores_it_is_the_exact_one(risk, examples):
    # Scores are multiples of 1/4, and so are the edges; parts of 2 ** -32 add at most that for each image.
    exact = filled(CoverageStatistic(risk), examples)
    binned = filled(BinnedStatistic(-1.0, 1.25, 9, 2**32, hide_sizes=False, risk=risk), examples)
    guarantee = ExpectedRisk(risk, 0.5)
    if max(guarantee.budget(n) for n in exact.n) < 0:
        return
    one, other = guarantee.calibrate(exact), guarantee.calibrate(binned)
    for index, n in enumerate(exact.n):
        is_beyond = abs(one.cutoff[index]) > 2  # of images that never lose
        has_room = total(risk, examples, one.cutoff[index], index) + Fraction(n, 2**32) <= guarantee.budget(n)
        if one.promised[index] and has_room and not is_beyond:
            assert other.cutoff[index] == one.cutoff[index]


@EVERY
@settings(max_examples=15)
@given(examples=images(4, 8, classes=2), cutoff=st.sampled_from([-9.0, -0.5, 0.0, 0.2, 0.25, 0.75, 1.0, 1.1]))
def test_the_risk_of_each_image_is_that_of_the_definition(risk, examples, cutoff):
    statistic = filled(CoverageStatistic(risk), examples)
    rows = torch.cat([risk.image_risk(s, masks_for(risk, y), cutoff) for s, y in map(tensors, examples)])
    for index, risks in enumerate(statistic.risks_at([cutoff] * 2)):
        column = rows[:, 0 if risk.joint else index]
        assert risks == pytest.approx(column[~column.isnan()].numpy(), abs=1e-12)
    for image in examples:
        scores, labels = tensors(image)
        masks = masks_for(risk, labels)
        assert statistic.counted(scores, masks) == [not bool(risk.image_risk(scores, masks, 0.0).isnan().all())]


def collected(risk, seed, make=BinnedStatistic, count=24):
    scores, labels = maps(count, seed=seed)
    statistic = make(risk=risk) if make is CoverageStatistic else make(-1.0, 1.5, 128, risk=risk)
    found = CollectedStatistic(statistic, method="coat")
    found.update(scores, masks_for(risk, labels))
    return found


@EVERY
@pytest.mark.parametrize("make", [BinnedStatistic, CoverageStatistic])
def test_files_name_their_risk_and_merge_to_the_bit(tmp_path, risk, make):
    for seed in range(2):
        save_statistic(collected(risk, seed, make), tmp_path / f"{seed}.npz")
    loaded = load_statistic(tmp_path / "0.npz")
    assert (loaded.statistic.measures, risk_named(loaded.statistic.measures)) == (risk.key, risk)
    assert loaded.images == collected(risk, 0, make).images
    merged = merge_statistics([tmp_path / "1.npz", tmp_path / "0.npz"])
    whole = collected(risk, 0, make)
    whole.merge(collected(risk, 1, make))
    guarantee = ExpectedRisk(risk, 0.3)
    assert repr(guarantee.calibrate(merged.statistic)) == repr(guarantee.calibrate(whole.statistic))
    message = pack_statistic(collected(risk, 0, make))
    assert message == (tmp_path / "0.npz").read_bytes()
    assert unpack_statistic(message, "north").statistic.measures == risk.key


def head_of(path):
    with np.load(path) as content:
        arrays = {name: content[name] for name in content.files}
    return json.loads(str(arrays.pop("head"))), arrays


def write(path, head, arrays, forged):
    """With a checksum as documented, if it is forged: of the head without it, and of every array."""
    if forged:
        rest = {name: value for name, value in head.items() if name != "checksum"}
        digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
        for name in sorted(arrays):
            digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}\n".encode() + arrays[name].tobytes())
        head = {**rest, "checksum": digest.hexdigest()}
    np.savez(path, head=np.array(json.dumps(head)), **arrays)


@EVERY
def test_only_the_false_negative_rate_is_of_the_version_that_names_no_risk(tmp_path, risk):
    save_statistic(collected(risk, 0), tmp_path / "a.npz")
    head, _ = head_of(tmp_path / "a.npz")
    expected = (2, None) if risk == FalseNegativeRate() else (3, risk.key)
    assert (head["version"], head.get("risk")) == expected


@pytest.mark.parametrize(
    ("entries", "forged", "message"),
    [
        ({"risk": "exceeds(false_negative_rate, 0.3)"}, False, "it was changed after it was written"),
        ({"version": 2}, False, "it was changed after it was written"),
        ({"risk": "dice"}, True, "controls must be one of .*, got 'dice'"),
        ({"risk": "exceeds(false_negative_rate"}, True, "controls must close its bracket"),
        ({"risk": "exceeds(0.2, 0.2)"}, True, "controls must have the settings of 'exceeds'"),
        ({"risk": None}, True, "controls must be one of .*, got 'None'"),
        ({"risk": "worst_class_false_negative_rate"}, True, "risk must be a share of scores, got 'worst_class_false_n"),
        ({"risk": "false_discovery_rate"}, True, "risk must be a share of scores, got 'false_discovery_rate'"),
        ({"kind": "background scores"}, True, "risk must be a share of scores, got .* of 'background scores'"),
        ({"version": 4}, True, "version 4"),
    ],
)
def test_files_that_were_edited_are_refused(tmp_path, entries, forged, message):
    path = tmp_path / "a.npz"
    save_statistic(collected(Exceeds(FalseNegativeRate(), 0.2), 0), path)
    head, arrays = head_of(path)
    write(path, head | entries, arrays, forged)
    with pytest.raises(ValueError, match=message):
        load_statistic(path)


def test_rewritten_without_an_edit_it_is_read(tmp_path):
    path = tmp_path / "a.npz"
    save_statistic(collected(Exceeds(FalseNegativeRate(), 0.2), 0), path)
    write(path, *head_of(path), forged=True)
    assert load_statistic(path).statistic.n == (24, 24)


def test_statistics_of_two_risks_are_not_merged(tmp_path):
    risks = Exceeds(FalseNegativeRate(), 0.2), Exceeds(FalseNegativeRate(), 0.3)
    for place, risk in enumerate(risks):
        save_statistic(collected(risk, place), tmp_path / f"{place}.npz")
    with pytest.raises(
        ValueError, match=r"paths must be of one risk, got 'exceeds\(.*0\.2\)' in .* and 'exceeds\(.*0\.3"
    ):
        merge_statistics([tmp_path / "0.npz", tmp_path / "1.npz"])
    one, other = (collected(risk, 0).statistic for risk in risks)
    with pytest.raises(ValueError, match="statistics of different risks do not add up"):
        one.merge(other)


def test_a_second_pass_is_of_false_negative_rates_alone():
    statistic = collected(VolumeUnderestimated(), 0).statistic
    with pytest.raises(TypeError, match="risk must be 'false_negative_rate' for a second pass, got 'volume_underest"):
        statistic.brackets(0.3)


def test_of_what_falls_a_grid_that_ends_too_low_is_refused_and_a_high_end_is_said():
    scores, labels = maps(30)
    low = BinnedStatistic(-1.0, 0.1, 11, risk=FalsePositiveRatio())
    low.update(scores, labels)
    with pytest.raises(ValueError, match=r"high must be a cutoff with little enough above it for this level, got 0\.1"):
        ExpectedRisk(FalsePositiveRatio(), 0.1).calibrate(low)
    high = BinnedStatistic(2.0, 3.0, 10, risk=FalsePositiveRatio())
    high.update(scores, labels)
    words = ExpectedRisk(FalsePositiveRatio(), 0.1).calibrate(high).guarantee
    assert words.endswith("the cutoff is the lowest of its grid, 2, and may be far above the exact one")


@given(st.floats(-(2.0**120), 2.0**120, width=32))
def test_just_above_is_the_next_float32(score):
    above = just_above(score)
    assert above > score
    assert float(np.nextafter(np.float32(above), np.float32(-np.inf))) == score
    assert just_above(LARGEST) == LARGEST
