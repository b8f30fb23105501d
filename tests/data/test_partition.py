# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import dataclasses
import itertools
import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.data import Partition, PartitionBy, data_directory, load_datalist, partition, write_synthetic_dataset
from monai_coat.data.partition import PARTS

KINDS = [str(kind) for kind in PartitionBy]


def grouped(sizes):
    """Samples in groups of the given sizes; ids do not follow the groups."""
    names = [f"group{k}" for k, size in enumerate(sizes) for _ in range(size)]
    return [{"id": f"{(37 * i) % 1009:04}", "group": name, "image": f"{i}.png"} for i, name in enumerate(names)]


def ids(samples):
    return [sample["id"] for sample in samples]


def groups(samples):
    return {sample.get("group", sample["id"]) for sample in samples}


def check_claims(parts, samples):
    """Disjoint, complete, none of them empty, and no group on two sides of a border it must not cross."""
    every = [key for name in PARTS for key in ids(parts.part(name))]
    assert sorted(every) == sorted(ids(samples))
    assert all(parts.part(name) for name in PARTS)
    rest = [parts.calibration, parts.test]
    rest = rest if parts.by == "group" else [rest[0] + rest[1]]
    sides = [groups(side) for side in (parts.base_train, parts.threshold_train, *rest)]
    assert all(one.isdisjoint(other) for one, other in itertools.combinations(sides, 2))


datalists = st.lists(st.integers(1, 12), min_size=4, max_size=30).map(grouped)
fractions = st.lists(st.integers(1, 20), min_size=4, max_size=4).map(lambda w: tuple(v / sum(w) for v in w))


@settings(max_examples=60, deadline=None)
@given(datalists, fractions, st.integers(0, 2**31), st.sampled_from(KINDS))
def test_parts_are_disjoint_complete_and_respect_groups(samples, shares, seed, by):
    check_claims(partition(samples, shares, seed, by), samples)


@settings(max_examples=30, deadline=None)
@given(datalists, st.integers(0, 2**31), st.sampled_from(KINDS))
def test_same_seed_gives_same_parts_whatever_the_order(samples, seed, by):
    shuffled = random.Random(seed).sample(samples, len(samples))
    assert partition(samples, seed=seed, by=by) == partition(shuffled, seed=seed, by=by)


@settings(max_examples=30, deadline=None)
@given(datalists, fractions, st.integers(0, 2**31))
def test_kind_of_draw_leaves_training_parts_alone(samples, shares, seed):
    one, other = (partition(samples, shares, seed, by) for by in KINDS)
    assert (one.base_train, one.threshold_train) == (other.base_train, other.threshold_train)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=12, max_size=40), st.integers(0, 2**31))
def test_sizes_miss_targets_by_less_than_the_largest_group(sizes, seed):
    # Of 12 groups or more in shares of at least 0.3, no part is reserved for want of groups.
    samples = grouped(sizes)
    parts = partition(samples, (0.4, 0.3, 0.15, 0.15), seed)
    for part, fraction in ((parts.base_train, 0.4), (parts.threshold_train, 0.3)):
        assert abs(len(part) - fraction * len(samples)) < max(sizes) + 1


@pytest.mark.parametrize("by", KINDS)
def test_sizes_are_exact_without_groups(by):
    parts = partition([{"id": str(i)} for i in range(1000)], seed=5, by=by)
    assert [len(parts.part(name)) for name in PARTS] == [400, 250, 175, 175]


def test_small_groups_fill_the_gaps_that_a_large_one_leaves():
    # One video of 60 frames and 140 single images: targets 80, 50, 70 can be met, wherever the video goes.
    for seed in range(10):
        parts = partition(grouped([60] + [1] * 140), seed=seed)
        assert (len(parts.base_train), len(parts.threshold_train)) == (80, 50)


def test_a_group_too_large_for_its_share_does_not_break_the_rest():
    parts = partition(grouped([100, 1, 1, 1]), seed=0)
    check_claims(parts, grouped([100, 1, 1, 1]))
    assert len(parts.base_train) == 100  # the part with most room


