# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A promise for each group: cutoffs of their own, the safest for all, and what is said about small groups."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import (
    ConfidentRisk,
    CoverageStatistic,
    ExpectedRisk,
    FalseNegativeRate,
    FalsePositiveRatio,
    GroupedStatistic,
    MetadataKey,
    PerGroup,
    SizeStrata,
    calibrate_maps,
    load_calibration,
    save_calibration,
)
from tests.calibration.guarantees.populations import filled
from tests.calibration.images import images, tensors


def of_sites(names):
    return [{"site": name} for name in names]


def calibrated(guarantee, scores, names):
    return guarantee.calibrate(filled(guarantee.statistic(), scores, of_sites(names)))


SCORES, SITES = [*range(1, 10), 11, 12, 13], ["north"] * 9 + ["south"] * 3


def test_by_hand():
    # alpha = 1/4: of nine images 0.25 * 10 - 1 = 1.5 may be lost, of three 0.25 * 4 - 1 = 0.
    result = calibrated(PerGroup(ExpectedRisk(FalseNegativeRate(), 0.25)), SCORES, SITES)
    assert {name: group.cutoff for name, group in result.groups.items()} == {"north": (2.0,), "south": (11.0,)}
    assert (result.cutoff, result.n, result.risk) == ((2.0,), (12,), (1 / 12,))
    assert result.of_group("south").risk == (0.0,)
    assert result.guarantee == (
        "for each site: E[FNR] <= 0.25 on average over new images with foreground, exchangeable with the n used, in "
        "each of north, south"
    )
    with pytest.raises(ValueError, match="group must be one of north, south, got 'west', about which nothing"):
        result.of_group("west")


def test_of_what_falls_the_highest_cutoff_is_the_safest():
    guarantee = PerGroup(ExpectedRisk(FalsePositiveRatio(), 0.25))
    statistic = guarantee.statistic()
    scores = torch.tensor([[9.0, background] for background in SCORES])[:, None]
    statistic.update(scores, torch.tensor([1, 0]).expand_as(scores), of_sites(SITES))
    result = guarantee.calibrate(statistic)
    north, south = (result.groups[name].cutoff[0] for name in ("north", "south"))
    assert 8 < north < 8.001
    assert 13 < south == result.cutoff[0] < 13.001


def test_a_group_with_too_few_images_is_left_out_and_said():
    guarantee = PerGroup(ExpectedRisk(FalseNegativeRate(), 0.25))
    result = calibrated(guarantee, SCORES[:-1], SITES[:-1])
    assert [*result.groups] == ["north"]
    assert (result.n, result.cutoff) == ((9,), (2.0,))
    assert result.guarantee.endswith("nothing is promised about south: 2 of the 3 images with foreground that it takes")
    guarantee.check(result)
    with pytest.raises(ValueError, match=r"needs at least 3 .* of a group, got 2 of north, 1 of south; join groups"):
        calibrated(guarantee, [1, 2, 3], ["north", "north", "south"])


def two_classes(absent):
    """Six images of each site, of which those of some sites lack the second class."""
    scores, labels = torch.rand(12, 2, 4), torch.ones(12, 2, 4)
    names = ["north"] * 6 + ["south"] * 6
    for place, name in enumerate(names):
        labels[place, 1] = name not in absent
    return scores, labels, of_sites(names)


def test_a_class_that_one_group_lacks_is_promised_in_the_others(tmp_path):
    guarantee = PerGroup(ExpectedRisk(FalseNegativeRate(), 0.25), class_names=("liver", "tumour"))
    statistic = guarantee.statistic()
    statistic.update(*two_classes({"north"}))
    result = guarantee.calibrate(statistic)
    assert result.promised == (True, True)
    assert result.cutoff[1] == result.groups["south"].cutoff[1]
    assert "north: nothing is promised about 'tumour', whose set is everything: 0 of the 3 images" in result.guarantee
    assert "no promise" not in result.guarantee
    assert "no promise about 'tumour'" in result.groups["north"].guarantee
    save_calibration(result, tmp_path / "a.json")
    assert load_calibration(tmp_path / "a.json") == result


def test_a_class_that_all_groups_lack_has_no_promise(tmp_path):
    guarantee = PerGroup(ExpectedRisk(FalseNegativeRate(), 0.25))
    statistic = guarantee.statistic()
    statistic.update(*two_classes({"north", "south"}))
    result = guarantee.calibrate(statistic)
    assert result.promised == (True, False)
    assert result.guarantee.endswith("; no promise about class 1 in any")
    save_calibration(result, tmp_path / "a.json")
    assert load_calibration(tmp_path / "a.json") == result


@settings(max_examples=40)
@given(maps=images(14, 14, classes=2), names=st.lists(st.sampled_from("ab"), min_size=14, max_size=14))
@pytest.mark.parametrize("risk", [FalseNegativeRate(), FalsePositiveRatio()], ids=lambda risk: risk.name)
def test_each_group_is_calibrated_as_if_it_were_alone_and_the_common_cutoff_is_safe_for_each(risk, maps, names):
    inner = ExpectedRisk(risk, 0.5)
    guarantee = PerGroup(inner)
    statistic = guarantee.statistic()
    for image, meta in zip(maps, of_sites(names), strict=True):
        statistic.update(*tensors(image), [meta])
    if not any(inner.budget(n) >= 0 for group in statistic.groups.values() for n in group.n):
        return
    result = guarantee.calibrate(statistic)
    for name, found in result.groups.items():
        alone = inner.statistic()
        for image, other in zip(maps, names, strict=True):
            if other == name:
                alone.update(*tensors(image))
        assert inner.calibrate(alone) == found
        common = zip(result.cutoff, found.cutoff, found.promised, strict=True)
        assert all((one <= own if risk.rises else one >= own) for one, own, kept in common if kept)


