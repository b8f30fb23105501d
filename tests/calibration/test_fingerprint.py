# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Fingerprints: another weight is another network; the same weights are the same network wherever they run."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from monai_coat.calibration import fingerprint


class Network(nn.Module):
    """Weights, batch statistics, a number, a calibration of its own, and parameters without elements."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
        self.register_buffer("calibrated_cutoff", torch.zeros(1))
        self.register_buffer("calibrated", torch.tensor(False))
        self.register_buffer("nothing", torch.empty(0, 3))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network()


def test_it_is_64_hexadecimal_digits_and_the_same_every_time(network):
    found = fingerprint(network)
    assert len(found) == 64
    assert set(found) <= set("0123456789abcdef")
    assert found == fingerprint(network) == fingerprint(copy.deepcopy(network))


def test_every_weight_and_buffer_counts_to_the_last_bit(network):
    before = fingerprint(network)
    for name, value in network.state_dict().items():
        if name.startswith("calibrated") or not value.numel():
            continue
        changed = copy.deepcopy(network)
        entry = changed.state_dict()[name].view(-1)
        entry[-1:] = entry[-1:].nextafter(torch.tensor(9.0)) if entry.is_floating_point() else entry[-1:] + 1
        assert fingerprint(changed) != before, name


def test_names_shapes_and_types_count():
    def of(name, value):
        module = nn.Module()
        module.register_buffer(name, value)
        return fingerprint(module)

    values = torch.zeros(4)
    found = {
        of("a", values),
        of("b", values),
        of("a", values.reshape(2, 2)),
        of("a", values.int()),
        of("a", values[:3]),
    }
    assert len(found) == 5


def test_mode_gradients_layout_and_own_calibration_do_not_count(network):
    before = fingerprint(network)
    assert fingerprint(network.eval()) == before
    assert fingerprint(network.requires_grad_(False)) == before
    network.calibrated_cutoff += 1
    network.calibrated.fill_(True)
    assert fingerprint(network) == before
    assert fingerprint(network.to(memory_format=torch.channels_last)) == before
    assert fingerprint(network, exclude="nothing") != before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.bool, torch.complex64])
def test_any_type_of_weight(dtype):
    module = nn.Module()
    module.register_buffer("a", torch.ones(3).to(dtype))
    before = fingerprint(module)
    module.a[1] = 0
    assert fingerprint(module) != before


def test_inside_another_module_it_is_another_name(network):
    inner, outer = fingerprint(network), nn.ModuleDict({"segmenter": network})
    assert fingerprint(outer) != inner
    before = fingerprint(outer)
    network.calibrated_cutoff += 1  # the last name counts, however deep
    assert fingerprint(outer) == before
