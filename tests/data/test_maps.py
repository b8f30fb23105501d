# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Saved probability maps, calibrated as they lie in their folders."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from monai_coat.calibration import calibrate_maps, load_calibration
from monai_coat.cli.main import main
from monai_coat.data import calibrate_saved_maps, map_datalist


@pytest.fixture
def folders(tmp_path, rng):
    """Forty maps of two sizes with masks, one of them empty, and a mask too many."""
    for name in ("maps", "masks"):
        (tmp_path / name).mkdir()
    for number in range(41):
        size = (12, 9) if number % 2 else (7, 10)
        mask = rng.random(size) < (0.3 if number != 5 else 0.0)
        probs = np.clip(0.6 * mask + 0.5 * rng.random(size), 0, 1)
        Image.fromarray((255 * mask).astype(np.uint8)).save(tmp_path / f"masks/{number:02}.png")
        if number < 40:
            Image.fromarray(np.rint(255 * probs).astype(np.uint8)).save(tmp_path / f"maps/{number:02}.png")
    return tmp_path


def arrays(folder, name):
    return [
        torch.from_numpy(np.asarray(Image.open(path)).copy())[None] for path in sorted((folder / name).iterdir())[:40]
    ]


def test_the_cutoff_is_that_of_the_maps_in_memory(folders):
    maps, masks = [m / 255 for m in arrays(folders, "maps")], [m > 127 for m in arrays(folders, "masks")]
    found = calibrate_saved_maps(map_datalist(folders / "maps", folders / "masks"), alpha=0.2)
    assert found == calibrate_maps(maps, masks, alpha=0.2)
    assert (found.n, found.n_empty) == ((39,), (1,))


def test_the_command_writes_the_calibration_and_says_where_to_cut(folders, capsys, caplog):
    arguments = ["--probs", str(folders / "maps"), "--labels", str(folders / "masks"), "--alpha", "0.2"]
    with caplog.at_level("INFO"):
        assert main(["calibrate", *arguments, "--output", str(folders / "c.json")]) == 0
    assert capsys.readouterr().out == f"{folders / 'c.json'}\n"
    result = load_calibration(folders / "c.json")
    assert result.method == "crc"
    level = int(caplog.text.partition("8-bit values >= ")[2].partition(")")[0])
    assert level / 255 == pytest.approx(result.cutoff[0], abs=1e-6)


def test_volumes_and_masks_of_ones_are_read_as_they_are(tmp_path, rng):
    for name in ("maps", "masks"):
        (tmp_path / name).mkdir()
    maps, masks = [], []
    for number in range(12):
        mask = rng.random((5, 4, 3)) < 0.5
        probs = rng.random((5, 4, 3)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(mask.astype(np.uint8), np.eye(4)), tmp_path / f"masks/{number:02}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(probs, np.eye(4)), tmp_path / f"maps/{number:02}.nii.gz")
        maps.append(torch.from_numpy(probs)[None])
        masks.append(torch.from_numpy(mask)[None])
    found = calibrate_saved_maps(map_datalist(tmp_path / "maps", tmp_path / "masks"), alpha=0.3)
    assert found == calibrate_maps(maps, masks, alpha=0.3)


def test_a_mask_of_another_size_is_named(folders):
    Image.new("L", (4, 4), 255).save(folders / "masks/07.png")
    with pytest.raises(ValueError, match=r"label must have the size of its map, got \(4, 4\) of .*07\.png"):
        calibrate_saved_maps(map_datalist(folders / "maps", folders / "masks"), alpha=0.2)


def test_logits_are_refused(tmp_path):
    for name in ("maps", "masks"):
        (tmp_path / name).mkdir()
        nibabel.save(nibabel.Nifti1Image(np.full((3, 3, 3), 2.5, np.float32), np.eye(4)), tmp_path / name / "a.nii")
    with pytest.raises(ValueError, match=r"probs must be in \[0, 1\].*got 2.5 to 2.5"):
        calibrate_saved_maps(map_datalist(tmp_path / "maps", tmp_path / "masks"), alpha=0.2)


def test_too_few_maps_and_a_map_without_a_mask_are_named(folders, capsys):
    for path in sorted((folders / "maps").iterdir())[3:]:
        path.unlink()
    arguments = ["calibrate", "--probs", str(folders / "maps"), "--labels", str(folders / "masks")]
    with pytest.raises(SystemExit):
        main([*arguments, "--output", str(folders / "c.json")])
    assert "needs at least 9 calibration images with foreground, got 3" in capsys.readouterr().err
    (folders / "masks/01.png").unlink()
    with pytest.raises(FileNotFoundError, match="labels must hold a file for every map in probs, got none for '01'"):
        map_datalist(folders / "maps", folders / "masks")
    assert not (folders / "c.json").exists()
