# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The pictures of single images: which to show, and how."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monai_coat.files import stem_of
from monai_coat.report._sheet import FAINT, GRID, LINE, PLAIN, SMALL, Box, MethodStyle, Sheet, drawing, fit, wrap
from monai_coat.report.records import ImageRecord, check_same_images, with_foreground

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Panel", "choose_panels", "pictures_of"]

EACH = 2  # images for each reason to show one
TITLE_LINES = 3
MARGIN = 0.08  # inches between title, picture and text
NUMBER, SWATCH = 0.72, 0.34  # inches for a column of numbers and for a piece of line


def pictures_of(samples: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Image file of each record's name; none where labels in several folders share it: records do not tell them apart.

    Example:
        >>> samples = [{"label": f"{place}/1.png", "image": f"{place}/1.jpg"} for place in ("a", "b")]
        >>> pictures_of([*samples, {"label": "a/2.png", "image": "a/2.jpg"}])
        {'2': 'a/2.jpg'}
    """
    stems = [stem_of(sample["label"]) for sample in samples]
    often = Counter(stems)
    return {stem: sample["image"] for stem, sample in zip(stems, samples, strict=True) if often[stem] == 1}


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
class Panel:
    """One image with its label and the prediction set of each method.

    Attributes:
        title: what it shows; it gets three lines at most.
        image: grey ``(H, W)`` or colour ``(H, W, 3)``, values in [0, 1].
        label: reference mask ``(H, W)``, bool.
        masks: prediction set of each method, ``(H, W)``, bool.
        coverages: coverage of each of these sets; NaN without foreground.
        sizes: size of each of them over that of the foreground, where the masks show a part only, such as a slice of a
            volume; None: that of the masks.

    Raises:
        TypeError: if the label or a mask is not bool.
        ValueError: if shapes differ, the image leaves [0, 1], or masks and coverages are not of the same methods.
    """

    title: str
    image: NDArray[Any]
    label: NDArray[np.bool_]
    masks: Mapping[str, NDArray[np.bool_]]
    coverages: Mapping[str, float]
    sizes: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if self.image.ndim not in (2, 3) or self.image.shape[2:] not in ((), (3,)):
            raise ValueError(
                f"image of {self.title!r} must have shape (H, W) or (H, W, 3), got {self.image.shape}; "
                "move the channels last and choose a slice of a volume."
            )
        if not (self.image.size and self.image.min() >= 0 and self.image.max() <= 1):  # NaN as well
            raise ValueError(
                f"image of {self.title!r} must hold values in [0, 1], got others or none; divide 8 bit images by 255."
            )
        if set(self.masks) != set(self.coverages):
            raise ValueError(
                f"masks and coverages of {self.title!r} must be of the same methods, got {sorted(self.masks)} and "
                f"{sorted(self.coverages)}; give both for each method."
            )
        for name, mask in {"label": self.label, **self.masks}.items():
            if mask.dtype != np.bool_:
                raise TypeError(f"{name} of {self.title!r} must be bool, got {mask.dtype}; compare with a cutoff.")
            if mask.shape != self.image.shape[:2]:
                raise ValueError(
                    f"{name} of {self.title!r} must have the shape {self.image.shape[:2]} of its image, got "
                    f"{mask.shape}; squeeze the channel and resize to the image."
                )


def choose_panels(
    records: Mapping[str, Sequence[ImageRecord]], reference: str = "crc", method: str = "coat"
) -> list[tuple[str, str]]:
    """Choose images to show by rule, so that nobody picks the pretty ones.

    They are the two images with the lowest coverage under the reference, the two under the method, and for each of
    them the two whose coverage is nearest its median. Ties go by name. An image that is chosen for several reasons
    comes once, with all of them in its title, so that there are at most eight.

    Args:
        records: records of each method, of the same images.
        reference: method to compare with.
        method: method to show.

    Returns:
        Pairs of a title, such as "worst under crc: image_7", and the name of an image with foreground.

    Raises:
        ValueError: if a method has no records, or the images of methods differ or have no foreground.

    Example:
        >>> crc = [ImageRecord(n, c, 4, 4, 4, 16, 0.1) for n, c in zip("abcdef", [1.0, 0.9, 0.8, 0.7, 0.6, 0.5])]
        >>> choose_panels({"crc": crc}, method="crc")[0]
        ('worst under crc: f', 'f')
    """
    for name, value in (("reference", reference), ("method", method)):
        if value not in records:
            raise ValueError(
                f"{name} must be one of the methods of records, got {value!r}; there are "
                f"{', '.join(map(repr, records)) or 'none'}."
            )
    check_same_images(records)
    methods = list(dict.fromkeys([reference, method]))
    reasons: dict[str, list[str]] = {}
    for rank_all in (_worst, _typical):
        for shown in methods:
            for reason, name in rank_all(with_foreground(records[shown], shown)):
                reasons.setdefault(name, []).append(f"{reason} under {shown}")
    return [(f"{', '.join(why)}: {name}", name) for name, why in reasons.items()]


def _worst(records: Sequence[ImageRecord]) -> list[tuple[str, str]]:
    ranked = sorted(records, key=lambda r: (r.coverage, r.name))
    return [("2nd worst" if rank else "worst", r.name) for rank, r in enumerate(ranked[:EACH])]


def _typical(records: Sequence[ImageRecord]) -> list[tuple[str, str]]:
    median = float(np.median([r.coverage for r in records]))
    ranked = sorted(records, key=lambda r: (abs(r.coverage - median), r.name))
    return [("typical", r.name) for r in ranked[:EACH]]


def picture_height(panel: Panel, width: float) -> float:
    """Height of its picture in inches: as the image asks, but no taller than wide."""
    rows, columns = panel.label.shape
    return min(width, width * float(rows) / float(columns))


def title_lines(panel: Panel, width: float) -> list[str]:
    """Its title on as many lines as it needs."""
    return wrap(panel.title, width, TITLE_LINES, PLAIN, "bold")


def text_height(panel: Panel) -> float:
    """Height of the text below its picture in inches: a line per method, and one above them."""
    return (len(panel.masks) + 1) * LINE + MARGIN


def draw_panel(sheet: Sheet, box: Box, panel: Panel, styles: Mapping[str, MethodStyle]) -> None:
    """Picture with outlines in the box, title above and a line per method below it."""
    title = title_lines(panel, box.width)
    for index, content in enumerate(title):
        sheet.text(box.left, box.top - MARGIN - (len(title) - index) * LINE, content, PLAIN, weight="bold")
    axes = sheet.axes(box)
    axes.grid(False)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color=GRID, zorder=1)  # below the outlines
    axes.imshow(panel.image.astype(np.float32), cmap="gray", vmin=0, vmax=1)  # colour images need no map
    axes.set_anchor("NW")
    _outline(axes, panel.label, "white", "solid", 2.6)
    for method, mask in panel.masks.items():
        _outline(axes, mask, styles[method].color, styles[method].dashes, 2.2)
    _write_numbers(sheet, Box(box.left, box.top + box.height + MARGIN, box.width, LINE), panel, styles)


def _write_numbers(sheet: Sheet, line: Box, panel: Panel, styles: Mapping[str, MethodStyle]) -> None:
    """Coverage of each method, never without the size of its set; ``line`` is the first line."""
    sizes = relative_sizes(panel.masks, panel.label) if panel.sizes is None else panel.sizes
    right = line.left + line.width
    for end, heading in ((right - NUMBER, "coverage"), (right, "rel. size")):
        sheet.text(end, line.top, heading, SMALL, color=FAINT, ha="right")
    for index, method in enumerate(panel.masks, 1):
        look, top = styles[method], line.top + index * LINE
        sheet.swatch(line.left, top, SWATCH, SMALL, color=look.color, linestyle=look.dashes, linewidth=2.4)
        left = line.left + SWATCH + 0.1
        sheet.text(left, top, fit(method, right - 2 * NUMBER - left, SMALL), SMALL)
        sheet.text(right - NUMBER, top, _number(panel.coverages[method]), SMALL, ha="right")
        sheet.text(right, top, _number(sizes[method]), SMALL, ha="right")


def relative_sizes(masks: Mapping[str, NDArray[np.bool_]], label: NDArray[np.bool_]) -> dict[str, float]:
    """The size of each set over that of the label; NaN without foreground."""
    foreground = int(label.sum())
    return {method: int(mask.sum()) / foreground if foreground else math.nan for method, mask in masks.items()}


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.2f}"


def _outline(axes: Axes, mask: NDArray[np.bool_], color: str, dashes: Any, width: float) -> None:
    """Outline a mask halfway between inside and outside pixels, the border of the image being outside."""
    if not mask.any():
        return
    rows, columns = (np.arange(-1, size + 1) for size in mask.shape)
    outline = axes.contour(columns, rows, np.pad(mask, 1).astype(np.float32), levels=[0.5], colors=[color])
    outline.set(linewidth=width, linestyle=[dashes])
    halo = drawing("patheffects", "withStroke")(
        linewidth=width + 1.4, foreground="black" if color == "white" else "white"
    )
    outline.set_path_effects([halo])
    axes.set(xlim=(-0.5, mask.shape[1] - 0.5), ylim=(mask.shape[0] - 0.5, -0.5))
