# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A protocol of seconds on generated images, and somebody's maps with their masks."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from monai_coat.comparison import load_protocol

CONTENT = {
    "name": "tiny",
    "datasets": {"generated": {"generate": {"count": 100, "spatial_size": [32, 32]}, "epochs": 1}},
    "networks": {"layer": {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 1, "kernel_size": 1}},
    "methods": {
        "CRC": {"fit": "crc"},
        "MEG": {"fit": "meg", "members": 2, "width": 8},
        "predict-all": {"fit": "predict-all"},
        "oracle": {"fit": "oracle"},
    },
    "reference": "CRC",
    "default": "MEG",
    "image_size": [32, 32],
    "alphas": [0.2],
    "splits": 4,
    "batch_size": 8,
}


@pytest.fixture
def tiny(tmp_path):
    """Write the protocol, changed as wanted, and read it."""

    def write(**changes):
        path = tmp_path / "tiny.json"
        path.write_text(json.dumps(CONTENT | changes))
        return load_protocol(path)

    return write


@pytest.fixture
def write_maps(tmp_path):
    """Write maps and masks of squares as somebody has them, named by their numbers; give the folder."""

    def write(count, shrink=1):
        folder = tmp_path / "own"
        for name in ("maps", "masks"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            generator = np.random.default_rng(number)
            top, left, size = *generator.integers(2, 12, 2), generator.integers(8, 16)
            square, mask = np.zeros((2, 32, 32), bool)
            square[top : top + size, left : left + size] = True
            mask[top : top + size // shrink, left : left + size] = True
            probs = np.clip(square * generator.uniform(0.3, 0.9) + generator.normal(0.1, 0.1, square.shape), 0, 1)
            Image.fromarray((255 * probs).astype(np.uint8)).save(folder / "maps" / f"{number}.png")
            Image.fromarray(255 * mask.astype(np.uint8)).save(folder / "masks" / f"{number}.png")
        return folder

    return write
