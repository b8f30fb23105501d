# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Folders of predictions: the maps of each image, in channels of classes, and the masks that go with them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from torch import Tensor

from monai_coat.calibration import (
    ScoreForms,
    Statistic,
    update_with,
)
from monai_coat.data.find_format import format_of
from monai_coat.data.map_format import MapFormat, MapOptions, foreground_channels, refuse_softmax
from monai_coat.data.map_listing import Folder, Folders, list_maps
from monai_coat.data.masks import read_masks
from monai_coat.data.nnunet import NNUNet, find_nnunet
from monai_coat.data.sample_maps import all_channels, distances, label_map, mask_of_one, on_map, source_of, unit_of
from monai_coat.data.volumes import VALUES
from monai_coat.files.progress import followed

__all__ = ["PredictionFolder", "open_predictions", "opened"]

logger = logging.getLogger(__name__)

Sample = Mapping[str, Any]
Score = Callable[[MetaTensor, Tensor, str], Tensor | None]


@dataclass(frozen=True)
class PredictionFolder:
    """Predictions of a network, image by image; see :func:`open_predictions`.

    Attributes:
        samples: dictionaries with ``id``, ``probs`` and perhaps ``label``, ``image`` and ``meta``.
        format: how the maps are read.
        options: what was said about them.
        nnunet: the description of the dataset, if they are nnU-Net's.
        folders: number of folders that they are from.
        is_numbered: whether nobody said what the classes are, so that each must be in some mask.
    """

    samples: tuple[Sample, ...]
    format: MapFormat
    options: MapOptions = field(default_factory=MapOptions)
    nnunet: NNUNet | None = None
    folders: int = 1
    is_numbered: bool = False

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, sample: Sample) -> MetaTensor:
        """The maps of the foreground classes, float32 ``(C, *spatial)`` in [0, 1].

        Raises:
            ValueError: naming the file, if it cannot be read, or is of another format than the folder's.
        """
        if self.options.are_masks:
            self._check_values(unit_of(source_of(sample)), sample)
            return distances(sample, self.format.classes)
        maps = all_channels(sample, self.format.axes, self.nnunet)
        self._check_values(maps.meta.get(VALUES, "float"), sample)
        foreground = foreground_channels(maps, self.format, source_of(sample))
        if self.nnunet is None and self.format.channels == "classes" and isinstance(sample["probs"], str):
            refuse_softmax(maps, source_of(sample))
        return foreground

    def _check_values(self, values: str, sample: Sample) -> None:
        if values != self.format.values:
            raise ValueError(
                f"maps must have values of {self.format.values}, as the others or the calibration, got {values} in "
                f"{source_of(sample)}; save all maps in one way."
            )

    def refuse_segmentations(self) -> None:
        """Refuse maps that are all segmentations; maps are read until one is none.

        Raises:
            ValueError: if all are of 0 and 1, and both are there.
        """
        forms = ScoreForms()
        for sample in () if self.options.are_masks else self.samples:
            forms.take(self.read(sample).as_tensor()[None])
            if not forms.only_masks:
                return
        self.check_forms(forms)

    def check_forms(self, forms: ScoreForms) -> None:
        """Refuse maps of which all were segmentations, unless they are to be masks.

        Raises:
            ValueError: naming the first file.
        """
        if not self.options.are_masks:
            forms.check(f"{source_of(self.samples[0])} and the others are segmentations: give the probability maps")

    def pairs(self) -> Iterator[tuple[Sample, MetaTensor, Tensor]]:
        """Of each image the sample, its maps, and its masks as bool, both ``(C, *spatial)``.

        Raises:
            ValueError: naming the file, as :meth:`read`; or if a mask does not say what is foreground, or lies
                elsewhere than its map.
        """
        labels = [sample["label"] for sample in self.samples]
        classes = self.format.classes
        if classes is None:
            read = partial(mask_of_one, axes=self.format.axes)
            for place, mask in read_masks(labels, self.options.mask_threshold, read):
                sample = self.samples[place]
                maps = self.read(sample)
                yield sample, maps, on_map(mask, maps, sample).as_tensor().bool()
            return
        present = torch.zeros(len(classes), dtype=torch.bool)
        for sample in self.samples:
            maps = self.read(sample)
            masks = classes.masks(on_map(label_map(sample["label"], self.format.axes), maps, sample), sample["label"])
            present |= masks.flatten(1).any(1)
            yield sample, maps, masks
            del maps, masks  # before the next ones are read
        if self.is_numbered and not bool(present.all()):
            raise ValueError(
                f"maps have channels of {len(classes)} classes, with labels 1 to {len(classes)}, but no mask holds "
                f"label {int(present.long().argmin()) + 1}, such as {labels[0]}; say what the channels of "
                f"{source_of(self.samples[0])} are, as in --classes {str(classes).replace('class ', 'name')}."
            )

    def collect(self, statistic: Statistic, score: Score | None = None) -> ScoreForms:
        """Add the scores and masks of all images to a statistic; the log says how far it is.

        Args:
            statistic: an empty one, as a guarantee makes it.
            score: function of maps ``(C, *spatial)``, masks and the file's name, to scores of the same shape, or to
                None for an image that is left out of the statistic; None for the maps themselves.

        Returns:
            What was seen of the scores, which tells whether a cutoff takes in everything.

        Raises:
            ValueError: as :meth:`pairs`; or if the maps are segmentations.
        """
        forms, of_scores = ScoreForms(), ScoreForms()
        for sample, maps, masks in followed(self.pairs(), len(self), logger, "calibration"):
            forms.take(maps.as_tensor()[None])
            scores = maps.as_tensor() if score is None else score(maps, masks, source_of(sample))
            if scores is None:
                continue
            try:
                of_scores.take(scores[None])
                update_with(statistic, scores[None], masks[None], [sample.get("meta", {})])
            except ValueError as error:
                raise ValueError(f"{error} (in {source_of(sample)})") from None
            del maps, masks, scores  # before the next ones are read
        self.check_forms(forms)
        return of_scores