def test_every_image_is_equally_likely_to_be_calibration_or_test():
    # By image and with equal shares, calibration or test is a fair coin for every image, large group or not.
    samples = grouped([5, 3] + [1] * 12)
    wins = dict.fromkeys(ids(samples), 0)
    for seed in range(400):
        parts = partition(samples, (0.3, 0.3, 0.2, 0.2), seed)
        for key in ids(parts.calibration):
            wins[key] += 1
        for key in ids(parts.test):
            wins[key] -= 1
    # About 160 fair coins each: five standard deviations of their sum are 5 * sqrt(160) = 63.
    assert max(np.abs(list(wins.values()))) < 65


def test_seeds_differ():
    samples = grouped([1] * 40)
    assert partition(samples, seed=0) != dataclasses.replace(partition(samples, seed=1), seed=0)


def test_drop_empty_leaves_out_images_without_foreground():
    samples = [{"id": str(i), "empty": i % 3 == 0} for i in range(30)]
    parts = partition(samples, drop_empty=True)
    check_claims(parts, [sample for sample in samples if not sample["empty"]])


def test_statement_says_what_exchangeability_rests_on():
    samples = grouped([4] * 20)
    by_image, by_group = (partition(samples, by=by) for by in KINDS)
    shared = len(groups(by_image.calibration) & groups(by_image.test))
    assert "exchangeable by construction" in by_image.statement
    assert f"groups with images in both: {shared}, so" in by_image.statement
    assert "nothing is claimed about images of new groups" in by_image.statement
    assert by_group.statement.startswith(f"Calibration ({len(by_group.calibration)} images in ")
    assert "share no group: whole groups were drawn" in by_group.statement
    singles = partition([{"id": str(i)} for i in range(9)]).statement
    assert singles.endswith("exchangeable by construction; they share no group.")


@pytest.mark.parametrize(
    "shares", [(0.5, 0.5, 0.0, 0.0), (0.4, 0.3, 0.2, 0.2), (0.5, 0.5), (1.2, -0.2, 0.5, -0.5), (float("nan"),) * 4]
)
def test_wrong_fractions_are_refused(shares):
    with pytest.raises(ValueError, match=r"fractions must be 4 positive numbers with sum 1.*got .* with sum .*divide"):
        partition(grouped([1] * 9), shares)


def test_wrong_arguments_are_refused():
    samples = grouped([1] * 9)
    with pytest.raises(ValueError, match=r"by must be 'image' or 'group', got 'patient'"):
        partition(samples, by="patient")
    with pytest.raises(ValueError, match=r"seed must not be negative, got -1"):
        partition(samples, seed=-1)
    with pytest.raises(TypeError, match=r"seed must be an integer, got float"):
        partition(samples, seed=0.5)
    with pytest.raises(ValueError, match=r"datalist must have unique ids, got '0000' twice"):
        partition([*samples, samples[0]])
    with pytest.raises(TypeError, match=r"datalist must have a string 'id' in every sample, got None"):
        partition([{"image": "a.png"}])
    with pytest.raises(ValueError, match=r"at least 4 groups to be split, got 3"):
        partition(grouped([9, 9, 9]))
    with pytest.raises(ValueError, match=r"name must be one of base_train, .*got 'train'"):
        partition(samples).part("train")


def test_overlap_and_straddling_are_refused():
    a, b, c, d = ({"id": name, "group": "g" if name in "ac" else name} for name in "abcd")
    with pytest.raises(ValueError, match=r"base_train and test must share no sample, got 'a' in both"):
        Partition((a,), (b,), (d,), (a,), seed=0)
    with pytest.raises(ValueError, match=r"base_train and calibration and test must share no group, got 'g' in both"):
        Partition((a,), (b,), (c,), (d,), seed=0)
    with pytest.raises(ValueError, match=r"calibration and test must share no group, got 'g' in both"):
        Partition((b,), (d,), (a,), (c,), seed=0, by="group")
    assert Partition((b,), (d,), (a,), (c,), seed=0, by="image").part("test") == [c]


