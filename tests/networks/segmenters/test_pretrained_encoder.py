# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Segmenters that begin with an encoder that was trained before."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_coat.networks import DeepLabV3Plus, EncoderUNet, PSPNet, ResidualEncoder, SINet, with_pretrained_encoder

NARROW = (8, 8, 16, 16)


@pytest.fixture
def file(tmp_path):
    torch.save(ResidualEncoder(2, 3, features=NARROW).resnet.state_dict(), tmp_path / "resnet.pth")
    return tmp_path / "resnet.pth"


@pytest.mark.parametrize("head", [DeepLabV3Plus, EncoderUNet, PSPNet, SINet])
def test_the_encoder_gets_the_weights_of_the_file_and_the_segmenter_is_returned(head, file):
    network = head(2, 3, 1, features=NARROW)
    assert with_pretrained_encoder(network, file) is network
    assert all(torch.equal(network.encoder.resnet.state_dict()[n], v) for n, v in torch.load(file).items())


def test_the_second_look_of_sinet_has_the_same_weights_of_its_own(file):
    network = with_pretrained_encoder(SINet(2, 3, 1, features=NARROW), file)
    pairs = zip(network.again.parameters(), nn.ModuleList(network.encoder.deepest_stages()).parameters(), strict=True)
    assert all(torch.equal(a, b) and a is not b for a, b in pairs)


def test_what_has_nothing_to_load_or_no_place_for_it_is_refused(file):
    with pytest.raises(TypeError, match="segmenter must have an encoder of this package, got Conv2d"):
        with_pretrained_encoder(nn.Conv2d(3, 1, 1), file)
    with pytest.raises(ValueError, match="path must name a file of weights for a residual encoder, got None"):
        with_pretrained_encoder(PSPNet(2, 3, 1, features=NARROW))
