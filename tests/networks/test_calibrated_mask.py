# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The exported file alone gives the package's mask."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from monai_coat.networks import AdaptiveSegmenter, CalibratedMask

NEAR = 1e-5  # scores closer to the cutoff may fall on either side in another runtime


@pytest.fixture(params=[2, 3])
def network(make_network, request):
    torch.manual_seed(request.param)
    network = make_network(num_classes=2, spatial_dims=request.param)
    image = torch.rand(2, 3, *(20, 24, 16)[: request.param])
    with torch.no_grad():
        cutoff = network(image).transpose(0, 1).flatten(1).median(1).values
    network.set_calibration(tuple(cutoff.tolist()), alpha=0.1, n=(99, 99))
    return network


def images(network):
    dims = 2 if isinstance(network.segmenter[0], nn.Conv2d) else 3
    return [torch.rand(shape[: dims + 2]) for shape in ((1, 3, 33, 21, 18), (3, 3, 40, 64, 20))]


def assert_same_mask(network, image, mask):
    with torch.no_grad():
        scores, expected = network(image), network.prediction_set(image)
    cutoff = network.calibrated_cutoff.reshape(1, -1, *[1] * (image.dim() - 2))
    clear = (scores - cutoff).abs() > NEAR
    mask = torch.as_tensor(np.asarray(mask))
    assert mask.dtype == torch.uint8
    assert 0.05 < float(expected.float().mean()) < 0.95
    assert float(clear.float().mean()) > 0.99
    assert torch.equal(mask.bool()[clear], expected[clear])


def dynamic(image):
    axes = {axis + 2: torch.export.Dim(name, min=2) for axis, name in enumerate("hwd"[: image.dim() - 2])}
    return ({0: torch.export.Dim("batch")} | axes,)


def example(network):
    return torch.rand(2, 3, *(20, 24, 16)[: images(network)[0].dim() - 2])


def test_it_is_the_prediction_set(network):
    for image in images(network):
        assert torch.equal(CalibratedMask(network)(image).bool(), network.prediction_set(image))


def test_torchscript_in_a_file(network, tmp_path):
    torch.jit.save(torch.jit.script(CalibratedMask(network)), tmp_path / "mask.ts")
    loaded = torch.jit.load(tmp_path / "mask.ts")
    for image in images(network):
        assert_same_mask(network, image, loaded(image))


def test_exported_program_in_a_file(network, tmp_path):
    image = example(network)
    program = torch.export.export(CalibratedMask(network), (image,), dynamic_shapes=dynamic(image))
    torch.export.save(program, tmp_path / "mask.pt2")
    loaded = torch.export.load(tmp_path / "mask.pt2").module()
    for image in images(network):
        assert_same_mask(network, image, loaded(image))


RUNNER = """
import sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
for path in sys.argv[2:]:
    (mask,) = session.run(None, {session.get_inputs()[0].name: np.load(path)})
    np.save(path.replace("image", "mask"), mask)
assert not {"torch", "monai", "monai_coat"} & set(sys.modules)
"""


def test_onnx_in_a_process_without_any_of_our_python(network, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    image, path = example(network), tmp_path / "mask.onnx"
    shapes = dynamic(image)
    torch.onnx.export(CalibratedMask(network), (image,), path, dynamo=True, dynamic_shapes=shapes, verbose=False)
    files = []
    for number, image in enumerate(images(network)):
        files.append(tmp_path / f"image{number}.npy")
        np.save(files[-1], image.numpy())
    subprocess.run([sys.executable, "-I", "-c", RUNNER, str(path), *map(str, files)], check=True, timeout=300)
    for file in files:
        mask = np.load(str(file).replace("image", "mask"))
        assert_same_mask(network, torch.from_numpy(np.load(file)), mask)


def test_an_uncalibrated_network_is_refused(make_network):
    with pytest.raises(RuntimeError, match="network must be calibrated before it gives a prediction set"):
        CalibratedMask(make_network())
    with pytest.raises(TypeError, match="network must be an AdaptiveSegmenter"):
        CalibratedMask(nn.Conv2d(3, 1, 1))


def test_a_wrapped_network_is_taken_out(make_network):
    network = make_network(cutoff=(0.25,))
    assert isinstance(CalibratedMask(nn.DataParallel(network)).network, AdaptiveSegmenter)
    assert isinstance(CalibratedMask(network).network, AdaptiveSegmenter)


def test_a_tie_is_inside():
    network = AdaptiveSegmenter(nn.Identity(), activation="identity")
    network.set_calibration((0.25,), alpha=0.1, n=(9,))
    assert CalibratedMask(network)(torch.tensor([[[[0.2, 0.25, 0.3]]]])).tolist() == [[[[0, 1, 1]]]]


def test_scores_that_are_none_are_inside():
    """A file cannot refuse them, and nothing is missed by it."""
    network = AdaptiveSegmenter(nn.Identity(), activation="identity")
    network.set_calibration((0.25,), alpha=0.1, n=(9,))
    assert CalibratedMask(network)(torch.tensor([[[[0.2, torch.nan]]]])).tolist() == [[[[0, 1]]]]


def test_it_stays_as_it_was_calibrated():
    network = AdaptiveSegmenter(nn.Conv2d(1, 1, 1))
    network.set_calibration((0.5,), alpha=0.1, n=(9,))
    image = torch.randn(1, 1, 8, 8)
    masks = CalibratedMask(network)
    before = masks(image)
    with torch.no_grad():
        network.segmenter.weight.mul_(-3)
    assert torch.equal(masks.train()(image), before)
    assert not any(module.training for module in masks.modules())
