# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Hostile maps and masks for the command ``calibrate``: one sentence with the file's name, and exit code 2."""

from __future__ import annotations

import gzip
import io
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib

import nibabel
import numpy as np
import pytest
from PIL import Image

from monai_coat.cli.main import main
from monai_coat.data import read_mask

SIZE = (6, 4)


class Opened:
    """A pickle that writes a file when it is read."""

    def __reduce__(self):
        return (open, ("ran", "w"))


def grey(mode="L", size=SIZE, dtype=np.uint8, top=255):
    values = (np.arange(size[0] * size[1]).reshape(size) % 2 * top).astype(dtype)
    return Image.fromarray(values) if mode is None else Image.fromarray(values).convert(mode)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width=4, height=6, bits=8, colour=0, data=b"\0" * 5 * 6, extra=b""):
    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def nifti(shape=(6, 4, 2), dtype=np.uint8, values=None, **header):
    """The bytes of a NIfTI file with other numbers in its header."""
    array = np.zeros(shape if np.prod(shape) < 10**6 else (1,), dtype) if values is None else values
    image = nibabel.Nifti1Image(array, np.eye(4))
    if np.prod(shape, dtype=float) >= 10**6:
        image.header["dim"][: len(shape) + 1] = [len(shape), *shape]
    image.header["vox_offset"] = 352
    for name, value in header.items():
        image.header[name] = value
    return image.header.binaryblock + b"\0" * 4 + array.tobytes(order="F")


def pickled(path):
    with path.open("wb") as file:
        np.save(file, np.array([Opened()], object), allow_pickle=True)


def array_file(save):
    stream = io.BytesIO()
    save(stream, np.zeros(SIZE))
    return stream.getvalue()


def saved(image, **settings):
    return lambda path: image.save(path, **settings)


def content(data):
    return lambda path: path.write_bytes(data)


def pages(path, **settings):
    grey().save(path, save_all=True, append_images=[grey().rotate(180)], **settings)


def with_alpha(mode):
    image = grey().convert(mode)
    image.putalpha(Image.fromarray(np.arange(24, dtype=np.uint8).reshape(SIZE)))
    return image


