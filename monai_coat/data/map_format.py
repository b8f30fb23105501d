# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How a folder of predictions is read: what its files hold, and which channel is which class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monai.data import MetaTensor
from torch import Tensor

from monai_coat.data.class_labels import ClassLabels

__all__ = ["MapFormat", "MapOptions", "foreground_channels", "has_background", "refuse_softmax"]

ROUNDING, MOST_ROUNDING = 5e-3, 2e-2
"""How far the channels of a softmax may be from 1 in sum, by rounding of each; and all of them at most."""

NEARLY = 0.2
"""How far they are from 1 in sum where it is doubtful what they are."""

AXES = tuple(form.format(order) for form in ("{}", "c{}", "{}c") for order in ("yx", "xy", "zyx", "xyz"))


@dataclass(frozen=True)
class MapOptions:
    """What a user says of a folder of predictions, where its files do not say it.

    Attributes:
        classes: names and labels of the foreground classes. None: one class, whose masks are of 0 and 1, or of 0 and
            255; or as many as there are channels, with the labels 1, 2 and so on.
        axes: of NumPy's files, a letter for each: c for channels, and x, y, z as in the files of the masks; "yx" and
            "cyx" as NumPy and OpenCV have images, "czyx" as SimpleITK has volumes. Empty: as their sizes say.
        suffix: ending of the names of maps before that of the file, such as "_prob", which masks do not have.
        mask_threshold: masks are foreground from this value on.
        are_masks: whether predictions are masks, whose map is that of :func:`~monai_coat.scorers.distance_map`.

    Raises:
        ValueError: if the axes are none of a map, or a threshold comes with classes.
    """

    classes: ClassLabels | None = None
    axes: str = ""
    suffix: str = ""
    mask_threshold: float | None = None
    are_masks: bool = False

    def __post_init__(self) -> None:
        if self.axes and self.axes not in AXES:
            raise ValueError(f"axes must be one of {', '.join(AXES)}, got {self.axes!r}; name those of the arrays.")
        if self.classes is not None and self.mask_threshold is not None:
            raise ValueError("mask_threshold must not be given with classes, which say what labels mean; leave it out.")


@dataclass(frozen=True)
class MapFormat:
    """What a calibration of saved maps belongs to: maps of another format are refused.

    Attributes:
        classes: names and labels; None for one class without a name.
        channels: "classes", or "background first": the first of a softmax.
        axes: of NumPy's files, see :class:`MapOptions`; empty of files that say it themselves.
        values: "8 bit", "16 bit", "float", "float16" and the like; of masks "distance", or "distance in pixels".
    """

    classes: ClassLabels | None
    channels: str
    axes: str
    values: str

    @property
    def count(self) -> int:
        """Number of foreground classes."""
        return 1 if self.classes is None else len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes, or none."""
        return () if self.classes is None else self.classes.names

    def to_entries(self) -> dict[str, str]:
        """The format in words, for the identity of a calibration."""
        return {
            "classes": str(self.classes or "foreground"),
            "channels": self.channels,
            "axes": self.axes or "of the file",
            "values": self.values,
        }

    @classmethod
    def from_entries(cls, entries: Mapping[str, str]) -> MapFormat:
        """The format that :meth:`to_entries` wrote.

        Raises:
            ValueError: if entries are missing.

        Example:
            >>> format = MapFormat(ClassLabels.numbered(2), "background first", "czyx", "float")
            >>> MapFormat.from_entries(format.to_entries()) == format
            True
        """
        missing = {"classes", "channels", "axes", "values"} - entries.keys()
        if missing:
            raise ValueError(
                "calibration must be one of saved maps, with their format, got one without "
                f"{', '.join(sorted(missing))}; make it by the command calibrate."
            )
        classes = None if entries["classes"] == "foreground" else ClassLabels.parse(entries["classes"])
        axes = "" if entries["axes"] == "of the file" else entries["axes"]
        return cls(classes, entries["channels"], axes, entries["values"])


def has_background(maps: Tensor, classes: ClassLabels | None, source: str) -> bool:
    """Whether the first of the channels ``(C, *spatial)`` is the background, as in a softmax.

    Args:
        maps: all channels of a file.
        classes: the foreground classes, if they were said.
        source: the file, for messages.

    Raises:
        ValueError: if the number of channels is that of the classes with or without a background, but not so their sum.
    """
    count, sums_to_one = maps.shape[0], maps.shape[0] > 1 and _sums_to_one(maps)
    if count > 1 and not sums_to_one and _sums_to_one(maps, NEARLY):
        raise ValueError(
            f"maps must have channels that sum to 1, as of a softmax, or not at all so, got sums of nearly 1 in "
            f"{source}; save probabilities with more digits."
        )
    if classes is None:
        return sums_to_one
    if count == len(classes) + 1 and sums_to_one:
        return True
    if count == len(classes) and not sums_to_one:
        return False
    remedy = "their sum is 1: the first must be the background" if sums_to_one else "their sum is not 1: none can be it"
    raise ValueError(
        f"maps must have a channel for each of the {len(classes)} classes {classes}, or one more for the background "
        f"before them, got {count} channels in {source} ({remedy}); name a class for each channel."
    )


def foreground_channels(maps: MetaTensor, format: MapFormat, source: str) -> MetaTensor:
    """The channels of the foreground classes.

    Raises:
        ValueError: naming the source, if the channels are others than those of the format.
    """
    background = format.channels != "classes"
    if maps.shape[0] != format.count + background or (background and not _sums_to_one(maps)):
        expected = f"{format.count + background} channels" + (" that sum to 1" if background else "")
        raise ValueError(
            f"maps of a folder must all have {expected}, got {maps.shape[0]}, of another kind, in {source}; leave the "
            "file out, or predict it again."
        )
    return maps[1:] if background else maps  # type: ignore[return-value]


def refuse_softmax(maps: Tensor, source: str) -> None:
    """Refuse channels that sum to 1 where each was to be a class: one of them is the background.

    Raises:
        ValueError: naming the source.
    """
    if maps.shape[0] > 1 and _sums_to_one(maps):
        raise ValueError(
            f"maps must have a channel for each class, as the others or the calibration's, got {maps.shape[0]} "
            f"channels that sum to 1, as of a softmax with background, in {source}; give maps of the same network."
        )


def _sums_to_one(maps: Tensor, tolerance: float | None = None) -> bool:
    """Whether channels sum to 1 everywhere; outside of a crop they may all be 0."""
    off = min(ROUNDING * maps.shape[0], MOST_ROUNDING) if tolerance is None else tolerance
    total = maps.as_subclass(Tensor).sum(0)
    return bool((((total - 1).abs() <= off) | (total == 0)).all()) and bool(total.any())
