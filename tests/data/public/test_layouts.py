# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Public data sets as their publishers pack them, imitated with tiny files."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import monai.apps.utils
import pytest
from PIL import Image

from monai_coat.data import LAYOUTS, check_readable, download_dataset, partition, read_layout
from monai_coat.data.public.layouts import Archive, FrameRuns, NamePart, Place, VideoFrames

# Data set, files, and what is expected: id without its source, group without its source, source.
CASES = [
    (
        "Kvasir-SEG",
        ["images/cju0.jpg", "images/cju1.jpg", "masks/cju0.jpg", "masks/cju1.jpg"],
        [("cju0", "cju0", "Kvasir-SEG"), ("cju1", "cju1", "Kvasir-SEG")],
    ),
    (
        "Kvasir-SEG",
        ["Kvasir-SEG/images/cju0.jpg", "Kvasir-SEG/masks/cju0.jpg"],
        [("cju0", "cju0", "Kvasir-SEG")],
    ),
    (
        "CVC-ClinicDB",
        [f"{folder}/{frame}.tif" for folder in ("Original", "Ground Truth") for frame in (25, 26, 612)],
        [("25", "video01", "CVC-ClinicDB"), ("26", "video02", "CVC-ClinicDB"), ("612", "video29", "CVC-ClinicDB")],
    ),
    (
        "CVC-ColonDB",
        [f"images/{frame}.tiff" for frame in (38, 39, 300, 301)]
        + [f"masks/{prefix}{frame}.tiff" for prefix in ("p", "cp") for frame in (38, 39, 300, 301)],
        [
            ("300", "video15", "CVC-ColonDB"),
            ("301", "video04", "CVC-ColonDB"),
            ("38", "video01", "CVC-ColonDB"),
            ("39", "video02", "CVC-ColonDB"),
        ],
    ),
    ("CVC-ColonDB", ["images/77.png", "masks/77.png"], [("77", "video05", "CVC-ColonDB")]),
    ("ETIS-Larib", ["images/1.png", "masks/1.png"], [("1", "1", "ETIS-Larib")]),
    (
        "ETIS-Larib",
        ["ETIS-LaribPolypDB/1.tif", "ETIS-LaribPolypDB/2.tif", "Ground Truth/p1.tif", "Ground Truth/p2.tif"],
        [("1", "1", "ETIS-Larib"), ("2", "2", "ETIS-Larib")],
    ),
    (
        "PolypGen",
        [
            "data_C1/images_C1/102OLCV1_100H0006.jpg",
            "data_C1/masks_C1/102OLCV1_100H0006_mask.jpg",
            "data_C1/images_C1/100H0050.jpg",
            "data_C1/masks_C1/100H0050_mask.jpg",
            "data_C3/images_C3/C3_EndoCV2021_0029.jpg",
            "data_C3/masks_C3/C3_EndoCV2021_0029_mask.jpg",
            "data_C3/images_C3/C3_EndoCV2021_00489_.jpg",  # so in the original
            "data_C3/masks_C3/C3_EndoCV2021_00489_mask.jpg",
            "data_C4/images_C4/12_endocv2021_positive_895.jpg",
            "data_C4/masks_C4/12_endocv2021_positive_895_mask.jpg",
        ],
        [
            ("100H0050", "100H0050", "PolypGen-C1"),
            ("102OLCV1_100H0006", "102OLCV1", "PolypGen-C1"),
            ("C3_EndoCV2021_0029", "C3_EndoCV2021_0029", "PolypGen-C3"),
            ("C3_EndoCV2021_00489_", "C3_EndoCV2021_00489_", "PolypGen-C3"),
            ("12_endocv2021_positive_895", "12", "PolypGen-C4"),
        ],
    ),
    (
        "ISIC-2016",
        [
            "ISBI2016_ISIC_Part1_Training_Data/ISIC_0000000.jpg",
            "ISBI2016_ISIC_Part1_Training_GroundTruth/ISIC_0000000_Segmentation.png",
            "ISBI2016_ISIC_Part1_Test_Data/ISIC_0000003.jpg",
            "ISBI2016_ISIC_Part1_Test_GroundTruth/ISIC_0000003_Segmentation.png",
        ],
        [("ISIC_0000000", "ISIC_0000000", "ISIC-2016-train"), ("ISIC_0000003", "ISIC_0000003", "ISIC-2016-test")],
    ),
    (
        "ISIC-2017",
        [
            "ISIC-2017_Training_Data/ISIC_0000000.jpg",
            "ISIC-2017_Training_Data/ISIC_0000000_superpixels.png",
            "ISIC-2017_Training_Part1_GroundTruth/ISIC_0000000_segmentation.png",
        ],
        [("ISIC_0000000", "ISIC_0000000", "ISIC-2017-train")],
    ),
    (
        "ISIC-2018",
        [
            "ISIC2018_Task1-2_Training_Input/ISIC_0000000.jpg",
            "ISIC2018_Task1_Training_GroundTruth/ISIC_0000000_segmentation.png",
            "ISIC2018_Task1-2_Validation_Input/ISIC_0012255.jpg",
            "ISIC2018_Task1_Validation_GroundTruth/ISIC_0012255_segmentation.png",
        ],
        [("ISIC_0000000", "ISIC_0000000", "ISIC-2018-train"), ("ISIC_0012255", "ISIC_0012255", "ISIC-2018-val")],
    ),
    (
        "FireSeg",
        [
            *(f"images_prepped_train/img({i}).jpg" for i in (1, 30, 31)),
            *(f"annotations_prepped_train/img({i}).png" for i in (1, 30, 31)),
            *(f"annotations_binary_train/img({i}).png" for i in (1, 30, 31)),
            "images_prepped_test/img(11).jpg",
            "annotations_binary_test/img(11).png",
        ],
        [
            ("img(1)", "run01", "FireSeg-train"),
            ("img(30)", "run01", "FireSeg-train"),
            ("img(31)", "run02", "FireSeg-train"),
            ("img(11)", "run02", "FireSeg-test"),
        ],
    ),
    ("FireSeg", ["images/frame60.jpg", "masks/frame60.png"], [("frame60", "run02", "FireSeg")]),
]