FLAT = {
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "loop": lambda path: path.symlink_to(path),
    "link to nothing": lambda path: path.symlink_to("gone.png"),
    "link to a folder": lambda path: path.symlink_to("."),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "empty": content(b""),
    "one byte": content(b"\x89"),
    "garbage": content(bytes(range(256)) * 9),
    "zeros": content(bytes(5000)),
    "text": content(b"no image"),
    "HTML": content(b"<html>404</html>"),
    "git-lfs pointer": content(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"),
    "cut in the header": content(png()[:20]),
    "cut in the data": content(png(data=os.urandom(30))[:60]),
    "cut at the end": lambda path: path.write_bytes(png(64, 64, data=os.urandom(65 * 64))[:-600]),
    "a flipped bit": lambda path: path.write_bytes(png()[:43] + b"\xff\xff\xff" + png()[46:]),
    "no data": content(png(data=b"")),
    "data too short": content(png(data=bytes(9))),
    "400 megapixels": content(png(20_000, 20_000)),
    "two billion by two billion": content(png(2**31 - 1, 2**31 - 1)),
    "no pixels": content(png(0, 0, data=b"")),
    "17 bits": content(png(bits=17)),
    "a colour type that is none": content(png(colour=5)),
    "text that unpacks to 200 MB": content(png(extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2 * 10**8), 9)))),
    "pickle": pickled,
    "plain pickle": content(b"\x80\x04\x95\x15\0\0\0\0\0\0\0\x8c\x05posix\x94."),
    "NumPy file": lambda path: path.write_bytes(array_file(np.save)),
    "npz file": lambda path: path.write_bytes(array_file(np.savez)),
    "GIF": saved(grey(), format="GIF"),
    "animated GIF": lambda path: pages(path, format="GIF"),
    "animated PNG": lambda path: pages(path, format="PNG"),
    "JPEG": saved(grey(), format="JPEG"),
    "BMP": saved(grey(), format="BMP"),
    "TIFF": saved(grey(), format="TIFF"),
    "WebP": saved(grey("RGB"), format="WebP"),
    "PPM": saved(grey(), format="PPM"),
    "EPS": saved(grey(), format="EPS"),
    "PDF": saved(grey(), format="PDF"),
    "ICO": saved(grey(), format="ICO"),
    "NIfTI": content(nifti()),
    "compressed NIfTI": content(gzip.compress(nifti())),
    "colours": saved(Image.fromarray(np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)), format="PNG"),
    "LA": saved(with_alpha("LA"), format="PNG"),
    "RGBA": saved(with_alpha("RGBA"), format="PNG"),
    "another size": saved(grey(size=(3, 3)), format="PNG"),
    "turned": saved(grey(size=(4, 6)), format="PNG"),
}
TIFF = {
    "several pages": lambda path: pages(path, format="TIFF"),
    "cut short": lambda path: (saved(grey())(path), path.write_bytes(path.read_bytes()[:-30])),
    "PNG": saved(grey(), format="PNG"),
    "NaN": saved(Image.fromarray(np.full(SIZE, np.nan, np.float32))),
    "one NaN": saved(Image.fromarray(np.where(np.arange(24).reshape(SIZE) == 5, np.nan, 1).astype(np.float32))),
    "infinity": saved(Image.fromarray(np.full(SIZE, np.inf, np.float32))),
    "negative": saved(Image.fromarray(np.full(SIZE, -1, np.float32))),
    "logits": saved(Image.fromarray(np.linspace(-9, 9, 24, dtype=np.float32).reshape(SIZE))),
    "32 bits": saved(Image.fromarray(np.full(SIZE, 70_000, np.int32))),
    "pickle": pickled,
    "garbage after the signature": content(b"II*\0" + bytes(range(255))),
    "a directory that leads to itself": content(b"II*\0\x08\0\0\0\x00\x00\x08\0\0\0"),
    "tags beyond the end": content(b"II*\0\x08\0\0\0\xff\xff" + b"\x00\x01\x04\0\xff\xff\xff\x7f\xff\xff\xff\x7f" * 9),
    "400 megapixels": content(
        b"II*\0\x08\0\0\0\x02\0" + b"".join(struct.pack("<HHLL", tag, 4, 1, 20_000) for tag in (256, 257)) + bytes(4)
    ),
}
OTHERS = {
    "a.jpg": {
        "PNG": saved(grey(), format="PNG"),
        "cut short": lambda path: (saved(grey(size=(64, 64)))(path), path.write_bytes(path.read_bytes()[:200])),
    },
    "a.bmp": {
        "PNG": saved(grey(), format="PNG"),
        "cut short": lambda path: (saved(grey())(path), path.write_bytes(path.read_bytes()[:60])),
        "a width of 2^31": content(
            b"BM" + struct.pack("<3LL2l2H6L", 100, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 8, 0, 0, 0, 0, 0, 0)
        ),
    },
}
VOLUMES = {
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "loop": lambda path: path.symlink_to(path),
    "link to nothing": lambda path: path.symlink_to("gone.nii"),
    "empty": content(b""),
    "garbage": content(bytes(range(256)) * 9),
    "PNG": saved(grey(), format="PNG"),
    "pickle": pickled,
    "30000^3 voxels": content(nifti((30_000,) * 3)),
    "2^32 voxels, that is none of 32 bits": content(nifti((32_767, 32_767, 4, 2))),
    "2^29 voxels that are not there": content(nifti((1024, 1024, 512))),
    "no voxels": content(nifti((6, 4, 2))[:42] + b"\0\0" + nifti((6, 4, 2))[44:]),
    "99 axes": content(nifti()[:40] + b"\x63\0" + nifti()[42:]),
    "negative axes": content(nifti()[:42] + b"\xff\xff" + nifti()[44:]),
    "an unknown type": content(nifti(datatype=999)),
    "data far behind the end": content(nifti(vox_offset=1e9)),
    "data before the beginning": content(nifti(vox_offset=-1e9)),
    "data nowhere": content(nifti(vox_offset=np.nan)),
    "cut short": content(nifti()[:-9]),
    "cut in the header": content(nifti()[:100]),
    "NaN": content(nifti(values=np.full((6, 4, 2), np.nan, np.float32))),
    "complex": content(nifti(dtype=np.complex64)),
    "several channels": content(nifti((6, 4, 2, 3))),
    "another size": content(nifti((6, 5, 2))),
    "an affine of zeros": content(nifti(sform_code=1, srow_x=0, srow_y=0, srow_z=0)),
    "an affine of NaN": content(nifti(sform_code=1, srow_x=np.nan)),
    "extensions without an end": content(nifti(vox_offset=100_000)[:348] + b"\1\0\0\0" + b"\xff" * 400),
}
COMPRESSED = {
    "plain": content(nifti()),
    "garbage": content(bytes(range(256)) * 9),
    "cut short": content(gzip.compress(nifti(values=np.arange(48, dtype=np.uint8).reshape(6, 4, 2)))[:-30]),
    "without its end": content(gzip.compress(nifti())[:-8]),
    "a wrong checksum": content(gzip.compress(nifti())[:-8] + bytes(4) + gzip.compress(nifti())[-4:]),
    "30000^3 voxels": content(gzip.compress(nifti((30_000,) * 3))),
    "2^32 bytes that are not there": content(gzip.compress(nifti((32_767, 16_384, 1), datatype=64, bitpix=64))),
    "2^29 voxels that are not there": content(gzip.compress(nifti((1024, 1024, 512)))),
    "2^32 bytes that the end agrees with": content(
        gzip.compress(nifti((1024, 1024, 512), datatype=64, bitpix=64)[:352])
    ),
    "gzip of gzip": content(gzip.compress(gzip.compress(nifti()))),
    "zip": content(b"PK\3\4" + bytes(400)),
    "only a gzip header": content(gzip.compress(b"")[:10]),
    "2 GB of zeros": lambda path: path.write_bytes(gzip.compress(bytes(2**21)) * 1024),
}
CASES = [("a.png", name) for name in FLAT] + [("a.tif", name) for name in TIFF]
CASES += [(file, name) for file, cases in OTHERS.items() for name in cases]
CASES += [("a.nii", name) for name in VOLUMES] + [("a.nii.gz", name) for name in COMPRESSED]
WRITERS = {"a.png": FLAT, "a.tif": TIFF, "a.nii": VOLUMES, "a.nii.gz": COMPRESSED} | OTHERS