def open_predictions(
    probs: Folders,
    labels: Folder | None = None,
    images: Folder | None = None,
    options: MapOptions | None = None,
    format: MapFormat | None = None,
) -> PredictionFolder:
    """Open a folder of predictions: list its files, and find out how they are read.

    Maps may be PNG or TIFF of 8 bits, 16 bits or floats, NIfTI or NRRD volumes, of several channels too, arrays of
    NumPy's, or what nnU-Net v2 leaves with ``--save_probabilities``, of which ``dataset.json`` says the classes.

    Args:
        probs: folder of the maps; several folders, of different images; or one for each class, by the class's name.
        labels: folder of the reference masks or label maps of the same names; None if there are none.
        images: folder of the images, or None.
        options: what the files do not say of themselves.
        format: format that the maps must have, that of a calibration; None to find it out.

    Raises:
        FileNotFoundError: if a folder does not exist, holds no maps, or lacks the counterpart of one.
        ValueError: naming the file, if it is not clear what channels, axes or labels mean; or if the maps cannot be of
            the wanted format.

    Example:
        >>> from monai_coat.data import write_synthetic_dataset
        >>> root = getfixture("tmp_path")
        >>> write_synthetic_dataset(root, count=2, spatial_size=(16, 16))
        >>> folder = open_predictions(root / "synthetic/masks", root / "synthetic/masks")
        >>> len(folder), folder.format.values
        (2, '8 bit')
    """
    options = options or MapOptions()
    folders = _folders_of(probs)
    nnunet = None if options.are_masks or isinstance(probs, Mapping) else find_nnunet(folders)
    if isinstance(probs, Mapping) and format is not None:
        probs = _in_order(probs, format)
    samples = list_maps(probs, {"labels": labels, "images": images}, options.suffix, nnunet)
    count = 1 if isinstance(probs, Mapping) else len(folders)
    names = tuple(probs) if isinstance(probs, Mapping) else ()
    return opened(samples, options, format, nnunet, count, names)


def opened(
    samples: Sequence[Sample],
    options: MapOptions,
    format: MapFormat | None = None,
    nnunet: NNUNet | None = None,
    folders: int = 1,
    names: tuple[str, ...] = (),
) -> PredictionFolder:
    """The folder of samples that are listed already; see :func:`open_predictions`."""
    found = format_of(samples, options, nnunet, names) if format is None else format
    if options.are_masks != found.values.startswith("distance"):
        given, wanted = ("masks", "maps") if options.are_masks else ("maps", "masks")
        raise ValueError(f"predictions must be {wanted}, as the calibration's were, got {given}; give those.")
    if format is not None and nnunet is not None and (options.classes or nnunet.classes) != format.classes:
        raise ValueError(
            f"maps must be of the classes {format.classes} of the calibration, got {nnunet.classes} in dataset.json; "
            "calibrate on predictions of this dataset."
        )
    if nnunet is not None and "label" in samples[0]:
        nnunet.refuse_ignored()
    if options.mask_threshold is not None and found.classes is not None:
        raise ValueError(
            f"mask_threshold must not be given with several classes, {found.classes}, whose labels say what they are; "
            "leave it out."
        )
    is_numbered = format is None and nnunet is None and options.classes is None and found.count > 1
    return PredictionFolder(tuple(samples), found, options, nnunet, folders, is_numbered)


def _folders_of(probs: Folders) -> list[Path]:
    given = [probs] if isinstance(probs, str | os.PathLike) else list(_values(probs))
    if not given:
        raise ValueError("probs must name at least one folder of maps, got none.")
    return [Path(folder).absolute() for folder in given]


def _values(probs: Sequence[Folder] | Mapping[str, Folder]) -> Iterable[Folder]:
    return probs.values() if isinstance(probs, Mapping) else probs


def _in_order(probs: Mapping[str, Folder], format: MapFormat) -> dict[str, Folder]:
    """A folder for each class of a format, in the order of its classes."""
    if set(probs) != set(format.names):
        raise ValueError(
            f"probs must name a folder for each of the classes {', '.join(format.names) or 'of one folder'} of the "
            f"calibration, got {', '.join(probs)}; name them as it does."
        )
    return {name: probs[name] for name in format.names}
