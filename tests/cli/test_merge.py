# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Joint calibration from files: the cutoff of all images at once, in the words of the file's own risk."""

from __future__ import annotations

import logging

import pytest
import torch

from monai_coat.calibration import (
    BinnedStatistic,
    CollectedStatistic,
    ConfidentRisk,
    CoverageStatistic,
    Exceeds,
    ExpectedRisk,
    FalseNegativeRate,
    FalsePositiveRatio,
    FalsePositiveStatistic,
    GrowingSet,
    PipelineIdentity,
    calibrate,
    load_calibration,
    save_statistic,
)
from monai_coat.cli import main

IDENTITY = PipelineIdentity({"scorer": "margin"})


def collected(statistic, seed, path, count=12):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(count, 1, 30, generator=generator)
    labels = torch.rand(count, 1, 30, generator=generator) < 0.4
    site = CollectedStatistic(statistic, IDENTITY, "coat")
    site.update(scores, labels)
    save_statistic(site, path)
    return scores, labels


@pytest.mark.parametrize(
    ("kind", "guarantee"),
    [
        (lambda: BinnedStatistic(0.0, 1.0), ExpectedRisk(alpha=0.2)),
        (FalsePositiveStatistic, ExpectedRisk(FalsePositiveRatio(), 0.2)),
    ],
)
def test_it_is_the_calibration_of_all_images(tmp_path, caplog, capsys, kind, guarantee):
    whole = kind()
    for seed, name in enumerate(("north.npz", "south.npz")):
        whole.update(*collected(kind(), seed, tmp_path / name))
    output = tmp_path / "calibration.json"
    files = [str(tmp_path / name) for name in ("north.npz", "south.npz")]
    with caplog.at_level(logging.INFO):
        assert main(["merge", *files, "--alpha", "0.2", "--output", str(output)]) == 0
    result, expected = load_calibration(output), calibrate(whole, guarantee=guarantee)
    assert (result.cutoff, result.n, result.guarantee) == (expected.cutoff, expected.n, expected.guarantee)
    assert (result.identity, result.method) == (IDENTITY, "coat")
    assert "2 files: cutoff " in caplog.text
    assert guarantee.promise in caplog.text
    assert capsys.readouterr().out.split() == [str(output)]


def test_the_same_file_twice_is_refused_and_nothing_is_written(tmp_path, capsys):
    collected(BinnedStatistic(0.0, 1.0), 0, tmp_path / "north.npz")
    with pytest.raises(SystemExit) as stopped:
        main(["merge", *[str(tmp_path / "north.npz")] * 2, "--output", str(tmp_path / "calibration.json")])
    assert stopped.value.code == 2
    assert "paths must be of different images, got 12 that are in" in capsys.readouterr().err
    assert not (tmp_path / "calibration.json").exists()


def test_a_file_that_would_unpack_to_more_than_allowed_is_refused(tmp_path, capsys):
    collected(BinnedStatistic(0.0, 1.0), 0, tmp_path / "north.npz")
    with pytest.raises(SystemExit) as stopped:
        main(["merge", str(tmp_path / "north.npz"), "--largest", "0", "--output", str(tmp_path / "c.json")])
    assert stopped.value.code == 2
    assert "must have at most 0 bytes together" in capsys.readouterr().err


def test_an_output_that_is_an_input_is_refused(tmp_path, capsys):
    for seed, name in enumerate(("north.npz", "south.npz")):
        collected(BinnedStatistic(0.0, 1.0), seed, tmp_path / name)
    before = (tmp_path / "north.npz").read_bytes()
    (tmp_path / "link.npz").symlink_to(tmp_path / "north.npz")
    for output in ("north.npz", "link.npz"):
        files = [str(tmp_path / name) for name in ("north.npz", "south.npz")]
        with pytest.raises(SystemExit) as stopped:
            main(["merge", *files, "--output", str(tmp_path / output)])
        assert stopped.value.code == 2
        assert f"output must be none of the inputs, got {tmp_path / output}" in capsys.readouterr().err
    assert (tmp_path / "north.npz").read_bytes() == before


FNR = FalseNegativeRate()
SITES = ("north", "south", "east")


def binned():
    return BinnedStatistic(0.0, 1.0)


