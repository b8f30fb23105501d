# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor, decollate_batch, list_data_collate
from monai.inferers import SimpleInferer, SlidingWindowInferer, SlidingWindowInfererAdapt
from torch import nn

from monai_coat.inferers import AdaptiveInferer
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.scorers import MarginScorer

WINDOWS = SlidingWindowInferer(roi_size=(16, 16), sw_batch_size=3, overlap=0.5, mode="gaussian")


class MeanImage(nn.Module):
    """Somebody else's predictor; lets metadata through."""

    def forward(self, image, probs):
        return image.mean((2, 3))[:, :1]


@pytest.fixture
def network(make_network):
    network = make_network(cutoff=(0.125,))
    return network.requires_grad_(False)


def batch(count=3):
    items = [MetaTensor(torch.rand(3, 40, 36), meta={"filename_or_obj": f"{i}.png"}) for i in range(count)]
    return list_data_collate([{"image": item} for item in items])["image"]


@pytest.mark.parametrize("inferer", [WINDOWS, SlidingWindowInfererAdapt(roi_size=(24, 24))])
def test_windows_have_the_threshold_of_the_whole_image(network, inferer, monkeypatch):
    image = torch.rand(2, 3, 40, 36)
    probs = torch.sigmoid(inferer(image, network.segmenter))
    thresholds = network.scorer.thresholds(image, probs)
    scores = AdaptiveInferer(inferer)(image, network)
    assert torch.equal(scores, probs - thresholds[..., None, None])
    # It matters: the network inside the windows would give each of them a threshold of its own, and is refused there.
    monkeypatch.setattr(network.scorer, "adapts", False)
    assert not torch.allclose(inferer(image, network), scores, atol=1e-4)


def test_probabilities_of_the_same_pass_can_be_had_too(network):
    image = batch()
    both = AdaptiveInferer(WINDOWS, append_probs=True)(image, network)
    assert both.shape == (3, 2, 40, 36)
    assert torch.equal(both[:, :1].as_tensor(), AdaptiveInferer(WINDOWS)(image, network).as_tensor())
    assert torch.equal(both[:, 1:].as_tensor(), network.activate(WINDOWS(image, network.segmenter)).as_tensor())
    assert both.meta["calibrated_threshold"].shape == (3, 1)


def test_in_one_piece_it_is_the_network(network):
    image = torch.rand(2, 3, 40, 36)
    assert torch.equal(AdaptiveInferer()(image, network), network(image))
    assert torch.equal(AdaptiveInferer(SimpleInferer())(image, network), network(image))


def test_volumes(make_network):
    network, image = make_network(spatial_dims=3).requires_grad_(False), torch.rand(1, 3, 24, 20, 18)
    scores = AdaptiveInferer(SlidingWindowInferer(roi_size=(16, 16, 16)))(image, network)
    probs = torch.sigmoid(SlidingWindowInferer(roi_size=(16, 16, 16))(image, network.segmenter))
    assert torch.equal(scores, probs - network.scorer.thresholds(image, probs).reshape(1, 1, 1, 1, 1))


@pytest.mark.parametrize("inferer", [None, WINDOWS])
@pytest.mark.parametrize("count", [1, 3])
def test_every_image_carries_its_threshold(network, inferer, count):
    images = batch(count)
    scores = AdaptiveInferer(inferer)(images, network)
    assert scores.meta["calibrated_threshold"].shape == (count, 1)
    parts = decollate_batch(scores)
    assert len({float(part.meta["calibrated_threshold"]) for part in parts}) == count
    for index, part in enumerate(parts):
        image = images[index : index + 1].as_tensor()
        probs = torch.sigmoid(inferer(image, network.segmenter)) if inferer else None
        torch.testing.assert_close(part.meta["calibrated_threshold"][None], network.thresholds(image, probs))
        assert part.meta["filename_or_obj"] == f"{index}.png"


def test_metadata_of_the_images_stays_as_it_was(network):
    images = batch()
    before = dict(images.meta)
    AdaptiveInferer()(images, network)
    assert images.meta == before


def test_the_threshold_of_one_network_does_not_reach_another(make_network):
    first, second = make_network(cutoff=(0.125,)).requires_grad_(False), make_network().requires_grad_(False)
    images = batch()
    assert "calibrated_threshold" in AdaptiveInferer()(images, first).meta
    assert "calibrated_threshold" not in AdaptiveInferer()(images, second).meta  # it is not calibrated


def test_a_foreign_predictor(network):
    other = AdaptiveSegmenter(network.segmenter, MarginScorer(MeanImage()))
    other.set_calibration((0.125,), alpha=0.1, n=(9,))
    images = batch()
    parts = decollate_batch(AdaptiveInferer(WINDOWS)(images, other))
    for part, image in zip(parts, decollate_batch(images), strict=True):
        expected = image[0].mean().as_tensor() + 0.125
        torch.testing.assert_close(torch.as_tensor(part.meta["calibrated_threshold"]).reshape(()), expected)


def test_plain_tensors_give_plain_scores(network):
    assert type(AdaptiveInferer(WINDOWS)(torch.rand(1, 3, 40, 36), network)) is torch.Tensor


def test_scores_do_not_depend_on_autocast(network):
    images = batch()
    plain = AdaptiveInferer(WINDOWS)(images, network)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = AdaptiveInferer(WINDOWS)(images, network)
    assert torch.equal(plain.as_tensor(), inside.as_tensor())
    assert torch.equal(plain.meta["calibrated_threshold"], inside.meta["calibrated_threshold"])


def test_wrapped_networks(network):
    image = torch.rand(1, 3, 40, 36)
    for wrapped in (nn.DataParallel(network), torch.compile(network, backend="eager")):
        assert torch.equal(AdaptiveInferer()(image, wrapped), network(image))


def test_other_networks_are_refused(network):
    for other in (network.segmenter, nn.DataParallel(network.segmenter)):
        with pytest.raises(
            TypeError, match=r"network must be an AdaptiveSegmenter, got Sequential; wrap the segmenter"
        ):
            AdaptiveInferer()(torch.rand(1, 3, 8, 8), other)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("place", ["cpu", "cuda"])
def test_volumes_may_stay_on_the_cpu_while_windows_go_to_the_gpu(network, place):
    network = network.cuda()
    inferer = SlidingWindowInferer(roi_size=(16, 16), sw_device="cuda", device="cpu")
    image = torch.rand(1, 3, 40, 36, device=place)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        scores = AdaptiveInferer(inferer)(image, network)
    assert scores.device.type == "cpu"
    expected = AdaptiveInferer(SlidingWindowInferer(roi_size=(16, 16)))(image.cuda(), network)
    torch.testing.assert_close(scores, expected.cpu())
