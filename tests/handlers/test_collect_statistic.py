# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The file of a site is what its images give, from any engine and any number of workers."""

from __future__ import annotations

import pytest
import torch

from monai_coat.calibration import BinnedStatistic, CoverageStatistic, identity_of, load_statistic
from monai_coat.handlers import CollectStatistic

SCORES, LABELS = torch.rand(24, 1, 6, 6), torch.ones(24, 1, 6, 6)
BATCHES = [(SCORES[:10], LABELS[:10]), (list(SCORES[10:]), list(LABELS[10:]))]


@pytest.mark.parametrize("kind", [BinnedStatistic, CoverageStatistic])
def test_the_file_holds_the_statistic_of_all_batches(plain_engine, make_network, tmp_path, kind):
    network = make_network()
    CollectStatistic(tmp_path / "deep" / "north.npz", kind(), network, "coat").attach(plain_engine)
    state = plain_engine.run(BATCHES)
    expected = kind()
    expected.update(SCORES, LABELS)
    collected = load_statistic(tmp_path / "deep" / "north.npz")
    assert (collected.identity, collected.method) == (identity_of(network), "coat")
    assert collected.statistic.n == state.statistic.n == (24,)
    assert len(collected.images) == 24
    assert not bool(network.calibrated)
    if kind is BinnedStatistic:
        assert (collected.statistic.rates == expected.rates).all()
    else:
        assert torch.equal(collected.statistic.state_dict()["0"]["scores"], expected.state_dict()["0"]["scores"])


def test_every_epoch_begins_anew(plain_engine, tmp_path):
    CollectStatistic(tmp_path / "north.npz").attach(plain_engine)
    plain_engine.run(BATCHES)
    plain_engine.state.max_epochs = None
    assert plain_engine.run(BATCHES).statistic.n == (24,)


def test_too_few_images_write_nothing(plain_engine, tmp_path):
    CollectStatistic(tmp_path / "north.npz").attach(plain_engine)
    with pytest.raises(ValueError, match=r"at least 10 images of each class .*, got 4"):
        plain_engine.run([(SCORES[:4], LABELS[:4])])
    assert not list(tmp_path.iterdir())


def test_a_statistic_that_has_seen_images_is_refused(tmp_path):
    statistic = BinnedStatistic()
    statistic.update(SCORES, LABELS)
    with pytest.raises(ValueError, match=r"statistic must be empty, got one of \(24,\) images"):
        CollectStatistic(tmp_path / "north.npz", statistic)
    with pytest.raises(TypeError, match="network must be an AdaptiveSegmenter"):
        CollectStatistic(tmp_path / "north.npz", network=torch.nn.Conv2d(1, 1, 1))
