# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Lists of predictions with the masks, and perhaps the images, of the same names.

Tested by tests/data/test_maps.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_coat.data.datasets import files_by_stem
from monai_coat.data.nnunet import NNUNet
from monai_coat.files.names import MAPS, suffix_of

__all__ = ["Folders", "list_maps", "map_datalist"]

Folder = str | os.PathLike[str]
Folders = Folder | Sequence[Folder] | Mapping[str, Folder]
"""A folder of maps; several, of different images; or one for each class, by its name."""


def map_datalist(probs: Folder, labels: Folder, images: Folder | None = None) -> list[dict[str, Any]]:
    """List the probability maps of a folder with the masks, and perhaps the images, of the same names.

    ``probs/a.png`` goes with ``labels/a.png``: names are compared without their endings. Further masks and images are
    passed over. A folder without maps may have one folder for each image, with one map in it; the image has its name.

    Args:
        probs: folder of maps, see :func:`read_map`.
        labels: folder of the reference masks.
        images: folder of the images, or None: ``image`` is then the map itself.

    Returns:
        Dictionaries with ``id``, ``probs``, ``label`` and ``image``, sorted by id, with absolute paths.

    Raises:
        FileNotFoundError: if a folder does not exist, holds no image files, or lacks the counterpart of a map.
        ValueError: if two files of a folder have the same name but for the ending.

    Example:
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=2, spatial_size=(16, 16))
        >>> [s["id"] for s in map_datalist(root / "synthetic/masks", root / "synthetic/masks")]
        ['synthetic_0000', 'synthetic_0001']
    """
    return list_maps(probs, {"labels": labels, "images": images})


def list_maps(
    probs: Folders, others: Mapping[str, Folder | None], suffix: str = "", nnunet: NNUNet | None = None
) -> list[dict[str, Any]]:
    """:func:`map_datalist` for several folders, and for predictions without masks.

    Args:
        probs: see :data:`Folders`. Of a folder for each class, ``probs`` of a sample is the tuple of its maps.
        others: folders "labels" and "images", or None.
        suffix: what the names of maps have at their end, and those of masks have not.
        nnunet: if maps are nnU-Net's, what its description says: ``segmentation`` of a sample is the file beside.

    Returns:
        As there; ``label`` only with labels.
    """
    maps = _maps(probs, suffix, nnunet)
    pairs = {"label": others.get("labels"), "image": others.get("images")}
    found = {key: _files(folder, f"{key}s") for key, folder in pairs.items() if folder is not None}
    for key, files in found.items():
        _check_counterparts(maps, files, f"{key}s", Path(str(pairs[key])), suffix)
    samples = []
    for name, paths in maps.items():
        sample: dict[str, Any] = {"id": name, "probs": str(paths[0]) if len(paths) == 1 else tuple(map(str, paths))}
        sample |= {key: str(files[name]) for key, files in found.items()}
        if nnunet is not None:
            sample["segmentation"] = str(_segmentation(paths[0], nnunet.ending))
        samples.append({"image": str(paths[0])} | sample)
    return samples


def _maps(probs: Folders, suffix: str, nnunet: NNUNet | None) -> dict[str, tuple[Path, ...]]:
    """Files of each image: one, or one of each class."""
    endings = (".npz",) if nnunet is not None else MAPS
    if isinstance(probs, Mapping):
        of_class = {name: _without(_files(folder, "probs", endings), suffix) for name, folder in probs.items()}
        first = next(iter(of_class.values()))
        for name, files in of_class.items():
            alone = sorted(first.keys() ^ files.keys())
            if alone:
                raise FileNotFoundError(
                    f"probs must hold a map of every class for every image, got {alone[0]!r} not for all ({len(alone)} "
                    f"images, such as those of {name!r}); add the maps or move the others away."
                )
        return {stem: tuple(files[stem] for files in of_class.values()) for stem in first}
    folders = [probs] if isinstance(probs, str | os.PathLike) else list(probs)
    maps: dict[str, tuple[Path, ...]] = {}
    for folder in folders:
        for stem, path in _without(_files(folder, "probs", endings), suffix).items():
            if stem in maps:
                raise ValueError(
                    f"probs must hold every image once, got {stem!r} in {maps[stem][0].parent} and {path.parent}; "
                    "leave one of the folders out."
                )
            maps[stem] = (path,)
    return dict(sorted(maps.items()))


def _files(folder: Folder, name: str, endings: Sequence[str] = MAPS) -> dict[str, Path]:
    """Files of a folder by stem, or, if it has none, the one file of each of its folders by the folder's name."""
    path = Path(folder).absolute()
    inner = sorted(each for each in path.iterdir() if each.is_dir()) if path.is_dir() else []
    has_files = path.is_dir() and any(suffix_of(each, endings) for each in path.iterdir() if not each.is_dir())
    if has_files or not inner:
        return files_by_stem(path, name, endings)
    files = {}
    for each in inner:
        found = list(files_by_stem(each, name, endings).values())
        if len(found) != 1:
            raise ValueError(
                f"{name} must have one file in the folder of each image, got {len(found)} in {each}, such as "
                f"{found[0].name} and {found[-1].name}; keep those of one kind in a folder of their own, or, if "
                f"folders are classes, say so, as in --{name} {each.name}={each}."
            )
        files[each.name] = found[0]
    return files


def _without(files: dict[str, Path], suffix: str) -> dict[str, Path]:
    """Files by stem without the suffix, which all must have."""
    odd = next((stem for stem in files if not stem.endswith(suffix)), None)
    if odd is not None:
        raise ValueError(f"names of maps must end in {suffix!r}, got {odd!r}; correct the suffix, or rename the map.")
    return {stem.removesuffix(suffix): path for stem, path in files.items()}


def _check_counterparts(
    maps: Mapping[str, Sequence[Path]], found: Mapping[str, Path], name: str, folder: Path, suffix: str
) -> None:
    missing = sorted(maps.keys() - found.keys())
    if missing:
        common = _common_ending(list(maps)) if len(maps) > 1 else ""
        hint = f", or say what else the names of maps have at their end, as in --map-suffix={common}" if common else ""
        raise FileNotFoundError(
            f"{name} must hold a file for every map in probs, got none for {missing[0]!r} in {folder} "
            f"({len(missing)} of {len(maps)} missing); add them or move the maps away{'' if suffix else hint}."
        )


def _common_ending(names: Sequence[str]) -> str:
    first, last = min(name[::-1] for name in names), max(name[::-1] for name in names)
    length = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:length][::-1]


def _segmentation(path: Path, ending: str) -> Path:
    beside = path.with_name(path.stem + ending)
    if not beside.is_file():
        raise FileNotFoundError(
            f"probs of nnU-Net must have their segmentations beside them, which say where voxels lie, got none at "
            f"{beside}; copy it there."
        )
    return beside
