# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A protocol of seconds, on generated images."""

from __future__ import annotations

import json

import pytest

from monai_coat.benchmark import load_protocol

CONTENT = {
    "name": "tiny",
    "datasets": {"generated": {"generate": {"count": 100, "spatial_size": [32, 32]}, "epochs": 1}},
    "networks": {"layer": {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 1, "kernel_size": 1}},
    "methods": {
        "CRC": {"fit": "crc"},
        "MEG": {"fit": "meg", "members": 2, "width": 8},
        "everything": {"fit": "everything"},
        "oracle": {"fit": "oracle"},
    },
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
