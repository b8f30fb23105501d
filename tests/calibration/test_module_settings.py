# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Settings of modules: in them, or in whatever object configures them; and nothing that use of a network writes."""

from __future__ import annotations

import argparse
import copy
import functools
import logging
import pickle
from collections import UserDict
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.utils import prune, spectral_norm

from monai_coat.calibration import identity_of
from monai_coat.calibration.module_settings import plain_settings
from monai_coat.networks import AdaptiveSegmenter


def test_settings_of_a_module_are_its_own_plain_values():
    module = nn.Conv2d(3, 4, 5, padding=2, bias=False)
    module.note, module.scale, module._private = "x", torch.tensor([1.5]), 7
    settings = plain_settings(module)
    assert settings["kernel_size"] == [5, 5]
    assert settings["note"] == "x"
    assert {"_private", "weight", "training"} & set(settings) == set()
    module.scale = torch.tensor([2.5])
    assert plain_settings(module) != settings


@dataclass
class Config:
    scale: float = 1.0
    parts: list[object] = field(default_factory=list)

    @functools.cached_property
    def doubled(self):
        return 2 * self.scale


@dataclass(frozen=True, slots=True)
class Slotted:
    scale: float


class Hidden:
    """A setting behind a property, and one that a method uses."""

    def __init__(self, scale):
        self._scale, self._cache = scale, {}

    def apply(self, image):
        return image * self._scale


class Held:
    """A configuration that is held by itself."""

    def __init__(self, scale):
        self.scale, self.me = scale, self


CONFIGS = {
    "dataclass": Config,
    "slots": Slotted,
    "namespace": lambda scale: SimpleNamespace(scale=scale),
    "arguments": lambda scale: argparse.Namespace(scale=scale),
    "property": Hidden,
    "method": lambda scale: Hidden(scale).apply,
    "nested": lambda scale: Config(0, [SimpleNamespace(inner={"a": Config(scale)})]),
    "beside a module": lambda scale: [nn.ReLU(), Config(scale)],
    "mapping": lambda scale: UserDict(a=Config(scale)),
    "partial": lambda scale: functools.partial(print, Config(scale)),
    "itself": Held,
    "builtin": lambda scale: torch.relu if scale == 1 else torch.sigmoid,
}


class Configured(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.conv, self.config = nn.Conv2d(3, 1, 1), config
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def forward(self, image):
        return self.conv(image)


def network_of(config):
    return AdaptiveSegmenter(nn.Sequential(Configured(config))).eval()


@pytest.mark.parametrize("make", CONFIGS.values(), ids=CONFIGS)
def test_a_setting_in_an_object_is_one_of_its_module(make):
    one, other = (network_of(make(scale)) for scale in (1, 30))
    assert identity_of(one) == identity_of(network_of(make(1)))
    assert identity_of(one) == identity_of(pickle.loads(pickle.dumps(one))) == identity_of(copy.deepcopy(one))
    assert identity_of(one).differences(identity_of(other)) == ["segmenter layers"]


@pytest.mark.parametrize("make", CONFIGS.values(), ids=CONFIGS)
def test_an_object_that_is_changed_or_replaced_un_calibrates(make):
    network, image = network_of(make(1)), torch.rand(1, 3, 4, 4)
    network.set_calibration((0.5,), 0.1, (9,))
    network.prediction_set(image)
    network.segmenter[0].config = make(30)
    with pytest.raises(RuntimeError, match="its weights or settings have changed since"):
        network.prediction_set(image)
    changed = network_of(SimpleNamespace(scale=1))
    changed.set_calibration((0.5,), 0.1, (9,))
    changed.segmenter[0].config.scale = 30
    with pytest.raises(RuntimeError, match="its weights or settings have changed since"):
        changed.prediction_set(image)


def test_what_is_no_setting_plays_no_part():
    config = Config(1.0)
    network = network_of(config)
    before, layer = identity_of(network), network.segmenter[0]
    assert config.doubled == 2.0  # kept in the object from now on
    config._name_or_path, config._cache = "somewhere", {1: 2}
    layer.log, layer.generator, layer.others = logging.getLogger("a"), torch.Generator(), [nn.ReLU()]
    layer.handle, layer.place = layer.register_forward_hook(lambda *_: None), torch.device("cpu")
    assert identity_of(network) == before


DERIVED = {
    "spectral": spectral_norm,
    "pruned": lambda layer: prune.random_unstructured(layer, "weight", amount=0.5),
    "pruned twice": lambda layer: prune.ln_structured(prune.l1_unstructured(layer, "weight", 3), "weight", 1, 2, 0),
    "weight": pytest.param(
        nn.utils.weight_norm, marks=pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
    ),
    "parametrised": nn.utils.parametrizations.weight_norm,
    "parametrised spectral": nn.utils.parametrizations.spectral_norm,
}


@pytest.mark.parametrize("norm", DERIVED.values(), ids=DERIVED)
def test_a_fresh_network_takes_its_own_weights_whatever_hooks_make_of_them(norm):
    def make():
        return AdaptiveSegmenter(norm(nn.Conv2d(4, 4, 1)), num_classes=4).eval()

    network, fresh = make(), make()
    assert identity_of(network) != identity_of(fresh)
    fresh.load_state_dict(network.state_dict())
    assert identity_of(fresh) == identity_of(network)
    fresh(torch.rand(1, 4, 4, 4))
    assert identity_of(fresh) == identity_of(network)


def test_a_tensor_that_no_hook_makes_counts():
    one, other = nn.Module(), nn.Module()
    one.weight, other.weight = torch.zeros(3), torch.ones(3)
    assert plain_settings(one) != plain_settings(other)
