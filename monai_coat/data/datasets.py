# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Lists of samples, from a described collection of data sets or from plain folders."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_coat.data.dicom_series import holds_dicom
from monai_coat.files import read_json
from monai_coat.files.names import SUFFIXES, kind_of, stem_of, suffix_of

__all__ = ["data_directory", "files_by_stem", "folder_datalist", "load_datalist"]

logger = logging.getLogger(__name__)

VARIABLE = "COAT_DATA_DIR"


def data_directory() -> Path | None:
    """Folder of real data, from the environment variable ``COAT_DATA_DIR``.

    Returns:
        The folder, or None if the variable is unset or empty.

    Raises:
        FileNotFoundError: if the variable is set to something that is not a folder: a misspelt path must not look
            like absent data.
    """
    value = os.environ.get(VARIABLE, "")
    if not value:
        return None
    if not Path(value).is_dir():
        raise FileNotFoundError(f"{VARIABLE} must name a folder, got {value!r}; correct the variable or unset it.")
    return Path(value).absolute()


def load_datalist(
    root: str | os.PathLike[str],
    domain: str,
    sources: str | Sequence[str] | None = None,
    model: str | None = None,
) -> list[dict[str, Any]]:
    """List the samples of one domain of the collection that ``<root>/datasets.json`` describes.

    Args:
        root: folder of the collection.
        domain: for instance ``"polyp"``, ``"skin"``, ``"fire"``, ``"hippocampus"`` or ``"synthetic"``.
        sources: one source or several (``"CVC-ClinicDB"``), or None for all of the domain.
        model: network whose saved probability maps are wanted too. Only samples that have one are listed.

    Returns:
        Dictionaries with ``id``, ``image``, ``label``, ``group``, ``source``, ``empty`` (True if the reference mask has
        no foreground) and, with ``model``, ``probs``; in the order of the file, with absolute paths. Values are as
        stored: 2D masks 0 and 255, 2D maps 8-bit with 255 for probability 1.

    Raises:
        FileNotFoundError: if ``root``, its ``datasets.json`` or a listed file does not exist.
        ValueError: if ``datasets.json`` describes no samples, ``domain``, a source or ``model`` is unknown, or nothing
            is left.

    Example:
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=3, spatial_size=(16, 16))
        >>> [sample["id"] for sample in load_datalist(root, "synthetic")]
        ['synthetic_0000', 'synthetic_0001', 'synthetic_0002']
    """
    folder = Path(root).absolute()
    if not folder.is_dir():
        raise FileNotFoundError(f"root must be a folder, got {folder}, which does not exist; correct the path.")
    path = folder / "datasets.json"
    content = read_json(path, "root/datasets.json", "root must be the folder of the data collection")
    records = _records(content, path)
    _check_known("domain", [domain], {record["domain"] for record in records})
    records = [record for record in records if record["domain"] == domain]
    if sources is not None:
        wanted = [sources] if isinstance(sources, str) else list(sources)
        _check_known("sources", wanted, {record["source"] for record in records})
        records = [record for record in records if record["source"] in wanted]
    if model is not None:
        _check_known("model", [model], {name for record in records for name in record.get("predictions", {})})
        records = [record for record in records if model in record.get("predictions", {})]
    samples = [_sample(folder, record, model) for record in records]
    _check_files_exist(samples)
    return samples


def folder_datalist(
    images: str | os.PathLike[str], labels: str | os.PathLike[str] | None = None
) -> list[dict[str, Any]]:
    """List the images of a plain folder, with the masks of the same names.

    ``images/a.jpg`` goes with ``labels/a.png``: names are compared without their endings. A folder in ``images`` that
    holds DICOM files is an image too, see :class:`~monai_coat.data.DicomSeries`. Files that are no images by their
    ending, and hidden files, are passed over; the log says how many.

    Args:
        images: folder of PNG, JPEG, BMP, TIFF or NIfTI images, or of folders with a DICOM series each.
        labels: folder of the reference masks, or None for images without (inference).

    Returns:
        Dictionaries with ``id`` and ``group`` (both the name without ending), ``image`` and, with ``labels``,
        ``label``; sorted by id, with absolute paths. Set ``group`` where images belong together (patient, video).

    Raises:
        FileNotFoundError: if a folder does not exist, holds no image files or a link to nothing, or lacks the
            counterpart of a file.
        ValueError: if two files of a folder have the same name but for the ending, or both folders are the same.

    Example:
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=2, spatial_size=(16, 16))
        >>> [s["id"] for s in folder_datalist(root / "synthetic/images", root / "synthetic/masks")]
        ['synthetic_0000', 'synthetic_0001']
    """
    image_files = files_by_stem(images, "images", with_series=True)
    samples = [{"id": stem, "image": str(path), "group": stem} for stem, path in image_files.items()]
    if labels is None:
        return samples
    if Path(images).resolve() == Path(labels).resolve():
        raise ValueError(f"labels must be another folder than images, got {labels} for both; keep masks apart.")
    label_files = files_by_stem(labels, "labels")
    _check_counterparts("labels", image_files, label_files, Path(labels))
    _check_counterparts("images", label_files, image_files, Path(images))
    return [{**sample, "label": str(label_files[sample["id"]])} for sample in samples]


