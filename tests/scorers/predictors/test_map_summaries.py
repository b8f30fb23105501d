# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monai_coat.scorers import MapSummaries

SHARES = np.float32([0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98, 0.99]).astype(float)
BIN = 1 / 4096  # what the docstring promises: a bin of 1/1024 log odds, divided by the scale
ROUNDING = 1e-6  # of log odds and logarithms up to 14, in float32


def logit(values):
    return torch.logit(torch.tensor(values).clamp(1e-4, 1 - 1e-4)) / 4


def test_a_flat_map_has_one_quantile_full_uncertainty_and_its_mean():
    found = MapSummaries(1)(torch.full((1, 1, 8, 8), 0.5))[0]
    assert torch.equal(found[:28], torch.zeros(28))  # logit of a half
    assert found[28].item() == pytest.approx(torch.tensor(0.5).log().item(), abs=1e-5)
    assert found[29].item() == 1.0


def test_ranks_and_mass_quantiles_by_hand():
    # Descending: 0.75, 0.25. Ranks floor(2^-0.5 * 2) = 1, floor(2^-1 * 2) = 1, then 0. The first pixel holds 0.75 of
    # the mass: thresholds for shares up to 0.7 are 0.75 (0.75 itself is missed by the tiny constant), beyond it 0.25.
    found = MapSummaries(1)(torch.tensor([[[0.25, 0.75]]]))[0]
    torch.testing.assert_close(found[:16], logit([0.25] * 2 + [0.75] * 14))
    torch.testing.assert_close(found[16:28], logit([0.75] * 4 + [0.25] * 8))
    assert found[29].item() == pytest.approx(0.5)  # 1 - 2 * 0.25


def test_the_order_of_pixels_plays_no_part():
    probs = torch.rand(2, 2, 12, 10)
    shuffled = probs.flatten(2)[..., torch.randperm(120)].reshape(2, 2, 10, 12)
    assert torch.equal(MapSummaries(2)(probs), MapSummaries(2)(shuffled))


def test_the_size_of_the_map_plays_no_part():
    probs = torch.rand(1, 1, 16, 16)
    larger = probs.repeat_interleave(2, -1).repeat_interleave(2, -2)
    torch.testing.assert_close(MapSummaries(1)(probs), MapSummaries(1)(larger), atol=1e-4, rtol=1e-4)


def test_images_and_classes_are_told_apart():
    probs = torch.rand(2, 3, 8, 8)
    together = MapSummaries(3)(probs)
    for image in range(2):
        for index in range(3):
            alone = MapSummaries(1)(probs[image : image + 1, index : index + 1])[0]
            torch.testing.assert_close(together[image, 30 * index : 30 * (index + 1)], alone)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 6, 6), (2, 1, 4, 4, 4)])
def test_maps_of_zeros_and_ones_give_finite_numbers(value, shape):
    probs = torch.full(shape, value, requires_grad=True)
    found = MapSummaries(1)(probs)
    assert found.shape == (shape[0], 30)
    assert bool(found.isfinite().all())
    found.sum().backward()
    assert bool(probs.grad.isfinite().all())


def test_nothing_of_it_is_in_the_weights():
    assert not MapSummaries(1).state_dict()


def sorted_summaries(values):
    """By sorting, in float64: the lowest and the highest that each of a map's 30 summaries may be."""
    values = np.sort(values.astype(float))[::-1]
    last, mass = len(values) - 1, np.cumsum(values)
    ranks = np.floor(2.0 ** -np.arange(0.5, 8.5, 0.5) * len(values)).astype(int)
    goals = SHARES * (mass[-1] + 1e-6)
    # The mass of a pixel is rounded to 2^-34: where a running sum is that close to its goal, both sides are right.
    near = len(values) * 2.0**-35 + 1e-14 * mass[-1]
    early, late = (np.minimum(np.searchsorted(mass, goals + side), last) for side in (-near, near))
    others = [np.log(values.mean() + 1e-6), np.mean(1 - 2 * np.abs(values - 0.5))]
    bounds = []
    for shared in (late, early):
        thresholds = np.clip(values[[*ranks, *shared]], np.float32(1e-4), np.float32(1 - 1e-4))
        bounds.append(np.concatenate([np.log(thresholds / (1 - thresholds)) / 4, others]))
    return bounds


