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
    ExpectedRisk,
    FalsePositiveRatio,
    FalsePositiveStatistic,
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
