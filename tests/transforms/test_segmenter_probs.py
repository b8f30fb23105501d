# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from monai.data import CacheDataset, DataLoader, MetaTensor, PersistentDataset
from monai.inferers import SlidingWindowInferer
from monai.transforms import Compose, MapTransform, RandFlipd, Transform

from monai_coat.transforms import SegmenterProbs, SegmenterProbsD, SegmenterProbsd, SegmenterProbsDict


@pytest.fixture
def network(make_network):
    return make_network(num_classes=2, activation="softmax")


def images(count=4):
    return [{"image": torch.rand(3, 16, 12), "id": str(index)} for index in range(count)]


class Counted(torch.nn.Module):
    """Counts how often a segmenter is run."""

    def __init__(self, segmenter):
        super().__init__()
        self.segmenter, self.runs = segmenter, 0

    def forward(self, image):
        self.runs += 1
        return self.segmenter(image)


@pytest.mark.parametrize("kind", [torch.as_tensor, MetaTensor, np.asarray])
def test_they_are_the_probabilities_of_the_network(network, kind):
    (data,) = images(1)
    data["image"] = kind(data["image"])
    probs = SegmenterProbs(network)(data["image"])
    expected = network.probabilities(torch.as_tensor(data["image"])[None])[0]
    assert torch.equal(torch.as_tensor(probs), expected)
    assert not probs.requires_grad
    result = SegmenterProbsd("image", network)(data)
    assert torch.equal(result["probs"], probs)
    assert result["image"] is data["image"]
    assert "probs" not in data
    assert set(SegmenterProbsd("image", network, name="p_hat")(data)) == {"image", "id", "p_hat"}


def test_metadata_goes_with_them(network):
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0]))
    image = MetaTensor(torch.rand(3, 8, 8), affine=affine, meta={"filename_or_obj": "a.png"})
    probs = SegmenterProbs(network)(image)
    assert torch.equal(probs.affine, image.affine)
    assert probs.meta["filename_or_obj"] == "a.png"


def test_they_do_not_depend_on_autocast_or_training(network):
    (data,) = images(1)
    transform = SegmenterProbs(network)
    plain = transform(data["image"])
    network.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(transform(data["image"]), plain)


def test_the_segmenter_may_be_run_window_by_window(network):
    inferer = SlidingWindowInferer(roi_size=(8, 8), overlap=0.5)
    image = torch.rand(3, 24, 20)
    expected = network.activate(inferer(image[None], network.segmenter))[0]
    assert torch.equal(SegmenterProbs(network, inferer)(image).as_tensor(), expected)
    assert torch.equal(
        SegmenterProbsd("image", network, inferer=inferer)({"image": image})["probs"].as_tensor(), expected
    )


def same(found, network):
    """Whether an item's probabilities are those of its image, however both were flipped."""
    maps = torch.as_tensor(found["probs"]), torch.as_tensor(found["image"])
    turned = [[m.flip(list(axes)) for m in maps] for axes in ((), (1,), (2,), (1, 2))]
    return any(torch.allclose(p, network.probabilities(i[None])[0], atol=1e-6) for p, i in turned)


@pytest.mark.parametrize("how", ["cache", "persistent"])
def test_caching_datasets_keep_them_before_random_transforms(network, tmp_path, how):
    network.segmenter = Counted(network.segmenter)
    flips = [RandFlipd(["image", "probs"], prob=0.5, spatial_axis=axis) for axis in (0, 1)]
    transform = Compose([SegmenterProbsd("image", network), *flips]).set_random_state(0)
    if how == "cache":
        dataset = CacheDataset(images(), transform, progress=False)
    else:
        dataset = PersistentDataset(images(), transform, cache_dir=tmp_path)
    epochs = [[dict(item) for item in dataset] for _ in range(3)]
    assert network.segmenter.runs == 4
    assert all(same(item, network) for epoch in epochs for item in epoch)
    flipped = [not torch.equal(epochs[0][i]["image"], epoch[i]["image"]) for epoch in epochs for i in range(4)]
    assert any(flipped)


def test_worker_processes_make_them_too(network):
    data = images(3)
    dataset = CacheDataset(data, SegmenterProbsd("image", network), cache_num=0, progress=False)
    loader = DataLoader(dataset, batch_size=3, num_workers=1)
    (batch,) = list(loader)
    expected = network.probabilities(torch.stack([item["image"] for item in data]))
    torch.testing.assert_close(batch["probs"].as_tensor(), expected)


def test_one_image_has_one_map(network):
    with pytest.raises(ValueError, match=r"keys must name one image, got \('image', 'other'\)"):
        SegmenterProbsd(["image", "other"], network)


def test_a_missing_image(network):
    with pytest.raises(KeyError, match="image"):
        SegmenterProbsd("image", network)({"other": 1})
    assert SegmenterProbsd("image", network, allow_missing_keys=True)({"other": 1}) == {"other": 1}


def test_they_are_transforms_of_the_host(network):
    assert SegmenterProbsD is SegmenterProbsDict is SegmenterProbsd
    mapped = SegmenterProbsd("image", network)
    assert isinstance(SegmenterProbs(network), Transform)
    assert isinstance(mapped, MapTransform)
    assert mapped.backend == SegmenterProbs.backend
    (data,) = images(1)
    assert torch.equal(pickle.loads(pickle.dumps(mapped))(data)["probs"], mapped(data)["probs"])
