# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Bundles with the ids and the structure of five of MONAI's model zoo, tiny, and generated images in their layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import yaml
from PIL import Image

SIZE, WINDOW = (20, 18, 16), [16, 16, 16]
BOTH = ["image", "label"]
PAIR = "$monai.handlers.from_engine(['pred', 'label'])"
# Axes in another order and direction, and voxels that are no cubes: what is brought back can go wrong.
AFFINE = np.array([[0, 0, -1.25, 30], [-1, 0, 0, 12], [0, 1.5, 0, -7], [0, 0, 0, 1]], dtype=float)


def item(target: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": target, **arguments}


def compose(transforms: Any) -> dict[str, Any]:
    return item("Compose", transforms=transforms)


def unet(dims: int, inputs: int, outputs: Any) -> dict[str, Any]:
    sizes = {"channels": [8, 16], "strides": [2], "num_res_units": 1, "norm": "instance"}
    return item("UNet", spatial_dims=dims, in_channels=inputs, out_channels=outputs, **sizes)


def res_net(inputs: int, outputs: int) -> dict[str, Any]:
    sizes = {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1], "norm": ["instance", {"affine": True}]}
    return item("SegResNet", spatial_dims=3, in_channels=inputs, out_channels=outputs, **sizes)


def sliding(overlap: float = 0.5, **more: Any) -> dict[str, Any]:
    return item("SlidingWindowInferer", roi_size=WINDOW, sw_batch_size=4, overlap=overlap, **more)


def softmax_then_largest(classes: Any, keys: Any = ("pred", "label")) -> list[dict[str, Any]]:
    largest = [True, False] if len(keys) == 2 else True
    cut = item("AsDiscreted", keys=list(keys), argmax=largest, **({"to_onehot": classes} if classes else {}))
    return [item("Activationsd", keys="pred", softmax=True), cut]


def inverse(transform: str, keys: Any = "pred", **more: Any) -> dict[str, Any]:
    orig = "image" if "validate" in transform else "@image_key"
    return item("Invertd", keys=keys, transform=transform, orig_keys=orig, to_tensor=True, **more)


def loader(dataset: str, batch: int = 1) -> dict[str, Any]:
    return item("DataLoader", dataset=dataset, batch_size=batch, shuffle=False, num_workers=0)


def evaluator(place: str, **more: Any) -> dict[str, Any]:
    parts = {"val_data_loader": "dataloader", "inferer": "inferer", "postprocessing": "postprocessing"}
    given = {name: f"@{place}{value}" for name, value in {**parts, "val_handlers": "handlers"}.items()}
    return item("SupervisedEvaluator", device="@device", network="@network", **given, **more)


