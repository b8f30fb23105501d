# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Folders of predictions as people have them, from arrays that are known.

Every layout writes maps ``(C, x, y[, z])`` and label maps ``(x, y[, z])``, and reads masks back by the library that its
users would take.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import nrrd
import numpy as np
from PIL import Image

AFFINE = np.array([[0.0, -1.5, 0.0, 7.0], [0.8, 0.0, 0.0, -4.0], [0.0, 0.0, 3.0, 2.0], [0.0, 0.0, 0.0, 1.0]])
"""Axes permuted, one flipped, and no two spacings alike."""

Array = np.ndarray


@dataclass(frozen=True)
class Layout:
    """A way to keep predictions.

    Attributes:
        classes: number of foreground classes.
        dims: spatial axes.
        write: function of a folder, a name, maps and labels: writes both, below "maps" and "labels".
        read: function of a folder of masks and a name, and of a class's name if there are several: ``(x, y[, z])``.
        stored: what of a map is left in the file, in float32.
        said: what is said of classes where nothing else says it.
        suffix: options of every command.
        names: names of the classes.
        maps: folders of maps.
        kind: option that they are given by.
    """

    classes: int
    dims: int
    write: Callable[[Path, str, Array, Array], None]
    read: Callable[[Path, str], Array]
    stored: Callable[[Array], Array] = lambda maps: maps.astype(np.float32)
    said: tuple[str, ...] = ()
    suffix: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    maps: tuple[str, ...] = ("maps",)
    kind: str = "--probs"

    def options(self, root: Path) -> list[str]:
        """The folders of maps below a root, as they are typed."""
        places = [f"{name}={root / name}" for name in self.names] if "maps" not in self.maps else [str(root / "maps")]
        return [self.kind, *places, *self.suffix]


def folders(root: Path, *names: str) -> list[Path]:
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
    return [root / name for name in names]


def png(values: Array, path: Path) -> None:
    Image.fromarray(np.ascontiguousarray(values.T)).save(path)


def read_flat(folder: Path, name: str, ending: str = ".png") -> Array:
    return np.asarray(Image.open(folder / f"{name}{ending}")).T > 0


def nifti(values: Array, path: Path, affine: Array = AFFINE) -> None:
    nibabel.save(nibabel.Nifti1Image(values, affine), path)


def read_nifti(folder: Path, name: str) -> Array:
    file = nibabel.load(folder / f"{name}.nii.gz")
    assert np.allclose(file.affine, AFFINE)
    return np.asarray(file.dataobj) > 0


def eight_bit(root: Path, name: str, maps: Array, labels: Array) -> None:
    to_maps, to_labels = folders(root, "maps", "labels")
    png(np.rint(maps[0] * 255).astype(np.uint8), to_maps / f"{name}.png")
    png((labels * 255).astype(np.uint8), to_labels / f"{name}.png")


def sixteen_bit(root: Path, name: str, maps: Array, labels: Array) -> None:
    to_maps, to_labels = folders(root, "maps", "labels")
    png(np.rint(maps[0] * 65535).astype(np.uint16), to_maps / f"{name}_prob.png")
    png((labels * 255).astype(np.uint8), to_labels / f"{name}.png")


def float_tiff(root: Path, name: str, maps: Array, labels: Array) -> None:
    to_maps, to_labels = folders(root, f"maps/{name}", "labels")
    png(maps[0].astype(np.float32), to_maps / "probability.tif")
    png(labels.astype(np.uint8), to_labels / f"{name}.png")


def one_folder_a_class(root: Path, name: str, maps: Array, labels: Array) -> None:
    for place, values in zip(folders(root, "a", "b"), maps, strict=True):
        png(np.rint(values * 255).astype(np.uint8), place / f"{name}.png")
    png(labels.astype(np.uint8), folders(root, "labels")[0] / f"{name}.png")


def rows_first(root: Path, name: str, maps: Array, labels: Array) -> None:
    to_maps, to_labels = folders(root, "maps", "labels")
    np.save(to_maps / f"{name}.npy", maps.transpose(0, 2, 1).astype(np.float16))
    png(labels.astype(np.uint8), to_labels / f"{name}.png")


def both_arrays(root: Path, name: str, maps: Array, labels: Array) -> None:
    to_maps, to_labels = folders(root, "maps", "labels")
    np.savez_compressed(to_maps / f"{name}.npz", maps[0].transpose(2, 1, 0))
    np.savez_compressed(to_labels / f"{name}.npz", labels.transpose(2, 1, 0).astype(np.uint8))


