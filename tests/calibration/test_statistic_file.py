# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Statistics as files: whole or not at all, merged as one run, and nothing that does not belong together."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from monai_coat.calibration import (
    BinnedStatistic,
    CoverageStatistic,
    FalseAlarmStatistic,
    Shard,
    calibrate,
    calibrate_binned,
    load_calibration,
    load_statistic,
    merge_statistics,
    save_statistic,
)
from monai_coat.cli import main

KINDS = (BinnedStatistic, CoverageStatistic, FalseAlarmStatistic)


def maps(seed, count=15, classes=2):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(count, classes, 8, 8, generator=generator) * 2 - 1
    labels = torch.rand(count, classes, 8, 8, generator=generator) < 0.3
    labels[0, 0] = False
    return scores, labels


def shard(seed, kind=BinnedStatistic, network="abc", method="coat", **settings):
    statistic = kind(**settings)
    statistic.update(*maps(seed))
    return Shard(statistic, network, method)


@pytest.fixture
def files(tmp_path):
    def write(kind=BinnedStatistic):
        for seed, name in enumerate(("north", "south", "east")):
            save_statistic(shard(seed, kind), tmp_path / f"{name}.npz")
        return [tmp_path / f"{name}.npz" for name in ("north", "south", "east")]

    return write


@pytest.mark.parametrize("kind", KINDS)
def test_merged_files_are_one_run_to_the_bit(files, kind):
    whole = kind()
    for seed in range(3):
        whole.update(*maps(seed))
    merged = merge_statistics(files(kind))
    assert type(merged.statistic) is kind
    assert (merged.network, merged.method) == ("abc", "coat")
    of = calibrate_binned if kind is BinnedStatistic else calibrate
    assert of(merged.statistic, 0.1) == of(whole, 0.1)
    turned = merge_statistics(files(kind)[::-1])
    assert of(turned.statistic, 0.1).cutoff == of(whole, 0.1).cutoff


SCRIPT = """
import sys, torch
sys.path.insert(0, sys.argv[3])
from tests.calibration.test_statistic_file import shard
from monai_coat.calibration import save_statistic
save_statistic(shard(int(sys.argv[1])), sys.argv[2])
"""


def test_three_processes_and_the_command_give_the_cutoff_of_one(tmp_path, pytestconfig):
    paths = [str(tmp_path / f"{seed}.npz") for seed in range(3)]
    root = str(pytestconfig.rootpath)
    running = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, str(seed), path, root]) for seed, path in enumerate(paths)
    ]
    assert [process.wait(timeout=300) for process in running] == [0, 0, 0]
    output = tmp_path / "calibration.json"
    assert main(["merge", *paths, "--alpha", "0.2", "--output", str(output)]) == 0
    whole = BinnedStatistic()
    for seed in range(3):
        whole.update(*maps(seed))
    assert load_calibration(output) == replace(calibrate_binned(whole, 0.2), method="coat", network="abc")


def test_the_command_takes_other_risks(files, tmp_path, capsys):
    for kind, risk in ((CoverageStatistic, "worst_miss"), (FalseAlarmStatistic, "false_alarm")):
        paths = [str(path) for path in files(kind)]
        assert main(["merge", *paths, "--alpha", "0.2", "--risk", risk, "--output", str(tmp_path / "out.json")]) == 0
        assert load_calibration(tmp_path / "out.json").controls == risk
    with pytest.raises(SystemExit):
        main(["merge", *map(str, files(BinnedStatistic)), "--risk", "worst_miss"])
    assert "statistic must be one of the risk 'worst_miss', got BinnedStatistic" in capsys.readouterr().err


def test_few_images_leave_no_sums_but_scores_may_stay_in_the_house(tmp_path):
    few = BinnedStatistic()
    few.update(*(each[:9] for each in maps(0)))
    with pytest.raises(ValueError, match=r"at least 10 images of each class .*, got 8"):
        save_statistic(Shard(few), tmp_path / "few.npz")
    assert not list(tmp_path.iterdir())
    save_statistic(Shard(few), tmp_path / "few.npz", smallest=8)
    exact = CoverageStatistic()
    exact.update(*(each[:2] for each in maps(0)))
    save_statistic(Shard(exact), tmp_path / "exact.npz")
    with pytest.raises(ValueError, match="at least one image with foreground, got none"):
        save_statistic(Shard(BinnedStatistic()), tmp_path / "none.npz")


def test_a_class_that_nobody_has_is_no_matter(tmp_path):
    statistic = BinnedStatistic()
    statistic.update(torch.rand(12, 2, 5), torch.stack([torch.ones(12, 5), torch.zeros(12, 5)], 1))
    save_statistic(Shard(statistic), tmp_path / "one.npz")
    assert load_statistic(tmp_path / "one.npz").statistic.n == (12, 0)


def test_a_file_of_sums_holds_no_score_of_an_image(files):
    path = files()[0]
    with np.load(path) as content:
        assert sorted(content.files) == ["grid", "head", "n", "rates"]
        assert set(json.loads(str(content["head"]))) == {"format", "version", "kind", "network", "method"}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (shard(7, CoverageStatistic), "paths must be of one kind, got 'BinnedStatistic' .* 'CoverageStatistic'"),
        (shard(7, network="xyz"), "paths must be of one network, got 'abc' .* 'xyz'"),
        (shard(7, method="at"), "paths must be of one method, got 'coat' .* 'at'"),
        (shard(7, bins=8), "paths must be of one grid and number of classes"),
        (shard(0), "paths must be of different images, got the same statistic in .*north.npz and .*other.npz"),
    ],
)
def test_what_does_not_belong_together_is_refused(files, tmp_path, other, message):
    save_statistic(other, tmp_path / "other.npz")
    with pytest.raises(ValueError, match=message):
        merge_statistics([files()[0], tmp_path / "other.npz"])


def test_other_classes_are_refused(files, tmp_path):
    statistic = BinnedStatistic()
    statistic.update(*maps(5, classes=1))
    save_statistic(Shard(statistic, "abc", "coat"), tmp_path / "other.npz")
    with pytest.raises(ValueError, match=r"number of classes, got .*other.npz \(scores must have the 2 classes"):
        merge_statistics([files()[0], tmp_path / "other.npz"])


def test_damaged_and_foreign_files_are_named(files, tmp_path):
    path = files()[0]
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:40], whole[: len(whole) // 2], whole[:-10]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"path must name a statistic file of version 1, got .*north.npz"):
            load_statistic(path)
    np.savez(tmp_path / "foreign.npz", a=np.ones(3))
    with pytest.raises(ValueError, match="path must name a statistic file"):
        load_statistic(tmp_path / "foreign.npz")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_statistic(tmp_path / "nowhere.npz")
    with pytest.raises(ValueError, match="paths must name at least one"):
        merge_statistics([])


def test_a_failed_write_leaves_the_old_file(files, monkeypatch):
    path = files()[0]
    before = path.read_bytes()
    monkeypatch.setattr("monai_coat.calibration.statistic_file.np.savez_compressed", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_statistic(shard(9), path)
    assert path.read_bytes() == before
    assert sorted(each.name for each in path.parent.iterdir()) == ["east.npz", "north.npz", "south.npz"]
