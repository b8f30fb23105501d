# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from monai_coat.data import (
    drop_duplicates,
    folder_datalist,
    group_duplicates,
    partition,
    perceptual_hash,
    write_synthetic_dataset,
)
from monai_coat.data.near_duplicates.appearance import fine_detail, hash_and_centre
from monai_coat.data.near_duplicates.duplicates import _near_pairs


@pytest.fixture
def images(tmp_path: Path) -> list[dict]:
    """Twelve different images, each its own group."""
    write_synthetic_dataset(tmp_path, count=12, spatial_size=(64, 80), seed=4)
    return folder_datalist(tmp_path / "synthetic" / "images")


def saved(sample: dict, name: str, change=lambda image: image, **options: object) -> dict:
    """A changed copy of a sample under another name."""
    path = Path(sample["image"]).with_name(name)
    with Image.open(sample["image"]) as image:
        change(image.convert("RGB")).save(path, **options)
    return {**sample, "id": path.stem, "group": path.stem, "image": str(path)}


CHANGES = {
    "jpeg": {"name": "copy.jpg", "quality": 60},
    "half": {"name": "copy.png", "change": lambda image: image.resize((image.width // 2, image.height // 2))},
    "squashed": {"name": "copy.png", "change": lambda image: image.resize((96, 96))},
    "brighter": {"name": "copy.png", "change": lambda image: image.point(lambda value: min(255, int(1.1 * value)))},
}


@pytest.mark.parametrize("change", CHANGES)
def test_copies_have_nearly_the_same_hash(images: list[dict], change: str):
    for sample in images:
        copy = saved(sample, **CHANGES[change])
        assert (perceptual_hash(sample["image"]) ^ perceptual_hash(copy["image"])).bit_count() <= 5


def test_different_images_differ_in_many_bits(images: list[dict]):
    hashes = [perceptual_hash(sample["image"]) for sample in images]
    assert all(0 <= value < 2**64 for value in hashes)
    distances = [(a ^ b).bit_count() for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(distances) > 8
    assert 24 < np.mean(distances) < 40


def test_a_single_wave_sets_its_own_bits(tmp_path: Path):
    """A product of two cosines is one wave: its bit is set, and the bit of its negative is not."""
    grid = np.pi * (np.arange(32) + 0.5) / 32
    for row, column in ((1, 1), (1, 8), (3, 5), (8, 8)):
        wave = np.outer(np.cos(row * grid), np.cos(column * grid))
        values = []
        for sign in (1, -1):
            path = tmp_path / f"{row}{column}{sign}.png"
            Image.fromarray(np.rint(128 + sign * 100 * wave).astype(np.uint8)).save(path)
            values.append(perceptual_hash(path) >> (63 - 8 * (row - 1) - (column - 1)) & 1)
        assert values == [1, 0]


def test_near_repeats_share_a_group(images: list[dict]):
    copies = [
        saved(images[3], "x.jpg", quality=60),
        saved(images[7], "y.png", lambda image: image.resize((40, 32))),
    ]
    grouped = group_duplicates([*images, *copies])
    assert [sample["id"] for sample in grouped] == [sample["id"] for sample in [*images, *copies]]
    assert [sample["group"] for sample in grouped[:12]] == [sample["group"] for sample in images]
    assert [sample["group"] for sample in grouped[12:]] == [images[3]["group"], images[7]["group"]]
    assert copies[0]["group"] == "x"  # what came in is as it was


def test_whole_groups_are_merged_and_chains_of_them(images: list[dict]):
    video = [{**sample, "group": group} for sample, group in zip(images[:6], "aabbcd", strict=True)]
    links = [
        {**saved(images[1], "1.jpg"), "group": "b"},  # a - b
        {**saved(images[3], "3.jpg"), "group": "c"},  # b - c
    ]
    groups = [sample["group"] for sample in group_duplicates([*video, *links])]
    assert groups == ["a"] * 5 + ["d"] + ["a"] * 2


def test_a_group_that_repeats_two_others_joins_all_three(images: list[dict]):
    copies = [{**saved(images[k], f"{k}.jpg"), "group": "c"} for k in (0, 1)]
    assert {sample["group"] for sample in group_duplicates([*images[:2], *copies])} == {images[0]["group"]}


def test_near_repeats_do_not_straddle_parts(images: list[dict]):
    samples = group_duplicates([*images, *(saved(sample, f"{k}.jpg") for k, sample in enumerate(images))])
    parts = partition(samples, by="group")
    for name in ("base_train", "threshold_train", "calibration", "test"):
        ids = [sample["id"] for sample in parts.part(name)]
        assert len(ids) == 2 * len({sample["group"] for sample in parts.part(name)})


def test_a_sample_without_a_group_is_its_own(images: list[dict]):
    bare = [{"id": sample["id"], "image": sample["image"]} for sample in images]
    assert [sample["group"] for sample in group_duplicates(bare)] == [sample["id"] for sample in images]
    assert group_duplicates([]) == []


def test_distance_is_a_limit_that_is_inside(images: list[dict]):
    """A copy that is made much brighter, by a curve, differs in some bits but not in detail."""
    bright = saved(images[0], "bright.png", lambda image: image.point(lambda value: round(255 * (value / 255) ** 0.3)))
    pair = [images[0], bright]
    far = (perceptual_hash(pair[0]["image"]) ^ perceptual_hash(pair[1]["image"])).bit_count()
    assert far > 0
    assert len({sample["group"] for sample in group_duplicates(pair, max_distance=far)}) == 1
    assert len({sample["group"] for sample in group_duplicates(pair, max_distance=far - 1)}) == 2
    for wrong in (-1, 64):
        with pytest.raises(ValueError, match=rf"max_distance must be in \[0, 63\], got {wrong}"):
            group_duplicates(pair, max_distance=wrong)


def test_the_same_hash_is_not_enough(tmp_path: Path):
    """One large wave with two kinds of fine noise: alike in the large, not in detail."""
    grid = np.pi * (np.arange(64) + 0.5) / 64
    wave, rng = 128 + 90 * np.outer(np.cos(grid), np.cos(2 * grid)), np.random.default_rng(0)
    for name in ("a", "b"):
        noisy = np.kron(wave, np.ones((4, 4))) + np.kron(rng.normal(size=(128, 128)), np.ones((2, 2))) * 20
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(tmp_path / f"{name}.png")
    samples = folder_datalist(tmp_path)
    first, second = (fine_detail([hash_and_centre(sample["image"])[1]])[0] for sample in samples)
    assert float(first @ second) < 0.2
    assert len({sample["group"] for sample in group_duplicates(samples, max_distance=63)}) == 2


@pytest.mark.parametrize("change", CHANGES)
def test_detail_of_copies_agrees_and_of_others_does_not(images: list[dict], change: str):
    detail = fine_detail([hash_and_centre(sample["image"])[1] for sample in images])
    copies = fine_detail([hash_and_centre(saved(sample, **CHANGES[change])["image"])[1] for sample in images])
    agreement = (detail @ copies.T).numpy()
    assert np.allclose(np.linalg.norm(detail, axis=1), 1, atol=1e-5)
    assert agreement.diagonal().min() > 0.45
    assert agreement[~np.eye(len(images), dtype=bool)].max() < 0.35


def test_blank_images_repeat_each_other(tmp_path: Path):
    for name in ("a", "b"):
        Image.new("L", (20, 20), 7).save(tmp_path / f"{name}.png")
    assert len({sample["group"] for sample in group_duplicates(folder_datalist(tmp_path))}) == 1


def test_progress_and_result_are_logged(images: list[dict], caplog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("monai_coat.data.near_duplicates.duplicates.REPORT", 5)
    with caplog.at_level("INFO"):
        group_duplicates([*images, saved(images[0], "x.jpg")])
        drop_duplicates([*images, {**images[0], "id": "copy"}])
    text = caplog.text
    assert text.count("5 images looked at") == 2
    assert "13 groups before and 12 after near repeats" in text
    assert "1 of 13 images repeat an earlier one" in text


@settings(max_examples=40, deadline=None)
@given(
    base=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12),
    flips=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 2**64 - 1)), max_size=12),
    distance=st.integers(0, 63),
    block=st.integers(1, 30),
)
def test_pairs_are_those_of_a_plain_search(base: list[int], flips: list[tuple[int, int]], distance: int, block: int):
    hashes = base + [base[k % len(base)] ^ (mask & mask >> 3 & mask << 5) for k, mask in flips]
    apart = {(i, j): (hashes[i] ^ hashes[j]).bit_count() for j in range(len(hashes)) for i in range(j)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monai_coat.data.near_duplicates.duplicates.BLOCK", block)
        found = [tuple(row) for rows in _near_pairs(hashes, distance) for row in rows.tolist()]
    assert found == sorted((i, j, bits) for (i, j), bits in apart.items() if bits <= distance)


def test_exact_repeats_are_dropped_and_the_first_is_kept(images: list[dict]):
    repeat = saved(images[2], "repeat.bmp")
    near = saved(images[2], "near.jpg", quality=60)
    turned = saved(images[2], "turned.png", lambda image: image.transpose(Image.Transpose.ROTATE_180))
    kept = drop_duplicates([*images, repeat, near, turned])
    assert [sample["id"] for sample in kept] == [*(sample["id"] for sample in images), "near", "turned"]
    assert drop_duplicates([repeat, images[2]]) == [repeat]


def test_size_counts_as_well_as_pixels(tmp_path: Path):
    for name, size in (("wide", (8, 2)), ("tall", (2, 8))):
        Image.new("L", size, 7).save(tmp_path / f"{name}.png")
    assert len(drop_duplicates(folder_datalist(tmp_path))) == 2


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_unreadable_images_are_named(tmp_path: Path, images: list[dict], content: bytes | None):
    path = tmp_path / "bad.png"
    path.write_bytes(Path(images[0]["image"]).read_bytes()[:200] if content is None else content)
    samples = [{"id": "bad", "image": str(path)}]
    for call in (lambda: perceptual_hash(path), lambda: group_duplicates(samples), lambda: drop_duplicates(samples)):
        with pytest.raises(ValueError, match=r"image must be a readable file, got .*bad\.png"):
            call()
