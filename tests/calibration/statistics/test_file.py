# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Statistics as files: whole or not at all, merged as one run, and nothing that does not belong together."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch

from monai_coat.calibration import (
    BinnedStatistic,
    CollectedStatistic,
    CoverageStatistic,
    ExpectedRisk,
    FalseNegativeRate,
    FalsePositiveStatistic,
    MapStatistic,
    PipelineIdentity,
    WorstClassStatistic,
    calibrate,
    load_calibration,
    load_statistic,
    merge_sites,
    merge_statistics,
    pack_statistic,
    risk_named,
    save_statistic,
    unpack_statistic,
)
from monai_coat.calibration.statistics import STATISTICS

KINDS = (BinnedStatistic, CoverageStatistic, WorstClassStatistic, FalsePositiveStatistic)
IDENTITY = PipelineIdentity({"scorer": "COAT", "scorer.space": "logit"}, {"inferer": "digest abc"})


def maps(seed, count=15, classes=2):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(count, classes, 8, 8, generator=generator) * 2 - 1
    labels = torch.rand(count, classes, 8, 8, generator=generator) < 0.3
    labels[0, 0] = False
    return scores, labels


def site(seed, kind=BinnedStatistic, method="coat", identity=IDENTITY, **settings):
    collected = CollectedStatistic(kind(**settings), identity, method)
    collected.update(*maps(seed))
    return collected


def of_all(kind):
    statistic = kind()
    for seed in range(3):
        statistic.update(*maps(seed))
    return statistic


def run_command(arguments):
    from monai_coat.cli.main import main  # here, as it imports what the processes below need not

    return main(arguments)


def guarantee_of(statistic, alpha=0.1):
    return ExpectedRisk(risk_named(statistic.measures), alpha)


@pytest.fixture
def files(tmp_path):
    def write(kind=BinnedStatistic):
        for seed, name in enumerate(("north", "south", "east")):
            save_statistic(site(seed, kind), tmp_path / f"{name}.npz")
        return [tmp_path / f"{name}.npz" for name in ("north", "south", "east")]

    return write


def test_the_kinds_are_those_of_the_table():
    assert set(STATISTICS.values()) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_merged_files_are_one_run_to_the_bit(files, kind):
    merged = merge_statistics(files(kind))
    assert type(merged.statistic) is kind
    assert (merged.identity, merged.method) == (IDENTITY, "coat")
    expected = guarantee_of(merged.statistic).calibrate(of_all(kind))
    assert guarantee_of(merged.statistic).calibrate(merged.statistic) == expected
    turned = merge_statistics(files(kind)[::-1]).statistic
    assert guarantee_of(turned).calibrate(turned) == expected


SCRIPT = """
import sys
from monai_coat.calibration import save_statistic
from tests.calibration.statistics.test_file import site
save_statistic(site(int(sys.argv[1])), sys.argv[2])
"""


def test_three_processes_and_the_command_give_the_cutoff_of_one(tmp_path, pytestconfig):
    paths = [str(tmp_path / f"{seed}.npz") for seed in range(3)]
    running = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, str(seed), path], cwd=pytestconfig.rootpath)
        for seed, path in enumerate(paths)
    ]
    assert [process.wait(timeout=300) for process in running] == [0, 0, 0]
    output = tmp_path / "calibration.json"
    assert run_command(["merge", *paths, "--alpha", "0.2", "--output", str(output)]) == 0
    expected = replace(calibrate(of_all(BinnedStatistic), 0.2), method="coat", identity=IDENTITY)
    assert load_calibration(output) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_controls_the_risk_that_was_collected(files, tmp_path, kind):
    paths = [str(path) for path in files(kind)]
    assert run_command(["merge", *paths, "--alpha", "0.2", "--output", str(tmp_path / "out.json")]) == 0
    expected = guarantee_of(kind(), 0.2).calibrate(of_all(kind))
    result = load_calibration(tmp_path / "out.json")
    assert replace(result, method="", identity=PipelineIdentity()) == expected
    assert result.controls == kind().measures


def test_few_images_leave_no_sums_but_scores_may_stay_in_the_house(tmp_path):
    few, exact = CollectedStatistic(BinnedStatistic()), CollectedStatistic(CoverageStatistic())
    few.update(*(part[:9] for part in maps(0)))
    with pytest.raises(ValueError, match=r"at least 10 images of each class .*, got 8; join sites before"):
        save_statistic(few, tmp_path / "few.npz")
    assert not list(tmp_path.iterdir())
    save_statistic(few, tmp_path / "few.npz", smallest=8)
    exact.update(*(part[:2] for part in maps(0)))
    save_statistic(exact, tmp_path / "exact.npz")
    with pytest.raises(ValueError, match="at least one image with foreground, got none"):
        save_statistic(CollectedStatistic(BinnedStatistic()), tmp_path / "none.npz")


