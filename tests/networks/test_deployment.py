# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The network and its calibration in the formats that MONAI deploys: the same numbers, at other sizes too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.utils import convert_to_onnx, convert_to_torchscript

from monai_coat.networks import AdaptiveSegmenter
from monai_coat.scorers import MarginScorer, ThresholdPredictor

# An example batch of 2 (torch.export takes 0 and 1 for constants), and inputs of other batches and sizes.
EXAMPLE = torch.linspace(0, 1, 2 * 3 * 20 * 24).reshape(2, 3, 20, 24)
OTHERS = [(1, 3, 33, 21), (3, 3, 64, 64), (2, 3, 20, 24)]
DYNAMIC = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height", min=2), 3: torch.export.Dim("width", min=2)}


@pytest.fixture
def network(make_network):
    return make_network(num_classes=2, activation="softmax", cutoff=(0.25, -0.5))


def assert_same(network, other, **tolerance):
    for shape in OTHERS:
        image = torch.rand(shape)
        with torch.no_grad():
            torch.testing.assert_close(other(image), network(image), **tolerance)


@pytest.mark.parametrize(("dims", "backbone"), [(2, "resnet10"), (3, "none"), (3, "small")])
def test_every_kind_of_predictor_can_be_scripted(make_network, dims, backbone):
    predictor = ThresholdPredictor(dims, 3, backbone=backbone, input_size=16)
    network = make_network(spatial_dims=dims, scorer=MarginScorer(predictor))
    image = torch.rand(1, 3, *(12, 20, 16)[:dims])
    torch.testing.assert_close(torch.jit.script(network)(image), network(image))


def test_torchscript_keeps_scores_and_calibration(network, tmp_path):
    scripted = convert_to_torchscript(network, filename_or_obj=tmp_path / "model.ts")
    assert_same(network, scripted)
    loaded = torch.jit.load(tmp_path / "model.ts")
    assert_same(network, loaded)
    assert loaded.calibrated_cutoff.tolist() == [0.25, -0.5]
    assert bool(loaded.calibrated)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # the checks of channels and sizes are not in a trace
def test_a_trace_keeps_the_scores(network):
    assert_same(network, torch.jit.trace(network, EXAMPLE, check_trace=False))


def test_export_with_dynamic_shapes_keeps_the_scores(network):
    program = torch.export.export(network, (EXAMPLE,), dynamic_shapes=(DYNAMIC,))
    assert_same(network, program.module())
    assert {"calibrated_cutoff", "calibrated_alpha", "calibrated_n", "calibrated"} <= set(program.state_dict)


def test_compile_keeps_the_scores(network):
    assert_same(network, torch.compile(network, backend="eager", dynamic=True))


def test_compiled_scores_do_not_depend_on_autocast(network):
    compiled = torch.compile(network, backend="eager", dynamic=True)
    with torch.no_grad():
        plain = network(EXAMPLE)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(compiled(EXAMPLE), plain)


@pytest.mark.parametrize("dims", [2, 3])
def test_onnx_keeps_the_scores(make_network, tmp_path, dims):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    network, path = make_network(num_classes=2, spatial_dims=dims, cutoff=(0.25, -0.5)), tmp_path / "model.onnx"
    dynamic = dict(enumerate(["batch", None, "height", "width", "depth"][: dims + 2]))
    shapes = ({axis: torch.export.Dim(name, min=2) for axis, name in dynamic.items() if name and axis},)
    shapes[0][0] = torch.export.Dim("batch")
    example = torch.rand(2, 3, *(20, 24, 16)[:dims])
    torch.onnx.export(network, (example,), path, dynamo=True, dynamic_shapes=shapes, verbose=False)
    session = onnxruntime.InferenceSession(path)
    for shape in ((1, 3, 33, 21, 18), (3, 3, 40, 64, 20)):
        image = torch.rand(shape[: dims + 2])
        (scores,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(scores, network(image).numpy(), atol=1e-5, rtol=0)


def test_monai_exports_onnx(make_network, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    network = make_network()
    model = convert_to_onnx(network, [EXAMPLE], filename=tmp_path / "model.onnx", use_trace=True)
    assert model is not None
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (scores,) = session.run(None, {session.get_inputs()[0].name: EXAMPLE.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(scores, network(EXAMPLE).numpy(), atol=1e-5, rtol=0)


def test_a_network_without_predictor_can_be_deployed_too(make_network):
    network = AdaptiveSegmenter(make_network().segmenter).eval()
    assert_same(network, torch.jit.script(network))
    assert_same(network, torch.export.export(network, (EXAMPLE,), dynamic_shapes=(DYNAMIC,)).module())
