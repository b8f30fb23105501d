# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scores that are not the network's own are refused; its own are taken, however they were brought to another place."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from monai.inferers import SlidingWindowInferer
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate, pad

from monai_coat.handlers import CollectStatistic, ConformalCalibration
from monai_coat.inferers import AdaptiveInferer
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.scorers import MarginScorer, ThresholdPredictor


def smooth(count=24, size=16):
    return interpolate(torch.randn(count, 1, 5, 5) * 2, size=size, mode="bicubic")


def plain():
    return AdaptiveSegmenter(nn.Identity())


def margins(space):
    torch.manual_seed(0)
    predictor = ThresholdPredictor(spatial_dims=2, in_channels=1, backbone="none", input_size=16)
    return AdaptiveSegmenter(nn.Identity(), MarginScorer(predictor, space))


NETWORKS = {
    "probabilities": plain,
    "margins": lambda: margins("probability"),
    "margins of log odds": lambda: margins("logit"),
    "margins of coverage": lambda: margins("expected_coverage"),
}
HANDLERS = {
    "calibration": lambda network, path: ConformalCalibration(0.2, network, path / "c.json"),
    "collection": lambda network, path: CollectStatistic(path / "c.npz", network=network),
}


def calibrate(handler, process):
    images = smooth()
    engine = Engine(lambda engine, batch: (scores := process(batch), (scores > scores.mean()).float()))
    handler.attach(engine)
    with torch.no_grad():
        return engine.run(list(images.split(6)))


@pytest.fixture(params=HANDLERS)
def handler_of(request, tmp_path):
    return lambda network: HANDLERS[request.param](network, tmp_path)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("place", [lambda s: s, lambda s: interpolate(s, scale_factor=3.0, mode="bilinear")])
def test_another_activation_is_refused_on_every_grid(kind, place, handler_of, tmp_path):
    network = NETWORKS[kind]()
    with pytest.raises(
        ValueError, match=r"scores must be what the network gave, .*, got .*; give .* without activation"
    ):
        calibrate(handler_of(network), lambda x: place(network(x).sigmoid()))
    assert not bool(network.calibrated)
    assert not list(tmp_path.iterdir())
    assert not network.scorer._forward_hooks


@pytest.mark.parametrize("wrong", ["probabilities", "logits", "other network"])
def test_another_map_than_the_scores_is_refused(wrong, handler_of):
    network = margins("logit")
    other = AdaptiveSegmenter(nn.Conv2d(1, 1, 1))
    found = {
        "probabilities": network.probabilities,
        "logits": lambda x: 3 * network.segment(x),
        "other network": other,
    }[wrong]
    with pytest.raises(ValueError, match="scores must be what the network gave"):
        calibrate(handler_of(network), lambda x: (network(x), found(x))[1])


PLACES = {
    "as they are": lambda s: s,
    "half precision": lambda s: s.half().float(),
    "flipped": lambda s: s.flip(2, 3),
    "transposed": lambda s: s.mT,
    "cropped": lambda s: s[:, :, 2:-2, 1:-1],
    "padded": lambda s: pad(s, (3, 3, 3, 3)),
    "finer": lambda s: interpolate(s, size=(37, 51), mode="bilinear"),
    "splines": lambda s: interpolate(s, size=(37, 51), mode="bicubic"),
    "coarser": lambda s: avg_pool2d(s, 2),
    "nearest": lambda s: interpolate(s, size=(7, 9)),
    "the same number of pixels": lambda s: interpolate(s, size=(8, 32), mode="bilinear"),
}


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("place", PLACES)
def test_its_own_scores_are_taken_in_any_place(kind, place, handler_of, caplog):
    network = NETWORKS[kind]()
    calibrate(handler_of(network), lambda x: PLACES[place](network(x)))
    assert "cannot be told" not in caplog.text
    assert not network.scorer._forward_hooks


@pytest.mark.parametrize("kind", NETWORKS)
def test_its_own_scores_are_taken_from_a_sliding_window(kind, handler_of, caplog):
    network = NETWORKS[kind]()
    inferer = AdaptiveInferer(SlidingWindowInferer(8, overlap=0.5))
    calibrate(handler_of(network), lambda x: inferer(x, network))
    assert "cannot be told" not in caplog.text
    with pytest.raises(ValueError, match="scores must be what the network gave"):
        calibrate(handler_of(network), lambda x: inferer(x, network).sigmoid())


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda n: torch.compile(n, backend="eager")])
def test_its_own_scores_are_taken_from_a_wrapped_network(wrap, handler_of):
    network = margins("probability")
    calibrate(handler_of(network), wrap(network))


def test_a_network_that_gives_the_same_everywhere_is_no_matter():
    network = AdaptiveSegmenter(nn.Identity(), activation="identity")
    engine = Engine(
        lambda engine, size: (interpolate(network(torch.zeros(12, 1, 8, 8)), size=size), torch.ones(12, 1, *size))
    )
    ConformalCalibration(0.2, network).attach(engine)
    engine.run([(5, 6)])


AVERAGE = {
    "saved maps": lambda network: lambda x: x.sigmoid(),
    "test time augmentation": lambda network: lambda x: (network(x) + network(x.flip(3)).flip(3)) / 2,
}


@pytest.mark.parametrize("kind", AVERAGE)
def test_where_nothing_can_be_told_that_is_said_once(kind, handler_of, caplog):
    network = plain()
    calibrate(handler_of(network), AVERAGE[kind](network))
    assert caplog.text.count("whether the scores are the network's own cannot be told") == 1
