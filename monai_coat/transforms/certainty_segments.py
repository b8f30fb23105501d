# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The segments of a DICOM segmentation: what is certain and what is possible, each with its promise."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from monai.data import MetaTensor

from monai_coat.calibration import CalibrationResult, risk_named
from monai_coat.data.dicom_seg import TISSUE, Code, Segment, write_dicom_seg
from monai_coat.data.dicom_series import DicomSeries
from monai_coat.transforms.certainty_labels import ABSENT, CERTAIN, CertaintyLabels
from monai_coat.transforms.certainty_map import check_possible_and_certain

__all__ = ["CertaintySegments"]


@dataclass(frozen=True)
class CertaintySegments:
    """What is certain and what is possible of each class, as segments of a DICOM segmentation.

    Each description has the promise about its set in the calibration's words, whole, with the number of calibration
    images; a class about which nothing is promised says so. Types of segmentation:

    - ``BINARY``: the segments "liver possible", certain included, and "liver certain" of each class. They overlap.
    - ``LABELMAP`` has one label for each voxel and so, as :class:`~monai_coat.transforms.CertaintyLabels`, one for each
      combination that occurs: "liver certain", "liver possible only", "liver possible only, tumour certain". The
      possible set of liver is all labels that name liver. At most ten classes.
    - ``FRACTIONAL``: as ``BINARY``, 1 inside and 0 outside, and with probabilities a segment "liver probability" too,
      rounded to 255ths. The sets are not to be cut from these again: rounding would take voxels out.

    Args:
        classes: their names, in the order of the channels.
        possible: calibration of what is missed.
        certain: calibration of false positives, if there is one.
        segmentation_type: see above.
        codes: category and type of classes by name, as DICOM codes such as ``(("123037004", "SCT", "Anatomical
            Structure"), ("10200004", "SCT", "Liver"))``. A class without is a tissue.

    Raises:
        ValueError: if the calibrations are not of these risks, do not say what they promise, or do not fit each other
            or the names; or if a text is longer than DICOM allows: no promise is cut.

    Example:
        >>> possible = CalibrationResult((0.25,), 0.1, (99,), (0,), (0.09,), "E[FNR] <= 0.1")
        >>> [(segment.label, segment.description) for segment in CertaintySegments(("liver",), possible).segments()]
        [('liver possible', 'Possible set of liver. E[FNR] <= 0.1; n = 99.')]
    """

    classes: Sequence[str]
    possible: CalibrationResult
    certain: CalibrationResult | None = None
    segmentation_type: str = "BINARY"
    codes: Mapping[str, tuple[Code, Code]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_possible_and_certain(self.possible, self.certain)
        names, count = list(self.classes), len(self.possible.cutoff)
        if isinstance(self.classes, str) or len(set(names)) != count or len(names) != count:
            raise ValueError(f"classes must name the {count} classes of the calibration, each once, got {names!r}.")
        strangers = sorted(set(self.codes) - set(names))
        if strangers:
            raise ValueError(f"codes must be of {', '.join(names)}, got one of {strangers[0]!r}; correct its name.")
        for name, calibration in (("possible", self.possible), ("certain", self.certain)):
            if calibration is not None and not calibration.guarantee.strip():
                raise ValueError(f"{name} must say what it promises, got an empty guarantee; calibrate again.")
        self.segments()  # whose texts must fit

    def segments(self, with_probabilities: bool = False, labels: Sequence[int] | None = None) -> list[Segment]:
        """The segments.

        Args:
            with_probabilities: whether there are probabilities, for ``FRACTIONAL``.
            labels: of a ``LABELMAP``, the labels that occur; those of single classes are always among the segments.
        """
        if self.segmentation_type == "LABELMAP":
            return list(self._of_labels(labels or ()))
        texts = [text for index in range(len(self.classes)) for text in self._of_class(index, with_probabilities)]
        return [Segment(number, *text) for number, text in enumerate(texts, 1)]

    def write(
        self,
        path: str | os.PathLike[str],
        series: DicomSeries,
        possible: MetaTensor,
        certain: MetaTensor | None = None,
        probs: MetaTensor | None = None,
    ) -> None:
        """Write the sets of an image to a file; what is certain but not possible counts as neither.

        Args:
            path: file to write.
            series: the image.
            possible: the possible sets ``(C, *spatial)`` on the voxels of the series, in any order of axes that their
                affine says.
            certain: the certain sets alike, if there is a calibration of them.
            probs: probabilities alike, for ``FRACTIONAL``.

        Raises:
            OptionalImportError: if highdicom is not installed.
            ValueError: if maps do not fit each other, the classes or the series; nothing is written then.
        """
        if (certain is None) != (self.certain is None):
            raise ValueError("certain must be given as a set and as a calibration, got only one of the two; give both.")
        if probs is not None and self.segmentation_type != "FRACTIONAL":
            raise ValueError(f"probs must be for FRACTIONAL, got {self.segmentation_type}; leave them out.")
        maps = [each for each in (possible, certain, probs) if each is not None]
        self._check_maps(maps)
        inside = possible.as_tensor().bool()
        sure = torch.zeros_like(inside) if certain is None else certain.as_tensor().bool() & inside
        if self.segmentation_type == "LABELMAP":
            labels = CertaintyLabels(tuple(self.classes)).encode(inside, sure)
            segments = self.segments(labels=[int(label) for label in labels.unique()])
            values = labels[None]
        else:
            stacked = [
                inside,
                *([sure] if certain is not None else []),
                *([probs.as_tensor()] if probs is not None else []),
            ]
            segments = self.segments(with_probabilities=probs is not None)
            values = torch.stack(stacked, dim=1).flatten(0, 1)
        write_dicom_seg(path, series, segments, MetaTensor(values, affine=possible.affine), self.segmentation_type)

    def _check_maps(self, maps: Sequence[MetaTensor]) -> None:
        first = maps[0]
        for each in maps:
            if not isinstance(each, MetaTensor) or each.shape[0] != len(self.classes) or each.shape != first.shape:
                raise ValueError(
                    f"sets and probs must be MetaTensors of {len(self.classes)} channels and one size, got "
                    f"{type(each).__name__} {tuple(each.shape)} beside {tuple(first.shape)}; keep the image's metadata."
                )
            if not torch.allclose(each.affine.double(), first.affine.double(), atol=1e-4):
                raise ValueError("sets and probs must have one affine, got two; bring them to the same voxels.")
        for each in maps[: 1 + (self.certain is not None)]:
            if not bool(((each == 0) | (each == 1)).all()):
                raise ValueError(
                    f"sets must hold 0 and 1, got {float(each.min()):g} to {float(each.max()):g}; cut scores at their "
                    "cutoff first."
                )

    def _of_class(self, index: int, with_probabilities: bool) -> Iterator[tuple[str, str, Code, Code]]:
        name = self.classes[index]
        codes = self.codes.get(name, (TISSUE, TISSUE))
        included = ", certain included" if self.certain else ""
        promise = _promise(self.possible, index)
        yield f"{name} possible", f"Possible set of {name}{included}. {promise}", *codes
        if self.certain:
            yield f"{name} certain", f"Certain set of {name}. {_promise(self.certain, index)}", *codes
        if with_probabilities:
            yield (
                f"{name} probability",
                f"Probability of {name} by the network, rounded to 255ths. Nothing is promised about sets that are cut "
                f"from it: they are in the segments of their own.",
                *codes,
            )

    def _of_labels(self, present: Sequence[int]) -> Iterator[Segment]:
        """Labels of single classes, and the combinations that occur."""
        for label, states in enumerate(CertaintyLabels(tuple(self.classes)).states):
            marked = [(index, state) for index, state in enumerate(states) if state != ABSENT]
            wanted = len(marked) == 1 and (self.certain or marked[0][1] != CERTAIN)
            if not (wanted or (marked and label in present)):
                continue
            text = ", ".join(f"{self.classes[index]} {self._word(state)}" for index, state in marked)
            if len(marked) == 1:
                yield Segment(label, text, self._of_label(*marked[0]), *self._codes_of(marked[0][0]))
            else:
                yield Segment(label, text, f"In several sets: {text}. The promises are with the single classes.")

    def _word(self, state: int) -> str:
        if state == CERTAIN:
            return "certain"
        return "possible only" if self.certain else "possible"

    def _of_label(self, index: int, state: int) -> str:
        name = self.classes[index]
        if state == CERTAIN and self.certain:
            return f"Certain set of {name}: all labels that say {name} certain. {_promise(self.certain, index)}"
        return f"Possible set of {name}: all labels that name {name}. {_promise(self.possible, index)}"

    def _codes_of(self, index: int) -> tuple[Code, Code]:
        return self.codes.get(self.classes[index], (TISSUE, TISSUE))


def _promise(calibration: CalibrationResult, index: int) -> str:
    """What is promised about a class, whole."""
    said = f"{calibration.guarantee}; n = {calibration.n[index]}."
    if calibration.promised[index]:
        return said
    inside = "everything" if risk_named(calibration.controls).rises else "nothing"
    return f"No promise about this class, of which {inside} is inside. Of others: {said}"
