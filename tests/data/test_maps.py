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
from monai_coat.data import calibrate_saved_maps, map_datalist, read_map
from monai_coat.transforms import ConformalMask


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
    maps, masks = [m.double() / 255 for m in arrays(folders, "maps")], [m > 127 for m in arrays(folders, "masks")]
    found = calibrate_saved_maps(map_datalist(folders / "maps", folders / "masks"), alpha=0.2)
    assert found == calibrate_maps(maps, masks, alpha=0.2)
    assert (found.n, found.n_empty) == ((39,), (1,))


def test_the_command_writes_the_calibration_and_says_where_to_cut(folders, capsys, caplog):
    arguments = ["--probs", str(folders / "maps"), "--labels", str(folders / "masks"), "--alpha", "0.2"]
    with caplog.at_level("INFO"):
        assert main(["calibrate", *arguments, "--output", str(folders / "c.json")]) == 0
    assert capsys.readouterr().out == f"{folders / 'c.json'}\n{folders / 'c.scorer.pt'}\n"
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
        values = np.full((3, 3, 3), 2.5 if name == "maps" else 1, np.float32)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / name / "a.nii")
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


PROBS = (np.arange(12).reshape(3, 4) / 11).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "scale", "dtype"),
    [("a.png", 255, np.uint8), ("a.png", 65535, np.uint16), ("a.tif", 65535, np.uint16), ("a.tif", 1, np.float32)],
)
def test_the_largest_whole_number_is_one(tmp_path, name, scale, dtype):
    values = (PROBS * scale).round().astype(dtype) if scale > 1 else PROBS
    Image.fromarray(values).save(tmp_path / name)
    found = read_map(tmp_path / name)[0].numpy().T
    assert np.allclose(found, PROBS, atol=0.5 / scale if scale > 1 else 0)
    exact = values.astype(np.float64) / scale
    assert (found <= exact).all()
    assert (np.nextafter(found, np.float32(2)) > exact).all()


@pytest.mark.parametrize(("dtype", "scale"), [(np.uint8, 255), (np.uint16, 65535)])
def test_every_grey_value_passes_its_own_cutoff_in_every_precision(tmp_path, dtype, scale):
    """The cutoff is one of the map's values: people divide by 255 in double or in single precision."""
    values = np.arange(scale + 1).astype(dtype).reshape(16, -1)
    Image.fromarray(values).save(tmp_path / "a.png")
    cutoffs = read_map(tmp_path / "a.png")[0].numpy().T
    assert (values.astype(np.float64) / scale >= cutoffs.astype(np.float64)).all()
    assert (values.astype(np.float32) / np.float32(scale) >= cutoffs).all()
    below = np.maximum(values.astype(np.int64) - 1, 0)
    assert (below / scale < cutoffs.astype(np.float64))[values > 0].all()


@pytest.mark.parametrize("grey", [1, 60, 120, 254])
def test_the_cutoff_of_maps_of_bytes_keeps_the_promise_on_maps_in_double_precision(tmp_path, caplog, grey):
    """Nineteen maps of one grey value: the mask must have all of it, and the printed value is this one."""
    for name in ("maps", "masks"):
        (tmp_path / name).mkdir()
    mask = np.zeros((8, 8), np.uint8)
    mask[2:5, 2:5] = 255
    probs = np.where(mask > 0, grey, 0).astype(np.uint8)
    probs[0, 0] = 255
    for number in range(19):
        probs[7, 7] = number  # copies would be refused
        Image.fromarray(probs).save(tmp_path / f"maps/{number}.png")
        Image.fromarray(mask).save(tmp_path / f"masks/{number}.png")
    arguments = ["--probs", str(tmp_path / "maps"), "--labels", str(tmp_path / "masks")]
    with caplog.at_level("INFO"):
        main(["calibrate", *arguments, "--output", str(tmp_path / "c.json")])
    assert f"8-bit values >= {grey})" in caplog.text
    for scores in (probs[None] / 255, (probs[None] / 255).astype(np.float32)):
        assert ConformalMask(tmp_path / "c.json")(scores)[0].numpy()[mask > 0].all()