def good_files(folder, ending, count=5):
    """Good maps and masks, flat or volumes."""
    for place in ("probs", "labels"):
        (folder / place).mkdir()
        for number in range(count):
            path, generator = folder / place / f"{number}.{ending}", np.random.default_rng(number)
            if ending == "nii":
                path.write_bytes(nifti(values=generator.integers(0, 2, (6, 4, 2)).astype(np.uint8)))
            else:
                values = generator.integers(0, 2, SIZE).astype(np.uint8) * 255
                Image.fromarray(values // (1 if place == "labels" else 2)).save(path, "PNG")


def calibration_with(folder, place, file, name):
    """Arguments of the command for good files and a hostile one with its good counterpart."""
    ending = "nii" if file.startswith("a.nii") else "png"
    good_files(folder, ending)
    other = folder / ("labels" if place == "probs" else "probs")
    (other / f"a.{ending}").write_bytes((other / f"0.{ending}").read_bytes())
    WRITERS[file][name](folder / place / file)
    paths = {"--probs": "probs", "--labels": "labels", "--output": "c.json"}
    return ["calibrate", "--alpha", "0.2", *(str(word) for key, path in paths.items() for word in (key, folder / path))]


@pytest.mark.parametrize("place", ["probs", "labels"])
@pytest.mark.parametrize(("file", "name"), CASES, ids=str)
def test_a_hostile_file_is_named_in_one_sentence(tmp_path, monkeypatch, capsys, place, file, name):
    monkeypatch.chdir(tmp_path)  # where a pickle that is run leaves its trace
    with pytest.raises(SystemExit) as caught:
        main(calibration_with(tmp_path, place, file, name))
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert file in said
    assert "Traceback" not in said
    assert not (tmp_path / "c.json").exists()
    assert not (tmp_path / "ran").exists()


BOMBS = [("a.png", name) for name in ("400 megapixels", "two billion by two billion", "text that unpacks to 200 MB")]
BOMBS += [("a.nii", name) for name in VOLUMES if "2^" in name or "^3" in name or "data " in name]
BOMBS += [("a.nii.gz", name) for name in COMPRESSED if "2^" in name or "^3" in name or "2 GB" in name]
BOUNDED = """
import resource, sys
from pathlib import Path
from monai_coat.cli.main import main
from tests.data.test_hostile_maps import BOMBS, calibration_with
ready = [calibration_with(Path(sys.argv[1], str(k)), "probs", *case) for k, case in enumerate(BOMBS)]
for case in (0, -1):  # so that everything is imported
    try:
        main(ready[case])
    except SystemExit:
        pass
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**28,) * 2)
for arguments in ready:
    try:
        main(arguments)
    except SystemExit as stopped:
        print(stopped.code)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
def test_no_file_gets_the_memory_that_it_asks_for(tmp_path, pytestconfig):
    """A process that may take 256 MiB more than it has."""
    for number in range(len(BOMBS)):
        (tmp_path / str(number)).mkdir()
    command = [sys.executable, "-W", "ignore", "-c", BOUNDED, str(tmp_path)]
    done = subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2"] * len(BOMBS)
    assert "allocate" not in done.stderr
    assert "Memory" not in done.stderr


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_threshold_that_is_no_number_is_refused(tmp_path, capsys, value):
    good_files(tmp_path, "png")
    with pytest.raises(SystemExit):
        main(
            ["calibrate", "--probs", f"{tmp_path}/probs", "--labels", f"{tmp_path}/labels", f"--mask-threshold={value}"]
        )
    assert f"threshold must be a finite number, got {value}" in capsys.readouterr().err


def test_a_mask_with_nan_is_refused_though_a_threshold_is_given(tmp_path, capsys):
    arguments = calibration_with(tmp_path, "labels", "a.tif", "one NaN")
    with pytest.raises(SystemExit):
        main([*arguments, "--mask-threshold", "0.5"])
    assert "mask must have finite values, got 1 that are not in" in capsys.readouterr().err


def test_files_that_are_no_images_are_counted_in_the_log(tmp_path, caplog):
    good_files(tmp_path, "png")
    (tmp_path / "probs" / "notes.txt").write_text("")
    (tmp_path / "probs" / "older").mkdir()
    arguments = ["--probs", f"{tmp_path}/probs", "--labels", f"{tmp_path}/labels", "--output", f"{tmp_path}/c.json"]
    with caplog.at_level("INFO"):
        assert main(["calibrate", "--alpha", "0.4", *arguments]) == 0
    assert "probs: 2 entries without the ending of an image passed over" in caplog.text
    assert "n = 5" in caplog.text


def test_what_follows_a_volume_is_not_unpacked(tmp_path):
    """The header says what belongs to it; two gigabytes of zeros behind that stay where they are."""
    values = np.arange(48).reshape(6, 4, 2) % 2
    whole = nifti(values=values.astype(np.uint8))
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(whole) + gzip.compress(bytes(2**21)) * 1024)
    tracemalloc.start()
    mask = read_mask(tmp_path / "a.nii.gz")
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()
    assert np.array_equal(mask[0].numpy(), values == 1)


@pytest.mark.parametrize(("shape", "message"), [((1024, 1024, 512), "it ends after"), ((1024, 1024, 513), "more than")])
def test_how_many_voxels_a_volume_may_have_is_looked_at_first(tmp_path, shape, message):
    (tmp_path / "a.nii").write_bytes(nifti(shape))
    with pytest.raises(ValueError, match=message):
        read_mask(tmp_path / "a.nii")
