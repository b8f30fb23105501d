# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the threshold predictor adds to the segmenter's time."""

from __future__ import annotations

import torch
from monai.networks.nets import UNet

from benchmarks.timing import Row, alternate
from monai_coat.networks import AdaptiveSegmenter, MarginScorer, ThresholdPredictor


def run(rounds: int = 21) -> list[Row]:
    """Measure one image of 352x352 with the polyp bundle's networks."""
    torch.manual_seed(0)
    segmenter = UNet(2, 3, 1, (16, 32, 64, 128, 256), (2, 2, 2, 2), act="RELU", norm="BATCH").eval()
    network = AdaptiveSegmenter(segmenter, MarginScorer(ThresholdPredictor(spatial_dims=2, in_channels=3))).eval()
    image = torch.rand(1, 3, 352, 352)
    with torch.no_grad():
        times = alternate({"segmenter": lambda: segmenter(image), "network": lambda: network(image)}, rounds)
    added = times["network"].over(times["segmenter"]) - 1
    return [
        Row("segmenter, one image of 352x352, ms", times["segmenter"].milliseconds, "", True),
        Row("time that AdaptiveSegmenter adds, share", added, "under 0.1", added < 0.1),
    ]
