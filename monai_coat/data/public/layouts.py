# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The layouts of public data sets: names of folders and files, frames of one video, addresses, terms.

Only facts, for :func:`~monai_coat.data.read_layout` and :func:`~monai_coat.data.download_dataset`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["LAYOUTS", "Archive", "FrameRuns", "Layout", "NamePart", "Place", "VideoFrames"]


@dataclass(frozen=True)
class VideoFrames:
    """Groups numbered frames by video: which video it is of, and its last frame, in ascending order of frames."""

    videos: tuple[tuple[int, int], ...]

    def __call__(self, stem: str) -> str:
        """The video of the frame that this name has the number of."""
        frame = _number(stem)
        place = bisect_left([last for _, last in self.videos], frame)
        if frame < 1 or place == len(self.videos):
            raise ValueError(
                f"frames must have a number from 1 to {self.videos[-1][1]}, got {stem!r}; move the file away."
            )
        return f"video{self.videos[place][0]:02}"


@dataclass(frozen=True)
class FrameRuns:
    """Groups numbered frames by runs of one length, where it is known that a scene lasts about that long."""

    length: int

    def __call__(self, stem: str) -> str:
        """The run of the frame that this name has the number of."""
        return f"run{(_number(stem) - 1) // self.length + 1:02}"


@dataclass(frozen=True)
class NamePart:
    """Groups files by the part of their name that a pattern matches; those that it does not match stay alone."""

    pattern: str

    def __call__(self, stem: str) -> str:
        """The part, or the whole name."""
        found = re.match(self.pattern, stem)
        return found[0] if found else stem


@dataclass(frozen=True)
class Archive:
    """A zip file that anybody can fetch, the folder in it, and its MD5 or SHA-256 where users agree on it."""

    address: str
    folder: str
    checksum: str | None = None


@dataclass(frozen=True)
class Place:
    """A folder of images and the folder of their masks; of several places of one source the first found is read."""

    source: str
    images: str
    masks: str
    group: Callable[[str], str] = str
    archives: tuple[Archive, ...] = ()


@dataclass(frozen=True)
class Layout:
    """A public data set: where its files are, how masks are named (``*`` is the name of the image), and its terms."""

    name: str
    domain: str
    places: tuple[Place, ...]
    home: str
    terms: str
    mask_names: tuple[str, ...] = ("*",)
    passed_over: tuple[str, ...] = ()


def _number(stem: str) -> int:
    """The last number of a name."""
    found = re.findall(r"\d+", stem)
    if not found:
        raise ValueError(f"frames must have a number in their name, got {stem!r}; move the file away.")
    return int(found[-1])


def _isic(
    part: str, year: int, images: str, masks: str, checksums: tuple[str | None, str | None] = (None, None)
) -> Place:
    """Training, validation or test images of a year's challenge."""
    base = f"https://isic-challenge-data.s3.amazonaws.com/{year}"
    known = zip((images, masks), checksums, strict=True)
    archives = (Archive(f"{base}/{name}.zip", name, checksum) for name, checksum in known)
    return Place(f"ISIC-{year}-{part}", images, masks, archives=tuple(archives))


_ISIC_MASKS = ("*_segmentation", "*_Segmentation")
_ISIC_HOME = "https://challenge.isic-archive.com/data/"

# Last frame of each of the 29 videos; published tables agree on them.
_CLINIC_ENDS = (25, 50, 67, 78, 103, 126, 151, 177, 199, 205, 227, 252, 277, 297, 317, 342, 363, 383, 408, 428, 447)
_CLINIC = VideoFrames(tuple(enumerate((*_CLINIC_ENDS, 466, 478, 503, 528, 546, 571, 591, 612), start=1)))
# The table in the data set's own README, which is not in the order of the videos.
_COLON_ENDS = ((1, 38), (2, 60), (3, 76), (5, 97), (6, 148), (7, 155), (9, 203), (10, 208), (11, 263), (14, 273))
_COLON = VideoFrames((*_COLON_ENDS, (15, 300), (4, 320), (8, 340), (12, 360), (13, 380)))
# Names of centre 1 begin with the examination, of centre 4 with a number of the clip; the others say nothing.
_POLYPGEN_GROUPS = {1: NamePart(r"\d+OLCV\d+(?=_)"), 4: NamePart(r"\d+(?=_endocv2021)")}

_KVASIR = Archive(
    "https://datasets.simula.no/downloads/kvasir-seg.zip",
    "Kvasir-SEG",
    "03b30e21d584e04facf49397a2576738fd626815771afbbf788f74a7153478f7",
)