def write(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 3)).save(root / name)
    return root


@pytest.mark.parametrize(("name", "files", "expected"), CASES)
def test_every_layout_is_read(tmp_path: Path, name: str, files: list[str], expected: list[tuple[str, str, str]]):
    samples = read_layout(write(tmp_path, *files), name)
    assert [(s["id"], s["group"], s["source"]) for s in samples] == [
        (f"{source}_{stem}", f"{source}_{group}", source) for stem, group, source in expected
    ]
    for sample, (stem, _, _) in zip(samples, expected, strict=True):
        assert set(sample) == {"id", "image", "label", "group", "source"}
        assert Path(sample["image"]).stem == stem
        assert stem in Path(sample["label"]).stem
        assert Path(sample["image"]).parent != Path(sample["label"]).parent
    check_readable(samples)


def test_of_two_kinds_of_masks_the_original_ones_are_read(tmp_path: Path):
    write(tmp_path, *next(files for name, files, _ in CASES if name == "FireSeg"))
    assert {Path(s["label"]).parent.name for s in read_layout(tmp_path, "FireSeg")} == {
        "annotations_prepped_train",
        "annotations_binary_test",
    }


def test_every_layout_is_complete_and_has_a_case():
    assert {name for name, _, _ in CASES} == set(LAYOUTS)
    for name, layout in LAYOUTS.items():
        assert name == layout.name
        assert layout.domain in {"polyp", "skin", "fire"}
        assert layout.home.startswith("http")
        assert layout.terms
        for archive in (archive for place in layout.places for archive in place.archives):
            assert archive.address.startswith("https://")
            assert archive.address.endswith(".zip")
            assert archive.checksum is None or len(archive.checksum) in (32, 64)  # MD5, SHA-256


def test_videos_of_the_frames_are_all_known():
    for name, frames, videos in (("CVC-ClinicDB", 612, 29), ("CVC-ColonDB", 380, 15)):
        rule = LAYOUTS[name].places[0].group
        assert {rule(str(frame)) for frame in range(1, frames + 1)} == {f"video{k:02}" for k in range(1, videos + 1)}
        for wrong in ("0", str(frames + 1)):
            with pytest.raises(ValueError, match=rf"frames must have a number from 1 to {frames}, got '{wrong}'"):
                rule(wrong)


