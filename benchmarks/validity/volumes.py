# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Probability maps of two classes that touch: of a small network, trained here on volumes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import nibabel
import numpy as np
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from torch import Tensor
from torch.nn import functional

from benchmarks.validity.inputs import Inputs, LabelledMap
from benchmarks.validity.sections import progress
from monai_coat.data import load_datalist, synthetic_images
from monai_coat.files import replacing
from monai_coat.networks import AdaptiveSegmenter

SIZE, TRAINING_SHARE, BATCH = (24, 32, 24), 0.36, 7


@dataclass(frozen=True)
class Volume:
    """A normalised image ``(1, 1, *spatial)`` and its labels ``(*spatial)``: 0 background, 1, 2."""

    image: Tensor
    label: Tensor


def volumes_of(inputs: Inputs) -> list[Volume]:
    """Hippocampus volumes, or generated blobs that are cut in two."""
    if inputs.root is None:
        return [_cut_in_two(sample) for sample in synthetic_images(min(inputs.scale.volumes, 80), (36, 48, 36), 0, 1)]
    listed = load_datalist(inputs.root, "hippocampus")[: inputs.scale.volumes]
    arrays = [[np.asarray(nibabel.load(sample[key]).dataobj) for key in ("image", "label")] for sample in listed]
    return [Volume(_normalised(image), torch.from_numpy(label.astype(np.int64))) for image, label in arrays]


def _normalised(image: np.ndarray) -> Tensor:
    """Mean 0 and deviation 1, with batch and channel."""
    values = torch.from_numpy(image.astype(np.float32))
    return ((values - values.mean()) / values.std())[None, None]


def _cut_in_two(sample: dict[str, Tensor]) -> Volume:
    """Class 1 before, class 2 behind the middle of the blob along the second axis."""
    blob = sample["label"][0] > 0
    middle = torch.where(blob)[1].double().median()
    behind = torch.arange(blob.shape[1])[None, :, None] >= middle
    return Volume(_normalised(sample["image"][0].numpy()), torch.where(blob & behind, 2, blob.long()))


def trained(volumes: list[Volume], epochs: int) -> AdaptiveSegmenter:
    """A small UNet, trained at half size."""
    torch.manual_seed(0)
    unet = UNet(3, 1, 3, channels=(8, 16, 32, 64), strides=(2, 2, 2), num_res_units=1)
    images = torch.cat([functional.interpolate(volume.image, SIZE, mode="trilinear") for volume in volumes])
    labels = [functional.interpolate(volume.label[None, None].float(), SIZE, mode="nearest") for volume in volumes]
    optimizer, loss = torch.optim.AdamW(unet.parameters(), 3e-3), DiceCELoss(to_onehot_y=True, softmax=True)
    for _ in progress("training", range(epochs)):
        for rows in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            loss(unet(images[rows]), torch.cat(labels)[rows]).backward()
            optimizer.step()
    return AdaptiveSegmenter(unet, num_classes=2, activation="softmax").eval()


def predicted(network: AdaptiveSegmenter, volume: Volume) -> LabelledMap:
    """Scores at the volume's own size, and a mask per class."""
    with torch.no_grad():
        scores = network(functional.interpolate(volume.image, SIZE, mode="trilinear"))
    scores = functional.interpolate(scores, volume.label.shape, mode="trilinear")
    return LabelledMap(scores, torch.stack([volume.label == 1, volume.label == 2])[None])


def volume_maps(inputs: Inputs) -> list[LabelledMap]:
    """Maps of the volumes that the network was not trained on, kept in the output folder.

    The first third trains; the order of the list is that of ids, which says nothing about the volumes.
    """
    facts = [inputs.data_digest, inputs.scale.volumes, inputs.scale.epochs, SIZE, TRAINING_SHARE, torch.__version__]
    name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    path = inputs.folder / f"volume_maps_{name}.pt"
    if not path.is_file():
        volumes = volumes_of(inputs)
        count = round(TRAINING_SHARE * len(volumes))
        network = trained(volumes[:count], inputs.scale.epochs)
        maps = [predicted(network, volume).pair for volume in volumes[count:]]
        with replacing(path) as temporary:
            torch.save(maps, temporary)
    return [LabelledMap(*pair) for pair in torch.load(path, weights_only=True)]
