# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A pipeline, from image to scores, trained and calibrated on generated images, so that things can be changed in it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from monai.inferers import Inferer
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import Compose, Resize, ScaleIntensityRange
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.validity.inputs import LabelledMap, mean_risk
from monai_coat.calibration import (
    CalibrationResult,
    ExpectedRisk,
    FalseNegativeRate,
    Guarantee,
    calibrate_maps,
    identity_of,
    save_calibration,
)
from monai_coat.data import synthetic_images
from monai_coat.functional import ideal_threshold
from monai_coat.inferers import AdaptiveInferer
from monai_coat.networks import AdaptiveSegmenter, save_weights
from monai_coat.scorers import ExpectedGapPredictor, MarginScorer, ProbabilityScorer, ThresholdPredictor

ALPHA, SIDE, RATE = 0.1, 64, 3e-3


@dataclass(frozen=True)
class Pipeline:
    """A network with what stands around it.

    Attributes:
        network: makes the scores.
        inferer: runs the network.
        side: side of the squares that images are resized to.
        darkest: what the intensity 0 becomes; 1 stays 1.
    """

    network: AdaptiveSegmenter
    inferer: Inferer
    side: int = SIDE
    darkest: float = -1.0

    @property
    def preprocessing(self) -> Compose:
        """Intensities, then size."""
        return Compose([ScaleIntensityRange(0, 1, self.darkest, 1), Resize((self.side, self.side))])

    @property
    def parts(self) -> dict[str, object]:
        """What stands around the network, by name."""
        return {"preprocessing": self.preprocessing, "inferer": self.inferer}

    def scored(self, sample: dict[str, Tensor]) -> LabelledMap:
        """Scores of an image at its own size, and its mask."""
        image = torch.as_tensor(self.preprocessing(sample["image"]))[None]
        with torch.no_grad():
            scores = self.inferer(image, self.network)
        scores = functional.interpolate(torch.as_tensor(scores), sample["label"].shape[1:], mode="bilinear")
        return LabelledMap(scores.as_subclass(Tensor), sample["label"][None] > 0)

    def risk(self, samples: Sequence[dict[str, Tensor]], result: CalibrationResult) -> float:
        """Mean FNR of images at a cutoff, whatever pipeline that is of."""
        bare = copied(self)
        bare.network.clear_calibration()  # which would be asked for, and refused
        return float(mean_risk(FalseNegativeRate(), [bare.scored(sample) for sample in samples], result.cutoff)[0])

    def with_network(self, network: AdaptiveSegmenter) -> Pipeline:
        """The same around another network."""
        return replace(self, network=network)

    def calibrated(
        self, samples: Sequence[dict[str, Tensor]], folder: Path, guarantee: Guarantee | None = None
    ) -> CalibrationResult:
        """Calibrate on images, and leave weights and artifact in a folder as a bundle does, under the method "it"."""
        maps = [self.scored(sample) for sample in samples]
        guarantee = guarantee or ExpectedRisk(FalseNegativeRate(), ALPHA)
        result = calibrate_maps(
            [image.scores[0] for image in maps], [image.label[0] for image in maps], guarantee=guarantee
        )
        result = replace(result, method="it", identity=identity_of(self.network, self.parts))
        save_calibration(result, folder / "calibration_it.json")
        self.network.set_calibration(result.cutoff, result.alpha, result.n)
        save_weights(self.network, folder / "model_it.pt")
        return result


def copied(pipeline: Pipeline) -> Pipeline:
    """Another object with the same weights and calibration."""
    return pipeline.with_network(copy.deepcopy(pipeline.network))


@cache
def generated(count: int, seed: int) -> list[dict[str, Tensor]]:
    """Images with masks."""
    return synthetic_images(count, (SIDE, SIDE), seed)


@cache
def segmenter(count: int) -> nn.Module:
    """A small UNet, trained for seconds."""
    torch.manual_seed(0)
    unet = UNet(2, 3, 1, channels=(8, 16, 32), strides=(2, 2), num_res_units=1)
    images, labels = (torch.stack([sample[key] for sample in generated(count, 1)]) for key in ("image", "label"))
    optimizer, loss = torch.optim.AdamW(unet.parameters(), RATE), DiceCELoss(sigmoid=True)
    for _ in range(15):
        for rows in torch.randperm(count).split(10):
            optimizer.zero_grad()
            loss(unet(2 * images[rows] - 1), labels[rows]).backward()
            optimizer.step()
    return unet.eval()


def pipeline_of(scorer: str, count: int) -> Pipeline:
    """A pipeline with a scorer by the name of its method: "crc", "at" or "meg", fitted to images of its own."""
    network = AdaptiveSegmenter(copy.deepcopy(segmenter(count)), ProbabilityScorer()).eval()
    images, labels = (torch.stack([sample[key] for sample in generated(count, 2)]) for key in ("image", "label"))
    with torch.no_grad():
        probs = network.probabilities(2 * images - 1)
    if scorer == "meg":
        network.scorer = MarginScorer(ExpectedGapPredictor(members=2).fit(probs, labels, ALPHA), "logit")
    elif scorer == "at":
        network.scorer = MarginScorer(_regressed(2 * images - 1, probs, labels))
    return Pipeline(network.eval(), AdaptiveInferer())


def _regressed(images: Tensor, probs: Tensor, labels: Tensor) -> ThresholdPredictor:
    """A predictor of ideal thresholds by least squares."""
    torch.manual_seed(0)
    predictor = ThresholdPredictor(2, 3, backbone="resnet10", input_size=SIDE // 2)  # one that takes other sizes too
    ideal = ideal_threshold(probs, labels, ALPHA)
    optimizer = torch.optim.AdamW(predictor.parameters(), RATE)
    for _ in range(5):
        for rows in torch.randperm(len(images)).split(10):
            optimizer.zero_grad()
            (predictor(images[rows], probs[rows]) - ideal[rows]).square().mean().backward()
            optimizer.step()
    return predictor.eval()