@dataclass
class Zoo:
    """One bundle: what is its own, out of which the configs are made that all have in common.

    Attributes:
        name: of the model it is like.
        training: items of the config for training that differ from bundle to bundle.
        inference: those of the config for inference.
        write: writes an image and its label.
        channels: names of the output's channels.
        yaml: whether configs are YAML.
    """

    name: str
    training: dict[str, Any]
    inference: dict[str, Any]
    write: Callable[[Path, int, np.random.Generator], None]
    channels: list[str]
    image_channels: int = 1
    dims: int = 3
    yaml: bool = False

    def write_bundle(self, folder: Path) -> Path:
        """Write configs for training, evaluation and inference, and metadata; returns the folder."""
        configs = folder / "configs"
        configs.mkdir(parents=True)
        for name, content in {"train": self.train(), "evaluate": self.evaluate(), "inference": self.infer()}.items():
            text = yaml.safe_dump(content, sort_keys=False) if self.yaml else json.dumps(content, indent=4)
            (configs / f"{name}.{'yaml' if self.yaml else 'json'}").write_text(text)
        shape = [None] * self.dims
        outputs = {"num_channels": len(self.channels), "channel_def": dict(enumerate(self.channels))}
        described = {"inputs": {"image": {"num_channels": self.image_channels, "spatial_shape": shape}}}
        described |= {"outputs": {"pred": outputs}}
        (configs / "metadata.json").write_text(json.dumps({"version": "0.1.0", "network_data_format": described}))
        return folder

    def common(self) -> dict[str, Any]:
        return {
            "bundle_root": ".",
            "output_dir": "$@bundle_root + '/eval'",
            "dataset_dir": "data",
            "device": "$torch.device('cpu')",
            "network": "$@network_def.to(@device)",
        }

    def train(self) -> dict[str, Any]:
        own = {**self.training}
        train, validate = own.pop("train"), own.pop("validate")
        optimizer = item("torch.optim.Adam", params="$@network.parameters()", lr=0.01)
        saver = item("CheckpointSaver", save_dir="@ckpt_dir", save_dict={"model": "@network"}, save_key_metric=True)
        saver["key_metric_filename"] = "model.pt"
        check = item("ValidationHandler", validator="@validate#evaluator", epoch_level=True, interval="@val_interval")
        trainer = item("SupervisedTrainer", max_epochs="@epochs", device="@device", train_handlers="@train#handlers")
        trainer |= {"train_data_loader": "@train#dataloader", "network": "@network", "loss_function": "@loss"}
        trainer |= {"optimizer": "@optimizer", "inferer": "@train#inferer"}
        metrics = {"key_val_metric": "@validate#key_metric", "additional_metrics": "@validate#additional_metrics"}
        return {
            "imports": ["$import glob", "$import os", "$import ignite"],
            **self.common(),
            "ckpt_dir": "$@bundle_root + '/models'",
            "epochs": 10,
            "val_interval": 10,
            **own,
            "optimizer": optimizer,
            "train": {
                "dataloader": loader("@train#dataset", 4),
                "inferer": item("SimpleInferer"),
                "handlers": [check],
                **train,
                "trainer": trainer,
            },
            "validate": {
                "dataloader": loader("@validate#dataset"),
                "handlers": [item("StatsHandler", iteration_log=False), saver],
                **validate,
                "evaluator": evaluator("validate#", **metrics),
            },
            "initialize": ["$monai.utils.set_determinism(seed=123)"],
            "run": ["$@train#trainer.run()"],
        }

    def evaluate(self) -> dict[str, Any]:
        """What the zoo's config for evaluation changes; nothing in it is needed here."""
        load = item("CheckpointLoader", load_path="$@ckpt_dir + '/model.pt'", load_dict={"model": "@network"})
        return {"validate#handlers": [load], "run": ["$@validate#evaluator.run()"]}

    def infer(self) -> dict[str, Any]:
        load = item("CheckpointLoader", load_path="$@bundle_root + '/models/model.pt'")
        load["load_dict"] = {"model": "@network"}
        return {
            "imports": ["$import glob", "$import numpy", "$import os"],
            **self.common(),
            "image_key": "image",
            "load_pretrain": True,
            **self.inference,
            "dataloader": loader("@dataset"),
            "handlers": [item("StatsHandler", iteration_log=False)],
            "evaluator": evaluator("", amp=True),
            "checkpointloader": load,
            "initialize": [
                "$monai.utils.set_determinism(seed=123)",
                "$@checkpointloader(@evaluator) if @load_pretrain else None",
            ],
            "run": ["$@evaluator.run()"],
        }


def blob(rng: np.random.Generator, size: tuple[int, ...], radius: float) -> np.ndarray:
    """Distance to the middle of an object, in its radius: below 1 is inside."""
    axes = np.meshgrid(*(np.arange(n) for n in size), indexing="ij")
    middle = [n / 2 + rng.uniform(-2, 2) for n in size]
    stretch = rng.uniform(0.8, 1.25, len(size))
    return np.sqrt(sum(((a - m) * s) ** 2 for a, m, s in zip(axes, middle, stretch, strict=True))) / radius


def save(path: Path, values: np.ndarray, kind: Any = np.float32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values.astype(kind), AFFINE), path)


