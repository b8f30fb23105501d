# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scores and labels as engines give them, and an evaluator of MONAI."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator

from monai_coat.inferers import AdaptiveInferer


@pytest.fixture
def pairs():
    """Batches of 4, 4 and 3 images; the last image has no foreground."""
    found = []
    for count in (4, 4, 3):
        scores = (torch.rand(count, 1, 6, 6) * 16).round() / 16  # many ties
        found.append((scores, (torch.rand(count, 1, 6, 6) > 0.5).float()))
    found[-1][1][-1] = 0
    return found


@pytest.fixture
def plain_engine():
    """An engine that gives its batches back, and knows nothing of anybody."""
    return Engine(lambda engine, batch: batch)


@pytest.fixture
def images():
    """Images with labels that come from files; the third's has no foreground."""
    labels = [(torch.rand(1, 16, 12) > 0.7).float() for _ in range(5)]
    labels[2] *= 0
    return [
        {"image": torch.rand(3, 16, 12), "label": MetaTensor(label, meta={"filename_or_obj": f"in/case_{i}.png"})}
        for i, label in zip("abcde", labels, strict=True)
    ]


@pytest.fixture
def make_evaluator(images):
    def make(network, data=None, batch_size=2, **options):
        loader = DataLoader(Dataset(data or images), batch_size=batch_size)
        return SupervisedEvaluator(torch.device("cpu"), loader, network, inferer=AdaptiveInferer(), **options)

    return make
