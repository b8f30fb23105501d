# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Identities: whatever changes the scores is another pipeline, and the same one is the same wherever it runs."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from monai_coat.calibration import PipelineIdentity, identity_of
from tests.calibration.pipelines import network as make_network
from tests.calibration.pipelines import pipeline


class Network(nn.Module):
    """Weights, batch statistics, a number, a calibration of its own, and parameters without elements."""

    calibration_buffers = ("calibrated", "calibrated_cutoff")

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
        self.register_buffer("calibrated_cutoff", torch.zeros(1))
        self.register_buffer("calibrated", torch.tensor(False))
        self.register_buffer("calibrated_temperature", torch.ones(1))
        self.register_buffer("center", torch.zeros(3))
        self.register_buffer("coefficients", torch.zeros(2, 2))
        self.register_buffer("ladder", torch.arange(3.0), persistent=False)
        self.register_buffer("nothing", torch.empty(0, 3))


def digest(network):
    return identity_of(network).digest


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network()


def test_a_digest_is_64_hexadecimal_digits_and_the_same_every_time(network):
    before = digest(network)
    assert len(before) == 64
    assert set(before) <= set("0123456789abcdef")
    assert before == digest(network) == digest(copy.deepcopy(network))
    assert PipelineIdentity().digest == PipelineIdentity({}, {"inferer": "digest a"}).digest == ""


def test_every_weight_and_buffer_counts_to_the_last_bit(network):
    before = digest(network)
    counted = 0
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        if name in Network.calibration_buffers or not value.numel():
            continue
        changed = copy.deepcopy(network)
        entry = dict([*changed.named_parameters(), *changed.named_buffers()])[name].data.view(-1)
        entry[-1:] = entry[-1:].nextafter(torch.tensor(9.0)) if entry.is_floating_point() else entry[-1:] + 1
        assert digest(changed) != before, name
        counted += 1
    assert counted == 2 + 5 + 4  # convolution, normalisation, and the buffers temperature, center, coefficients, ladder


def test_names_shapes_and_types_count():
    def of(name, value):
        module = nn.Module()
        module.register_buffer(name, value)
        return digest(module)

    values = torch.zeros(4)
    digests = {
        of("a", values),
        of("b", values),
        of("a", values.reshape(2, 2)),
        of("a", values.int()),
        of("a", values[:3]),
    }
    assert len(digests) == 5


def test_a_name_counts_whatever_it_begins_with():
    names = ["calibrated_temperature", "calibrated", "center", "coefficients", "conv", "c", "_hidden", "nothing"]
    for name in names:
        module = nn.Module()
        module.register_buffer(name, torch.zeros(2))
        before = digest(module)
        getattr(module, name)[0] = 1
        assert digest(module) != before, name


def test_mode_gradients_layout_and_the_calibration_itself_do_not_count(network):
    before = digest(network)
    assert digest(network.eval()) == before
    assert digest(network.requires_grad_(False)) == before
    network.calibrated_cutoff += 1
    network.calibrated.fill_(True)
    assert digest(network) == before
    assert digest(network.to(memory_format=torch.channels_last)) == before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.bool, torch.complex64])
def test_any_type_of_weight(dtype):
    module = nn.Module()
    module.register_buffer("a", torch.ones(3).to(dtype))
    before = digest(module)
    module.a[1] = 0
    assert digest(module) != before


def test_inside_another_module_it_is_another_name(network):
    inner, outer = digest(network), nn.ModuleDict({"segmenter": network})
    assert digest(outer) != inner
    before = digest(outer)
    network.calibrated_cutoff += 1  # what a class says of its buffers holds however deep it stands
    assert digest(outer) == before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (nn.ReLU(), nn.GELU()),
        (nn.LeakyReLU(0.1), nn.LeakyReLU(0.2)),
        (nn.BatchNorm2d(2), nn.BatchNorm2d(2, eps=1e-3)),
        (nn.MaxPool2d(2), nn.MaxPool2d(2, ceil_mode=True)),
        (nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="bilinear")),
        (nn.Sequential(nn.ReLU(), nn.Tanh()), nn.Sequential(nn.Tanh(), nn.ReLU())),
    ],
)
def test_layers_count_also_where_they_have_no_weights(one, other):
    first, second = (nn.ModuleDict({"segmenter": nn.Sequential(layer)}) for layer in (one, other))
    assert digest(first) == digest(copy.deepcopy(first))
    assert identity_of(first).differences(identity_of(second)) == ["segmenter layers"]