@pytest.mark.parametrize("affine", [np.eye(4), np.diag([-1.0, -1.0, 1.0, 1.0])])
@pytest.mark.parametrize("volume", ["maps", "masks"])
def test_a_volume_of_two_axes_beside_a_flat_file_is_refused(tmp_path, volume, affine):
    """Its affine may turn it, and nothing says how the flat file lies."""
    flat = ({"maps", "masks"} - {volume}).pop()
    for name in ("maps", "masks"):
        (tmp_path / name).mkdir()
    nibabel.save(nibabel.Nifti1Image(np.eye(8, dtype=np.float32), affine), tmp_path / volume / "a.nii.gz")
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / flat / "a.png")
    with pytest.raises(ValueError, match=r"must be all volumes or all flat, got .*a\.(png|nii\.gz) beside .*a\."):
        calibrate_saved_maps(map_datalist(tmp_path / "maps", tmp_path / "masks"), 0.5)


@pytest.mark.parametrize("output", ["masks/00.png", "masks/40.png", "maps/00.png", "link.png"])
def test_an_output_that_is_an_input_is_refused(folders, capsys, output):
    (folders / "link.png").symlink_to(folders / "masks/00.png")
    before = (folders / output).read_bytes()
    with pytest.raises(SystemExit):
        main(
            [
                "calibrate",
                "--probs",
                f"{folders}/maps",
                "--labels",
                f"{folders}/masks",
                "--output",
                f"{folders}/{output}",
            ]
        )
    assert "output must be none of the inputs, got" in capsys.readouterr().err
    assert (folders / output).read_bytes() == before


