# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import os
import stat

import pytest
import torch
from torch import nn

from monai_coat.networks import load_weights, save_weights


class Unpicklable(nn.Module):
    """A network whose state cannot be written to its end."""

    def state_dict(self, *args, **kwargs):
        return {"weight": torch.ones(1000), "odd": lambda: None}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_weights_and_calibration_come_back(make_network, tmp_path):
    network, other = make_network(num_classes=2, cutoff=(0.25, -0.5)), make_network(num_classes=2)
    image = torch.rand(1, 3, 16, 16)
    assert not torch.equal(network(image), other(image))
    save_weights(network, tmp_path / "deep" / "model.pt")
    assert load_weights(other, tmp_path / "deep" / "model.pt") is other
    assert same(network.state_dict(), other.state_dict())
    assert bool(other.calibrated)
    assert torch.equal(network.prediction_set(image), other.prediction_set(image))


def test_torch_alone_can_read_and_write_them(make_network, tmp_path):
    network, other = make_network(cutoff=(0.25,)), make_network()
    save_weights(network, tmp_path / "ours.pt")
    other.load_state_dict(torch.load(tmp_path / "ours.pt", weights_only=True))
    assert same(network.state_dict(), other.state_dict())
    torch.save(network.state_dict(), tmp_path / "torch.pt")
    assert same(load_weights(make_network(), tmp_path / "torch.pt").state_dict(), network.state_dict())


def test_a_failed_save_keeps_the_old_file_and_leaves_no_other(make_network, tmp_path):
    path = tmp_path / "model.pt"
    save_weights(make_network(), path)
    before = path.read_bytes()
    with pytest.raises(Exception, match=r"[Pp]ickle|lambda|local object"):
        save_weights(Unpicklable(), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.pt"]


def test_saving_replaces_the_old_file(make_network, tmp_path):
    first, second = make_network(), make_network()
    save_weights(first, tmp_path / "model.pt")
    save_weights(second, tmp_path / "model.pt")
    assert same(load_weights(make_network(), tmp_path / "model.pt").state_dict(), second.state_dict())
    assert os.listdir(tmp_path) == ["model.pt"]


@pytest.mark.skipif(os.name != "posix", reason="file modes of POSIX")
def test_others_may_read_what_the_umask_lets_them(make_network, tmp_path):
    before = os.umask(0o022)
    try:
        save_weights(make_network(), tmp_path / "model.pt")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model.pt").stat().st_mode) == 0o644


def test_a_missing_file_is_named(make_network, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"path must name a file of weights, got .*none\.pt; run the step"):
        load_weights(make_network(), tmp_path / "none.pt")


@pytest.mark.parametrize("damage", [b"", b"no weights", None])
def test_damaged_files_are_refused(make_network, tmp_path, damage):
    network, path = make_network(), tmp_path / "model.pt"
    save_weights(network, path)
    path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"path must name a file of weights, got .*model\.pt, which is none"):
        load_weights(network, path)
    assert same(before, network.state_dict())


def test_weights_of_another_network_are_refused(make_network, tmp_path):
    save_weights(make_network(), tmp_path / "model.pt")
    network = make_network(num_classes=2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"model\.pt holds weights of another network: .* such as 'calibrated_cutoff'"):
        load_weights(network, tmp_path / "model.pt")
    assert same(before, network.state_dict())  # nor was the part loaded that fits
    with pytest.raises(ValueError, match=r"holds weights of another network"):
        load_weights(nn.Linear(1, 1), tmp_path / "model.pt")


@pytest.mark.parametrize("content", [[1, 2], torch.ones(3), {"state_dict": {}}, {}, None])
def test_a_file_of_something_else_is_refused(make_network, tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"model\.pt holds weights of another network"):
        load_weights(make_network(), tmp_path / "model.pt")
