# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Each command refuses, in one sentence, what does not belong together, and leaves nothing half written."""

from __future__ import annotations

import csv
import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_coat.calibration import load_calibration, save_calibration
from monai_coat.calibration.risks import RISKS as RISK_TABLE
from monai_coat.cli import main
from monai_coat.cli.fit import METHODS
from monai_coat.cli.promise_options import RISKS
from monai_coat.functional import float32_below
from monai_coat.predictions import fit_scorer, load_calibrated_maps, load_scorer
from monai_coat.predictions.describe import _margin, _whole
from monai_coat.predictions.fit import FOR_MAPS
from monai_coat.predictions.masks import check_labels_fit
from monai_coat.scorers.distance_map import DISTANCE_SCALE

COUNT = 20


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two folders of maps and masks, a scorer, and calibrations with and without it."""
    root, rng = tmp_path_factory.mktemp("made"), np.random.default_rng(0)
    for part in ("one", "two"):
        for kind in ("maps", "masks"):
            (root / part / kind).mkdir(parents=True)
        for number in range(COUNT):
            probs = rng.random((14, 11)) ** 2
            Image.fromarray((probs * 255).astype(np.uint8)).save(root / part / f"maps/{number}.png")
            Image.fromarray((255 * (rng.random(probs.shape) < probs)).astype(np.uint8)).save(
                root / part / f"masks/{number}.png"
            )
    run(root, "fit", "one", "--method", "meg", "--output", "meg.pt")
    run(root, "calibrate", "two", "--scorer", "meg.pt", "--output", "meg.json")
    run(root, "calibrate", "two", "--output", "crc.json")
    run(root, "calibrate", "two", "--risk", "false_positive_ratio", "--output", "certain.json")
    return root


def run(root, command, part, *more):
    places = ["--probs", str(root / part / "maps"), "--labels", str(root / part / "masks"), "--alpha", "0.4"]
    values = [str(root / text) if text.endswith((".pt", ".json")) else text for text in more]
    assert main([command, *places, *values]) == 0


def refused(capsys, *arguments):
    """What the command says."""
    with pytest.raises(SystemExit) as stopped:
        main([str(each) for each in arguments])
    said = capsys.readouterr().err.splitlines()[-1]
    assert stopped.value.code == 2
    assert said.startswith("python -m monai_coat: ")
    return said


def places(made, part):
    return ["--probs", made / part / "maps", "--labels", made / part / "masks"]


def test_images_that_were_learned_from_are_not_calibrated_on(made, capsys, tmp_path):
    said = refused(
        capsys, "calibrate", *places(made, "one"), "--scorer", made / "meg.pt", "--output", tmp_path / "c.json"
    )
    assert "images must be others than those that the scorer was fitted to, got" in said
    assert "keep the images of fit, calibrate and evaluate apart" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("calibration", "part", "was"), [("meg", "one", "fitted to"), ("meg", "two", "calibrated on")])
def test_images_that_were_seen_are_not_evaluated(made, capsys, tmp_path, calibration, part, was):
    said = refused(capsys, "evaluate", made / f"{calibration}.json", *places(made, part), "--output", tmp_path / "r")
    assert f"images must be others than those that the scorer was {was}" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["apply", "evaluate"])
def test_maps_of_another_format_are_refused(made, capsys, tmp_path, command):
    for kind in ("maps", "masks"):
        (tmp_path / kind).mkdir()
    Image.fromarray(np.full((14, 11), 0.5, np.float32)).save(tmp_path / "maps/0.tif")
    Image.fromarray(np.ones((14, 11), np.uint8)).save(tmp_path / "masks/0.png")
    said = refused(
        capsys,
        command,
        made / "crc.json",
        "--probs",
        tmp_path / "maps",
        *(["--labels", tmp_path / "masks"] if command == "evaluate" else []),
        "--output",
        tmp_path / "out",
    )
    assert "maps must have values of 8 bit, as the others or the calibration, got float" in said
    assert not (tmp_path / "out").exists()


def test_masks_for_maps_are_refused(made, capsys, tmp_path):
    said = refused(capsys, "apply", made / "crc.json", "--masks", made / "one/masks", "--output", tmp_path / "out")
    assert "predictions must be maps, as the calibration's were, got masks" in said
    said = refused(capsys, "calibrate", "--probs", made / "one/masks", "--labels", made / "one/masks")
    assert "are segmentations: give the probability maps" in said


def test_a_calibration_needs_its_own_scorer(made, capsys, tmp_path):
    for name in ("meg.json", "crc.json", "crc.scorer.pt"):
        shutil.copy(made / name, tmp_path / name)
    apply = ["--probs", made / "one/maps", "--output", tmp_path / "out"]
    said = refused(capsys, "apply", tmp_path / "meg.json", *apply)
    assert "scorer must be a file, got" in said
    assert "meg.scorer.pt, which does not exist" in said
    shutil.copy(made / "crc.scorer.pt", tmp_path / "meg.scorer.pt")
    assert "must be the scorer that" in refused(capsys, "apply", tmp_path / "meg.json", *apply)
    (tmp_path / "crc.scorer.pt").unlink()
    assert main(["apply", str(tmp_path / "crc.json"), *map(str, apply)]) == 0  # probabilities need none


def test_certain_must_be_of_the_same_scorer_and_of_false_positives(made, capsys, tmp_path):
    apply = ["--probs", made / "one/maps", "--output", tmp_path / "out", "--certain"]
    said = refused(capsys, "apply", made / "meg.json", *apply, made / "certain.json")
    assert "calibration is of another pipeline" in said
    assert "certain must be a calibration of false positives" in refused(
        capsys, "apply", made / "crc.json", *apply, made / "crc.json"
    )
    assert "possible must be a calibration of what is missed" in refused(
        capsys, "apply", made / "certain.json", *apply, made / "certain.json"
    )


def test_a_calibration_of_something_else_is_refused(made, capsys, tmp_path):
    result = load_calibration(made / "crc.json")
    save_calibration(type(result)(**{**vars(result), "identity": type(result.identity)()}), tmp_path / "c.json")
    said = refused(capsys, "apply", tmp_path / "c.json", "--probs", made / "one/maps", "--output", tmp_path / "out")
    assert "calibration must be one of saved maps, with their format" in said


class Evil:
    def __reduce__(self):
        return (print, ("ran",))


@pytest.mark.parametrize("damage", ["empty", "cut", "pickle", "other", "part", "class"])
def test_files_that_are_no_scorer_are_refused_and_nothing_in_them_runs(made, tmp_path, capsys, damage):
    path, whole = tmp_path / "a.pt", (made / "meg.pt").read_bytes()
    content = torch.load(made / "meg.pt", weights_only=True)
    if damage in ("empty", "cut"):
        path.write_bytes(b"" if damage == "empty" else whole[: len(whole) // 2])
    elif damage == "pickle":
        path.write_bytes(pickle.dumps(Evil()))
    else:
        content |= {
            "other": {"format": "something"},
            "part": {"weights": {}},
            "class": {"config": {"_target_": "os.system", "command": "true"}},
        }[damage]
        torch.save(content, path)
    with pytest.raises(ValueError, match=r"scorer must be a file that 'fit' wrote, got .*a\.pt"):
        load_scorer(path)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("method", ["crc", "meg", "coat", "at", "aa_crc", "cra", "sacp"])
def test_a_scorer_is_read_back_to_the_bit(tmp_path, method):
    generator = torch.Generator().manual_seed(0)
    maps = [torch.rand(2, 9, 8, generator=generator) for _ in range(14)]
    fitted = fit_scorer([(probs, torch.rand(probs.shape, generator=generator) < probs) for probs in maps], 0.3, method)
    fitted.save(tmp_path / "a.pt")
    again = load_scorer(tmp_path / "a.pt")
    assert (again.method, again.alpha, again.seen) == (method, 0.3, fitted.seen)
    assert torch.equal(again.score(maps[0]), fitted.score(maps[0]))


def test_what_is_printed_for_machines_is_json_and_nothing_else(made, capsys, tmp_path):
    arguments = [*map(str, places(made, "two")), "--output", str(tmp_path / "c.json"), "--json", "--alpha", "0.4"]
    assert main(["calibrate", *arguments]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["cutoff"] == list(load_calibrated_maps(tmp_path / "c.json").result.cutoff)


def test_an_interrupted_run_says_so_and_leaves_whole_files(made, capsys, tmp_path, monkeypatch):
    from monai_coat.predictions import apply as module

    seen = []

    def interrupted(*arguments):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(arguments)
        return written(*arguments)

    written = module.write_mask
    monkeypatch.setattr(module, "write_mask", interrupted)
    with pytest.raises(SystemExit) as stopped:
        main(["apply", str(made / "crc.json"), "--probs", str(made / "one/maps"), "--output", str(tmp_path / "out")])
    assert stopped.value.code == 130
    assert "interrupted; what was written is whole" in capsys.readouterr().err
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["0.png", "1.png", "10.png"]
    assert all(np.asarray(Image.open(tmp_path / "out" / name)).shape == (14, 11) for name in files)


@pytest.mark.parametrize(("bits", "scale"), [(8, 255), (16, 65535)])
@pytest.mark.parametrize("rises", [True, False])
def test_the_whole_number_that_is_said_cuts_as_the_cutoff_does(bits, scale, rises):
    """Every grey value as the cutoff of what is missed, and the number just above it as that of false positives."""
    step = 1 if bits == 8 else 97
    values = np.arange(1, scale, step)
    probs = float32_below(torch.arange(scale + 1, dtype=torch.float64) / scale).numpy()
    for value in values:
        cutoff = probs[value] if rises else np.nextafter(probs[value], np.float32(2))
        said = _whole(float(cutoff), scale)
        assert np.array_equal(np.arange(scale + 1) >= said, probs >= cutoff)


@pytest.mark.parametrize("distance", [-7.3, -1.0, 0.5, 1.0, 2.0**0.5, 4.0, 11.25])
def test_the_margin_that_is_said_keeps_the_promise(distance):
    """What is said takes in what the cutoff does, and at most a thousandth more or less, on the safe side."""
    cutoff = float(torch.sigmoid(torch.tensor(-distance / DISTANCE_SCALE, dtype=torch.float64)).float())
    larger, smaller = (float(re.search(r"-?[0-9.]+", _margin(cutoff, safe, "mm"))[0]) for safe in (True, False))
    sign = 1 if "within" in _margin(cutoff, True, "mm") else -1
    assert sign * smaller <= distance + 1e-5 <= sign * larger + 2e-5
    assert sign * larger - sign * smaller <= 0.0011


def written(root, name, maps, masks):
    """A folder of float maps and masks ``(x, y)``, as TIFF or NumPy's files, by the ending of the name."""
    for kind in ("maps", "masks"):
        (root / name / kind).mkdir(parents=True, exist_ok=True)
    for number, (probs, mask) in enumerate(zip(maps, masks, strict=True)):
        np.save(root / name / f"maps/{number}.npy", probs)
        Image.fromarray((255 * mask).astype(np.uint8)).save(root / name / f"masks/{number}.png")
    return ["--probs", root / name / "maps", "--labels", root / name / "masks"]