def turned_labels(root: Path, name: str, maps: Array, labels: Array) -> None:
    """The label has another order of axes than its map."""
    to_maps, to_labels = folders(root, "maps", "labels")
    nifti(maps[0].astype(np.float32), to_maps / f"{name}.nii.gz")
    turn = nibabel.orientations.axcodes2ornt(("S", "L", "A"))
    nibabel.save(nibabel.Nifti1Image(labels.astype(np.uint8), AFFINE).as_reoriented(turn), to_labels / f"{name}.nii.gz")


def with_background(maps: Array) -> Array:
    return np.concatenate([1 - maps.sum(0, keepdims=True), maps])


def softmax(root: Path, name: str, maps: Array, labels: Array) -> None:
    to_maps, to_labels = folders(root, "maps", "labels")
    nifti(with_background(maps).transpose(1, 2, 3, 0).astype(np.float32), to_maps / f"{name}.nii.gz")
    nifti(labels.astype(np.uint8), to_labels / f"{name}.nii.gz")


def sigmoids_in_nrrd(root: Path, name: str, maps: Array, labels: Array) -> None:
    to_maps, to_labels = folders(root, "maps", "labels")
    placed = np.diag([-1.0, -1.0, 1.0, 1.0]) @ AFFINE
    space = {"space": "left-posterior-superior", "space origin": placed[:3, 3]}
    rows = placed[:3, :3].T
    nrrd.write(
        str(to_maps / f"{name}.nrrd"),
        maps.astype(np.float32),
        {**space, "space directions": np.concatenate([np.full((1, 3), np.nan), rows])},
    )
    nrrd.write(str(to_labels / f"{name}.nrrd"), labels.astype(np.uint8), {**space, "space directions": rows})


def read_nrrd(folder: Path, name: str) -> Array:
    values, header = nrrd.read(str(folder / f"{name}.nrrd"))
    assert np.allclose(np.diag([-1, -1, 1]) @ header["space directions"].T, AFFINE[:3, :3])
    assert np.allclose(np.diag([-1, -1, 1]) @ header["space origin"], AFFINE[:3, 3])
    return values > 0


def described(root: Path, description: dict) -> Path:
    """A folder of predictions with nnU-Net's description above it."""
    to_maps = folders(root, "maps")[0]
    (root / "dataset.json").write_text(json.dumps({**description, "file_ending": ".nii.gz"}))
    return to_maps


def nnunet(root: Path, name: str, maps: Array, labels: Array) -> None:
    """As a reader writes it that keeps the order of the file."""
    to_maps = described(root, {"labels": {"background": 0, "tumour": 2, "liver": 1}})
    every = with_background(maps).astype(np.float32)
    np.savez_compressed(to_maps / f"{name}.npz", probabilities=every.transpose(0, 3, 2, 1))
    (to_maps / f"{name}.pkl").write_bytes(b"not to be read")
    nifti(every.argmax(0).astype(np.uint8), to_maps / f"{name}.nii.gz")
    nifti(labels.astype(np.uint8), folders(root, "labels")[0] / f"{name}.nii.gz")


