# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Promises about folders of predictions: each guarantee calibrated and applied by the commands."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from monai_coat.calibration import load_calibration, promise_in_words
from monai_coat.cli import main
from monai_coat.functional import float32_below

PROMISES = {
    "expected": "",
    "exceeds": "--risk exceeds(false_negative_rate,0.3)",
    "lesions": "--risk lesions_missed(0.1)",
    "false alarm": "--risk false_alarm(3)",
    "marked share": "--risk false_alarm_size",
    "volume": "--risk volume_underestimated",
    "largest volume": "--risk volume_overestimated",
    "confident": "--guarantee confident_risk --delta 0.2",
    "betting": "--guarantee confident_risk --delta 0.2 --bound betting",
    "growing": "--guarantee growing_set --delta 0.2",
    "per group": "--per-group site --table {table}",
    "per stratum": "--per-group size(0.5,0.2)",
    "per patient": "--per-patient patient --table {table}",
    "weighted": "--weight weight --largest-weight 2 --table {table}",
    "several": "--guarantee learn_then_test --also false_discovery_rate<=0.9 --grid 0 1 40 --delta 0.3",
    "referring": "--refer 0.3",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two folders of maps and masks, some of them blank, and a table of the images."""
    root, rng, rows = tmp_path_factory.mktemp("promises"), np.random.default_rng(0), []
    for part, count in (("calibration", 48), ("new", 6)):
        for kind in ("maps", "masks"):
            (root / part / kind).mkdir(parents=True)
        for number in range(count):
            name = f"{part}_{number}"
            mask = np.zeros((20, 16), bool)
            if number % 3:
                x, y = rng.integers(0, 8, 2)
                mask[x : x + 9, y : y + 3 + number % 5] = True
            probs = np.clip(0.25 * rng.random(mask.shape) + mask * rng.uniform(0.3, 0.7, mask.shape), 0, 1)
            Image.fromarray((probs * 255).astype(np.uint8)).save(root / part / f"maps/{name}.png")
            Image.fromarray((255 * mask).astype(np.uint8)).save(root / part / f"masks/{name}.png")
            site = ("north", "south")[number % 2]
            rows.append({"id": name, "site": site, "patient": f"{part}{number // 2}", "weight": 0.5 + number % 2})
    with (root / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def calibrated(root, text, output):
    options = text.format(table=root / "table.csv").split()
    places = ["--probs", str(root / "calibration/maps"), "--labels", str(root / "calibration/masks")]
    return main(["calibrate", *places, "--alpha", "0.4", *options, "--output", str(output)])


@pytest.mark.parametrize("name", PROMISES)
def test_a_promise_is_calibrated_and_applied(root, tmp_path, capsys, name):
    assert calibrated(root, PROMISES[name] + " --json", tmp_path / "c.json") == 0
    result, said = load_calibration(tmp_path / "c.json"), json.loads(capsys.readouterr().out)
    assert said["in_words"] == promise_in_words(result)
    assert said["guarantee"] == result.guarantee
    table = ["--table", str(root / "table.csv")] if name == "per group" else []
    places = ["--probs", str(root / "new/maps"), "--output", str(tmp_path / "masks")]
    assert main(["apply", str(tmp_path / "c.json"), *places, *table]) == 0
    rows = list(csv.DictReader((tmp_path / "masks/sets.csv").read_text().splitlines()))
    for row in rows:
        number = int(row["id"].rpartition("_")[2])
        probs = np.asarray(Image.open(root / f"new/maps/{row['id']}.png")) / 255
        group = ("north", "south")[number % 2] if name == "per group" else None
        if name == "per stratum":
            group = "from 0 to 0.2" if (probs >= 0.5).mean() < 0.2 else "from 0.2 to 1"
        cutoff = (result.groups[group] if group else result).cutoff[0]
        expected = float32_below(torch.from_numpy(probs)).numpy() >= np.float32(cutoff)
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"masks/{row['id']}.png")) == 255, expected)
        assert int(row["size"]) == expected.sum()
        assert ("decision" in row) is (name == "referring")


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(each) for each in arguments])
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_a_group_that_is_not_known_is_refused_where_it_is_asked_for(root, tmp_path, capsys):
    calibrated(root, PROMISES["per group"], tmp_path / "c.json")
    places = ["--probs", root / "new/maps", "--output", tmp_path / "masks"]
    assert "metadata must say 'site' of every image" in refused(capsys, "apply", tmp_path / "c.json", *places)
    rows = (root / "table.csv").read_text()
    for text, said in (
        (rows.replace("new_5,south", "new_5,east"), "group must be one of north, south, got 'east'"),
        (rows.replace("new_1,", "old_1,"), "table must have a row for each of the 6 images, got none for new_1"),
    ):
        (tmp_path / "other.csv").write_text(text)
        found = refused(capsys, "apply", tmp_path / "c.json", *places, "--table", tmp_path / "other.csv")
        assert said in found
    assert not list(tmp_path.glob("masks/*")), "nothing is written before all are known"


def test_risks_that_go_both_ways_and_unknown_columns_are_refused(root, capsys, tmp_path):
    places = ["--probs", root / "calibration/maps", "--labels", root / "calibration/masks"]
    for options, said in (
        (["--risk", "false_discovery_rate"], "promise it by LearnThenTest"),
        (["--per-group", "scanner", "--table", root / "table.csv"], "metadata must say 'scanner' of every image"),
        (["--weight", "site", "--table", root / "table.csv"], "site must be a weight from"),
    ):
        output = ["--output", tmp_path / "c.json"]
        assert said in refused(capsys, "calibrate", *places, *options, *output)
    assert not (tmp_path / "c.json").exists()


def test_an_image_of_a_larger_weight_is_refused_where_it_says_so(root, tmp_path, capsys):
    calibrated(root, PROMISES["weighted"], tmp_path / "c.json")
    (tmp_path / "t.csv").write_text(
        (root / "table.csv").read_text().replace("new_1,south,new0,1.5", "new_1,south,new0,2.5")
    )
    places = ["--probs", root / "new/maps", "--output", tmp_path / "masks", "--table", tmp_path / "t.csv"]
    said = refused(capsys, "apply", tmp_path / "c.json", *places)
    assert "weight must be a weight of at most 2, got '2.5', about which nothing is promised" in said
