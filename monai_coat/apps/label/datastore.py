# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The studies: images and labels written whole, under names that lead nowhere else.

Tested by tests/apps/test_label_datastore.py.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore
from monailabel.interfaces.exception import ImageNotFoundException

from monai_coat.apps.label.errors import in_a_sentence
from monai_coat.apps.label.names import check_file_name, check_image, check_tag
from monai_coat.files import replacing

__all__ = ["StudiesDatastore"]

FINAL = "final"
CheckAnnotation = Callable[[Path, Path], object]
"""Raises ValueError for an annotation, and the image that it is of, which do not fit."""


class StudiesDatastore(LocalDatastore):  # type: ignore[misc]
    """MONAI Label's folder of studies, which refuses bad names and annotations, and writes files whole.

    Args:
        folder: the studies.
        check_annotation: called with each file that is to become a final label, and its image, before it is stored.
        settings: further arguments of MONAI Label's datastore.
    """

    def __init__(self, folder: str, check_annotation: CheckAnnotation, **settings: Any) -> None:
        self.check_annotation = check_annotation
        super().__init__(folder, **settings)
        if settings.get("auto_reload"):
            # A file that is written whole is not modified, but moved to its place.
            self._handler.on_moved = lambda _: self._init_from_datastore_file()

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Take a new image.

        Raises:
            HTTPException: 400, if the name is none, or is taken.
        """
        stem, ending = self._to_id(Path(image_filename).name)
        name = image_id or stem
        with in_a_sentence():
            check_image(name)
            check_file_name(f"{name}{ending}", "image")
            if name in self.list_images():
                raise ValueError(f"image must have a name that is not taken, got {name!r}; remove the other one first.")
        with FileLock(self._lock_file):
            entry = _stored(image_filename, Path(self._datastore.image_path(), f"{name}{ending}"), ending, image_info)
            self._datastore.objects[name] = ImageLabelModel(image=entry)
            self._update_datastore_file(lock=False)
        return name

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Take a label of an image, in place of the one under this tag.

        Raises:
            ImageNotFoundException: if there is no such image.
            HTTPException: 400, if the tag or the ending is none, or a final label cannot be an annotation of the image.
        """
        known = self._datastore.objects.get(image_id)
        if known is None:
            raise ImageNotFoundException(f"image must be one of the studies, got {image_id!r}; send it first.")
        ending = self._to_id(Path(label_filename).name)[1]
        with in_a_sentence():
            check_tag(label_tag)
            check_file_name(f"{image_id}{ending}", "label")
            if label_tag == FINAL:
                self._check_annotation(image_id, label_filename)
        before = self.get_label_uri(image_id, label_tag)
        target = Path(self._datastore.label_path(label_tag), f"{image_id}{ending}")
        with FileLock(self._lock_file):
            known.labels[label_tag] = _stored(label_filename, target, ending, label_info)
            self._update_datastore_file(lock=False)
        if before and Path(before).name != target.name:  # of another ending
            Path(before).unlink(missing_ok=True)
        return image_id

    def _check_annotation(self, image_id: str, file: str) -> None:
        try:
            self.check_annotation(Path(file), Path(self.get_image_uri(image_id)))
        except ValueError as error:
            raise ValueError(str(error).replace(file, f"the label of {image_id}")) from None

    def _update_datastore_file(self, lock: bool = True) -> None:
        """Write what is known of images and labels, whole: without this file the server does not start."""
        content = json.dumps(self._datastore.model_dump(exclude={"base_path"}), indent=2, default=str)
        with FileLock(self._lock_file) if lock else nullcontext():
            with replacing(self._datastore_config_path) as temporary:
                temporary.write_text(content, encoding="utf-8")
            self._config_ts = os.stat(self._datastore_config_path).st_mtime


def _stored(source: str, target: Path, ending: str, info: dict[str, Any] | None) -> DataModel:
    """Copy a file into the studies; what is kept about it."""
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
    return DataModel(info={**(info or {}), "ts": int(time.time()), "name": target.name}, ext=ending)
