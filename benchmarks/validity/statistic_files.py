# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a statistic file still tells about single images: sizes of objects, read by the attacks of :mod:`attack`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.validity.attack import Sums, size_from_difference, sizes_from_ends, sizes_from_jumps
from benchmarks.validity.attempts import attempted
from benchmarks.validity.inputs import Inputs, LabelledMap
from benchmarks.validity.sections import Content, Section, paragraphs, progress, table
from monai_coat.calibration import BinnedStatistic, CollectedStatistic, merge_statistics, save_statistic
from monai_coat.scorers import METHODS, ExpectedGapPredictor, MarginScorer, ScoreSpace

ALPHA, COUNT, STEP, LEARNING = 0.1, 12, 8, 100
MORE = (12, 25, 50, 100)
SPACES = {"margins": ("probability", METHODS["coat"].score_range), "MEG": ("logit", METHODS["meg"].score_range)}
FINEST = 2**32
TEXT = """Each file is of {count} images, drawn at random from {maps} maps, and is all that the attacker has. The scores
are margins over the thresholds that MEG predicts, of probabilities on the grid [-1, 1], or of log odds, as MEG has
them, on [-30, 30]. Large objects are those of the maps as they are ({large} pixels: 10 %, median and 90 %), small ones
those of every {step}th pixel in both directions ({small} pixels). A unit of 2^32 and 4096 steps (2^15 for MEG) are what
files had before. The default is 2^10 and 512 with sizes hidden: an image's rate has at most as many parts as its object
has pixels. Mean over {files} files:

- *read from jumps*: exact sizes among the file's {count} that are among {count} guesses; in brackets the same guesses
  held against another file's images, which is what chance gives. *Within 1 %* likewise.
- *alone at an end*: share of files whose lowest or highest sums give an exact size, of the image that is the first to
  lose pixels or the last to keep some.
- *difference*: share of files whose difference to the file without one of its images gives the exact size of that one.
  Whatever the unit, the difference is that image's curve of shares, in steps of 1 / unit."""
BETWEEN = """The rule behind the table: an image's rate takes only as many values as its object has pixels, plus one.
A unit hides the size of an object that has more pixels than the unit, and not of a smaller one; more steps give more
chances to look. **With sizes hidden no object has fewer pixels than its rate has parts**, so that one pixel shows as
one part or as none; what stays is the number of parts of an image that is alone, which says its size to a factor of
two. By number of images in the file (default, small objects, margins):"""
AFTER = """These attacks are simple ones. Whoever knows more than the file, such as all images of a site but one,
is as well off as with a difference. Beside the sums a file has the number of images and a token of each, 64 bits of a
digest of score map, mask and network: whoever has an image, its mask and the network can tell whether it is in the
file.

Two files that share images are not merged (of {count} and {fewer} images): {overlap}"""


@dataclass(frozen=True)
class Resolution:
    """How fine a file of sums is."""

    unit: int
    bins: int
    hide_sizes: bool = False

    @property
    def name(self) -> str:
        """Unit and steps, and whether small objects have fewer parts."""
        power, hidden = self.bins.bit_length() - 1, ", sizes hidden" if self.hide_sizes else ""
        return f"2^{self.unit.bit_length() - 1}, {self.bins if self.bins <= 4096 else f'2^{power}'}{hidden}"

    def statistic(self, score_range: tuple[float, float]) -> BinnedStatistic:
        """An empty statistic."""
        return BinnedStatistic(*score_range, self.bins, self.unit, self.hide_sizes)


DEFAULT = Resolution(BinnedStatistic().unit, BinnedStatistic().bins, BinnedStatistic().hide_sizes)
BEFORE = {"margins": Resolution(FINEST, 2**12), "MEG": Resolution(FINEST, 2**15)}


def resolutions(scores: str) -> list[Resolution]:
    """Those of before, one half of the default each, the default without and with hidden sizes, and coarser ones."""
    before = BEFORE[scores]
    mixed = [Resolution(before.unit, DEFAULT.bins), Resolution(DEFAULT.unit, before.bins)]
    coarse = [Resolution(unit, DEFAULT.bins) for unit in (DEFAULT.unit, 2**8, 2**6)]
    return [before, *mixed, coarse[0], DEFAULT, *coarse[1:]]


