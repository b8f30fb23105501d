# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The command, as a user types it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from monai_coat.cli import main
from monai_coat.data import write_synthetic_dataset


def test_quick_makes_tables_and_figures(tmp_path, capsys):
    assert main(["benchmark", "--quick", "--output", str(tmp_path)]) == 0
    written = capsys.readouterr().out.split()
    files = {"results.json", "tables.md", "gaps.tex"}
    files |= {"gap_against_size.png", "losses.png", "image_coverage.png", "curves.png", "images_generated.png"}
    assert files == {path.rpartition("/")[2] for path in written}
    results = json.loads((tmp_path / "results.json").read_text())
    assert len(results) == 30
    assert len(results[0]["splits"]["coverage_gap"]) == 5
    table = (tmp_path / "tables.md").read_text()
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
    tiny(methods=methods, rounds=2, fractions=[0, 0.5, 0.25, 0.25])
    arguments += ["--protocol", str(predictions / "tiny.json")]
    assert main(["benchmark", *arguments, "--output", str(predictions / "out")]) == 0
    table = (predictions / "out/tables.md").read_text()
    assert "### yours, saved maps, alpha 0.2" in table
    assert "| AA-CRC, exact |" in table
    assert not (predictions / "out/segmenters").exists()


def test_a_map_without_a_mask_is_named(predictions, capsys):
    shutil.move(sorted((predictions / "synthetic/masks").iterdir())[3], predictions / "away.png")
    arguments = ["--probs", str(predictions / "maps"), "--labels", str(predictions / "synthetic/masks")]
    with pytest.raises(SystemExit):
        main(["benchmark", *arguments, "--output", str(predictions / "out")])
    assert "labels must hold a file for every map in probs, got none for 'synthetic_0003'" in capsys.readouterr().err


def test_real_data_without_its_folder_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("COAT_DATA_DIR", raising=False)
    with pytest.raises(SystemExit):
        main(["benchmark", "--protocol", "paper", "--output", str(tmp_path)])
    assert "COAT_DATA_DIR must name the folder of the data collection" in capsys.readouterr().err
