# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The data of a comparison: partition, segmenters, their maps, and repeats of training images and pool."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import monai_coat
from monai_coat.comparison.data.contents import FileDigests, digest_of_samples
from monai_coat.comparison.data.images import Images, load_images
from monai_coat.comparison.data.own_folder import OwnFolder
from monai_coat.comparison.data.own_maps import is_own
from monai_coat.comparison.data.repeats import (
    Repeat,
    TooFewImagesError,
    groups_of,
    repeats_of_saved_maps,
    repeats_of_study,
)
from monai_coat.comparison.data.samples import samples_of
from monai_coat.comparison.data.segmenters import train_segmenter, write_logits
from monai_coat.comparison.data.sketch_methods import refuse_methods_of_whole_maps
from monai_coat.comparison.protocol import Protocol, digest_of
from monai_coat.data import partition, split_by_group
from monai_coat.scorers import METHODS, PredictedMaps

__all__ = ["ComparisonData"]

logger = logging.getLogger(__name__)

Samples = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class _Segmenter:
    """A segmenter to train: one of the protocol, or one that sees half of its training images."""

    dataset: str
    network: str
    half: str = ""


class ComparisonData:
    """Everything that a protocol needs, made once and kept in a folder.

    What is kept has the contents of the files that it depends on, the protocol's settings and this package's version in
    its name. Files are looked at once in the life of an object.

    Args:
        protocol: what is compared.
        folder: where images, weights and maps are kept.

    Attributes:
        left_out: why classes of somebody's maps are not compared, by name; see :meth:`leave_out_rare_classes`.
    """

    def __init__(self, protocol: Protocol, folder: Path) -> None:
        self.protocol, self.folder = protocol, folder
        self._listed: dict[str, list[dict[str, Any]]] = {}
        self._own: dict[str, OwnFolder] = {}
        self._digests: dict[str, str] = {}
        self._repeats: dict[tuple[str, str, bool], list[Repeat]] = {}
        self._has_checked_methods = False
        self.left_out: dict[str, str] = {}
        self._code = {name: _source_of(protocol.settings_of(name).fit) for name in protocol.methods}

    def samples(self, dataset: str) -> list[dict[str, Any]]:
        """The samples of a data set, near repeats in one group where images of one's own are given."""
        own = self.own_folder(dataset)
        return self._samples_as_listed(dataset) if own is None else own.samples

    def own_folder(self, dataset: str) -> OwnFolder | None:
        """The folder of saved maps that a data set is a class of; None if it is none."""
        settings = self.protocol.datasets[dataset]
        if not is_own(settings):
            return None
        key = digest_of({name: value for name, value in settings.items() if name != "class"})
        return self._own.setdefault(key, OwnFolder(settings, self.protocol, self.folder))

    def digest(self, dataset: str) -> str:
        """The identity of a data set: which files it has, and what is in them."""
        if dataset not in self._digests:
            self._digests[dataset] = self._digest_now(dataset)
        return self._digests[dataset]

    def foreign_code(self, method: str) -> str:
        """The source of the module that a method comes from, as it was at first; empty if it is of this package."""
        return self._code[method]

    def repeats(self, dataset: str, network: str, cross_fit: bool = False) -> list[Repeat]:
        """Training images and pool of each repeat.

        Saved maps and studies have several repeats. Else there is one, since each would take a segmenter of its own.

        Args:
            dataset: name of the data set.
            network: name of the segmenter.
            cross_fit: whether the segmenter's own training images are learned from too.
        """
        key = (dataset, network, cross_fit)
        if key not in self._repeats:
            # Those of one group only: all of a large protocol would not fit into memory.
            self._repeats = {key: self._make_repeats(*key)}
        return self._repeats[key]

    def check_methods(self) -> None:
        """Refuse methods that cannot be compared on the protocol's volumes, if it has any.

        Raises:
            ValueError: naming the method.
        """
        own = [self.own_folder(name) for name in self.protocol.datasets]
        if not self._has_checked_methods and any(each is not None and each.has_volumes for each in own):
            refuse_methods_of_whole_maps(self.protocol)
        self._has_checked_methods = True

    def leave_out_rare_classes(self) -> None:
        """Go on without those classes of somebody's maps that too few images have.

        Raises:
            ValueError: if too few images have any of them.
        """
        own = [name for name in self.protocol.datasets if self.own_folder(name) is not None]
        if len(own) < 2:
            return  # of a single one its repeats say so
        for name in own:
            try:
                self.repeats(name, next(iter(self.protocol.networks)))
            except TooFewImagesError as error:
                self.left_out[name] = str(error)
                logger.warning("%s is left out: %s", name, error)
        left = {name: each for name, each in self.protocol.datasets.items() if name not in self.left_out}
        if not left:
            raise ValueError(next(iter(self.left_out.values())))
        self.protocol = replace(self.protocol, datasets=left)

    def _make_repeats(self, dataset: str, network: str, cross_fit: bool) -> list[Repeat]:
        own = self.own_folder(dataset)
        if own is not None:
            return own.repeats(dataset)
        images, samples = self._images(dataset), self.samples(dataset)
        if len(images.probs):
            return repeats_of_saved_maps(images, samples, self.protocol)
        parts = partition(samples, self.protocol.fractions, self.protocol.seed)
        segmenter = _Segmenter(dataset, network)
        train = self._predicted_maps(segmenter, images, parts.base_train, parts.threshold_train)
        if self.protocol.study:
            return repeats_of_study(train, parts.threshold_train, self.protocol)
        pool = self._predicted_maps(segmenter, images, parts.base_train, [*parts.calibration, *parts.test])
        if cross_fit:
            train = self._cross_fitted_maps(segmenter, images, parts.base_train).joined(train)
        return [Repeat(train, pool)]

    def _samples_as_listed(self, dataset: str) -> list[dict[str, Any]]:
        if dataset not in self._listed:
            self._listed[dataset] = samples_of(self.protocol, dataset, self.folder)
        return self._listed[dataset]

    def _digest_now(self, dataset: str) -> str:
        own = self.own_folder(dataset)
        if own is not None:
            return own.digest
        return digest_of_samples(self._samples_as_listed(dataset), FileDigests(self.folder / "file_digests.json"))

    def _images(self, dataset: str) -> Images:
        """The images of a data set, read by this run or an earlier one."""
        name = digest_of((self.digest(dataset), self.protocol.image_size, "float32", monai_coat.__version__))
        path = self.folder / "images" / f"{dataset}-{name}.npz"
        was_read_before = path.is_file()
        images = load_images(self.samples(dataset), self.protocol.image_size, path)
        if not was_read_before and self._digest_now(dataset) != self.digest(dataset):
            path.unlink()
            raise ValueError(f"files of data set {dataset!r} must not change while they are read, but did; run again.")
        return images

    def _predicted_maps(self, segmenter: _Segmenter, images: Images, base: Samples, wanted: Samples) -> PredictedMaps:
        """Maps of the wanted images, by the segmenter that was trained on the base images."""
        chosen = images.take(wanted)
        folder = self._folder_of(segmenter)
        path = folder / f"logits-{digest_of(chosen.ids)}.npy"
        if not path.is_file():
            logger.info("segmenter %s%s of %s", segmenter.network, segmenter.half, segmenter.dataset)
            epochs = int(self.protocol.datasets[segmenter.dataset]["epochs"])
            trained = train_segmenter(self.protocol, segmenter.network, images.take(base), epochs, folder)
            write_logits(trained, chosen, path)
        probs = torch.sigmoid(torch.from_numpy(np.load(path)))
        return PredictedMaps(chosen.ids, chosen.image, chosen.label, probs, groups=groups_of(wanted, chosen.ids))

    def _folder_of(self, segmenter: _Segmenter) -> Path:
        """The folder of a segmenter's weights and maps, named for everything that they depend on."""
        protocol = self.protocol
        settings = (protocol.image_size, protocol.fractions, protocol.seed, protocol.batch_size, protocol.learning_rate)
        made_from = (protocol.datasets[segmenter.dataset], self.digest(segmenter.dataset))
        name = digest_of((made_from, protocol.networks[segmenter.network], settings, monai_coat.__version__))
        return self.folder / "segmenters" / f"{segmenter.dataset}-{segmenter.network}{segmenter.half}-{name}"

    def _cross_fitted_maps(self, segmenter: _Segmenter, images: Images, base: Samples) -> PredictedMaps:
        """Maps of the segmenter's own training images, each by a segmenter that has not seen it."""
        first, second = split_by_group(base, 0.5, self.protocol.seed)
        of_second, of_first = (
            self._predicted_maps(_Segmenter(segmenter.dataset, segmenter.network, half), images, seen, unseen)
            for half, seen, unseen in (("-half1", first, second), ("-half2", second, first))
        )
        return of_second.joined(of_first)


def _source_of(fit: str) -> str:
    """The text of the file that a dotted path leads to; empty for a row of the table, whose code is of this version."""
    if fit in METHODS:
        return ""
    path = importlib.import_module(fit.rpartition(".")[0]).__file__
    return "" if path is None else Path(path).read_text(encoding="utf-8", errors="replace")