def write_volume(folder: Path, number: int, rng: np.random.Generator, values: Sequence[int]) -> None:
    """Objects inside each other, brighter inwards, with noise; an inner one here and there is missing."""
    distance, label = blob(rng, SIZE, rng.uniform(5, 7)), np.zeros(SIZE, np.uint8)
    image = rng.normal(0, rng.uniform(20, 40), SIZE)
    for place, value in enumerate(values):
        inside = distance < 1 - 0.45 * place
        if place and rng.random() < 0.1:
            continue
        label[inside] = value
        image[inside] += rng.uniform(45, 75)
    save(folder / "imagesTr" / f"case_{number:03}.nii.gz", image, np.int16)
    save(folder / "labelsTr" / f"case_{number:03}.nii.gz", label, np.uint8)
    if number < 2:
        save(folder / "imagesTs" / f"new_{number:03}.nii.gz", image, np.int16)


def read(keys: Any, **more: Any) -> list[dict[str, Any]]:
    return [item("LoadImaged", keys=keys, **more), item("EnsureChannelFirstd", keys=keys)]


def to_space(keys: Any, pixdim: Any) -> list[dict[str, Any]]:
    mode = ["bilinear", "nearest"] if isinstance(keys, list) else "bilinear"
    turn = item("Orientationd", keys=keys, axcodes="RAS", labels=None)
    return [turn, item("Spacingd", keys=keys, pixdim=pixdim, mode=mode)]


def lists() -> dict[str, Any]:
    return {
        "images": "$list(sorted(glob.glob(@dataset_dir + '/imagesTr/*.nii.gz')))",
        "labels": "$list(sorted(glob.glob(@dataset_dir + '/labelsTr/*.nii.gz')))",
    }


def part(which: str) -> str:
    return f"$[{{'image': i, 'label': l}} for i, l in zip(@images[{which}], @labels[{which}])]"


HELD_OUT, TRAINED = 40, 16


def mean_dice(**more: Any) -> dict[str, Any]:
    return item("MeanDice", output_transform=PAIR, **more)


def spleen() -> Zoo:
    scale = item("ScaleIntensityRanged", keys="image", a_min=-57, a_max=164, b_min=0, b_max=1, clip=True)
    keys = "@image_key"
    training = {
        **lists(),
        "network_def": unet(3, 1, 2),
        "loss": item("DiceCELoss", to_onehot_y=True, softmax=True),
        "train": {
            "deterministic_transforms": [
                *read(BOTH),
                *to_space(BOTH, [1.5, 1.5, 2.0]),
                scale,
                item("EnsureTyped", keys=BOTH),
            ],
            "random_transforms": [item("ResizeWithPadOrCropd", keys=BOTH, spatial_size=[16, 16, 16])],
            "preprocessing": compose("$@train#deterministic_transforms + @train#random_transforms"),
            "dataset": item(
                "CacheDataset", data=part(f":-{HELD_OUT}"), transform="@train#preprocessing", progress=False
            ),
            "postprocessing": compose(softmax_then_largest(2)),
        },
        "validate": {
            "preprocessing": compose("%train#deterministic_transforms"),
            "dataset": item("Dataset", data=part(f"-{HELD_OUT}:"), transform="@validate#preprocessing"),
            "inferer": sliding(),
            "postprocessing": "%train#postprocessing",
            "key_metric": {"val_mean_dice": mean_dice(include_background=False)},
            "additional_metrics": {"val_accuracy": item("ignite.metrics.Accuracy", output_transform=PAIR)},
        },
    }
    space = to_space(keys, [1.5, 1.5, 2.0])
    inference = {
        "output_postfix": "trans",
        "datalist": "$list(sorted(glob.glob(@dataset_dir + '/imagesTs/*.nii.gz')))",
        "network_def": unet(3, 1, 2),
        "preprocessing": compose([*read(keys), *space, {**scale, "keys": keys}, item("EnsureTyped", keys=keys)]),
        "dataset": item("Dataset", data="$[{'image': i} for i in @datalist]", transform="@preprocessing"),
        "inferer": sliding(),
        "postprocessing": compose(
            [
                item("Activationsd", keys="pred", softmax=True),
                inverse("@preprocessing", nearest_interp=False),
                item("AsDiscreted", keys="pred", argmax=True),
                item("SaveImaged", keys="pred", output_dir="@output_dir", output_postfix="@output_postfix"),
            ]
        ),
    }
    return Zoo("spleen", training, inference, partial(write_volume, values=[1]), ["background", "spleen"])


