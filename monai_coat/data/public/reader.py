# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The lists of samples of public data sets in the folders they come in, and the download of those that allow it.

Tested by tests/data/public/test_layouts.py.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import monai.apps.utils

from monai_coat.data.datasets import files_by_stem
from monai_coat.data.public.layouts import LAYOUTS, Archive, Layout, Place

__all__ = ["download_dataset", "read_layout"]


def read_layout(
    root: str | os.PathLike[str], name: str, sources: str | Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """List the samples of a public data set that was unpacked as its publishers packed it.

    Args:
        root: folder that the data set was unpacked in.
        name: ``"Kvasir-SEG"``, ``"CVC-ClinicDB"``, ``"CVC-ColonDB"``, ``"ETIS-Larib"``, ``"PolypGen"``,
            ``"ISIC-2016"``, ``"ISIC-2017"``, ``"ISIC-2018"`` or ``"FireSeg"``.
        sources: one of its sources or several (``"ISIC-2017-train"``, ``"PolypGen-C3"``), or None for all that are
            there.

    Returns:
        Dictionaries as those of :func:`~monai_coat.data.load_datalist`, with ``id``, ``image``, ``label``, ``group``
        and ``source``; sorted by source and name, with absolute paths. Ids and groups begin with the source, so that
        lists of several data sets can be added up. Frames of one video, where the publishers tell, share a group; put
        near repeats together with :func:`~monai_coat.data.group_duplicates`.

        Files are not changed. Masks of Kvasir-SEG and PolypGen are JPEG files, in which values between 0 and 255 are
        noise of compression: :func:`~monai_coat.data.read_mask` and the bundles cut them at 128.

    Raises:
        FileNotFoundError: if ``root`` or its folders of images or masks do not exist, or an image or a mask is without
            its counterpart.
        ValueError: if ``name`` or a source is unknown, two files of a folder have one name, or a frame has no number
            that the data set knows.

    Example:
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=2, spatial_size=(16, 16))
        >>> [sample["id"] for sample in read_layout(root / "synthetic", "Kvasir-SEG")]
        ['Kvasir-SEG_synthetic_0000', 'Kvasir-SEG_synthetic_0001']
    """
    layout, folder = _layout(name), Path(root).absolute()
    if not folder.is_dir():
        raise FileNotFoundError(f"root must be a folder, got {folder}, which does not exist; correct the path.")
    places = _present(folder, layout, _wanted(layout, sources), required=sources is not None)
    return [sample for place in places for sample in _samples(folder, layout, place)]


def download_dataset(
    name: str, root: str | os.PathLike[str], sources: str | Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Fetch a public data set that anybody may fetch, unpack it, and list its samples.

    Read its terms first, ``LAYOUTS[name].terms``. What is there already is not fetched again; a folder appears when it
    is complete, so that an interrupted call can be repeated.

    Args:
        name: ``"Kvasir-SEG"``, ``"ISIC-2016"``, ``"ISIC-2017"`` or ``"ISIC-2018"``.
        root: folder to unpack in; made if it does not exist.
        sources: one of its sources or several (``"ISIC-2017-train"``), or None for all. The challenges are large, the
            training images of 2018 alone have 10 GB.

    Returns:
        The samples, see :func:`read_layout`.

    Raises:
        ValueError: if the name or a source is unknown, or the data set is not to be had without asking; the message
            says where to ask.

    Example:
        >>> download_dataset("CVC-ClinicDB", "data")
        Traceback (most recent call last):
        ValueError: name must be a data set with a public address, got 'CVC-ClinicDB'; ask for it at ...
    """
    layout, folder = _layout(name), Path(root).absolute()
    archives = dict.fromkeys(archive for place in _wanted(layout, sources) for archive in place.archives)
    if not archives:
        raise ValueError(
            f"name must be a data set with a public address, got {name!r}; ask for it at {layout.home}, unpack it and "
            "call read_layout."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for archive in archives:
        if not (folder / archive.folder).is_dir():
            _fetch(archive, folder)
    return read_layout(folder, name, sources)


def _layout(name: str) -> Layout:
    """The layout of a data set that must be known."""
    if name not in LAYOUTS:
        raise ValueError(f"name must be one of {', '.join(map(repr, LAYOUTS))}, got {name!r}; see LAYOUTS.")
    return LAYOUTS[name]


def _wanted(layout: Layout, sources: str | Sequence[str] | None) -> list[Place]:
    """Places of the wanted sources, which must be known."""
    known = list(dict.fromkeys(place.source for place in layout.places))
    wanted = known if sources is None else [sources] if isinstance(sources, str) else list(sources)
    unknown = [source for source in wanted if source not in known]
    if unknown or not wanted:
        raise ValueError(f"sources must be among those of {layout.name}, got {unknown}; there is: {', '.join(known)}.")
    return [place for place in layout.places if place.source in wanted]


def _present(folder: Path, layout: Layout, places: Iterable[Place], required: bool) -> list[Place]:
    """The first place of each source that is there with its masks; images without a folder of masks are an error."""
    chosen: dict[str, Place] = {}
    places = list(places)
    for place in places:
        if (folder / place.images).is_dir() and (folder / place.masks).is_dir():
            chosen.setdefault(place.source, place)
    lacking = [place for place in places if place.source not in chosen]
    halves = [place for place in lacking if (folder / place.images).is_dir()]
    if halves or not chosen or (required and lacking):
        named = (halves or lacking)[0]
        raise FileNotFoundError(
            f"root must hold the folders {named.images!r} and {named.masks!r} of {layout.name}, got {folder}, which "
            f"lacks {'the masks' if halves else 'them'}; name the folder that they are in, or get them from "
            f"{layout.home}."
        )
    return list(chosen.values())


def _samples(folder: Path, layout: Layout, place: Place) -> list[dict[str, Any]]:
    """The samples of one folder of images and one of masks."""
    images, masks = (_files(folder / place.images, "images", layout), _files(folder / place.masks, "masks", layout))
    samples = []
    for stem, image in images.items():
        label = _mask(stem, image, masks, layout)
        key, group = f"{place.source}_{stem}", f"{place.source}_{place.group(stem)}"
        samples.append({"id": key, "image": str(image), "label": str(label), "group": group, "source": place.source})
    left = sorted(set(map(str, masks.values())) - {sample["label"] for sample in samples})
    if left:
        raise FileNotFoundError(
            f"images must hold a counterpart of every mask, got none for {left[0]} ({len(left)} of {len(masks)} "
            "without); unpack the images again, or move the mask away."
        )
    return samples


def _mask(stem: str, image: Path, masks: dict[str, Path], layout: Layout) -> Path:
    """The one mask of an image."""
    names = [pattern.replace("*", stem) for pattern in layout.mask_names]
    matching = [masks[name] for name in names if name in masks]
    if not matching:
        raise FileNotFoundError(
            f"masks must hold a counterpart of every image, got none for {image} (looked for {', '.join(names)}); "
            "unpack the masks again, or move the image away."
        )
    if len(matching) > 1:
        raise ValueError(
            f"masks must have one file per image, got {matching[0].name} and {matching[1].name} for {image.name} in "
            f"{matching[0].parent}; remove one."
        )
    return matching[0]


def _files(folder: Path, name: str, layout: Layout) -> dict[str, Path]:
    """Image files of a folder by name without ending, but for those that are no images or masks of the data set."""
    files = files_by_stem(folder, name)
    return {k: v for k, v in files.items() if not any(fnmatchcase(k, pattern) for pattern in layout.passed_over)}


def _fetch(archive: Archive, folder: Path) -> None:
    """Download and unpack beside the final place, check that it is what was promised, then move it there.

    Not by MONAI's ``download_and_extract``, which fetches anew what it then finds unpacked, and needs one more package.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download") as temporary:
        path = Path(temporary, archive.address.rpartition("/")[2])
        progress = bool(monai.apps.utils.has_tqdm)
        kind = "sha256" if len(archive.checksum or "") == 64 else "md5"
        monai.apps.utils.download_url(archive.address, path, archive.checksum, hash_type=kind, progress=progress)
        monai.apps.utils.extractall(path, temporary)
        made = Path(temporary, archive.folder)
        if not made.is_dir():
            raise ValueError(
                f"address must be an archive with the folder {archive.folder!r}, got {archive.address} without; "
                "the publisher has changed it, unpack it by hand."
            )
        shutil.move(made, folder / archive.folder)