def test_groups_may_be_strata_of_what_is_predicted():
    scores = [torch.full((1, 2, 2), 0.75)] * 4 + [torch.tensor([[[0.6, 0.1], [0.1, 0.1]]])] * 4
    guarantee = PerGroup(ExpectedRisk(FalseNegativeRate(), 0.25), SizeStrata((0.5,)))
    result = calibrate_maps(scores, [torch.ones(1, 2, 2)] * 8, guarantee=guarantee)
    assert guarantee.keys == ()
    assert result.settings == {"guarantee": "expected_risk", "key": "size(0.5, 0.5)"}
    assert result.groups["from 0.5 to 1"].cutoff == (0.75,)
    assert result.groups["from 0 to 0.5"].cutoff == result.cutoff == (pytest.approx(0.1),)


def test_method_and_identity_are_those_of_the_whole():
    result = replace(calibrated(PerGroup(ExpectedRisk(FalseNegativeRate(), 0.25)), SCORES, SITES), method="coat")
    assert {group.method for group in result.groups.values()} == {"coat"}


def test_a_result_whose_cutoff_is_not_the_safest_is_refused():
    guarantee = PerGroup(ExpectedRisk(FalseNegativeRate(), 0.25))
    result = calibrated(guarantee, SCORES, SITES)
    with pytest.raises(ValueError, match=r"cutoff must be the safest of the groups, got \(11\.0,\)"):
        guarantee.check(replace(result, cutoff=(11.0,)))
    with pytest.raises(ValueError, match="groups must be there, got none"):
        guarantee.check(replace(result, groups={}))
    with pytest.raises(ValueError, match=r"groups must be of the promise .*of north"):
        PerGroup(ConfidentRisk(FalseNegativeRate(), 0.25)).check(result)


def test_what_does_not_say_its_group_is_refused_and_adds_nothing():
    statistic = filled(GroupedStatistic(CoverageStatistic, MetadataKey("site")), [1, 2], of_sites("ab"))
    maps = torch.rand(2, 1, 4), torch.ones(2, 1, 4)
    for meta, message in (
        (None, "metadata must say 'site' of every image, got none"),
        ([{"site": "a"}, {"device": "b"}], "metadata must say 'site' of every image, got device"),
        (of_sites("abc"), "meta must have an entry for each of the 2 images, got 3"),
    ):
        with pytest.raises(ValueError, match=message):
            statistic.update(*maps, meta)
    with pytest.raises(ValueError, match="scores must have the 1 classes of the batches before, got 2"):
        statistic.update(torch.rand(1, 2, 4), torch.ones(1, 2, 4), of_sites("c"))
    with pytest.raises(ValueError, match="same shape"):
        statistic.update(maps[0], maps[1][..., :2], of_sites("cd"))
    assert {name: group.n for name, group in statistic.groups.items()} == {"a": (1,), "b": (1,)}


def test_a_group_of_one_image_each_is_no_group():
    statistic = GroupedStatistic(CoverageStatistic, MetadataKey("site"))
    with pytest.raises(ValueError, match="groups must be at most 1000, got 1001; name an entry that images share"):
        filled(statistic, range(1001), of_sites(map(str, range(1001))))
    assert not statistic.groups


def test_only_statistics_of_the_same_groups_are_merged_and_solved():
    statistic = filled(GroupedStatistic(CoverageStatistic, MetadataKey("site")), SCORES, of_sites(SITES))
    by_device = GroupedStatistic(CoverageStatistic, MetadataKey("device"))
    with pytest.raises(ValueError, match="other must be of the groups by 'site', got those by 'device'; collect both"):
        statistic.merge(by_device)
    two = GroupedStatistic(CoverageStatistic, MetadataKey("site"))
    two.update(torch.rand(1, 2, 4), torch.ones(1, 2, 4), of_sites(["west"]))
    with pytest.raises(ValueError, match="other must have the 1 classes of this one, got 2"):
        statistic.merge(two)
    with pytest.raises(ValueError, match="statistics of different risks do not add up"):
        statistic.merge(GroupedStatistic(FalsePositiveRatio().statistic, MetadataKey("site")))
    with pytest.raises(TypeError, match="other must be a GroupedStatistic, got CoverageStatistic"):
        statistic.merge(CoverageStatistic())
    assert (statistic.n, [*statistic.groups]) == ((12,), ["north", "south"])
    inner = ExpectedRisk(FalseNegativeRate(), 0.25)
    with pytest.raises(ValueError, match="statistic must be of the groups by 'device', got those by 'site'"):
        PerGroup(inner, "device").calibrate(statistic)
    with pytest.raises(TypeError, match="guarantee must be PerGroup, which solves each group by itself"):
        statistic.solve(inner.budget)
    statistic.merge(statistic)
    assert statistic.n == (24,)
