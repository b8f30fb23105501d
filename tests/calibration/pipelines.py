# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A pipeline and a network as bundles have them, made from settings; run as a script it prints their identity."""

from __future__ import annotations

import json

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from monai.transforms import (
    Compose,
    CropForegroundd,
    EnsureChannelFirstd,
    EnsureTyped,
    Invertd,
    Lambdad,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    Resized,
    ScaleIntensityRanged,
    Spacingd,
    SpatialPadd,
)
from torch import nn

from monai_coat.calibration import identity_of
from monai_coat.inferers import AdaptiveInferer
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.scorers import MarginScorer, ThresholdPredictor

SETTINGS = {
    "reader": "NibabelReader",
    "axcodes": "RAS",
    "pixdim": (1.0, 1.0, 2.0),
    "mode": "bilinear",
    "a_max": 255,
    "factor": 2.0,
    "channels": {"blue", "green", "red"},
    "size": (16, 16, 8),
    "nonzero": True,
    "roi_size": (8, 8, 8),
    "overlap": 0.25,
    "window": "constant",
    "nearest_interp": False,
}


def preprocessing(settings):
    """Transforms that look at every setting of theirs."""
    factor, channels = settings["factor"], settings["channels"]
    return Compose(
        [
            LoadImaged("image", reader=settings["reader"], image_only=True),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes=settings["axcodes"], labels=(("L", "R"), ("P", "A"), ("I", "S"))),
            Spacingd("image", pixdim=settings["pixdim"], mode=settings["mode"]),
            CropForegroundd("image", source_key="image", allow_smaller=True),
            ScaleIntensityRanged("image", 0, settings["a_max"], 0, 1),
            Lambdad("image", lambda image: image * factor if "red" in channels else image),
            SpatialPadd("image", spatial_size=(8, 8, 8)),
            Resized("image", spatial_size=settings["size"]),
            NormalizeIntensityd("image", nonzero=settings["nonzero"]),
            EnsureTyped("image", dtype=np.float32),
        ]
    )


def pipeline(without_effect=None, append_probs=False, **changes):
    """Preprocessing, inferer and restoration with the settings above but for what is changed."""
    settings = SETTINGS | changes
    before = preprocessing(settings)
    window = SlidingWindowInferer(
        settings["roi_size"], overlap=settings["overlap"], mode=settings["window"], **(without_effect or {})
    )
    return {
        "preprocessing": before,
        "inferer": AdaptiveInferer(window, append_probs=append_probs),
        "restore": Invertd("pred", before, "image", nearest_interp=settings["nearest_interp"]),
    }


def network():
    """A network with weights that are the same whenever it is made."""
    torch.manual_seed(0)
    segmenter = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))
    return AdaptiveSegmenter(segmenter, MarginScorer(ThresholdPredictor(2, 3, input_size=32)))


if __name__ == "__main__":
    print(json.dumps(identity_of(network(), pipeline()).to_json()))
