# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A whole comparison, as a user types it, and that no finished cell is run again, whatever happened."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from monai_coat.cli.main import main
from monai_coat.comparison import ComparisonData, read_cells, run, run_comparison
from monai_coat.data import write_synthetic_dataset


@pytest.fixture
def results(tiny, tmp_path):
    return run_comparison(ComparisonData(tiny(), tmp_path / "out"))


@pytest.fixture
def ran(monkeypatch):
    """The methods that are run from now on."""
    methods, result_of_cell = [], run.result_of_cell
    monkeypatch.setattr(
        run, "result_of_cell", lambda cell, data: methods.append(cell.method) or result_of_cell(cell, data)
    )
    return methods


def test_finished_cells_are_not_run_again(tiny, tmp_path, results, ran):
    assert run_comparison(ComparisonData(tiny(), tmp_path / "out")) == results
    assert read_cells(ComparisonData(tiny(), tmp_path / "out")) == results
    assert ran == []


def test_a_changed_method_is_run_again_and_the_others_are_not(tiny, tmp_path, results, ran):
    methods = {**tiny().methods, "MEG": {"fit": "meg", "members": 3, "width": 8}}
    run_comparison(ComparisonData(tiny(methods=methods), tmp_path / "out"))
    assert ran == ["MEG"]


def test_the_log_says_what_is_done_and_how_long_the_rest_takes(tiny, tmp_path, caplog):
    caplog.set_level("INFO", "monai_coat")
    run_comparison(ComparisonData(tiny(), tmp_path / "out"))
    lines = [record.getMessage() for record in caplog.records if record.name == "monai_coat.comparison.run"]
    assert lines[0] == "tiny: 0 of 4 cells are done, 4 to go"
    assert lines[1].startswith("cell 1 of 4: generated-layer-0.2 CRC, gap 0.")
    assert all(line.endswith(" s left") for line in lines[1:])
    assert lines[4].endswith("about 0 s left")


def test_a_half_written_cell_is_named(tiny, tmp_path, results):
    path = next((tmp_path / "out" / "cells").glob("*/CRC.json"))
    path.write_text('{"digest":')
    with pytest.raises(ValueError, match=r"a finished cell must be a JSON file.*remove it to have it run again"):
        run_comparison(ComparisonData(tiny(), tmp_path / "out"))


def test_a_killed_comparison_goes_on_where_it_was(tiny, tmp_path):
    tiny()
    command = [sys.executable, "-W", "ignore", "-m", "monai_coat", "compare"]
    command += ["--protocol", str(tmp_path / "tiny.json"), "--output", str(tmp_path / "out")]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    first = tmp_path / "out" / "cells" / "generated-layer-0.2" / "CRC.json"
    deadline = time.monotonic() + 120
    while not first.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").rglob("*.json")}
    assert first in before
    run_comparison(ComparisonData(tiny(), tmp_path / "out"))
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").rglob("*.json")}
    assert len(after) == 4
    assert all(after[path] == stamp for path, stamp in before.items())
    assert not list((tmp_path / "out" / "cells").rglob("*.tmp"))


def test_quick_makes_tables_and_figures(tmp_path, capsys):
    assert main(["compare", "--quick", "--output", str(tmp_path)]) == 0
    written = capsys.readouterr().out.split()
    files = {"results.json", "tables.md", "gaps.tex"}
    files |= {"gap_against_size.png", "losses.png", "image_coverage.png", "curves.png", "images_generated.png"}
    assert files == {path.rpartition("/")[2] for path in written}
    results = json.loads((tmp_path / "results.json").read_text())
    assert len(results) == 30
    assert len(results[0]["splits"]["coverage_gap"]) == 5
    table = (tmp_path / "tables.md").read_text()
    assert "CRC's" in table
    for method in ("CRC", "AA-CRC", "SACP, adapted", "CRA", "CCRA-S", "ReCIRC", "AT", "COAT", "MEG", "oracle"):
        assert f"| {method} |" in table
    assert len(list(tmp_path.glob("cells/*/*.json"))) == 2 * 15


