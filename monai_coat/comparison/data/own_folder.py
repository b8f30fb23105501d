# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A folder of saved maps in a comparison: its samples, the digest of its contents, and the repeats of each class."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import monai_coat
from monai_coat.comparison.data.contents import FileDigests, digest_of_samples
from monai_coat.comparison.data.folder_images import load_folder_images
from monai_coat.comparison.data.images import Images
from monai_coat.comparison.data.own_maps import holds_volumes, open_own_maps, place_of_class
from monai_coat.comparison.data.repeats import Repeat, check_enough, repeats_of_saved_maps, repeats_of_volumes
from monai_coat.comparison.data.volumes import COLUMNS, Volumes
from monai_coat.comparison.protocol import Protocol, digest_of
from monai_coat.data import PredictionFolder, group_duplicates

__all__ = ["OwnFolder"]

logger = logging.getLogger(__name__)


class OwnFolder:
    """A folder of saved maps, which the data sets of its classes share. Files are looked at once.

    Args:
        settings: a data set of the protocol; its class plays no part.
        protocol: what is compared.
        output: folder where images, or sketches of volumes, are kept.
    """

    def __init__(self, settings: Mapping[str, Any], protocol: Protocol, output: Path) -> None:
        self.settings, self.protocol, self.output = settings, protocol, output
        self._said: set[str] = set()

    @cached_property
    def folder(self) -> PredictionFolder:
        """The predictions, with all classes."""
        return open_own_maps(self.settings)

    @cached_property
    def has_volumes(self) -> bool:
        """Whether they are volumes, which are compared at their own size."""
        return holds_volumes(self.folder)

    @cached_property
    def samples(self) -> list[dict[str, Any]]:
        """Samples; near repeats are in one group where flat images are given."""
        listed = [dict(sample) for sample in self.folder.samples]
        return group_duplicates(listed) if "images" in self.settings and not self.has_volumes else listed

    @cached_property
    def digest(self) -> str:
        """The identity of the folder: which files it has, what is in them, and how they are read."""
        return self._digest_now()

    def check_unchanged(self) -> None:
        """Refuse files that are others than at first.

        Raises:
            ValueError: if one was rewritten, or is gone.
        """
        try:
            changed = self._digest_now() != self.digest
        except FileNotFoundError:
            changed = True
        if changed:
            raise ValueError(f"files of {self._place} must not change while they are read, but did; run again.")

    def repeats(self, dataset: str) -> list[Repeat]:
        """Training images and pool of each repeat of the data set of one of the classes.

        Raises:
            ValueError: naming the file, if one cannot be read or has changed; or if there are too few images.
        """
        index = place_of_class(self.folder, self.protocol.datasets[dataset])
        if self.has_volumes:
            of_class = self._volumes.of_class(index)
            repeats = repeats_of_volumes(of_class, self.samples, self.protocol)
        else:
            images = self._images().of_class(index)
            repeats = repeats_of_saved_maps(images, self.samples, self.protocol)
        self._say_left_out(dataset, len(self.samples) - len(repeats[0].train) - len(repeats[0].pool))
        check_enough(repeats, dataset, self.protocol)
        return repeats

    @cached_property
    def _volumes(self) -> Volumes:
        path = self._path("sketches", COLUMNS)
        was_read_before = path.is_file()
        volumes = Volumes(self.folder, path)
        self._check_read(path, was_read_before)
        return volumes

    def _images(self) -> Images:
        path = self._path("images", (*self.protocol.image_size, "float32"))
        was_read_before = path.is_file()
        images = load_folder_images(self.folder, self.protocol.image_size, path)
        self._check_read(path, was_read_before)
        return images

    def _check_read(self, path: Path, was_read_before: bool) -> None:
        if not was_read_before:
            try:
                self.check_unchanged()
            except ValueError:
                path.unlink()
                raise

    def _path(self, kind: str, form: Sequence[int | str]) -> Path:
        said = {key: value for key, value in self.settings.items() if key != "class"}
        name = digest_of((self.digest, said, tuple(form), monai_coat.__version__))
        return self.output / kind / f"maps-{name}.npz"

    def _digest_now(self) -> str:
        content = digest_of_samples(self.folder.samples, FileDigests(self.output / "file_digests.json"))
        return digest_of((content, self.folder.format.to_entries(), repr(self.folder.nnunet)))

    @property
    def _place(self) -> str:
        return str(self.settings["masks" if self.folder.options.are_masks else "probs"])

    def _say_left_out(self, dataset: str, count: int) -> None:
        if count and dataset not in self._said:
            self._said.add(dataset)
            logger.info("%s: %d of %d images have no foreground: left out", dataset, count, len(self.samples))