def test_weights_of_the_segmenter_and_of_the_scorer_are_told_apart():
    first, second = make_network(), make_network()
    assert identity_of(first) == identity_of(second)
    second.scorer.predictor.head[0].bias.data[3] += 1
    assert identity_of(first).differences(identity_of(second)) == ["scorer weights"]
    second.segmenter[1].running_mean[0] += 1
    assert identity_of(first).differences(identity_of(second)) == ["scorer weights", "segmenter weights"]


def reloaded(network):
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = make_network()
    for parameter in other.parameters():
        parameter.data.zero_()
    other.load_state_dict(torch.load(file, weights_only=True))
    return other


SAME = {
    "again": lambda network: network,
    "deepcopy": copy.deepcopy,
    "pickle": lambda network: pickle.loads(pickle.dumps(network)),
    "CPU": lambda network: network.to("cpu"),
    "weights saved and loaded": reloaded,
    "compiled": torch.compile,
    "copied and compiled": lambda network: torch.compile(copy.deepcopy(network)),
    "evaluation": lambda network: network.eval(),
    "training": lambda network: network.train(),
}


@pytest.mark.parametrize("way", SAME.values(), ids=SAME)
def test_the_same_network_is_the_same(way):
    expected = identity_of(make_network(), pipeline())
    same = identity_of(way(make_network()), pipeline())
    assert same == expected
    assert same.digest == expected.digest
    assert hash(same) == hash(expected)


def test_compiled_parts_are_the_same():
    network = make_network()
    before = identity_of(network)
    network.segmenter = torch.compile(network.segmenter)
    network.scorer = torch.compile(network.scorer)
    assert identity_of(network) == before


def test_use_and_calibration_change_nothing():
    network = make_network().eval()
    before = identity_of(network)
    network.set_calibration((0.5,), 0.1, (99,))
    network.prediction_set(torch.rand(1, 3, 32, 32))
    assert identity_of(network) == before


def test_a_scripted_segmenter_has_its_settings_in_its_code():
    def scripted(slope):
        network = make_network()
        network.segmenter = torch.jit.script(nn.Sequential(nn.Conv2d(3, 1, 1), nn.LeakyReLU(slope)).eval())
        network.segmenter.load_state_dict({"0.weight": torch.ones(1, 3, 1, 1), "0.bias": torch.zeros(1)})
        return identity_of(network)

    assert scripted(0.1) == scripted(0.1)
    assert scripted(0.1).differences(scripted(0.2)) == ["segmenter layers"]


def test_another_process_finds_the_same(pytestconfig):
    script = Path(__file__).parent / "pipelines.py"
    environment = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": str(pytestconfig.rootpath)}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    assert PipelineIdentity.from_json(json.loads(done.stdout)) == identity_of(make_network(), pipeline())


def test_it_survives_json():
    identity = identity_of(make_network(), pipeline())
    assert PipelineIdentity.from_json(json.loads(json.dumps(identity.to_json()))) == identity
    for content in (
        None,
        [],
        {},
        {"network": {}},
        {"network": {}, "pipeline": 3},
        {"network": {"a": 1}, "pipeline": {}},
    ):
        with pytest.raises(ValueError, match="identity must have a network and a pipeline, dictionaries of text"):
            PipelineIdentity.from_json(content)


def test_only_what_is_at_hand_is_named():
    assert identity_of() == PipelineIdentity()
    assert identity_of(pipeline={"inferer": 1}).network == {}
    assert identity_of(make_network()).pipeline == {}