@pytest.mark.parametrize("by", KINDS)
def test_saving_and_loading_is_the_identity(tmp_path, by):
    samples = grouped([3] * 10)
    parts = partition(samples, seed=4, by=by)
    path = tmp_path / "new" / "partition.json"
    parts.save(path)
    assert Partition.load(path, samples[::-1]) == parts
    assert [file.name for file in path.parent.iterdir()] == ["partition.json"]  # no temporary file is left


def test_loading_accepts_the_empty_images_that_were_dropped(tmp_path):
    samples = [{"id": str(i), "empty": i < 5} for i in range(30)]
    parts = partition(samples, drop_empty=True)
    parts.save(tmp_path / "partition.json")
    assert Partition.load(tmp_path / "partition.json", samples) == parts


def test_interrupted_saving_leaves_the_old_file(tmp_path, monkeypatch):
    samples = grouped([1] * 8)
    parts = partition(samples, seed=1)
    parts.save(tmp_path / "partition.json")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("monai_coat.files.json.os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        partition(samples, seed=2).save(tmp_path / "partition.json")
    assert Partition.load(tmp_path / "partition.json", samples) == parts
    assert len(list(tmp_path.iterdir())) == 1


def test_loading_refuses_other_data_lists(tmp_path):
    samples, path = grouped([1] * 8), tmp_path / "partition.json"
    partition(samples).save(path)
    with pytest.raises(ValueError, match=r"datalist must hold the samples of .* lacks '0000'; pass the data list"):
        Partition.load(path, samples[1:])
    with pytest.raises(ValueError, match=r"has unknown 'w', 'x', 'y', \.\.\. \(4 in all\); pass the data list"):
        Partition.load(path, samples + [{"id": name} for name in "wxyz"])
    with pytest.raises(ValueError, match=r"must share no group, got 'one' in both"):
        Partition.load(path, [{**sample, "group": "one"} for sample in samples])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, r"path must name a file of version 1, got 2"),
        ({"format": "other"}, r"must name a 'monai_coat partition' file"),
        ({"parts": {}}, r"must name a whole partition, .* entries are missing"),
        ({"by": "patient"}, r"by must be 'image' or 'group', got 'patient'"),
    ],
)
def test_loading_refuses_damaged_files(tmp_path, change, message):
    samples, path = grouped([1] * 8), tmp_path / "partition.json"
    partition(samples).save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=message):
        Partition.load(path, samples)


def test_loading_refuses_overlapping_parts_and_what_is_no_json_object(tmp_path):
    samples, path = grouped([1] * 8), tmp_path / "partition.json"
    partition(samples).save(path)
    content = json.loads(path.read_text())
    content["parts"]["test"] += content["parts"]["base_train"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"base_train and test must share no sample"):
        Partition.load(path, samples)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"path must be a JSON file"):
        Partition.load(path, samples)
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"path must hold a JSON object, got a list"):
        Partition.load(path, samples)
    with pytest.raises(FileNotFoundError, match=r"path must be a file, got .*none\.json"):
        Partition.load(tmp_path / "none.json", samples)


@pytest.mark.parametrize("by", KINDS)
def test_real_data_are_divided_as_claimed(tmp_path, by):
    root, domain = data_directory(), "polyp"
    if root is None:
        root, domain = tmp_path, "synthetic"
        write_synthetic_dataset(root, count=60, spatial_size=(16, 16))
    samples = load_datalist(root, domain)
    parts = partition(samples, seed=0, by=by)
    check_claims(parts, samples)
    largest = max(sum(s["group"] == name for s in samples) for name in {s["group"] for s in samples})
    assert abs(len(parts.base_train) - 0.4 * len(samples)) <= largest
    parts.save(tmp_path / "partition.json")
    assert Partition.load(tmp_path / "partition.json", samples) == parts