def assert_as_by_sorting(maps, bound):
    """Maps ``(C, N)`` of one image: thresholds within ``bound``, the rest within what rounding the mass can do."""
    found = MapSummaries(len(maps))(torch.from_numpy(maps)[None]).reshape(len(maps), 30).numpy()
    tolerance = np.array([bound] * 28 + [2.0**-35 / 1e-6 + ROUNDING, ROUNDING])
    for summaries, values in zip(found, maps, strict=True):
        low, high = sorted_summaries(values)
        assert (summaries >= low - tolerance).all()
        assert (summaries <= high + tolerance).all()


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


KINDS = {
    "random": lambda values: values,
    "sharp": lambda values: 1 / (1 + np.exp(np.float32(40) * (np.float32(0.7) - values))),
    "power": lambda values: values ** np.float32(12),
    "near one": lambda values: 1 - np.float32(1e-3) * values,
    "near a half": lambda values: np.float32(0.5) + np.float32(1e-3) * (values - np.float32(0.5)),
}
ONE_VALUE_A_BIN = {
    "8-bit": lambda values: np.round(255 * values) / np.float32(255),
    "saturated": lambda values: np.round(np.clip(3 * values - 1, 0, 1) * 16) / np.float32(16),
    "zeros and ones": np.round,
    "constant": lambda values: np.full_like(values, values[0, 0]),
}
drawn = {"seed": st.integers(0, 2**32), "classes": st.integers(1, 3), "size": st.integers(1, 600)}


@settings(deadline=None)
@given(kind=st.sampled_from(sorted(KINDS)), **drawn)
def test_summaries_are_those_of_sorting_within_a_bin(kind, seed, classes, size):
    assert_as_by_sorting(KINDS[kind](noise(classes, size, seed=seed)), BIN + ROUNDING)


@settings(deadline=None)
@given(kind=st.sampled_from(sorted(ONE_VALUE_A_BIN)), **drawn)
def test_summaries_are_those_of_sorting_where_a_bin_has_one_value(kind, seed, classes, size):
    assert_as_by_sorting(ONE_VALUE_A_BIN[kind](noise(classes, size, seed=seed)), ROUNDING)