@pytest.fixture
def predictions(tmp_path):
    """Somebody's maps: blurred masks with noise, and the masks, of which there are more."""
    write_synthetic_dataset(tmp_path, count=130, spatial_size=(32, 32))
    (tmp_path / "maps").mkdir()
    generator = np.random.default_rng(0)
    for path in sorted((tmp_path / "synthetic/masks").iterdir())[:120]:
        mask = np.asarray(Image.open(path)) / 255
        noisy = np.clip(0.7 * mask + 0.5 * generator.random(mask.shape) * generator.random(), 0, 1)
        Image.fromarray((255 * noisy).astype(np.uint8)).save(tmp_path / "maps" / path.name)
    return tmp_path


def test_predictions_of_one_s_own_need_no_segmenter(predictions, tiny):
    arguments = ["--probs", str(predictions / "maps"), "--labels", str(predictions / "synthetic/masks")]
    # The protocol "predictions", smaller.
    methods = {"CRC": {"fit": "crc"}, "AA-CRC, exact": {"fit": "aa_crc", "form": "exact"}, "MEG": {"fit": "meg"}}
    tiny(methods=methods, repeats=2, fractions=[0, 0.5, 0.25, 0.25])
    arguments += ["--protocol", str(predictions / "tiny.json")]
    assert main(["compare", *arguments, "--output", str(predictions / "out")]) == 0
    table = (predictions / "out/tables.md").read_text()
    assert "### yours, saved maps, alpha 0.2" in table
    assert "| AA-CRC, exact |" in table
    assert not (predictions / "out/segmenters").exists()


def test_a_map_without_a_mask_is_named(predictions, capsys):
    shutil.move(sorted((predictions / "synthetic/masks").iterdir())[3], predictions / "away.png")
    arguments = ["--probs", str(predictions / "maps"), "--labels", str(predictions / "synthetic/masks")]
    with pytest.raises(SystemExit):
        main(["compare", *arguments, "--output", str(predictions / "out")])
    assert "labels must hold a file for every map in probs, got none for 'synthetic_0003'" in capsys.readouterr().err


def test_real_data_without_its_folder_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("COAT_DATA_DIR", raising=False)
    with pytest.raises(SystemExit):
        main(["compare", "--protocol", "paper", "--output", str(tmp_path)])
    assert "COAT_DATA_DIR must name the folder of the data collection" in capsys.readouterr().err


@pytest.mark.parametrize("changed", ["masks", "maps"])
def test_a_table_is_of_the_files_that_are_there_now(tiny, tmp_path, write_maps, changed):
    """A folder that was repaired, or overwritten by another network, gave the table of the files before."""
    folder = write_maps(60)
    tiny(
        methods={"CRC": {"fit": "crc"}, "MEG": {"fit": "meg", "members": 2, "width": 8}}, fractions=[0, 0.5, 0.25, 0.25]
    )
    arguments = ["compare", "--protocol", str(tmp_path / "tiny.json"), "--output", str(tmp_path / "out")]
    arguments += ["--probs", str(folder / "maps"), "--labels", str(folder / "masks")]
    tables = []
    for change in (False, True, False):
        if change:
            kept = {path: path.read_bytes() for path in (folder / changed).iterdir()}
            write_maps(60, shrink=2)
            for path in (folder / "maps").iterdir() if changed == "maps" else ():
                Image.open(path).transpose(Image.Transpose.TRANSPOSE).save(path)
            assert kept != {path: path.read_bytes() for path in (folder / changed).iterdir()}
        assert main(arguments) == 0
        tables.append((tmp_path / "out" / "tables.md").read_text())
    assert tables[0] != tables[1] == tables[2]


def test_the_name_before_is_still_accepted_and_not_listed(capsys, tmp_path):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert "compare" in text
    assert "benchmark" not in text
    with pytest.raises(SystemExit):
        main(["benchmark", "--protocol", "absent", "--output", str(tmp_path)])
    assert "protocol must be a JSON file or one of paper" in capsys.readouterr().err
