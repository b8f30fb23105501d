# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Images of several sizes of blob, from a rough segmenter, for scorers to learn from and be calibrated on."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def blobs():
    """Sixty images, maps and masks: bright discs, found the worse the smaller they are."""
    generator = torch.Generator().manual_seed(5)
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    images, probs, labels = [], [], []
    for _ in range(60):
        center, radius = 8 + 8 * torch.rand(2, generator=generator), 2 + 5 * torch.rand(1, generator=generator)
        distance = ((rows - center[0]) ** 2 + (columns - center[1]) ** 2).sqrt()
        noise = torch.randn(24, 24, generator=generator)
        labels.append(distance <= radius)
        probs.append(torch.sigmoid((radius - distance) * radius / 3 + 0.7 * noise - 2 / radius))
        images.append(distance.neg().exp())
    return tuple(torch.stack(each)[:, None] for each in (images, probs, labels))


@pytest.fixture
def promise():
    """Mean FNR over left-out images, each cut by the calibration of the others, at alpha 0.2."""
    from monai_coat.calibration import calibrate_maps

    def mean_fnr(scores, labels, alpha=0.2):
        missed = []
        for out in range(len(scores)):
            rest = [i for i in range(len(scores)) if i != out]
            cutoff = calibrate_maps([scores[i] for i in rest], [labels[i] for i in rest], alpha).cutoff[0]
            missed.append((scores[out][labels[out]] < cutoff).double().mean())
        return float(torch.stack(missed).mean())

    return mean_fnr