def _records(content: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    """The samples of a description, each with its entries."""
    records = content.get("samples", [])
    for number, record in enumerate(records if isinstance(records, list) else [None]):
        known = record if isinstance(record, dict) else {}
        texts = [known.get(name) for name in ("domain", "source", "id", "image", "group")]
        texts.append(known.get("mask", known.get("label")))
        predictions = known.get("predictions", {})
        named = isinstance(predictions, dict) and all(isinstance(place, str) for place in predictions.values())
        if not (named and all(isinstance(text, str) for text in texts) and isinstance(known.get("empty"), bool)):
            raise ValueError(
                "samples must be a list of objects with the texts domain, source, id, image, mask or label, and group, "
                f"and empty, true or false, got something else as sample {number} of {path}; copy the collection again."
            )
    return list(records)


def _sample(folder: Path, record: Mapping[str, Any], model: str | None) -> dict[str, Any]:
    """Our view of one record of the description."""
    label = record["mask"] if "mask" in record else record["label"]
    sample = {
        "id": record["id"],
        "image": str(folder / record["image"]),
        "label": str(folder / label),
        "group": record["group"],
        "source": record["source"],
        "empty": bool(record["empty"]),
    }
    return sample if model is None else {**sample, "probs": str(folder / record["predictions"][model])}


def _check_known(name: str, wanted: Sequence[str], known: set[str]) -> None:
    """Every wanted name must be among the known ones, and there must be at least one."""
    options = ", ".join(repr(option) for option in sorted(known)) or "none"
    unknown = [value for value in wanted if value not in known]
    if unknown or not wanted:
        raise ValueError(f"{name} must be among those of the data, got {unknown or wanted}; there is: {options}.")


def _check_files_exist(samples: Sequence[Mapping[str, Any]]) -> None:
    """Every listed file must be there."""
    paths = [sample[key] for sample in samples for key in ("image", "label", "probs") if key in sample]
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing:
        raise FileNotFoundError(
            f"root must hold every file that datasets.json lists, got none at {missing[0]} ({len(missing)} of "
            f"{len(paths)} missing); copy the collection again."
        )


def files_by_stem(
    folder: str | os.PathLike[str], name: str, endings: Sequence[str] = SUFFIXES, with_series: bool = False
) -> dict[str, Path]:
    """Files of a folder with some endings by name without ending, sorted; with folders of DICOM series if wanted."""
    path = Path(folder).absolute()
    if not path.is_dir():
        raise FileNotFoundError(f"{name} must be a folder, got {path}, which {kind_of(path)}; correct the path.")
    files: dict[str, Path] = {}
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    for file in entries:
        is_series = with_series and holds_dicom(file)
        if not (suffix_of(file, endings) or is_series):
            continue
        if not (file.is_file() or is_series):
            raise FileNotFoundError(
                f"{name} must hold files, got {file}, which {kind_of(file)}; get what it stands for, or remove it."
            )
        stem = file.name if is_series else stem_of(file)
        if stem in files:
            raise ValueError(
                f"{name} must have one file per name, got {files[stem].name} and {file.name} in {path}; "
                "rename or remove one."
            )
        files[stem] = file
    if not files:
        raise FileNotFoundError(
            f"{name} must be a folder of images, got {path}, which contains no image files (looked for "
            f"{', '.join(endings)}); correct the path or convert the files."
        )
    if len(files) < len(entries):
        logger.info("%s: %d entries without the ending of an image passed over", name, len(entries) - len(files))
    return dict(sorted(files.items()))


def _check_counterparts(name: str, files: Mapping[str, Path], others: Mapping[str, Path], folder: Path) -> None:
    """Every file must have one of the same stem in the other folder."""
    alone = [file for stem, file in files.items() if stem not in others]
    if alone:
        raise FileNotFoundError(
            f"{name} must hold a counterpart of every file, got none for {alone[0]} in {folder} ({len(alone)} of "
            f"{len(files)} without); name it {alone[0].name} (the ending may differ), or move the file away."
        )