def three_sites(tmp_path, kind):
    """Files of three sites, and the statistic of all their images."""
    whole, groups = kind(), {}
    for seed, name in enumerate(SITES):
        groups[name] = kind()
        images = collected(kind(), seed, tmp_path / f"{name}.npz", count=20)
        whole.update(*images)
        groups[name].update(*images)
    return whole, groups


@pytest.mark.parametrize(
    ("kind", "options", "guarantee"),
    [
        (lambda: BinnedStatistic(0.0, 1.0), "--guarantee confident_risk", ConfidentRisk(FNR, 0.3)),
        (
            lambda: BinnedStatistic(0.0, 1.0),
            "--guarantee confident_risk --bound hinge",
            ConfidentRisk(FNR, 0.3, bound="hinge"),
        ),
        (CoverageStatistic, "--guarantee confident_risk --bound betting", ConfidentRisk(FNR, 0.3, bound="betting")),
        (CoverageStatistic, "--guarantee growing_set", GrowingSet(FNR, 0.3)),
        (lambda: BinnedStatistic(0.0, 1.0, risk=Exceeds(FNR, 0.2)), "", ExpectedRisk(Exceeds(FNR, 0.2), 0.3)),
        (
            lambda: BinnedStatistic(0.0, 1.0, risk=Exceeds(FNR, 0.2)),
            "--guarantee confident_risk --bound binomial",
            ConfidentRisk(Exceeds(FNR, 0.2), 0.3, bound="binomial"),
        ),
        (lambda: BinnedStatistic(0.0, 1.0, risk=FalsePositiveRatio()), "", ExpectedRisk(FalsePositiveRatio(), 0.3)),
    ],
)
def test_files_of_three_sites_give_what_all_images_give(tmp_path, kind, options, guarantee):
    whole, _ = three_sites(tmp_path, kind)
    files, output = [str(tmp_path / f"{name}.npz") for name in SITES], tmp_path / "calibration.json"
    assert main(["merge", *files, "--alpha", "0.3", *options.split(), "--output", str(output)]) == 0
    result, expected = load_calibration(output), calibrate(whole, guarantee=guarantee)
    assert (result.cutoff, result.n, result.guarantee) == (expected.cutoff, expected.n, expected.guarantee)


def test_a_promise_for_each_site_is_that_of_its_file(tmp_path):
    _, groups = three_sites(tmp_path, lambda: BinnedStatistic(0.0, 1.0))
    files, output = [str(tmp_path / f"{name}.npz") for name in SITES], tmp_path / "calibration.json"
    assert main(["merge", *files, "--alpha", "0.3", "--per-group", "site", "--output", str(output)]) == 0
    result = load_calibration(output)
    for name, group in groups.items():
        assert result.groups[name].cutoff == calibrate(group, 0.3).cutoff
    assert result.cutoff == min(group.cutoff for group in result.groups.values())
    assert result.method == "coat"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            "--guarantee growing_set",
            "must keep the risk of each image, got BinnedStatistic, which keeps sums",
        ),
        ("--guarantee confident_risk --bound betting", "take a bound that needs their mean alone"),
        ("--per-patient patient", "Sums over images cannot be divided among patients"),
        ("--weight weight", "Sums over images cannot be weighted afterwards"),
        ("--guarantee learn_then_test", "statistic must be sums of false_negative_rate on a grid, got BinnedStatistic"),
        ("--guarantee confident_risk --bound binomial", "got binomial, which is of risks that are 0 or 1"),
    ],
)
def test_what_sums_cannot_promise_is_refused_with_the_reason(tmp_path, capsys, options, said):
    three_sites(tmp_path, lambda: BinnedStatistic(0.0, 1.0))
    files = [str(tmp_path / f"{name}.npz") for name in SITES]
    with pytest.raises(SystemExit) as stopped:
        main(["merge", *files, "--alpha", "0.3", *options.split(), "--output", str(tmp_path / "c.json")])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "c.json").exists()


def test_files_of_different_risks_are_not_merged(tmp_path, capsys):
    collected(BinnedStatistic(0.0, 1.0), 0, tmp_path / "a.npz")
    collected(BinnedStatistic(0.0, 1.0, risk=Exceeds(FNR, 0.2)), 1, tmp_path / "b.npz")
    with pytest.raises(SystemExit):
        main(["merge", str(tmp_path / "a.npz"), str(tmp_path / "b.npz"), "--output", str(tmp_path / "c.json")])
    assert "must be of one risk, got 'false_negative_rate' in" in capsys.readouterr().err
