# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Bundles as self-contained folders, for people and programs that have no others."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from monai_coat.bundles.config_file import write_config
from monai_coat.bundles.steps import STEPS, config_of_step, read_metadata, step_configs
from monai_coat.calibration import check_calibration_fits, load_calibration
from monai_coat.files import replacing, replacing_folder
from monai_coat.inferers import load_calibrated
from monai_coat.transforms import CertaintyLabels

__all__ = ["add_models", "export_bundle", "write_configs"]


def write_configs(bundle: Path, folder: Path | None = None) -> list[Path]:
    """Write the self-contained config of each step beside the overlays that it is made of.

    ``python -m monai.bundle run --config_file configs/train.json`` then works as everywhere. A variant of another
    bundle gets the configs for logging and several processes, which are no steps, from there.

    Args:
        bundle: bundle with overlays in ``configs/overlays``, or with a base that has them.
        folder: where to write; by default the bundle's ``configs``.

    Returns:
        The files that were written, those of the steps first.

    Raises:
        FileNotFoundError: if an overlay is missing.
    """
    configs, base = folder or bundle / "configs", read_metadata(bundle).get("base")
    contents = {step: config_of_step(bundle, step) for step in STEPS}
    written = [write_config(configs / f"{step}.json", content) for step, content in contents.items()]
    for file in sorted((bundle / base / "configs").iterdir()) if base else []:
        if file.is_file() and _is_shared(file):
            written.append(_copied(file, configs / file.name))
    return written


def _copied(file: Path, place: Path) -> Path:
    """Copy a file whole or not at all."""
    with replacing(place) as temporary:
        shutil.copyfile(file, temporary)
    return place


def _is_shared(file: Path) -> bool:
    return file.name == "logging.conf" or file.name.startswith("multi_gpu")


def export_bundle(source: Path, target: Path, add: Callable[[Path], list[Path]] | None = None) -> list[Path]:
    """Copy a bundle without its overlays, so that it stands alone, as MONAI Label reads it: whole or not at all.

    Args:
        source: bundle with overlays in ``configs/overlays``, or with a base that has them.
        target: folder to make; it must not exist.
        add: puts more into the copy before it is in its place, such as :func:`add_models`; returns what it wrote.

    Returns:
        The config of each step, and what was added.

    Raises:
        FileNotFoundError: if an overlay is missing.
        FileExistsError: if ``target`` exists.
    """
    for step in STEPS:
        step_configs(source, step)
    metadata = {key: value for key, value in read_metadata(source).items() if key != "base"}
    left_out = shutil.ignore_patterns("output", "overlays", "*.ckpt", "__pycache__")
    with replacing_folder(target) as made:
        shutil.copytree(source, made, ignore=left_out, dirs_exist_ok=True)
        write_configs(source, made / "configs")
        write_config(made / "configs" / "metadata.json", metadata)
        written = [made / "configs" / f"{step}.json" for step in STEPS] + (add(made) if add else [])
    return [target / file.relative_to(made) for file in written]


def add_models(bundle: Path, models: Path, method: str, overrides: Mapping[str, Any] | None = None) -> list[Path]:
    """Put calibrated models into an exported bundle, so that MONAI Label's own bundle app serves it.

    That app takes ``models/model.pt`` and one label map: the inference config then gives what is certain and possible,
    and the metadata name these labels, those of combinations of classes too. The app does not compare a calibration
    with what it belongs to, so that is done here.

    Args:
        bundle: folder that :func:`export_bundle` made.
        models: folder of calibrated models.
        method: which of them.
        overrides: settings that differ from the bundle's, as in the calibration, to be written into the config.

    Returns:
        The files that were written.

    Raises:
        FileNotFoundError: if a model or calibration is missing.
        ValueError: if the calibration is of another network, preprocessing or inferer than the bundle then has; or if
            there are so many classes that 8 bits do not hold the labels, which viewers ask that app for.
    """
    names = [f"model_{method}.pt", f"calibration_{method}.json", f"certain_{method}.json"]
    for name in names:
        if not (models / name).is_file():
            raise FileNotFoundError(f"models must hold {name}, got {models}; run the bundle's steps first.")
    path, described = bundle / "configs" / "inference.json", bundle / "configs" / "metadata.json"
    metadata = read_metadata(bundle)
    outputs = metadata["network_data_format"]["outputs"]["pred"]
    outputs["channel_def"] = _label_names(outputs["channel_def"])
    config = _checked_config(path, models, {**(overrides or {}), "method": method})
    places = [bundle / "models" / name for name in (*names[1:], "model.pt")]
    written = [_copied(models / name, place) for name, place in zip((*names[1:], names[0]), places, strict=True)]
    served = _serving(config, names[1:], flat=len(outputs["spatial_shape"]) == 2)
    return [*written, write_config(path, config | served), write_config(described, metadata)]