def nnunet_regions(root: Path, name: str, maps: Array, labels: Array) -> None:
    """As a reader writes it that turns volumes first: whole contains core, and axes point right, front, up."""
    description = {"labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1, 2]}
    to_maps = described(root, description)
    made = np.where(maps[1] > 0.5, 2, np.where(maps[0] > 0.5, 1, 0)).astype(np.uint8)
    nifti(made, to_maps / f"{name}.nii.gz")
    canonical = [nibabel.as_closest_canonical(nibabel.Nifti1Image(m.astype(np.float32), AFFINE)) for m in maps]
    stacked = np.stack([np.asarray(volume.dataobj) for volume in canonical])
    np.savez_compressed(to_maps / f"{name}.npz", probabilities=stacked.transpose(0, 3, 2, 1))
    nifti(labels.astype(np.uint8), folders(root, "labels")[0] / f"{name}.nii.gz")


def flat_masks(root: Path, name: str, maps: Array, labels: Array) -> None:
    to_maps, to_labels = folders(root, "maps", "labels")
    png(((maps[0] > 0.5) * 255).astype(np.uint8), to_maps / f"{name}.png")
    png((labels * 255).astype(np.uint8), to_labels / f"{name}.png")


def label_maps(root: Path, name: str, maps: Array, labels: Array) -> None:
    to_maps, to_labels = folders(root, "maps", "labels")
    nifti(with_background(maps).argmax(0).astype(np.uint8), to_maps / f"{name}.nii.gz")
    nifti(labels.astype(np.uint8), to_labels / f"{name}.nii.gz")


def distances(maps: Array, spacing: tuple[float, ...]) -> Array:
    """Maps of masks, from all pairs of voxels."""
    places = np.argwhere(np.ones(maps.shape[1:])) * spacing
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    rows = []
    for mask in maps.reshape(len(maps), -1):
        inside = mask > 0
        if inside.all() or not inside.any():
            rows.append(inside.astype(float))
            continue
        signed = np.where(inside, apart[:, ~inside].min(1), -apart[:, inside].min(1))
        rows.append(1 / (1 + np.exp(-signed / 4)))
    return np.stack(rows).reshape(maps.shape).astype(np.float32)


def float_below(maps: Array) -> Array:
    nearest = maps.astype(np.float32)
    return np.where(nearest > maps, np.nextafter(nearest, np.float32(-1)), nearest)


TWO = ("--classes", "a=1,b=2")

LAYOUTS = {
    "8 bit": Layout(1, 2, eight_bit, read_flat, lambda maps: float_below(np.rint(maps * 255) / 255)),
    "16 bit, suffix": Layout(
        1,
        2,
        sixteen_bit,
        read_flat,
        lambda maps: float_below(np.rint(maps * 65535) / 65535),
        suffix=("--map-suffix", "_prob"),
    ),
    "float TIFF, a folder an image": Layout(1, 2, float_tiff, lambda folder, name: read_flat(folder, name, ".tif")),
    "a folder a class": Layout(
        2,
        2,
        one_folder_a_class,
        read_flat,
        lambda maps: float_below(np.rint(maps * 255) / 255),
        TWO,
        names=("a", "b"),
        maps=("a", "b"),
    ),
    "npy, half precision": Layout(
        2,
        2,
        rows_first,
        lambda folder, name: np.load(folder / f"{name}.npy").T > 0,
        lambda maps: maps.astype(np.float16).astype(np.float32),
        names=("class 1", "class 2"),
    ),
    "npz, labels too": Layout(
        1,
        3,
        both_arrays,
        lambda folder, name: np.load(folder / f"{name}.npy").transpose(2, 1, 0) > 0,
        float_below,
    ),
    "NIfTI, labels turned": Layout(1, 3, turned_labels, read_nifti),
    "NIfTI softmax": Layout(2, 3, softmax, read_nifti, said=TWO, names=("a", "b")),
    "NRRD": Layout(2, 3, sigmoids_in_nrrd, read_nrrd, said=TWO, names=("a", "b")),
    "nnU-Net": Layout(2, 3, nnunet, read_nifti, names=("liver", "tumour")),
    "nnU-Net regions": Layout(2, 3, nnunet_regions, read_nifti, names=("whole", "core")),
    "masks": Layout(1, 2, flat_masks, read_flat, lambda maps: distances(maps > 0.5, (1, 1)), kind="--masks"),
    "label maps": Layout(
        2,
        3,
        label_maps,
        read_nifti,
        lambda maps: distances(with_background(maps).argmax(0) == np.arange(1, 3)[:, None, None, None], (0.8, 1.5, 3)),
        TWO,
        names=("a", "b"),
        kind="--masks",
    ),
}


COUNT = 16
"""Images of a folder."""


def images(layout: Layout, seed: int, count: int = COUNT) -> list[tuple[Array, Array]]:
    """Maps ``(C, x, y[, z])`` and label maps of boxes that a network finds more or less well."""
    rng = np.random.default_rng(seed)
    size = (13, 10, 7)[: layout.dims]
    made = []
    for _ in range(count):
        label = np.zeros(size, np.int64)
        start = [rng.integers(0, length // 2) for length in size]
        box = tuple(slice(s, s + length // 2) for s, length in zip(start, size, strict=True))
        label[box] = 1
        if layout.classes == 2:
            label[(slice(box[0].start, box[0].start + 3), *box[1:])] = 2
        truth = np.stack([label == 0, *[label == value for value in range(1, layout.classes + 1)]])
        logits = 2.5 * truth + rng.normal(0, 1.2, truth.shape) + rng.normal(0, 0.8)
        soft = np.exp(logits) / np.exp(logits).sum(0)
        maps = soft[1:]
        if "core" in layout.names:
            maps = np.stack([maps.sum(0), maps[1]])
        made.append((maps, label))
    return made


def masks_of(layout: Layout, label: Array) -> Array:
    if "core" in layout.names:
        return np.stack([label > 0, label == 2])
    return np.stack([label == value for value in range(1, layout.classes + 1)])


def written(layout: Layout, root: Path, seed: int, count: int = COUNT) -> tuple[list[Array], list[Array]]:
    """Maps as they are in the files, and masks."""
    made = images(layout, seed, count)
    for number, (maps, label) in enumerate(made):
        layout.write(root, f"case.{number:02}", maps, label)
    return [layout.stored(maps) for maps, _ in made], [masks_of(layout, label) for _, label in made]