def test_whole_numbers_of_32_bits_are_refused(tmp_path):
    Image.fromarray(np.full((3, 4), 7, np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"map must have 8 or 16 bits, or floats, got .*a\.tif of mode 'I'"):
        read_map(tmp_path / "a.tif")


def test_double_precision_is_rounded_down(tmp_path):
    """Else a voxel that is below the cutoff in the file would be calibrated as if it passed."""
    values = np.full((2, 2, 2), 1 - 1e-12)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    assert bool((read_map(tmp_path / "a.nii") < 1).all())


def test_what_rounding_put_above_one_is_one(tmp_path):
    values = np.full((2, 2, 2), np.nextafter(np.float32(1), np.float32(2)))
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    assert bool((read_map(tmp_path / "a.nii") == 1).all())


@pytest.mark.parametrize("value", [-1e-6, 1.01, np.nan, np.inf])
def test_other_values_are_named_as_they_are(tmp_path, value):
    nibabel.save(nibabel.Nifti1Image(np.full((2, 2, 2), value, np.float32), np.eye(4)), tmp_path / "a.nii")
    message = "be in" if np.isfinite(value) else "have finite values, got 8 that are not in"
    with pytest.raises(ValueError, match=rf"probs must {message}.*a\.nii") as error:
        read_map(tmp_path / "a.nii")
    assert not np.isfinite(value) or f"{np.float32(value):.9g}" in str(error.value)


def test_softmax_maps_of_several_channels_are_named(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.full((4, 5, 6, 3), 0.3, np.float32), np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(ValueError, match=r"map must have one channel, got 3 in .*a\.nii\.gz"):
        read_map(tmp_path / "a.nii.gz")


def test_the_level_is_looked_at_before_the_files(folders):
    (folders / "maps/00.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\), got 20"):
        calibrate_saved_maps(map_datalist(folders / "maps", folders / "masks"), alpha=20)


def test_masks_of_volumes_are_brought_to_their_maps(tmp_path, rng):
    """The cutoff is that of masks stored like the maps."""
    for name in ("maps", "masks", "flipped"):
        (tmp_path / name).mkdir()
    for number in range(12):
        probs = rng.random((5, 4, 3)).astype(np.float32)
        mask = nibabel.Nifti1Image((probs + 0.3 * rng.random(probs.shape) > 0.7).astype(np.uint8), np.eye(4))
        nibabel.save(nibabel.Nifti1Image(probs, np.eye(4)), tmp_path / f"maps/{number}.nii")
        nibabel.save(mask, tmp_path / f"masks/{number}.nii")
        turned = mask.as_reoriented(nibabel.orientations.axcodes2ornt(("S", "L", "A")))
        nibabel.save(turned, tmp_path / f"flipped/{number}.nii")
    like, flipped = (
        calibrate_saved_maps(map_datalist(tmp_path / "maps", tmp_path / name), 0.3) for name in ("masks", "flipped")
    )
    assert like == flipped


def test_the_command_can_be_told_what_foreground_is(folders, capsys):
    for path in (folders / "masks").iterdir():
        Image.fromarray(np.asarray(Image.open(path)) // 255 * 2).save(path)
    arguments = ["calibrate", "--probs", str(folders / "maps"), "--labels", str(folders / "masks"), "--alpha", "0.2"]
    with pytest.raises(SystemExit):
        main([*arguments, "--output", str(folders / "c.json")])
    assert "mask must hold 0 and 1, or 0 and 255, got 0, 2 in" in capsys.readouterr().err
    assert main([*arguments, "--mask-threshold", "2", "--output", str(folders / "c.json")]) == 0
    assert load_calibration(folders / "c.json").n == (39,)


def test_a_folder_of_masks_in_the_place_of_maps_is_refused(folders):
    (folders / "masks/40.png").unlink()
    with pytest.raises(
        ValueError, match=r"scores must have more values than 0 and 1, got masks; .*00\.png and the others"
    ):
        calibrate_saved_maps(map_datalist(folders / "masks", folders / "masks"), alpha=0.2)


@pytest.mark.parametrize(("inverted", "arguments"), [(True, []), (False, ["--mask-threshold", "0"]), (False, [])])
def test_the_command_says_if_everything_is_predicted(folders, caplog, inverted, arguments):
    for path in (folders / "maps").iterdir():
        values = np.where(np.asarray(Image.open(folders / "masks" / path.name)) > 127, 200, 10).astype(np.uint8)
        Image.fromarray(255 - values if inverted else values).save(path)
    arguments = ["--probs", str(folders / "maps"), "--labels", str(folders / "masks"), *arguments, "--alpha", "0.05"]
    main(["calibrate", *arguments, "--output", str(folders / "c.json")])
    assert caplog.text.count("the prediction set is everything") == (inverted or "--mask-threshold" in arguments)


@pytest.mark.parametrize("kinds", [("8",), ("16",), ("float",)])
def test_whole_numbers_are_said_only_of_maps_that_are(folders, caplog, kinds):
    """Rounded to 8 bits, other maps are not what was calibrated; of 16 bits, the numbers are those of 16 bits."""
    for index, path in enumerate(sorted((folders / "maps").iterdir())):
        values, kind = np.asarray(Image.open(path)), kinds[index % len(kinds)]
        if kind == "16":
            Image.fromarray(values.astype(np.uint16) * 257).save(path)
        elif kind == "float":
            path.unlink()
            Image.fromarray(values.astype(np.float32) / 255).save(path.with_suffix(".tiff"))
    arguments = ["--probs", str(folders / "maps"), "--labels", str(folders / "masks"), "--alpha", "0.2"]
    with caplog.at_level("INFO"):
        main(["calibrate", *arguments, "--output", str(folders / "c.json")])
    assert "take probabilities >= 0." in caplog.text
    assert ("(8-bit values" in caplog.text) == (kinds == ("8",))
    assert ("(16-bit values" in caplog.text) == (kinds == ("16",))
