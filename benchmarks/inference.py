# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the threshold predictor adds to the segmenter's time."""

from __future__ import annotations

import torch
from monai.networks.nets import FlexibleUNet, UNet
from torch import nn

from benchmarks.timing import Row, alternate
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.scorers import MarginScorer, ThresholdPredictor

SIDE = 352


def make_segmenters() -> dict[str, nn.Module]:
    """A network of the size that papers use, and the small one of the polyp bundle."""
    channels, strides = (16, 32, 64, 128, 256, 256), (2,) * 5
    return {
        "UNet with a ResNet-34 encoder": FlexibleUNet(3, 1, "resnet34").eval(),
        "the polyp bundle's UNet": UNet(2, 3, 1, channels, strides, act="RELU", norm="BATCH").eval(),
    }


def run(rounds: int = 21) -> list[Row]:
    """Measure one image with one thread, with the default predictor and with the one that reads summaries alone."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    image = torch.rand(1, 3, SIDE, SIDE)
    rows = []
    for name, segmenter in make_segmenters().items():
        contestants = {"segmenter": segmenter}
        for backbone in ("small", "none"):
            predictor = ThresholdPredictor(spatial_dims=2, in_channels=3, backbone=backbone)
            contestants[backbone] = AdaptiveSegmenter(segmenter, MarginScorer(predictor)).eval()
        with torch.no_grad():
            times = alternate({key: lambda each=each: each(image) for key, each in contestants.items()}, rounds)
        rows.append(Row(f"{name}, one image of {SIDE}x{SIDE}, ms", times["segmenter"].milliseconds, "", True))
        for backbone, what in (("small", "default predictor"), ("none", "predictor without backbone")):
            added = times[backbone].over(times["segmenter"]) - 1
            rows.append(Row(f"{name}: time that the {what} adds, share", added, "under 0.1", added < 0.1))
    return rows