def _checked_config(path: Path, models: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The config with settings, which the models must have been calibrated with."""
    parser = ConfigParser()
    parser.read_config(path)
    parser.update(dict(overrides))
    config = {key: value for key, value in copy.deepcopy(parser.get()).items() if key != "_meta_"}
    method, possible = config["method"], load_calibration(models / f"calibration_{config['method']}.json")
    check_calibration_fits(load_calibration(models / f"certain_{method}.json"), identity=possible.identity)
    parser.update({"bundle_root": str(path.parents[1]), "model_dir": str(models), "device": "$torch.device('cpu')"})
    network, pipeline = parser.get_parsed_content("network_def"), parser.get_parsed_content("pipeline")
    load_calibrated({method: network}, models, possible.alpha, pipeline)
    return config


def _label_names(channels: Mapping[str, str]) -> dict[str, str]:
    """Names of all labels of the map by value, from the names of the classes by channel."""
    labels = CertaintyLabels(tuple(channels[key] for key in sorted(channels, key=int)))
    if labels.dtype != torch.uint8:
        raise ValueError(
            f"bundle must have at most five classes for MONAI Label's own app, got {len(labels.classes)}, whose labels "
            "8 bits do not hold; serve it by the app that label-app writes."
        )
    return {str(value): name for name, value in {"background": 0, **labels.values}.items()}


def _serving(config: Mapping[str, Any], artifacts: Sequence[str], flat: bool) -> dict[str, Any]:
    """What differs in an inference config of which MONAI Label's own app takes one label map."""
    places = [f"$monai_coat.bundles.as_path(@model_dir, '{name}')" for name in artifacts]
    certainty = {"_target_": "monai_coat.transforms.CertaintyMapd", "keys": "pred"}
    certainty |= dict(zip(("possible", "certain"), places, strict=True))
    # MONAI Label's own entry "image_path" would be taken for metadata by MONAI's Spacingd.
    hidden, shown = (
        {"_target_": "CopyItemsd", "keys": key, "names": name, "allow_missing_keys": True}
        for key, name in (("image_path", "path_of_image"), ("path_of_image", "image_path"))
    )
    transforms = ["@restore", certainty, shown]
    if flat:  # its writer takes a channel of a flat image for an axis
        transforms.append({"_target_": "SqueezeDimd", "keys": "pred", "dim": 0})
    prepared = "$[*@without_path, *@calibrated_preprocessing.transforms]"
    return {
        "inferer": {key: value for key, value in config["inferer"].items() if key != "append_probs"},
        # The calibration is of this one, and is refused with another.
        "calibrated_preprocessing": config["preprocessing"],
        "without_path": [hidden, {"_target_": "DeleteItemsd", "keys": "image_path"}],
        "preprocessing": {"_target_": "Compose", "transforms": prepared},
        "restore": {**config["restore"], "transform": "@calibrated_preprocessing"},
        "pipeline": {**config["pipeline"], "preprocessing": "@calibrated_preprocessing"},
        "postprocessing": {"_target_": "Compose", "transforms": transforms},
    }
