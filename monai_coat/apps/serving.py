# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A bundle with its calibrations, from a folder to one image's answer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Spacingd
from torch import Tensor

from monai_coat.apps.causes import by_its_cause
from monai_coat.apps.limits import MOST_VOXELS, Limits
from monai_coat.bundles import step_configs
from monai_coat.calibration import CalibrationResult, load_calibration, promise_in_words
from monai_coat.data import check_readable
from monai_coat.files import read_json
from monai_coat.files.names import is_volume
from monai_coat.functional import exact_level
from monai_coat.inferers import AdaptiveInferer, load_calibrated
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.transforms import CertaintyLabels, CertaintyMap

__all__ = ["CalibratedBundle", "Prediction"]

CURRENT = "current.txt"
"""File in a folder of retrained models that names the one to serve."""


@dataclass(frozen=True)
class Prediction:
    """What is certain and what is possible in one image.

    Attributes:
        labels: labels ``(1, *spatial)`` in the image's own space, see :class:`~monai_coat.transforms.CertaintyLabels`.
        result: numbers and words about it, fit for JSON.
    """

    labels: MetaTensor
    result: dict[str, Any]


@dataclass(frozen=True)
class _Level:
    """Everything of one level."""

    folder: Path
    network: AdaptiveSegmenter
    possible: CalibrationResult
    certain: CalibrationResult
    parser: ConfigParser