def test_group_rules():
    rule = VideoFrames(((7, 3), (2, 5)))
    assert [rule(f"f2_{k}") for k in (1, 3, 4, 5)] == ["video07", "video07", "video02", "video02"]
    assert [FrameRuns(10)(f"img({k})") for k in (1, 10, 11)] == ["run01", "run01", "run02"]
    assert [NamePart(r"\d+(?=_a)")(stem) for stem in ("12_a3", "b12_a3")] == ["12", "b12_a3"]
    with pytest.raises(ValueError, match=r"frames must have a number in their name, got 'img'"):
        FrameRuns(10)("img")


def test_sources_select_and_must_be_there(tmp_path: Path):
    (_, files, _) = next(case for case in CASES if case[0] == "PolypGen")
    write(tmp_path, *files)
    assert {s["source"] for s in read_layout(tmp_path, "PolypGen", ["PolypGen-C1", "PolypGen-C3"])} == {
        "PolypGen-C1",
        "PolypGen-C3",
    }
    assert len(read_layout(tmp_path, "PolypGen", "PolypGen-C4")) == 1
    with pytest.raises(FileNotFoundError, match=r"root must hold the folders 'data_C2/images_C2' and .*lacks them"):
        read_layout(tmp_path, "PolypGen", ["PolypGen-C1", "PolypGen-C2"])
    for wrong in ("PolypGen-C7", []):
        with pytest.raises(ValueError, match=r"sources must be among those of PolypGen, got .*; there is: PolypGen-C1"):
            read_layout(tmp_path, "PolypGen", wrong)


def test_unknown_data_sets_are_refused(tmp_path: Path):
    for call in (read_layout, lambda root, name: download_dataset(name, root)):
        with pytest.raises(ValueError, match=r"name must be one of 'Kvasir-SEG', .*'FireSeg', got 'Kvasir'"):
            call(tmp_path, "Kvasir")


def test_missing_folders_are_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"root must be a folder, got .*nowhere, which does not exist"):
        read_layout(tmp_path / "nowhere", "Kvasir-SEG")
    with pytest.raises(FileNotFoundError, match=r"'Original' and 'Ground Truth' of CVC-ClinicDB, .*lacks them; .*http"):
        read_layout(tmp_path, "CVC-ClinicDB")
    write(tmp_path, "data_C1/images_C1/a.jpg", "data_C1/masks_C1/a_mask.jpg", "data_C2/images_C2/b.jpg")
    with pytest.raises(FileNotFoundError, match=r"'data_C2/masks_C2' of PolypGen, .*lacks the masks"):
        read_layout(tmp_path, "PolypGen")


def test_files_that_do_not_fit_are_named(tmp_path: Path):
    write(tmp_path / "a", "images/1.png", "images/2.png", "masks/p1.png")
    with pytest.raises(
        FileNotFoundError, match=r"counterpart of every image, got none for .*2\.png .*looked for 2, p2"
    ):
        read_layout(tmp_path / "a", "ETIS-Larib")
    write(tmp_path / "b", "images/1.png", "masks/1.png", "masks/2.png")
    with pytest.raises(FileNotFoundError, match=r"counterpart of every mask, got none for .*2\.png \(1 of 2 without\)"):
        read_layout(tmp_path / "b", "ETIS-Larib")
    write(tmp_path / "c", "images/1.png", "masks/1.png", "masks/p1.png")
    with pytest.raises(ValueError, match=r"masks must have one file per image, got 1\.png and p1\.png for 1\.png"):
        read_layout(tmp_path / "c", "ETIS-Larib")
    write(tmp_path / "d", "images/1.png", "images/1.jpg", "masks/1.png")
    with pytest.raises(ValueError, match=r"images must have one file per name, got 1\.jpg and 1\.png"):
        read_layout(tmp_path / "d", "ETIS-Larib")
    write(tmp_path / "e", "Original/613.tif", "Ground Truth/613.tif")
    with pytest.raises(ValueError, match=r"frames must have a number from 1 to 612, got '613'"):
        read_layout(tmp_path / "e", "CVC-ClinicDB")