def random_maps(count, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    maps = [(rng.random((9, 7)) ** 2).astype(dtype) for _ in range(count)]
    return maps, [rng.random(probs.shape) < probs for probs in maps]


def test_maps_of_another_precision_are_refused(tmp_path, capsys):
    given = written(tmp_path, "half", *random_maps(COUNT, np.float16))
    assert main([str(each) for each in ("calibrate", *given, "--output", tmp_path / "c.json")]) == 0
    written(tmp_path, "single", *random_maps(COUNT))
    new = tmp_path / "single/maps"
    said = refused(capsys, "apply", tmp_path / "c.json", "--probs", new, "--output", tmp_path / "out")
    assert "maps must have values of float16, as the others or the calibration, got float in" in said
    assert not (tmp_path / "out").exists()


def test_copies_are_not_calibrated_on(tmp_path, capsys):
    maps, masks = random_maps(COUNT)
    given = written(tmp_path, "twice", [*maps, maps[3]], [*masks, masks[3]])
    said = refused(capsys, "calibrate", *given, "--output", tmp_path / "c.json")
    assert "images must be different ones, got the map and mask of" in said
    assert not list(tmp_path.glob("*.pt"))


def test_blank_images_are_no_copies_of_one_another(tmp_path):
    blank = np.zeros((9, 7), np.float32)
    for part, seed in (("fit", 0), ("calibrate", 1), ("test", 2)):
        maps, masks = random_maps(COUNT, seed=seed)
        written(tmp_path, part, [*maps, blank, blank], [*masks, blank > 0, blank > 0])
    steps = {
        "fit": ["--output", tmp_path / "meg.pt"],
        "calibrate": ["--scorer", tmp_path / "meg.pt", "--output", tmp_path / "c.json"],
        "test": ["--output", tmp_path / "report"],
    }
    for part, more in steps.items():
        command = ["evaluate", tmp_path / "c.json"] if part == "test" else [part, "--alpha", "0.4"]
        given = ["--probs", tmp_path / part / "maps", "--labels", tmp_path / part / "masks"]
        assert main([str(each) for each in (*command, *given, *more)]) == 0


def test_segmentations_are_not_cut(made, capsys, tmp_path):
    hard = made / "two/masks"
    said = refused(capsys, "apply", made / "crc.json", "--probs", hard, "--output", tmp_path / "out")
    assert "scores must have more values than 0 and 1, got masks" in said
    assert not (tmp_path / "out").exists()


def test_thresholds_in_the_table_cut_as_the_calibration_does(made, tmp_path):
    assert main(["apply", str(made / "crc.json"), "--probs", str(made / "one/maps"), "--output", str(tmp_path)]) == 0
    rows = list(csv.DictReader((tmp_path / "sets.csv").read_text().splitlines()))
    assert len(rows) == COUNT
    for row in rows:
        probs = np.asarray(Image.open(made / f"one/maps/{row['id']}.png")) / 255
        assert np.array_equal(
            probs >= float(row["threshold"]), np.asarray(Image.open(tmp_path / f"{row['id']}.png")) > 0
        )


def test_what_an_earlier_run_said_of_its_masks_goes(made, tmp_path):
    given = ["--probs", str(made / "one/maps"), "--output", str(tmp_path)]
    assert main(["apply", str(made / "crc.json"), *given, "--certain", str(made / "certain.json")]) == 0
    assert (tmp_path / "labels.json").is_file()
    assert main(["apply", str(made / "crc.json"), *given]) == 0
    assert not (tmp_path / "labels.json").exists()


def test_the_scorer_beside_a_calibration_is_no_input(made, capsys, tmp_path):
    shutil.copy(made / "meg.pt", tmp_path / "k.scorer.pt")
    more = ["--scorer", tmp_path / "k.scorer.pt", "--output", tmp_path / "k.json"]
    assert "output must be none of the inputs" in refused(capsys, "calibrate", *places(made, "two"), *more)


def test_a_folder_is_no_output(made, capsys, tmp_path):
    (tmp_path / "c.json").mkdir()
    said = refused(capsys, "calibrate", *places(made, "two"), "--output", tmp_path / "c.json", "--alpha", "0.4")
    assert "output must be a file, got" in said
    assert not list(tmp_path.glob("*.pt"))
    said = refused(capsys, "calibrate", *places(made, "two"), "--output", tmp_path / "c", "--alpha", "0.4")
    assert "must be a file that ends in .json, got" in said


def test_a_scorer_that_has_not_seen_the_calibration_is_not_its_own(made, capsys, tmp_path):
    shutil.copy(made / "meg.json", tmp_path / "c.json")
    shutil.copy(made / "meg.pt", tmp_path / "c.scorer.pt")
    said = refused(capsys, "evaluate", tmp_path / "c.json", *places(made, "one"), "--output", tmp_path / "r")
    assert "it has not seen the" in said


def test_a_calibration_without_its_record_of_images_says_so(made, caplog, tmp_path):
    shutil.copy(made / "crc.json", tmp_path / "c.json")
    load_calibrated_maps(tmp_path / "c.json")
    assert "nothing tells whether an image is one of the calibration's" in caplog.text


def test_images_to_learn_from_have_foreground():
    maps, masks = random_maps(COUNT)
    empty = [torch.zeros(1, 9, 7, dtype=torch.bool) for _ in masks]
    with pytest.raises(ValueError, match="images to learn from must have foreground of each class, got 20 of which"):
        fit_scorer(zip([torch.from_numpy(probs)[None] for probs in maps], empty, strict=True), 0.4, "coat")


def test_options_of_commands_are_rows_of_the_package():
    assert METHODS == FOR_MAPS
    assert set(RISKS) == set(RISK_TABLE)


def test_six_graded_classes_do_not_fit_a_bitmap():
    with pytest.raises(ValueError, match=r"labels up to 728 must be written as PNG or TIFF, got .*b\.bmp"):
        check_labels_fit(728, [Path("a.png"), Path("b.bmp")])