_ALL = (
    Layout(
        "Kvasir-SEG",
        "polyp",
        tuple(Place("Kvasir-SEG", f"{at}images", f"{at}masks", archives=(_KVASIR,)) for at in ("", "Kvasir-SEG/")),
        home="https://datasets.simula.no/kvasir-seg/",
        terms="Research and education only, others with written permission. Jha et al. Kvasir-SEG. MMM 2020.",
    ),
    Layout(
        "CVC-ClinicDB",
        "polyp",
        (Place("CVC-ClinicDB", "Original", "Ground Truth", _CLINIC),),
        home="https://polyp.grand-challenge.org/CVCClinicDB/",
        terms="Free for research with citation. Bernal et al. Comput. Med. Imaging Graph. 43, 2015.",
    ),
    Layout(
        "CVC-ColonDB",
        "polyp",
        (Place("CVC-ColonDB", "images", "masks", _COLON),),
        home="http://mv.cvc.uab.es/projects/colon-qa/cvccolondb",
        terms="Free for research with citation. Bernal, Sanchez, Vilarino. Pattern Recognition 45(9), 2012.",
        mask_names=("*", "p*"),
        passed_over=("cp*",),  # contours
    ),
    Layout(
        "ETIS-Larib",
        "polyp",
        (Place("ETIS-Larib", "ETIS-LaribPolypDB", "Ground Truth"), Place("ETIS-Larib", "images", "masks")),
        home="https://polyp.grand-challenge.org/EtisLarib/",
        terms="Free for research with citation. Silva et al. Int. J. Comput. Assist. Radiol. Surg. 9(2), 2014.",
        mask_names=("*", "p*"),
    ),
    Layout(
        "PolypGen",
        "polyp",
        tuple(
            Place(f"PolypGen-C{k}", f"data_C{k}/images_C{k}", f"data_C{k}/masks_C{k}", _POLYPGEN_GROUPS.get(k, str))
            for k in range(1, 7)
        ),
        home="https://doi.org/10.7303/syn26376615",
        terms="CC BY 4.0. Ali et al. Scientific Data 10:75, 2023.",
        mask_names=("*_mask", "*mask"),  # the name of one image of centre 3 ends with the underscore
    ),
    Layout(
        "ISIC-2016",
        "skin",
        (
            _isic(
                "train",
                2016,
                "ISBI2016_ISIC_Part1_Training_Data",
                "ISBI2016_ISIC_Part1_Training_GroundTruth",
                ("2029f387e62dcc062b1370b1efc1f7fb", "fbd77134298f3511479a37bac93109c7"),
            ),
            _isic(
                "test",
                2016,
                "ISBI2016_ISIC_Part1_Test_Data",
                "ISBI2016_ISIC_Part1_Test_GroundTruth",
                ("efebcaeaae751007401a40a60d391f93", "492a7711a2e19b96114cab6c96bd1ad5"),
            ),
        ),
        home=f"{_ISIC_HOME}#2016",
        terms="CC0. Gutman et al. arXiv:1605.01397, 2016.",
        mask_names=_ISIC_MASKS,
    ),
    Layout(
        "ISIC-2017",
        "skin",
        (
            _isic(
                "train",
                2017,
                "ISIC-2017_Training_Data",
                "ISIC-2017_Training_Part1_GroundTruth",
                ("a14a7e622c67a358797ae59abb8a0b0c", "77fdbeb6fbec4139937224416b250f4c"),
            ),
            _isic(
                "val",
                2017,
                "ISIC-2017_Validation_Data",
                "ISIC-2017_Validation_Part1_GroundTruth",
                ("8d6419d942112f709894c0d82f6c9038", "64d3e68fa2deeb8a5e89aa8dec2efd44"),
            ),
            _isic(
                "test",
                2017,
                "ISIC-2017_Test_v2_Data",
                "ISIC-2017_Test_v2_Part1_GroundTruth",
                ("5f6a0b5e1f2972bd1f5ea02680489f09", "b1742de6bd257faca3b2b21a4aa3b781"),
            ),
        ),
        home=f"{_ISIC_HOME}#2017",
        terms="CC0. Codella et al. ISBI 2018, arXiv:1710.05006.",
        mask_names=_ISIC_MASKS,
        passed_over=("*_superpixels",),
    ),
    Layout(
        "ISIC-2018",
        "skin",
        (
            _isic(
                "train",
                2018,
                "ISIC2018_Task1-2_Training_Input",
                "ISIC2018_Task1_Training_GroundTruth",
                (None, "ee5e5db7771d48fa2613abc7cb5c24e2"),
            ),
            _isic("val", 2018, "ISIC2018_Task1-2_Validation_Input", "ISIC2018_Task1_Validation_GroundTruth"),
        ),
        home=f"{_ISIC_HOME}#2018",
        terms="CC BY-NC 4.0. Codella et al. arXiv:1902.03368, 2019.",
        mask_names=_ISIC_MASKS,
        passed_over=("*_superpixels",),
    ),
    Layout(
        "FireSeg",
        "fire",
        (
            *(
                Place(f"FireSeg-{part}", f"images_prepped_{part}", f"annotations_{kind}_{part}", FrameRuns(length))
                for part, length in (("train", 30), ("test", 10))
                for kind in ("prepped", "binary")
            ),
            Place("FireSeg", "images", "masks", FrameRuns(30)),
        ),
        home="https://github.com/hayatkhan8660-maker/Fire_Seg_Dataset",
        terms="Not stated for the frames, so research only. Muhammad et al. IEEE Trans. Intell. Transp. Syst., 2022.",
    ),
)
LAYOUTS = {layout.name: layout for layout in _ALL}
"""Every public data set whose layout is known, by name."""
