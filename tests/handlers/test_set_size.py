# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import pytest
import torch
from monai.handlers import from_engine

from monai_coat.handlers import SetSize
from monai_coat.metrics import SetSizeMetric


@pytest.mark.parametrize("as_lists", [False, True])
def test_an_engine_finds_what_the_metric_finds(pairs, plain_engine, as_lists):
    metric = SetSizeMetric(cutoff=0.25)
    for scores, labels in pairs:
        metric(scores, labels)
    SetSize(cutoff=0.25).attach(plain_engine, "found")
    state = plain_engine.run([(list(s), list(y)) for s, y in pairs] if as_lists else pairs)
    assert state.metrics["found"] == metric.aggregate().item()
    torch.testing.assert_close(state.metric_details["found"], metric.get_buffer(), equal_nan=True)


def test_a_second_epoch_begins_anew(pairs, plain_engine):
    handler = SetSize()
    handler.attach(plain_engine, "found")
    once = plain_engine.run(pairs).metrics["found"]
    assert plain_engine.run(pairs, max_epochs=2).metrics["found"] == once


def test_an_evaluator_of_the_host_takes_it(make_network, make_evaluator, images):
    network = make_network()
    handler = SetSize(cutoff=0.0, output_transform=from_engine(["pred", "label"]), save_details=False)
    evaluator = make_evaluator(network, key_val_metric={"found": handler})
    evaluator.run()
    metric = SetSizeMetric(cutoff=0.0)
    with torch.no_grad():
        for image in images:
            metric(network(image["image"][None]), image["label"][None])
    assert evaluator.state.metrics["found"] == pytest.approx(metric.aggregate().item())
    assert evaluator.state.key_metric_name == "found"
    assert "found" not in evaluator.state.metric_details


def test_arguments_reach_the_metric():
    handler = SetSize(cutoff=[0.1, 0.2], include_background=False, reduction="sum")
    assert handler.metric_fn.cutoff.tolist() == pytest.approx([0.1, 0.2])
    assert not handler.metric_fn.include_background
    assert handler.metric_fn.reduction == "sum"


@pytest.mark.parametrize("quantity", ["relative", "fraction", "precision"])
def test_every_quantity(pairs, plain_engine, quantity):
    metric = SetSizeMetric(quantity)
    for scores, labels in pairs:
        metric(scores, labels)
    SetSize(quantity).attach(plain_engine, "found")
    assert plain_engine.run(pairs).metrics["found"] == metric.aggregate().item()
