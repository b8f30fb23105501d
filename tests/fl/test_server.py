# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The server merges what belongs together, and believes nothing else."""

from __future__ import annotations

import importlib

import pytest
import torch
from monai.fl.utils.exchange_object import ExchangeObject

from monai_coat.calibration import (
    BinnedStatistic,
    CollectedStatistic,
    CoverageStatistic,
    ExpectedRisk,
    FalsePositiveRatio,
    PipelineIdentity,
    calibrate,
    pack_statistic,
)
from monai_coat.fl import calibrate_sites
from monai_coat.fl.exchange import STATISTIC, calibration_in, with_calibration, with_statistic

IDENTITY = PipelineIdentity({"scorer": "CRC"}, {"inferer": "digest abc"})


def maps(seed, count=15):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 2, 8, 8, generator=generator), torch.rand(count, 2, 8, 8, generator=generator) < 0.3


def site(seed, identity=IDENTITY, method="crc", count=15, **grid):
    collected = CollectedStatistic(BinnedStatistic(0.0, 1.0, **grid), identity, method)
    collected.update(*maps(seed, count))
    return collected


def sent(*sites):
    return {name: with_statistic(one, 1) for name, one in zip(("north", "south", "east"), sites, strict=False)}


def test_the_result_is_that_of_all_images_and_says_what_it_is_of():
    result = calibrate_sites(sent(site(0), site(1), site(2)), alpha=0.1)
    statistic = BinnedStatistic(0.0, 1.0)
    for seed in range(3):
        statistic.update(*maps(seed))
    expected = calibrate(statistic, 0.1)
    assert (result.cutoff, result.n, result.risk) == (expected.cutoff, (45, 45), expected.risk)
    assert (result.identity, result.method, result.alpha) == (IDENTITY, "crc", 0.1)
    assert calibration_in(with_calibration(result)) == result


def test_the_order_of_sites_does_not_matter():
    sites = (site(0), site(1), site(2))
    assert calibrate_sites(sent(*sites), 0.1).cutoff == calibrate_sites(sent(*sites[::-1]), 0.1).cutoff


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            site(1, PipelineIdentity({"scorer": "COAT"})),
            r"sites must be of one pipeline, got scorer \(CRC against COAT\)",
        ),
        (site(1, method="coat"), "sites must be of one method, got 'crc' in north and 'coat' in south"),
        (site(1, bins=64), "sites must be of one grid and number of classes, got south"),
        (site(0), "sites must be of different images, got 15 that are in north and in south; collect each image once"),
        (site(1, count=9), "at least 10 images of each class that it has any of, got 9; ask the sender of south"),
    ],
)
def test_sites_that_do_not_belong_together_are_refused_by_name(other, message):
    with pytest.raises(ValueError, match=message):
        calibrate_sites(sent(site(0), other), 0.1)


def test_damaged_messages_are_refused_with_their_sender():
    north, whole = sent(site(0))["north"], pack_statistic(site(1))
    for content in (whole[:-30], whole[:200] + b"x" + whole[201:], b"", b"{}"):
        with pytest.raises(ValueError, match="content must be a statistic of version 2, got south"):
            calibrate_sites({"north": north, "south": ExchangeObject(statistics={STATISTIC: content})}, 0.1)
    for statistics in (None, {}, {STATISTIC: "text"}):
        with pytest.raises(TypeError, match=r"must be the bytes of a statistic, got \w+ from south"):
            calibrate_sites({"north": north, "south": ExchangeObject(statistics=statistics)}, 0.1)
    with pytest.raises(ValueError, match="sites must name at least one statistic"):
        calibrate_sites({}, 0.1)


def test_levels_and_risks_are_those_of_any_calibration():
    with pytest.raises(ValueError, match=r"alpha=0.01 needs at least 99"):
        calibrate_sites(sent(site(0), site(1)), 0.01)
    with pytest.raises(TypeError, match="statistic must be one of the risk"):
        calibrate_sites(sent(site(0)), guarantee=ExpectedRisk(FalsePositiveRatio(), 0.1))


def test_exact_statistics_do_not_leave_a_site():
    collected = CollectedStatistic(CoverageStatistic())
    collected.update(*maps(0))
    with pytest.raises(TypeError, match="got CoverageStatistic, which holds scores of single images"):
        with_statistic(collected, 10)


def test_without_flare_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'nvflare must be installed .*pip install "monai_coat\[flare\]"'):
        importlib.import_module("monai_coat.fl.flare")