def test_lists_of_several_data_sets_can_be_divided_together(tmp_path: Path):
    for frame in range(1, 400, 40):
        write(tmp_path / "clinic", f"Original/{frame}.tif", f"Ground Truth/{frame}.tif")
        write(tmp_path / "etis", f"images/{frame}.png", f"masks/{frame}.png")
    samples = read_layout(tmp_path / "clinic", "CVC-ClinicDB") + read_layout(tmp_path / "etis", "ETIS-Larib")
    assert len(partition(samples).part("base_train")) > 0


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set 'Tiny' whose two zip files are published in a folder of this machine."""
    archives = []
    for folder, file in (("Tiny_Data", "a.png"), ("Tiny_Masks", "a_mask.png")):
        write(tmp_path / "made", f"{folder}/{file}")
        path = tmp_path / f"{folder}.zip"
        with zipfile.ZipFile(path, "w") as zipped:
            zipped.write(tmp_path / "made" / folder / file, f"{folder}/{file}")
        kind = "md5" if folder == "Tiny_Data" else "sha256"
        digest = hashlib.new(kind, path.read_bytes(), usedforsecurity=False).hexdigest()
        archives.append(Archive(path.as_uri(), folder, digest))
    place = Place("Tiny", "Tiny_Data", "Tiny_Masks", archives=tuple(archives))
    layout = replace(LAYOUTS["PolypGen"], name="Tiny", places=(place,))
    monkeypatch.setitem(LAYOUTS, "Tiny", layout)
    return tmp_path


def test_a_download_is_unpacked_once(published: Path, monkeypatch: pytest.MonkeyPatch):
    root = published / "new" / "root"
    samples = download_dataset("Tiny", root)
    assert [sample["id"] for sample in samples] == ["Tiny_a"]
    check_readable(samples)
    assert sorted(path.name for path in root.iterdir()) == ["Tiny_Data", "Tiny_Masks"]
    monkeypatch.setattr(monai.apps.utils, "download_url", None)  # would fail if it were called
    assert download_dataset("Tiny", root) == samples
    (root / "Tiny_Masks" / "a_mask.png").unlink()
    with pytest.raises(FileNotFoundError):
        download_dataset("Tiny", root)


def test_a_failed_download_leaves_nothing_and_can_be_repeated(published: Path):
    (published / "Tiny_Masks.zip").rename(published / "later.zip")
    root = published / "root"
    with pytest.raises(OSError, match="Tiny_Masks"):
        download_dataset("Tiny", root)
    assert [path.name for path in root.iterdir()] == ["Tiny_Data"]
    (published / "later.zip").rename(published / "Tiny_Masks.zip")
    assert len(download_dataset("Tiny", root)) == 1


def test_a_changed_archive_is_refused(published: Path, monkeypatch: pytest.MonkeyPatch):
    (place,) = LAYOUTS["Tiny"].places
    archive = place.archives[0]
    no_folder = r"address must be an archive with the folder 'Other'"
    changed = {"hash check": replace(archive, checksum="0" * 32), no_folder: replace(archive, folder="Other")}
    for error, archive in changed.items():
        layout = replace(LAYOUTS["Tiny"], places=(replace(place, archives=(archive,)),))
        monkeypatch.setitem(LAYOUTS, "Tiny", layout)
        with pytest.raises(ValueError, match=error):
            download_dataset("Tiny", published / "root")
        assert list((published / "root").iterdir()) == []


def test_data_sets_without_a_public_address_say_where_to_ask(tmp_path: Path):
    for name in ("CVC-ClinicDB", "CVC-ColonDB", "ETIS-Larib", "PolypGen", "FireSeg"):
        with pytest.raises(ValueError, match=rf"got '{name}'; ask for it at {LAYOUTS[name].home}"):
            download_dataset(name, tmp_path / "root")
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("name", ["Kvasir-SEG", "ISIC-2016", "ISIC-2017", "ISIC-2018"])
def test_public_archives_are_asked_for_by_their_addresses(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def stop(url: str, *_: object, **__: object) -> None:
        asked.append(url)
        raise OSError("no network in tests")

    monkeypatch.setattr(monai.apps.utils, "download_url", stop)
    with pytest.raises(OSError, match="no network"):
        download_dataset(name, tmp_path / "root")
    assert asked == [LAYOUTS[name].places[0].archives[0].address]