@pytest.mark.parametrize(("count", "smallest"), [(9, 10), (10, 10), (19, 20), (20, 20)])
def test_as_many_images_as_the_fewest_are_enough_on_both_sides(tmp_path, count, smallest):
    collected = CollectedStatistic(BinnedStatistic())
    collected.update(torch.rand(count, 1, 9), torch.ones(count, 1, 9))
    if count == smallest:
        save_statistic(collected, tmp_path / "site.npz", smallest)
        assert merge_statistics([tmp_path / "site.npz"], smallest).statistic.n == (count,)
        return
    with pytest.raises(ValueError, match=f"at least {smallest} images .*, got {count}"):
        save_statistic(collected, tmp_path / "site.npz", smallest)
    save_statistic(collected, tmp_path / "site.npz", smallest=1)
    with pytest.raises(ValueError, match=f"got {count}; ask the sender of .*site.npz to join it with others"):
        merge_statistics([tmp_path / "site.npz"], smallest)


def test_whoever_merges_decides_how_few_are_too_few(files, tmp_path):
    few = CollectedStatistic(BinnedStatistic(), IDENTITY, "coat")
    few.update(*(part[:9] for part in maps(9)))
    save_statistic(few, tmp_path / "few.npz", smallest=1)
    paths = [*files(), tmp_path / "few.npz"]
    with pytest.raises(ValueError, match=r"at least 10 images .*, got 8; ask the sender of .*few.npz"):
        merge_statistics(paths)
    assert merge_statistics(paths, smallest=8).statistic.n == (42 + 8, 45 + 9)


def test_a_class_that_nobody_has_is_no_matter(tmp_path):
    collected = CollectedStatistic(BinnedStatistic())
    collected.update(torch.rand(12, 2, 5), torch.stack([torch.ones(12, 5), torch.zeros(12, 5)], 1))
    save_statistic(collected, tmp_path / "one.npz")
    assert load_statistic(tmp_path / "one.npz").statistic.n == (12, 0)


def test_a_file_of_sums_holds_no_score_of_an_image(files):
    path = files()[0]
    with np.load(path) as content:
        assert sorted(content.files) == ["grid", "head", "hide_sizes", "n", "rates", "slack", "unit"]
        head = json.loads(str(content["head"]))
    assert set(head) == {"format", "version", "kind", "identity", "method", "images", "checksum"}
    assert all(len(token) == 16 and set(token) <= set("0123456789abcdef") for token in head["images"])


def test_the_collection_is_what_is_loaded(files):
    loaded, collected = load_statistic(files()[0]), site(0)
    assert (loaded.identity, loaded.method, loaded.images) == (IDENTITY, "coat", collected.images)


def named(**entries):
    return replace(IDENTITY, network=IDENTITY.network | entries)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (site(7, CoverageStatistic), "paths must be of one kind, got 'binned' .* 'foreground scores'"),
        (site(7, method="at"), "paths must be of one method, got 'coat' .* 'at'"),
        (site(7, bins=8), r"one grid and number of classes, got .*other.npz \(other must have the grid"),
        (site(7, unit=8), r"one grid and number of classes, got .*other.npz \(other must have the unit 1024, got 8"),
        (
            site(7, identity=named(**{"scorer.space": "probability"})),
            r"one pipeline, got scorer.space \(logit against probability\) in .*north.npz and .*other.npz",
        ),
        (site(7, identity=named(weights="digest x")), "one pipeline, got weights in"),
        (site(7, identity=replace(IDENTITY, pipeline={"inferer": "digest b"})), "one pipeline, got inferer in"),
        (site(0), "paths must be of different images, got 15 that are in .*north.npz and in .*other.npz; collect each"),
    ],
)
def test_what_does_not_belong_together_is_refused(files, tmp_path, other, message):
    save_statistic(other, tmp_path / "other.npz")
    with pytest.raises(ValueError, match=message):
        merge_statistics([files()[0], tmp_path / "other.npz"])


A, B = {"preprocessing": "digest a"}, {"preprocessing": "digest b"}
PIPELINES = {"nothing": {}, "a": A, "b": B, "a and inferer": A | {"inferer": "digest i"}}


@pytest.mark.parametrize("kinds", [order for n in (2, 3) for order in product(PIPELINES, repeat=n)], ids=" ".join)
def test_pipelines_are_compared_in_every_order(tmp_path, kinds):
    """Files are merged if they all say the same, whichever comes first."""
    paths = [tmp_path / f"{index}.npz" for index in range(len(kinds))]
    for index, (path, kind) in enumerate(zip(paths, kinds, strict=True)):
        save_statistic(site(index, identity=PipelineIdentity({}, PIPELINES[kind])), path)
    if len({*kinds}) == 1:
        assert merge_statistics(paths).identity.pipeline == PIPELINES[kinds[0]]
    else:
        with pytest.raises(ValueError, match=r"paths must .* pipeline, got (preprocessing|inferer)"):
            merge_statistics(paths)