def brats() -> Zoo:
    """Four images to a sample, three nested classes with a sigmoid each, channels of the label made by the bundle."""
    before = lambda keys: [item("LoadImaged", keys=keys, image_only=False)]  # noqa: E731
    normal = item("NormalizeIntensityd", keys="image", nonzero=True, channel_wise=True)
    classes = item("ConvertToMultiChannelBasedOnBratsClassesd", keys="label")
    cut = [item("Activationsd", keys="pred", sigmoid=True), item("AsDiscreted", keys="pred", threshold=0.5)]
    split = item("SplitDimd", keys=["pred", "label"], output_postfixes=["tc", "wt", "et"])
    by_class = {
        f"val_mean_dice_{name}": item(
            "MeanDice",
            include_background=True,
            output_transform=f"$monai.handlers.from_engine(['pred_{name}', 'label_{name}'])",
        )
        for name in ("tc", "wt", "et")
    }
    datalist = "$monai.data.load_decathlon_datalist(@data_list_file_path, data_list_key='{}', base_dir=@dataset_dir)"
    where = {"data_list_file_path": "$@dataset_dir + '/datalist.json'"}
    training = {
        **where,
        "train_datalist": datalist.format("training"),
        "val_datalist": datalist.format("validation"),
        "network_def": res_net(4, 3),
        "loss": item("DiceCELoss", to_onehot_y=False, sigmoid=True),
        "train": {
            "preprocessing_transforms": [*before(BOTH), classes, normal],
            "random_transforms": [item("ResizeWithPadOrCropd", keys=BOTH, spatial_size=[16, 16, 16])],
            "preprocessing": compose("$@train#preprocessing_transforms + @train#random_transforms"),
            "dataset": item("CacheDataset", data="@train_datalist", transform="@train#preprocessing", progress=False),
            "postprocessing": compose(cut),
        },
        "validate": {
            "preprocessing": compose("$@train#preprocessing_transforms"),
            "dataset": item("Dataset", data="@val_datalist", transform="@validate#preprocessing"),
            "inferer": sliding(),
            "postprocessing": compose([*cut, split]),
            "key_metric": {"val_mean_dice": mean_dice(include_background=True)},
            "additional_metrics": by_class,
        },
    }
    combined = "$lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, torch.where(x[[1]] > 0, 2, 0)))"
    inference = {
        **where,
        "test_datalist": datalist.format("testing"),
        "network_def": res_net(4, 3),
        "preprocessing": compose([*before("@image_key"), {**normal, "keys": "@image_key"}]),
        "dataset": item("Dataset", data="@test_datalist", transform="@preprocessing"),
        "inferer": sliding(),
        "postprocessing": compose(
            [
                cut[0],
                inverse("@preprocessing", nearest_interp=False, meta_keys="pred_meta_dict"),
                cut[1],
                item("Lambdad", keys="pred", func=combined),
                item("SaveImaged", keys="pred", meta_keys="pred_meta_dict", output_dir="@output_dir"),
            ]
        ),
    }
    return Zoo("brats", training, inference, write_brats, ["Tumor core", "Whole tumor", "Enhancing tumor"], 4)


def write_brats(folder: Path, number: int, rng: np.random.Generator) -> None:
    """Four images, a label of 1, 2 and 4, and the lists of a file."""
    distance, label = blob(rng, SIZE, rng.uniform(5, 7)), np.zeros(SIZE, np.uint8)
    for value, limit in ((2, 1.0), (1, 0.75), (4, 0.55)):
        if value != 4 or rng.random() > 0.1:
            label[distance < limit] = value
    case, images = folder / f"case_{number:03}", []
    for kind, weights in (("t1ce", (1, 0, 3)), ("t1", (1, 1, 1)), ("t2", (2, 2, 0)), ("flair", (1, 3, 1))):
        shown = sum(w * (label == value) for w, value in zip(weights, (1, 2, 4), strict=True))
        save(case / f"case_{number:03}_{kind}.nii.gz", 100 + 30 * shown + rng.normal(0, rng.uniform(30, 60), SIZE))
        images.append(f"{case.name}/case_{number:03}_{kind}.nii.gz")
    save(case / f"case_{number:03}_seg.nii.gz", label, np.uint8)
    path = folder / "datalist.json"
    lists = json.loads(path.read_text()) if path.exists() else {"training": [], "validation": [], "testing": []}
    sample = {"image": images, "label": f"{case.name}/case_{number:03}_seg.nii.gz"}
    lists["training" if number < TRAINED else "validation"].append(sample)
    lists["testing"] = [{"image": each["image"]} for each in lists["validation"][:2]]
    path.write_text(json.dumps(lists))