class CalibratedBundle:
    """Predicts with a bundle of this package at each level that it was calibrated for.

    Args:
        bundle: folder of the bundle, such as ``bundles/hippocampus_coat``.
        model_dirs: folders of models, one for each level, as the bundle's steps fill them.
        method: which of the methods in them.
        device: where networks run.
        overrides: further settings of the bundle's configs.
        max_voxels: how large an image may be, see :class:`~monai_coat.apps.limits.Limits`.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a calibration does not belong to the weights beside it, or two folders are of one level.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str],
        model_dirs: Sequence[str | os.PathLike[str]],
        method: str = "coat",
        device: str = "cpu",
        overrides: dict[str, Any] | None = None,
        max_voxels: int = MOST_VOXELS,
    ) -> None:
        self.bundle, self.method = Path(bundle).absolute(), method
        self.settings = {**(overrides or {}), "bundle_root": str(self.bundle), "method": method}
        self.settings["device"] = f"$torch.device('{device}')"
        self.homes: dict[float, Path] = {}
        self._levels: dict[float, _Level] = {}
        for home in (Path(folder).absolute() for folder in model_dirs):
            level = self._load(_current(home))
            if level.possible.alpha in self._levels:
                raise ValueError(f"model_dirs must be of different levels, got alpha={level.possible.alpha} twice.")
            self.homes[level.possible.alpha], self._levels[level.possible.alpha] = home, level
        if not self._levels:
            raise ValueError("model_dirs must name at least one folder of calibrated models, got none.")
        self.limits = Limits(max_voxels, self._spacing())

    def refresh(self) -> None:
        """Load the models that were retrained since the last look, perhaps by another process."""
        for alpha, home in self.homes.items():
            if _current(home) != self._levels[alpha].folder:
                self._levels[alpha] = self._load(_current(home))

    def _load(self, folder: Path) -> _Level:
        possible = load_calibration(folder / f"calibration_{self.method}.json")
        certain = load_calibration(folder / f"certain_{self.method}.json")
        parser = ConfigParser()
        parser.read_config(step_configs(self.bundle, "inference"))
        parser.update({**self.settings, "model_dir": str(folder), "alpha": possible.alpha})
        network = parser.get_parsed_content("network")
        load_calibrated({self.method: network}, folder, possible.alpha, parser.get_parsed_content("pipeline"))
        CertaintyMap(possible, certain)  # refuses what does not belong together
        return _Level(folder, network.eval(), possible, certain, parser)

    def _spacing(self) -> tuple[float, ...]:
        """To what spacing volumes are resampled; empty if they are not."""
        transforms = self._any.parser.get_parsed_content("preprocessing").transforms
        resampling = [step.spacing_transform for step in transforms if isinstance(step, Spacingd)]
        return tuple(float(edge) for edge in resampling[0].pixdim) if resampling else ()

    @property
    def _any(self) -> _Level:
        """What all levels have in common is in each."""
        return next(iter(self._levels.values()))

    @property
    def alphas(self) -> tuple[float, ...]:
        """Levels that can be asked for; the first is the default."""
        return tuple(self._levels)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, from the bundle's metadata."""
        names = self._metadata["outputs"]["pred"]["channel_def"]
        return tuple(names[key] for key in sorted(names, key=int))

    @cached_property
    def _metadata(self) -> dict[str, Any]:
        """What the bundle says about the data that its network takes and gives."""
        path = self.bundle / "configs" / "metadata.json"
        data: dict[str, Any] = read_json(path, "the bundle's metadata", "restore it")["network_data_format"]
        return data

    @cached_property
    def certainty(self) -> CertaintyLabels:
        """The labels of the map: of each class what is certain and what is possible, and combinations of classes."""
        return CertaintyLabels(self.classes)

    @property
    def overlapping(self) -> bool:
        """Whether a voxel may be of several classes, as the bundle's entry of this name says; they nest then."""
        return bool(self._any.parser.get("overlapping", False))

    @property
    def spatial_dims(self) -> int:
        """2 or 3."""
        return int(self._any.parser.get("segmenter")["spatial_dims"])

    @property
    def labels(self) -> dict[str, int]:
        """Label of each name in the map, see :class:`~monai_coat.transforms.CertaintyLabels`."""
        return self.certainty.values

    def level(self, alpha: float | None) -> float:
        """The calibrated level that is meant.

        Raises:
            TypeError, ValueError: if it is none.
        """
        if alpha is None:
            return self.alphas[0]
        wanted = exact_level(alpha)
        for known in self.alphas:
            if exact_level(known) == wanted:
                return known
        known_levels = ", ".join(f"{level:g}" for level in self.alphas)
        raise ValueError(f"alpha must be a calibrated level, {known_levels}, got {alpha:g}; calibrate for it first.")

    def calibration(self, alpha: float | None = None) -> CalibrationResult:
        """What is promised about the possible set at a level; None for the first."""
        return self._levels[self.level(alpha)].possible

    def predict(self, image: str | os.PathLike[str], alpha: float | None = None) -> Prediction:
        """Labels and numbers of an image file.

        Args:
            image: image file that the bundle can read.
            alpha: one of :attr:`alphas`; None for the first.

        Raises:
            ValueError: if the image cannot be read, is too large or of other axes or channels than the bundle's, or
                alpha is no calibrated level.
        """
        level = self._levels[self.level(alpha)]
        self._check_image(image)
        with by_its_cause():
            data = level.parser.get_parsed_content("preprocessing")({"image": str(image)})
        window = level.parser.get_parsed_content("inferer").inferer
        with torch.no_grad():
            both = AdaptiveInferer(window, append_probs=True)(data["image"][None].to(_device(level)), level.network)
        thresholds = both.meta.get("calibrated_threshold") if isinstance(both, MetaTensor) else None
        data["pred"] = MetaTensor(both[0].cpu(), meta=data["image"].meta)
        maps = level.parser.get_parsed_content("restore")(data)["pred"]
        classes = len(self.classes)
        labels: MetaTensor = CertaintyMap(level.possible, level.certain)(maps[:classes])  # type: ignore[assignment]
        result = self._result(level, labels, maps[classes:], thresholds)
        return Prediction(labels, result | self._decision(level, labels, maps[:classes]))

    def _check_image(self, image: str | os.PathLike[str]) -> None:
        """Refuse by its header what is too large, cannot be read, or is not what the segmenter takes."""
        shape = self.limits.check_path(image)
        check_readable([{"image": str(image)}])
        channels = int(self._metadata["inputs"]["image"]["num_channels"])
        fits = len(shape) == self.spatial_dims and channels == 1
        fits |= len(shape) == self.spatial_dims + 1 and shape[-1] == channels
        if not (fits if is_volume(image) else self.spatial_dims == 2):
            size = " x ".join(map(str, shape))
            raise ValueError(
                f"image must have {self.spatial_dims} axes and {channels} channels, got {image} of {size}; send an "
                "image as the bundle was made for."
            )

    def _result(self, level: _Level, labels: MetaTensor, probs: Tensor, thresholds: Tensor | None) -> dict[str, Any]:
        possible, certain = self.certainty.possible(labels[0]), self.certainty.certain(labels[0])
        sizes: dict[str, int] = {}
        for name, inside, sure in zip(self.classes, possible, certain, strict=True):
            sizes |= {f"{name} certain": int(sure.sum()), f"{name} possible": int((inside & ~sure).sum())}
        expected = dict(zip(self.classes, probs.flatten(1).sum(1).tolist(), strict=True))
        return {
            "method": self.method,
            "alpha": level.possible.alpha,
            "guarantee": level.possible.guarantee,
            "in_words": promise_in_words(level.possible),
            "certain_guarantee": level.certain.guarantee,
            "n": list(level.possible.n),
            "thresholds": [round(float(value), 6) for value in thresholds[0]] if thresholds is not None else None,
            "sizes": sizes,
            "expected_size": {name: round(float(size), 1) for name, size in expected.items()},
        }

    def _decision(self, level: _Level, labels: MetaTensor, scores: Tensor) -> dict[str, Any]:
        """Whether the image is referred to somebody, if the calibration has a rule."""
        if level.possible.referral is None:
            return {}
        return level.possible.referral.decide(self.certainty.possible(labels[0]), scores)


def _current(home: Path) -> Path:
    """Where the models of a level are: in its home, or in a folder of it that retraining has left."""
    pointer = home / "retrained" / CURRENT
    return home / "retrained" / pointer.read_text(encoding="utf-8") if pointer.is_file() else home


def _device(level: _Level) -> torch.device:
    return level.network.calibrated_cutoff.device
