# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The residual encoder and the segmenters that are built on it."""

from __future__ import annotations

import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceLoss
from torch import nn

from monai_coat.networks import AdaptiveSegmenter, DeepLabV3Plus, EncoderUNet, PSPNet, ResidualEncoder, SINet

NARROW = (8, 8, 16, 16)
NETWORKS = [DeepLabV3Plus, EncoderUNet, PSPNet, SINet]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("size", [(64, 64), (65, 47), (33, 40, 32)])
def test_logits_have_the_size_of_the_image_whatever_it_is(network, size):
    logits = network(len(size), 2, 3, features=NARROW).eval()(torch.rand(2, 2, *size))
    assert logits.shape == (2, 3, *size)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("network", NETWORKS)
def test_every_parameter_learns(network):
    torch.manual_seed(0)
    net = network(2, 3, 1, features=NARROW)
    net(torch.rand(2, 3, 64, 64)).square().mean().backward()
    learning = {name: p for name, p in net.named_parameters() if p.requires_grad}
    idle = [name for name, p in learning.items() if p.grad is None or not p.grad.any()]
    # MONAI's pyramid has biases before a linear layer and a batch norm, which takes them out again.
    assert not [name for name in idle if ".convs." not in name or not name.endswith("bias")]


@pytest.mark.parametrize("network", NETWORKS)
def test_an_image_has_the_same_logits_alone_and_in_a_batch(network):
    net, images = network(2, 3, 1, features=NARROW).eval(), torch.rand(3, 3, 64, 64)
    torch.testing.assert_close(net(images)[1:2], net(images[1:2]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("network", NETWORKS)
def test_one_image_can_be_trained_on(network):
    assert network(2, 3, 1, features=NARROW).train()(torch.rand(1, 3, 64, 64)).shape == (1, 1, 64, 64)


@pytest.mark.parametrize("depth", ["resnet18", "resnet34", "resnet50", "resnet101"])
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_levels_have_the_strides_and_channels_that_are_announced(depth, stride):
    encoder = ResidualEncoder(2, 1, depth, features=(4, 4, 8, 8), output_stride=stride).eval()
    levels = encoder(torch.rand(1, 1, 64, 64))
    assert [64 // level.shape[-1] for level in levels] == [2, 4, 8, min(stride, 16), stride]
    assert tuple(level.shape[1] for level in levels) == encoder.channels


def test_dilation_sees_at_least_as_far_as_the_stride_that_it_replaces():
    """The gradient of one deep position reaches the image pixels that it would have reached without dilation."""
    reach = []
    for stride in (8, 32):
        torch.manual_seed(0)
        encoder = ResidualEncoder(2, 1, features=(4, 4, 4, 4), output_stride=stride).eval()
        image = torch.rand(1, 1, 512, 512, requires_grad=True)
        deepest = encoder(image)[-1]
        deepest[0, :, deepest.shape[2] // 2, deepest.shape[3] // 2].sum().backward()
        seen = torch.nonzero(image.grad[0, 0].abs().sum(0)).flatten()
        reach.append(int(seen[-1] - seen[0]))
    assert reach[1] <= reach[0] <= 1.2 * reach[1]


def test_pretrained_weights_come_from_a_file_and_change_the_features(tmp_path):
    torch.manual_seed(1)
    source = ResidualEncoder(2, 3, features=NARROW)
    state = {f"module.{name}": value for name, value in source.resnet.state_dict().items()}
    state |= {"module.fc.weight": torch.zeros(5, 16), "module.fc.bias": torch.zeros(5)}
    torch.save({"state_dict": state}, tmp_path / "resnet.pth")
    network = DeepLabV3Plus(2, 3, 1, features=NARROW)
    network.encoder.load_pretrained(tmp_path / "resnet.pth").eval()
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(network.encoder(image)[0], source.eval()(image)[0])


def test_weights_of_another_encoder_are_refused_and_nothing_is_loaded(tmp_path):
    torch.save(ResidualEncoder(2, 3, features=(8, 8, 16, 32)).resnet.state_dict(), tmp_path / "wide.pth")
    encoder = ResidualEncoder(2, 3, features=NARROW)
    before = [p.clone() for p in encoder.parameters()]
    with pytest.raises(ValueError, match=r"path must name weights of this encoder, got .*wide\.pth, where"):
        encoder.load_pretrained(tmp_path / "wide.pth")
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ValueError, match="path must name a file of weights"):
        encoder.load_pretrained(tmp_path / "text.pth")
    with pytest.raises(FileNotFoundError, match="path must name a file of weights"):
        encoder.load_pretrained(tmp_path / "absent.pth")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 4}, "spatial_dims must be 2 or 3, got 4"),
        ({"depth": "vgg"}, "depth must be one of resnet18, .*got 'vgg'"),
        ({"features": (8, 8)}, "features must be four positive numbers"),
        ({"output_stride": 4}, "output_stride must be 8, 16 or 32, got 4"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResidualEncoder(**{"spatial_dims": 2, "in_channels": 1} | arguments)


def test_bins_must_be_positive():
    with pytest.raises(ValueError, match="bins must be positive"):
        PSPNet(2, 1, 1, features=NARROW, bins=())


def test_sinet_gives_both_maps_for_deep_supervision_in_training_alone():
    network, image = SINet(2, 3, 1, features=NARROW, deep_supervision=True), torch.rand(2, 3, 64, 64)
    maps = network.train()(image)
    assert [each.shape for each in maps] == [(2, 1, 64, 64)] * 2
    assert DeepSupervisionLoss(DiceLoss(sigmoid=True))(maps, torch.ones(2, 1, 64, 64)).isfinite()
    assert network.eval()(image).shape == (2, 1, 64, 64)


def test_a_foreign_network_is_a_segmenter_too():
    class Foreign(nn.Module):
        """Somebody's network, with an attribute of every name that ours have."""

        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = nn.Conv2d(3, 4, 3, padding="same"), nn.Conv2d(4, 1, 1)

        def forward(self, x):
            return self.decoder(torch.relu(self.encoder(x)))

    assert AdaptiveSegmenter(Foreign())(torch.rand(2, 3, 20, 30)).shape == (2, 1, 20, 30)
