# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Folders of every layout are compared: each number of CRC is that of the arrays, computed by NumPy alone."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import nibabel
import numpy as np
import pytest
from monai.transforms import Resize

from monai_coat.cli import main
from monai_coat.data import split_by_group
from tests.predictions.layouts import LAYOUTS, Layout, written

COUNT, REPEATS, SPLITS, ALPHA = 24, 2, 4, Fraction(1, 4)

PROTOCOL = {
    "name": "tiny",
    "datasets": {},
    "networks": {},
    "methods": {
        "CRC": {"fit": "crc"},
        "MEG": {"fit": "meg", "members": 2, "width": 8},
        "predict-all": {"fit": "predict-all"},
    },
    "reference": "CRC",
    "default": "MEG",
    "image_size": [13, 10],  # as the maps have it
    "alphas": [float(ALPHA)],
    "splits": SPLITS,
    "repeats": REPEATS,
    "fractions": [0, 0.5, 0.25, 0.25],
}


@pytest.fixture(params=LAYOUTS, ids=[name.replace(" ", "_") for name in LAYOUTS])
def layout(request):
    return LAYOUTS[request.param]


def compared(layout: Layout, root: Path, **changes: object) -> list[str]:
    """The command, as it is typed."""
    (root / "tiny.json").write_text(json.dumps(PROTOCOL | changes))
    said = [*layout.options(root), "--labels", str(root / "labels"), *layout.said]
    return ["compare", *said, "--protocol", str(root / "tiny.json"), "--output", str(root / "out")]


def cutoff_of(foregrounds: list[np.ndarray]) -> np.float32:
    """The largest value at which the sum of missed shares and one is within the level."""
    budget = ALPHA * (len(foregrounds) + 1) - 1
    for value in sorted(set(np.concatenate(foregrounds).tolist()), reverse=True):
        if sum(Fraction(int((f < np.float32(value)).sum()), f.size) for f in foregrounds) <= budget:
            # Every value above the next lower one of all would do: the largest does, which is this.
            return np.float32(value)
    raise AssertionError