@settings(deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(1, 2), st.integers(1, 40)), elements=st.floats(0, 1, width=32)))
def test_summaries_are_those_of_sorting_for_any_numbers(maps):
    assert_as_by_sorting(maps, BIN + ROUNDING)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_summaries_of_a_map_of_many_blocks_are_those_of_sorting(kind):
    assert_as_by_sorting(KINDS[kind](noise(1, 3 * MapSummaries.block // 2)), BIN + ROUNDING)


def test_a_tie_of_many_pixels_is_decided_exactly():
    # 2^18 pixels of 0.75 and as many of 0.25 have sums without rounding. The first hold 0.75 of the mass, short of
    # 0.75 of the mass and the tiny constant by 0.75e-6, which a float32 running sum of 196608 cannot tell.
    probs = torch.tensor([0.25, 0.75]).repeat(2**18).reshape(1, 1, -1)
    torch.testing.assert_close(MapSummaries(1)(probs)[0, 16:28], logit([0.75] * 4 + [0.25] * 8))


def test_a_sum_short_of_its_goal_by_less_than_a_unit_falls_short():
    # In units of 2^-34 the tiny constant is 17179.87. The first pixel has 17178 more than the second, so it is short of
    # half of the mass and the constant by (17179.87 - 17178) / 2 = 0.93.
    low = 2.0**-11
    probs = torch.tensor([[[low + 17178 * 2.0**-34, low]]])
    torch.testing.assert_close(MapSummaries(1)(probs)[0, 17:18], logit([low]), atol=1e-6, rtol=0)


def test_the_order_of_tiny_values_plays_no_part_in_float64_either():
    # All are in the last bin; added in another order, they would lose other digits, were they not rounded first.
    probs = 1e-4 * torch.rand(1, 1, 20000).double() ** 8
    shuffled = probs[..., torch.randperm(20000)]
    assert torch.equal(MapSummaries(1)(probs), MapSummaries(1)(shuffled))


@pytest.mark.parametrize("block", [1, 16, 100])
def test_counting_in_blocks_changes_nothing(block, monkeypatch):
    probs = torch.rand(5, 2, 9, 7) ** 4
    whole = MapSummaries(2)(probs)
    monkeypatch.setattr(MapSummaries, "block", block)
    assert torch.equal(MapSummaries(2)(probs), whole)
    shuffled = probs.flatten(2)[..., torch.randperm(63)]
    assert torch.equal(MapSummaries(2)(shuffled), whole)


def with_holes():
    """Two classes of three maps, one with NaN, one with infinity, and where they are."""
    probs = torch.rand(3, 2, 12, 10)
    probs[0, 1, 3, 4], probs[2, 0, 0, 0] = torch.nan, torch.inf
    holes = torch.tensor([[False, True], [False, False], [True, False]])
    return probs, holes


@pytest.mark.parametrize("block", [16, 2**17])
def test_a_map_with_nan_or_infinity_has_nan_alone(block, monkeypatch):
    monkeypatch.setattr(MapSummaries, "block", block)
    probs, holes = with_holes()
    found = MapSummaries(2)(probs).reshape(3, 2, 30)
    assert torch.equal(found.isnan(), holes[..., None].expand(3, 2, 30))
    filled = torch.where(probs.isfinite(), probs, 0.5)
    assert torch.equal(found[~holes], MapSummaries(2)(filled).reshape(3, 2, 30)[~holes])


def scripted(module, example):
    return torch.jit.script(module)


def traced(module, example):
    return torch.jit.trace(module, example, check_trace=False)


def exported(module, example):
    return torch.export.export(module, (example,), dynamic_shapes=(dynamic(),)).module()


def in_onnx(module, example):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    program = torch.onnx.export(module, (example,), dynamo=True, dynamic_shapes=(dynamic(),), verbose=False)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    return lambda probs: torch.from_numpy(session.run(None, {session.get_inputs()[0].name: probs.numpy()})[0])


def dynamic():
    names = {0: torch.export.Dim("batch")}
    return names | {axis: torch.export.Dim(f"axis{axis}", min=2) for axis in (2, 3)}


@pytest.mark.parametrize("deploy", [scripted, traced, exported, in_onnx])
def test_deployed_summaries_are_the_same_at_other_sizes_and_with_nan(deploy):
    module, (probs, _) = MapSummaries(2).eval(), with_holes()
    torch.testing.assert_close(deploy(module, torch.rand(2, 2, 7, 5))(probs), module(probs), equal_nan=True)


def test_gradients_of_thresholds_mean_and_uncertainty():
    # Logits have the slope 1 / (p (1 - p)), which the two pixels of one bin share: half of a fourth of it each.
    probs = torch.tensor([[[0.25, 0.75, 0.25, 0.75]]], requires_grad=True)
    found = MapSummaries(1)(probs)[0]
    for index, expected in {
        0: [2 / 3, 0, 2 / 3, 0],  # rank 2
        15: [0, 2 / 3, 0, 2 / 3],  # rank 0
        28: [0.5] * 4,  # log of the mean: 1 / (4 * 0.5)
        29: [0.5, -0.5, 0.5, -0.5],
    }.items():
        (gradient,) = torch.autograd.grad(found[index], probs, retain_graph=True)
        torch.testing.assert_close(gradient[0, 0], torch.tensor(expected), atol=1e-5, rtol=0)


def test_maps_without_pixels_are_refused():
    with pytest.raises(ValueError, match=r"between 1 and 2\^29 - 1 pixels in a map, got 0"):
        MapSummaries(1)(torch.rand(1, 1, 0, 4))