def endoscopic() -> Zoo:
    """Flat images and JPEG masks in folders of videos, no activation in postprocessing, SimpleInferer."""
    find = "$list(sorted(glob.glob(os.path.join(@dataset_dir,'{}', '*', '*[!seg].jpg'))))"
    mask = "$[x.replace('.jpg', '_seg.jpg') for x in @{}]"
    to_size = lambda keys: item("Resized", keys=keys, spatial_size=[48, 32], mode=["bilinear", "nearest"][: len(keys)])  # noqa: E731
    before = [
        item("LoadImaged", keys=BOTH, image_only=False),
        item("EnsureChannelFirstd", keys="image", channel_dim=-1),
        item("EnsureChannelFirstd", keys="label", channel_dim="no_channel"),
        to_size(BOTH),
        item("ScaleIntensityd", keys=BOTH),
    ]
    cut = item("AsDiscreted", argmax=[True, False], to_onehot=[2, 2], keys=["pred", "label"])
    pairs = "$[{{'image': i, 'label': l}} for i, l in zip(@{}images, @{}labels)]"
    training = {
        "images": find.format("train"),
        "labels": mask.format("images"),
        "val_images": find.format("val"),
        "val_labels": mask.format("val_images"),
        "network_def": unet(2, 3, 2),
        "loss": item("DiceFocalLoss", include_background=False, to_onehot_y=True, softmax=True),
        "train": {
            "deterministic_transforms": before,
            "preprocessing": compose("$@train#deterministic_transforms"),
            "dataset": item(
                "CacheDataset", data=pairs.format("", ""), transform="@train#preprocessing", progress=False
            ),
            "postprocessing": compose([cut]),
        },
        "validate": {
            "preprocessing": compose("%train#deterministic_transforms"),
            "dataset": item("Dataset", data=pairs.format("val_", "val_"), transform="@validate#preprocessing"),
            "inferer": item("SimpleInferer"),
            "postprocessing": compose("%train#postprocessing#transforms"),
            "key_metric": {
                "val_iou": item("MeanIoUHandler", include_background=False, output_transform=PAIR, reduction="mean")
            },
            "additional_metrics": {"val_mean_dice": mean_dice(include_background=False, reduction="mean")},
        },
    }
    keys = ["@image_key"]
    inference = {
        "datalist": find.format("test"),
        "network_def": unet(2, 3, 2),
        "preprocessing": compose(
            [
                item("LoadImaged", keys="@image_key", image_only=False),
                item("EnsureChannelFirstd", keys="@image_key", channel_dim=-1),
                to_size(keys),
                item("ScaleIntensityd", keys=keys),
            ]
        ),
        "dataset": item("Dataset", data="$[{'image': i} for i in @datalist]", transform="@preprocessing"),
        "inferer": item("SimpleInferer"),
        "postprocessing": compose(
            [
                inverse("@preprocessing", nearest_interp=False, meta_key_postfix="meta_dict"),
                item("AsDiscreted", argmax=True, to_onehot=2, keys=["pred"]),
                item("Lambdad", keys=["pred"], func="$lambda x : x[1:]"),
                item("SaveImaged", keys="pred", output_dir="@output_dir", output_ext=".png", scale=255),
            ]
        ),
    }
    return Zoo("endoscopic", training, inference, write_frame, ["background", "tools"], 3, 2)