def scored_maps(inputs: Inputs, scores: str, step: int = 1) -> list[LabelledMap]:
    """Margins of the maps that the thresholds were not learned from, of every ``step``-th pixel."""
    learning = min(LEARNING, len(inputs.maps) // 3)
    pairs = [image.pair for image in inputs.maps[:learning]]
    predictor = ExpectedGapPredictor(members=2).fit_batches(pairs, ALPHA)
    scorer = MarginScorer(predictor, ScoreSpace(SPACES[scores][0])).eval()
    images = []
    for image in inputs.maps[learning:]:
        with torch.no_grad():
            margins = scorer(image.scores, image.scores)
        label = image.label[..., ::step, ::step]
        if label.any():
            images.append(LabelledMap(margins[..., ::step, ::step].contiguous(), label))
    return images


@dataclass(frozen=True)
class AttackedFile:
    """The sums of some images and of all of them but the last, and the truth."""

    sums: Sums
    without_last: Sums
    sizes: tuple[int, ...]
    unit: int

    @classmethod
    def of(cls, images: Sequence[LabelledMap], statistic: BinnedStatistic) -> AttackedFile:
        """Collect the images into an empty statistic."""
        for image in images[:-1]:
            statistic.update(*image.pair)
        without_last = statistic.rates[0].copy() if len(images) > 1 else np.zeros_like(statistic.edges, np.int64)
        statistic.update(*images[-1].pair)
        sizes = tuple(int(image.label.sum()) for image in images)
        return cls(statistic.rates[0].copy(), without_last, sizes, statistic.unit)

    @property
    def from_jumps(self) -> list[int]:
        """Guesses from single jumps."""
        return sizes_from_jumps(self.sums, self.unit, len(self.sizes))

    @property
    def end_is_known(self) -> bool:
        """Whether an image that is alone at an end gives its size away."""
        return any(guess in self.sizes for guess in sizes_from_ends(self.sums, self.unit, len(self.sizes)))

    @property
    def difference_is_known(self) -> bool:
        """Whether the difference to the other file gives the size of the last image."""
        return size_from_difference(self.sums, self.without_last, self.unit) == self.sizes[-1]


def hits(guesses: Sequence[int], sizes: Sequence[int], tolerance: float = 0.0) -> int:
    """How many of the sizes are met by a guess, within a tolerance relative to the size."""
    return sum(any(abs(guess - size) <= tolerance * size for guess in guesses) for size in sizes)


def attacked(
    images: Sequence[LabelledMap], make: Callable[[], BinnedStatistic], files: int, count: int = COUNT
) -> list[float]:
    """Exact hits, those by chance, hits within 1 %, those by chance, ends, differences: means over files."""
    made = []
    for seed in range(files):
        rows = np.random.default_rng(seed).choice(len(images), count, replace=False)
        made.append(AttackedFile.of([images[row] for row in rows], make()))
    measured = []
    for place, file in enumerate(made):
        others, guesses = made[place - 1].sizes, file.from_jumps
        counts = [hits(guesses, sizes, wide) for wide in (0.0, 0.01) for sizes in (file.sizes, others)]
        measured.append([*counts, file.end_is_known, file.difference_is_known])
    return np.mean(measured, axis=0).tolist()


def overlap_refused(images: Sequence[LabelledMap]) -> str:
    """What merging says to two files of which one has all images of the other and one more."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("march.npz", "april.npz")]
        for count, path in zip((COUNT - 1, COUNT), paths, strict=True):
            collected = CollectedStatistic(BinnedStatistic())
            for image in images[:count]:
                collected.update(*image.pair)
            save_statistic(collected, path)
        return attempted(merge_statistics, paths)


def run(inputs: Inputs) -> Content:
    """Every attack at every resolution, for both kinds of scores and sizes of objects."""
    rows, sizes = [], {}
    cases = [(scores, step) for step in (1, STEP) for scores in SPACES]
    for scores, step in progress("statistic files", cases):
        images = scored_maps(inputs, scores, step)
        areas = [float(image.label.sum()) for image in images]
        sizes["large" if step == 1 else "small"] = np.quantile(areas, (0.1, 0.5, 0.9)).round().tolist()
        for resolution in resolutions(scores):
            values = attacked(images, partial(resolution.statistic, SPACES[scores][1]), inputs.scale.files)
            rows.append(["large" if step == 1 else "small", scores, resolution.name, values])
    facts = {"sizes": sizes, "maps": len(images), "files": inputs.scale.files, "overlap": overlap_refused(images)}
    return {"rows": rows, "larger": larger_files(inputs), **facts}


def larger_files(inputs: Inputs) -> list[list[object]]:
    """At the default, small objects, margins: how often an end gives a size away, by number of images in the file."""
    images, make = scored_maps(inputs, "margins", STEP), partial(DEFAULT.statistic, SPACES["margins"][1])
    counts = [count for count in MORE if count <= len(images) // 2]
    return [[count, *attacked(images, make, inputs.scale.files, count)[4:]] for count in counts]


def lines(content: Content) -> list[str]:
    """A row per kind of object and scores, and resolution."""
    head = ["objects", "scores", "unit, steps", f"read from jumps, of {COUNT}", "within 1 %"]
    rows = []
    for kind, scores, name, (exact, luck, near, near_luck, ends, difference) in content["rows"]:
        default = name == DEFAULT.name
        cells = [f"{exact:.1f} ({luck:.1f})", f"{near:.1f} ({near_luck:.1f})", f"{ends:.0%}", f"{difference:.0%}"]
        rows.append([kind, scores, f"**{name}**" if default else name, *cells])
    sizes = {kind: ", ".join(f"{size:.0f}" for size in values) for kind, values in content["sizes"].items()}
    facts = {"count": COUNT, "step": STEP, "maps": content["maps"], "files": content["files"], **sizes}
    larger = table(
        ["images in the file", "alone at an end", "difference"],
        [[str(count), f"{ends:.0%}", f"{difference:.0%}"] for count, ends, difference in content["larger"]],
    )
    after = AFTER.format(count=COUNT, fewer=COUNT - 1, overlap=content["overlap"])
    head += ["alone at an end", "difference"]
    return [*paragraphs(TEXT.format(**facts)), *table(head, rows), *paragraphs(BETWEEN), *larger, *paragraphs(after)]


def verdict(content: Content) -> str:
    """What the default hides and what it does not."""
    rows = {(kind, scores): values for kind, scores, name, values in content["rows"] if name == DEFAULT.name}
    before = {(kind, scores): values for kind, scores, name, values in content["rows"] if name == BEFORE[scores].name}
    texts = []
    for kind in ("large", "small"):
        now, then = ([of[kind, scores] for scores in SPACES] for of in (rows, before))
        jumps, jumps_before = (max(values[0] for values in table) for table in (now, then))
        ends, difference = (max(values[place] for values in now) for place in (4, 5))
        texts.append(
            f"{kind} objects: {jumps:.1f} exact sizes of {COUNT} (before {jumps_before:.1f}), "
            f"an image alone at an end in {ends:.0%} of files, a difference of two files in {difference:.0%}"
        )
    return f"At the default, {'; '.join(texts)}."


SECTION = Section("Statistic files: what they still tell", run, lines, verdict)