def rows_of_split(number: int, maps: list[np.ndarray], masks: list[np.ndarray]) -> tuple[np.ndarray, np.float32]:
    """Coverage, relative set size and precision of each test image, and the cutoff."""
    samples = [{"id": f"case.{place:02}"} for place in range(len(maps))]
    _, pool = split_by_group(samples, 0.5, number % REPEATS)
    places = [int(sample["id"].partition(".")[2]) for sample in pool]
    order = np.random.default_rng((0, number)).permutation(len(places))
    calibration, test = (sorted(part) for part in (order[: len(order) // 2], order[len(order) // 2 :]))
    cutoff = cutoff_of([maps[places[i]][masks[places[i]]] for i in calibration])
    rows = []
    for i in test:
        inside, mask = maps[places[i]] >= cutoff, masks[places[i]]
        hit = (inside & mask).sum()
        rows.append((hit / mask.sum(), inside.sum() / mask.sum(), hit / inside.sum() if inside.any() else 1.0))
    return np.array(rows), cutoff


def test_numbers_are_those_of_the_arrays(layout, tmp_path, capsys):
    maps, masks = written(layout, tmp_path, 0, COUNT)
    assert main([*compared(layout, tmp_path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    names = layout.names or ("yours",)
    assert [row["dataset"] for row in printed["methods"] if row["method"] == "CRC"] == list(names)
    for index, name in enumerate(names):
        path = tmp_path / f"out/cells/{name}-saved maps-0.25/CRC.json"
        splits = json.loads(path.read_text())["splits"]
        assert len(splits) == SPLITS
        for number, split in enumerate(splits):
            rows, cutoff = rows_of_split(number, [m[index] for m in maps], [m[index] for m in masks])
            # Flat maps of 8 bits are compared at the nearest float32, not at the one below.
            assert split["cutoff"] == pytest.approx(float(cutoff), abs=1e-7)
            coverage, sizes, precision = rows.T
            assert split["coverage"] == pytest.approx(coverage.mean(), abs=1e-6)
            assert split["coverage_gap"] == pytest.approx(np.abs(coverage - 0.75).mean(), abs=1e-6)
            assert split["relative_size_median"] == pytest.approx(np.median(sizes), abs=1e-6)
            assert split["precision"] == pytest.approx(precision.mean(), abs=1e-6)
        (row,) = [row for row in printed["methods"] if (row["dataset"], row["method"]) == (name, "CRC")]
        assert row["coverage"] == pytest.approx(np.mean([split["coverage"] for split in splits]), abs=1e-4)
        assert (tmp_path / f"out/images_{name}.png").stat().st_size
    assert (tmp_path / "out/curves.png").stat().st_size


def test_nothing_is_run_again_and_another_threshold_or_class_runs_all_again(tmp_path, monkeypatch):
    layout = LAYOUTS["8 bit"]
    written(layout, tmp_path, 0, COUNT)
    command = compared(layout, tmp_path)

    def cells():
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "out/cells").rglob("*.json")}

    assert main(command) == 0
    first = cells()
    assert main(command) == 0
    assert cells() == first
    assert main([*command, "--mask-threshold", "200"]) == 0
    again = cells()
    assert again.keys() == first.keys()
    assert all(again[path] > first[path] for path in first)
    assert main([*command, "--classes", "lesion=255"]) == 0
    assert {path.parent.name for path in cells()} == {"yours-saved maps-0.25", "lesion-saved maps-0.25"}


def test_maps_at_another_size_are_resized_in_floating_point(tmp_path):
    """A 16-bit map was rounded to 8 bits: its cutoff was a multiple of 1/255."""
    layout = LAYOUTS["16 bit, suffix"]
    maps, masks = written(layout, tmp_path, 0, COUNT)
    assert main(compared(layout, tmp_path, image_size=[8, 8])) == 0
    splits = json.loads((tmp_path / "out/cells/yours-saved maps-0.25/CRC.json").read_text())["splits"]
    resize = Resize((8, 8), mode="area")
    small = [resize(each)[0].numpy() for each in maps]
    labels = [resize(each.astype(np.float32))[0].numpy() >= 0.5 for each in masks]
    for number, split in enumerate(splits):
        rows, cutoff = rows_of_split(number, small, labels)
        assert split["cutoff"] == cutoff
        assert split["coverage"] == pytest.approx(rows[:, 0].mean(), abs=1e-6)
    assert any(abs(split["cutoff"] * 255 - round(split["cutoff"] * 255)) > 1e-3 for split in splits)


def refused(arguments: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    return error[error.index("python -m monai_coat: ") :]


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("CRA, isotonic", {"fit": "cra", "isotonic": True}),
        ("ReCIRC", {"fit": "recirc"}),
        ("AA-CRC", {"fit": "aa_crc", "form": "published"}),
        ("oracle", {"fit": "oracle"}),
    ],
)
def test_methods_of_whole_maps_are_refused_by_name_before_anything_is_read(tmp_path, capsys, method, settings):
    layout = LAYOUTS["NIfTI softmax"]
    written(layout, tmp_path, 0, COUNT)
    command = compared(layout, tmp_path, methods=PROTOCOL["methods"] | {method: settings})
    sentence = refused(command, capsys)
    assert "methods must learn from sketches and give scores where volumes are compared, got " in sentence
    assert repr(method) in sentence
    assert not (tmp_path / "out/sketches").exists()
    assert not (tmp_path / "out/cells").exists()


@pytest.mark.parametrize("name", ["8 bit", "NIfTI, labels turned"])
def test_too_few_images_are_refused_in_one_sentence(tmp_path, capsys, name):
    written(LAYOUTS[name], tmp_path, 0, 16)
    sentence = refused(compared(LAYOUTS[name], tmp_path, alphas=[0.1]), capsys)
    assert "9 to calibrate on at alpha 0.1 and 1 to test on, got 8, 4 and 4 of data set 'yours'" in sentence
    assert sentence.count("\n") == 1


def test_a_rare_class_does_not_stop_the_others(tmp_path, capsys, caplog):
    layout = LAYOUTS["NIfTI softmax"]
    written(layout, tmp_path, 0, COUNT)
    for number in range(COUNT):
        if number % 6:  # the second class is left in four images only
            without_class_two(tmp_path / f"labels/case.{number:02}.nii.gz")
    caplog.set_level("INFO", "monai_coat")
    assert main(compared(layout, tmp_path)) == 0
    assert "b: 20 of 24 images have no foreground: left out" in caplog.text
    assert "b is left out: images with foreground must be enough" in caplog.text
    table = (tmp_path / "out/tables.md").read_text()
    assert "*b* is left out: images with foreground must be enough" in table
    assert "### a, saved maps, alpha 0.25" in table
    assert "### b" not in table


def without_class_two(path: Path) -> None:
    volume = nibabel.load(path)
    values = np.minimum(np.asarray(volume.dataobj), 1)
    nibabel.save(nibabel.Nifti1Image(values, volume.affine), path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--probs", "maps"], "probs (or masks) and labels must both name a folder"),
        (["--labels", "labels"], "probs (or masks) and labels must both name a folder"),
        (["--classes", "a=1"], "probs (or masks) and labels must both name a folder"),
        (["--images", "images"], "probs (or masks) and labels must both name a folder"),
        (["--protocol", "volumes"], "protocol must have data sets, got none in 'volumes'"),
        (["--probs", "maps", "--labels", "labels", "--axes", "cyx"], "axes must be given for NumPy's files only"),
        (["--probs", "maps", "--labels", "labels", "--map-suffix", "_p"], "names of maps must end in '_p'"),
        (
            ["--probs", "maps", "--labels", "labels", "--classes", "a=1"],
            "label must hold the classes a=1 and 0, got 255",
        ),
        (["--probs", "labels", "--labels", "labels"], "got masks; "),
        (["--probs", "maps", "--labels", "labels", "--output", "maps"], "output must be none of the inputs"),
    ],
)
def test_what_is_not_understood_is_refused_in_one_sentence(tmp_path, monkeypatch, capsys, arguments, sentence):
    written(LAYOUTS["8 bit"], tmp_path, 0, COUNT)
    monkeypatch.chdir(tmp_path)
    error = refused(["compare", *arguments], capsys)
    assert sentence in error
    assert error.count("\n") == 1


def test_flat_folders_get_the_protocol_of_flat_maps_and_volumes_theirs(tmp_path, monkeypatch, capsys):
    """Without --protocol; a protocol of twenty methods is not run here."""
    from monai_coat import comparison

    chosen = []
    monkeypatch.setattr(comparison, "write_comparison", lambda protocol, output: chosen.append(protocol) or [])
    monkeypatch.setattr(comparison, "plain_results", lambda output, protocol: [])
    for name in ("8 bit", "NRRD"):
        root, layout = tmp_path / name.replace(" ", ""), LAYOUTS[name]
        written(layout, root, 0, COUNT)
        command = ["compare", *layout.options(root), "--labels", str(root / "labels"), *layout.said]
        assert main([*command, "--output", str(root / "out")]) == 0
    assert [protocol.name for protocol in chosen] == ["predictions", "volumes"]
    assert [list(protocol.datasets) for protocol in chosen] == [["yours"], ["a", "b"]]