def write_frame(folder: Path, number: int, rng: np.random.Generator) -> None:
    size = (60 + number % 3, 44)
    inside = blob(rng, size, rng.uniform(9, 15)) < 1
    image = rng.normal(90, rng.uniform(15, 30), (*size, 3)) + inside[..., None] * rng.uniform(40, 80, 3)
    place = folder / ("train" if number < TRAINED else "val") / f"video_{number % 4}"
    names = [(place, number), *([(folder / "test" / f"video_{9 - number}", 0)] if number < 2 else [])]
    for video, frame in names:
        video.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(video / f"frame_{frame:03}.jpg", quality=90)
        Image.fromarray((255 * inside).astype(np.uint8)).save(video / f"frame_{frame:03}_seg.jpg", quality=90)


def whole_body() -> Zoo:
    """105 channels, of which images show two; the validation crops, inference does not and has windows of its own."""
    scale, keys = item("ScaleIntensityd", keys="image", minv=-1.0, maxv=1.0), "@image_key"
    normal = item("NormalizeIntensityd", keys="image", nonzero=True)
    crop = item("CropForegroundd", keys=BOTH, source_key="image", margin=2, k_divisible=[4, 4, 4])
    before = [*read(BOTH), item("EnsureTyped", keys=BOTH), *to_space(BOTH, "@pixdim"), normal, crop]
    before += [item("GaussianSmoothd", keys=["image"], sigma=0.4), scale]
    pixdim = "$[1.5, 1.5, 1.5] if @displayable_configs#highres else [3.0, 3.0, 3.0]"
    training = {
        "displayable_configs": {"highres": True, "init_LR": 0.01},
        **lists(),
        "pixdim": pixdim,
        "network_def": res_net(1, 105),
        "loss": item("DiceCELoss", to_onehot_y=True, softmax=True),
        "train": {
            "deterministic_transforms": [*before, item("EnsureTyped", keys=BOTH)],
            "random_transforms": [item("ResizeWithPadOrCropd", keys=BOTH, spatial_size=[16, 16, 16])],
            "preprocessing": compose("$@train#deterministic_transforms + @train#random_transforms"),
            "dataset": item(
                "CacheDataset", data=part(f":-{HELD_OUT}"), transform="@train#preprocessing", progress=False
            ),
            "postprocessing": compose(softmax_then_largest(105)),
        },
        "validate": {
            "preprocessing": compose([*before, item("CenterSpatialCropd", keys=BOTH, roi_size=[16, 16, 16])]),
            "dataset": item("Dataset", data=part(f"-{HELD_OUT}:"), transform="@validate#preprocessing"),
            "inferer": sliding(0.25),
            "postprocessing": compose(softmax_then_largest(105)),
            "key_metric": {"val_mean_dice": mean_dice(include_background=False)},
            "additional_metrics": {},
        },
    }
    inference = {
        "displayable_configs": {"highres": True, "sw_overlap": 0.25, "sw_batch_size": 1},
        "datalist": "$list(sorted(glob.glob(@dataset_dir + '/imagesTs/*.nii.gz')))",
        "pixdim": pixdim,
        "network_def": res_net(1, 105),
        "preprocessing": compose(
            [
                *read(keys),
                *to_space(keys, "@pixdim"),
                {**normal, "keys": keys},
                {**scale, "keys": keys},
            ]
        ),
        "dataset": item("Dataset", data="$[{'image': i} for i in @datalist]", transform="@preprocessing"),
        "inferer": {
            **sliding("@displayable_configs#sw_overlap", padding_mode="replicate", mode="gaussian"),
            "sw_batch_size": "@displayable_configs#sw_batch_size",
            "device": "@device",
        },
        "postprocessing": compose(
            [
                *softmax_then_largest(None, ("pred",)),
                inverse("@preprocessing", nearest_interp=True),
                item("SaveImaged", keys="pred", output_dir="@output_dir"),
            ]
        ),
    }
    names = ["background", *(f"organ_{index}" for index in range(1, 105))]
    write = partial(write_volume, values=[3, 104])
    return Zoo("whole_body", training, inference, write, names)


