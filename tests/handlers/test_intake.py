# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the handlers that calibrate do before a score counts."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from monai_coat.handlers import CollectStatistic, ConformalCalibration
from monai_coat.networks import AdaptiveSegmenter


@pytest.fixture(params=["calibration", "collection"])
def handler_of(request, tmp_path):
    def make(network=None):
        if request.param == "calibration":
            return ConformalCalibration(0.2, network)
        return CollectStatistic(tmp_path / "c.npz", network=network)

    return make


def test_a_failed_run_leaves_nothing_on_the_network(handler_of):
    network = AdaptiveSegmenter(nn.Identity())
    engine = Engine(lambda engine, batch: (network(batch), torch.full_like(batch, torch.nan)))
    handler_of(network).attach(engine)
    with pytest.raises(ValueError, match="labels must hold only 0 and 1"):
        engine.run([torch.randn(12, 1, 8, 8)])
    assert not network.scorer._forward_hooks
