# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Scores of volumes, one at a time: to the last bit what sorted scores of all would say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_coat.comparison import SortedScores
from monai_coat.comparison.data import streamed_scores
from monai_coat.comparison.data.own_maps import open_own_maps
from monai_coat.comparison.data.streamed_scores import StreamedScores
from monai_coat.comparison.data.volumes import Volumes
from monai_coat.scorers import METHODS


@pytest.mark.parametrize("room", [0, 5000, 2**30])
@pytest.mark.parametrize("method", ["crc", "aa_crc", "sacp", "cra", "at", "coat", "meg", "predict-all"])
def test_cutoffs_and_measures_are_those_of_sorted_scores(own_volumes, tmp_path, monkeypatch, room, method):
    _, maps, masks, protocol = own_volumes
    monkeypatch.setattr(streamed_scores, "KEPT", room)
    of_class = Volumes(open_own_maps(protocol.datasets["b"]), tmp_path / "kept.npz").of_class(1)
    samples = [{"id": name} for name in of_class.ids]
    pool = of_class.pool_of(samples[12:])
    scorer = METHODS[method].fit(of_class.sketches_of(samples[:12]), 0.25, 0).scorer
    found = StreamedScores(scorer, pool)
    probs, label = (torch.from_numpy(np.stack(each[12:])[:, 1:]) for each in (maps, masks))
    with torch.no_grad():
        scores = torch.cat([scorer(each[None], each[None]) for each in probs])
    expected = SortedScores.of(scores, label)
    calibration, test = [0, 3, 4, 8, 9, 11], [1, 2, 5, 6, 7, 10]
    cutoff = expected.cutoff(calibration, 0.25)
    assert found.cutoff(calibration, 0.25) == cutoff
    assert np.array_equal(found.measure(test, [cutoff] * 6), expected.measure(test, [cutoff] * 6))
    inside = scores[test] >= np.float32(cutoff)
    sizes = inside.flatten(1).sum(1) / label[test].flatten(1).sum(1)
    np.testing.assert_allclose(found.measure(test, [cutoff] * 6)[:, 2], sizes.numpy(), rtol=1e-6)