def pancreas() -> Zoo:
    """YAML, names of keys and numbers of classes by reference, a copy of the label for cropping, lists of a file."""
    both = ["@image_key", "@label_key"]
    datalist = "$monai.data.load_decathlon_datalist(@data_list_file_path, data_list_key='{}', base_dir=@dataset_dir)"
    scale = item("ScaleIntensityRanged", keys="@image_key", a_min=-87, a_max=199, b_min=0, b_max=1, clip=True)
    where = {"output_classes": 3, "input_channels": 1, "data_list_file_path": "$@dataset_dir + '/datalist.json'"}
    network = unet(3, 1, "@output_classes") | {"in_channels": "@input_channels"}
    training = {
        **where,
        "image_key": "image",
        "label_key": "label",
        "train_datalist": datalist.format("training"),
        "val_datalist": datalist.format("validation"),
        "network_def": network,
        "loss": item("DiceCELoss", include_background=False, to_onehot_y=True, softmax=True),
        "train": {
            "deterministic_transforms": [
                *read(both),
                *to_space(both, [1.5, 1.5, 1.5]),
                scale,
                item("CastToTyped", keys=both, dtype=["$torch.float32", "$torch.uint8"]),
                item("CopyItemsd", keys="@label_key", times=1, names=["label4crop"]),
                item("Lambdad", keys="label4crop", func="$lambda x, s=@output_classes: x", overwrite=True),
                item("SpatialPadd", keys=[*both, "label4crop"], spatial_size=[16, 16, 16]),
            ],
            "random_transforms": [
                item("ResizeWithPadOrCropd", keys=[*both, "label4crop"], spatial_size=[16, 16, 16]),
                item("Lambdad", keys="label4crop", func="$lambda x: 0"),
            ],
            "preprocessing": compose("$@train#deterministic_transforms + @train#random_transforms"),
            "dataset": item("CacheDataset", data="@train_datalist", transform="@train#preprocessing", progress=False),
            "postprocessing": compose(softmax_then_largest("@output_classes")),
        },
        "validate": {
            "preprocessing": compose("%train#deterministic_transforms"),
            "dataset": item("Dataset", data="@val_datalist", transform="@validate#preprocessing"),
            "inferer": sliding(0.625),
            "postprocessing": "%train#postprocessing",
            "key_metric": {"val_mean_dice": mean_dice(include_background=False)},
            "additional_metrics": {"val_accuracy": item("ignite.metrics.Accuracy", output_transform=PAIR)},
        },
    }
    inference = {
        **where,
        "datalist": datalist.format("testing"),
        "network_def": network,
        "preprocessing": compose(
            [
                *read("@image_key"),
                *to_space("@image_key", [1.5, 1.5, 1.5]),
                scale,
                item("EnsureTyped", keys="@image_key"),
            ]
        ),
        "dataset": item("Dataset", data="@datalist", transform="@preprocessing"),
        "inferer": sliding(0.625),
        "postprocessing": compose(
            [
                item("Activationsd", keys="pred", softmax=True),
                inverse("@preprocessing", nearest_interp=False, meta_key_postfix="meta_dict"),
                item("AsDiscreted", keys="pred", argmax=True),
                item("SaveImaged", keys="pred", meta_keys="pred_meta_dict", output_dir="@output_dir"),
            ]
        ),
    }
    channels = ["background", "pancreas", "pancreatic tumor"]
    return Zoo("pancreas", training, inference, write_pancreas, channels, yaml=True)


def write_pancreas(folder: Path, number: int, rng: np.random.Generator) -> None:
    write_volume(folder, number, rng, [1, 2])
    samples = [
        {"image": f"imagesTr/case_{n:03}.nii.gz", "label": f"labelsTr/case_{n:03}.nii.gz"} for n in range(number + 1)
    ]
    lists = {"training": samples[:TRAINED], "validation": samples[TRAINED:]}
    lists["testing"] = [{"image": f"imagesTs/new_{n:03}.nii.gz"} for n in range(2)]
    (folder / "datalist.json").write_text(json.dumps(lists))


ZOO = {make().name: make for make in (spleen, brats, endoscopic, whole_body, pancreas)}