@pytest.mark.parametrize("order", list(permutations(["p1", "north", "p3"])))
def test_a_file_that_names_no_pipeline_is_no_bridge_between_two(tmp_path, order):
    for index, (name, pipeline) in enumerate({"p1": A, "north": B, "p3": {}}.items()):
        save_statistic(site(index, identity=PipelineIdentity({}, pipeline)), tmp_path / f"{name}.npz")
    with pytest.raises(ValueError, match=r"got preprocessing in"):
        merge_statistics([tmp_path / f"{name}.npz" for name in order])


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_share_images_are_refused_and_counted(tmp_path, kind):
    scores, labels = maps(0, 30)
    for name, rows in (("a", slice(0, 16)), ("b", slice(14, 30))):
        collected = CollectedStatistic(kind())
        collected.update(scores[rows], labels[rows])
        save_statistic(collected, tmp_path / f"{name}.npz")
    with pytest.raises(ValueError, match=r"got 2 that are in .*a.npz and in .*b.npz"):
        merge_statistics([tmp_path / "a.npz", tmp_path / "b.npz"])


def test_an_image_is_counted_once(tmp_path):
    collected = site(0)
    before = collected.statistic.state_dict()
    with pytest.raises(ValueError, match="must be of images that are not yet in the statistic, got 1 that are"):
        collected.update(*(part[3:4] for part in maps(0)))
    with pytest.raises(ValueError, match="got 15 that are; collect each image once, also with several workers"):
        collected.merge(site(0))
    assert str(collected.statistic.state_dict()) == str(before)
    collected.statistic.update(*(part[3:4] for part in maps(0)))  # past the tokens
    with pytest.raises(ValueError, match="must count each image once, got 16 images of a class and 15 tokens"):
        save_statistic(collected, tmp_path / "twice.npz")
    assert not list(tmp_path.iterdir())


def test_images_without_tokens_leave_no_file(tmp_path):
    """Nobody could find them in another file."""
    with pytest.raises(ValueError, match="got 15 images of a class and 0 tokens of images; fill it by Collected"):
        save_statistic(CollectedStatistic(site(0).statistic), tmp_path / "anonymous.npz")


def test_a_file_that_was_overwritten_in_part_is_refused_by_name(files):
    path = files()[0]
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(ValueError):  # which is the one that names the file, or there are bytes without effect
            load_statistic(path)
            continue
        refused += 1
    assert refused > len(whole) / 7 / 2


def test_other_classes_are_refused(files, tmp_path):
    collected = CollectedStatistic(BinnedStatistic(), IDENTITY, "coat")
    collected.update(*maps(5, classes=1))
    save_statistic(collected, tmp_path / "other.npz")
    with pytest.raises(ValueError, match=r"number of classes, got .*other.npz \(scores must have the 2 classes"):
        merge_statistics([files()[0], tmp_path / "other.npz"])


def test_what_has_no_form_in_files_is_refused(tmp_path):
    statistic = MapStatistic(FalseNegativeRate())
    statistic.update(*maps(0))
    with pytest.raises(TypeError, match=r"statistic must be one of binned, .*, got MapStatistic"):
        save_statistic(CollectedStatistic(statistic), tmp_path / "maps.npz")


def test_damaged_and_foreign_files_are_named(files, tmp_path):
    path = files()[0]
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:40], whole[: len(whole) // 2], whole[:-10]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"path must name a statistic file of version 2, got .*north.npz"):
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
    monkeypatch.setattr("monai_coat.calibration.statistics.npz.np.lib.format.write_array", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_statistic(site(9), path)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["east.npz", "north.npz", "south.npz"]


def test_a_message_is_the_file(tmp_path):
    for kind in KINDS:
        save_statistic(site(0, kind), tmp_path / "north.npz")
        message = pack_statistic(site(0, kind))
        assert message == (tmp_path / "north.npz").read_bytes()
        assert unpack_statistic(message, "north").images == load_statistic(tmp_path / "north.npz").images
    with pytest.raises(ValueError, match="at least 20 images of each class that it has any of, got 14"):
        pack_statistic(site(0), smallest=20)
    with pytest.raises(ValueError, match=r"content must be a statistic of version 2, got north \(.* at most 100 bytes"):
        unpack_statistic(pack_statistic(site(0)), "north", largest=100)
    with pytest.raises(TypeError, match="must be the bytes of a statistic, got str from north"):
        unpack_statistic("text", "north")


def test_merging_leaves_the_sites_as_they_are():
    sites = {str(seed): site(seed) for seed in range(3)}
    merged = merge_sites(sites)
    assert merged.statistic.n == (42, 45)
    assert [one.statistic.n for one in sites.values()] == [(14, 15)] * 3
