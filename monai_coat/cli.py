# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Commands beside ``python -m monai.bundle``."""

from __future__ import annotations

import argparse
import json
import logging
import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from monai_coat.benchmark import load_protocol, protocol_of_folder, write_benchmark
from monai_coat.calibration import ConformalRisk, calibrate_risk, merge_statistics, save_calibration
from monai_coat.data import calibrate_saved_maps, map_datalist

__all__ = ["STEPS", "add_models", "export_bundle", "main", "step_configs", "write_label_app"]

STEPS = {
    "segmenter": ("common", "training", "segmenter"),
    "train": ("common", "training", "train"),
    "fit": ("common", "training", "train", "fit"),
    "calibrate": ("common", "calibrate"),
    "collect": ("common", "calibrate", "collect"),
    "evaluate": ("common", "evaluate"),
    "inference": ("common", "inference"),
}
"""Overlays of each step of a bundle of this package, first to last."""


def step_configs(bundle: Path, step: str) -> list[Path]:
    """Configs of a step of a bundle, first to last.

    A bundle that is a variant of another names it in its metadata, ``"base": "../polyp_coat"``; its own configs, which
    say what differs, go over those of the base: one that has the name of an overlay in the steps of that overlay, any
    other in every step.

    Args:
        bundle: folder of the bundle.
        step: one of :data:`STEPS`.

    Returns:
        The files.

    Raises:
        FileNotFoundError: if one of them is missing.
    """
    configs, base = bundle / "configs", _metadata(bundle).get("base")
    home = bundle / base / "configs" if base else configs
    files = [home / f"{name}.json" for name in STEPS[step]]
    missing = [file for file in files if not file.is_file()]
    if missing:
        wrong = f"source must hold configs/{missing[0].name}, got {home.parent}"
        raise FileNotFoundError(f"{wrong}; {'correct base in its metadata' if base else 'name a bundle folder'}.")
    own = {file.stem: file for file in sorted(configs.glob("*.json"))} if base else {}
    overlays = {name for names in STEPS.values() for name in names}
    general = [file for name, file in own.items() if name not in overlays | {"metadata"}]
    return files + general + [own[name] for name in STEPS[step] if name in own]


def export_bundle(source: Path, target: Path) -> list[Path]:
    """Copy a bundle with each step's overlays merged into one self-contained config, as MONAI Label reads it.

    Args:
        source: bundle with overlays in ``configs``, or with a base that has them.
        target: folder to make; it must not exist.

    Returns:
        The merged configs.

    Raises:
        FileNotFoundError: if an overlay is missing.
        FileExistsError: if ``target`` exists.
    """
    steps, metadata = {step: step_configs(source, step) for step in STEPS}, _metadata(source)
    if target.exists():
        raise FileExistsError(f"target must not exist, got {target}; remove it or name another.")
    base = metadata.pop("base", None)
    if base:  # what the steps share beside overlays: logging, several processes
        shutil.copytree(source / base / "configs", target / "configs")
    ignored = shutil.ignore_patterns("output", "*.ckpt", "__pycache__")
    shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)
    if base:
        (target / "configs" / "metadata.json").write_text(json.dumps(metadata, indent=4) + "\n", encoding="utf-8")
    for name in {file.name for files in steps.values() for file in files}:
        (target / "configs" / name).unlink()
    written = []
    for step, files in steps.items():
        parser = ConfigParser()
        parser.read_config(files)
        written.append(target / "configs" / f"{step}.json")
        ConfigParser.export_config_file(parser.get(), str(written[-1]), fmt="json", indent=4)
    return written


def add_models(bundle: Path, models: Path, method: str) -> list[Path]:
    """Put calibrated models into an exported bundle, so that MONAI Label's own bundle app serves it.

    That app takes ``models/model.pt`` and one label map: the inference config then gives what is certain and possible,
    and the metadata name these labels.

    Args:
        bundle: folder that :func:`export_bundle` made.
        models: folder of calibrated models.
        method: which of them.

    Returns:
        The files that were written.

    Raises:
        FileNotFoundError: if a model or calibration is missing.
    """
    names = [f"model_{method}.pt", f"calibration_{method}.json", f"certain_{method}.json"]
    for name in names:
        if not (models / name).is_file():
            raise FileNotFoundError(f"models must hold {name}, got {models}; run the bundle's steps first.")
    (bundle / "models").mkdir(exist_ok=True)
    written = [Path(shutil.copy(models / name, bundle / "models")) for name in names[1:]]
    written.append(Path(shutil.copy(models / names[0], bundle / "models" / "model.pt")))
    path, described = bundle / "configs" / "inference.json", bundle / "configs" / "metadata.json"
    config, metadata = (json.loads(each.read_text(encoding="utf-8")) for each in (path, described))
    places = [f"$os.path.join(@model_dir, '{name}')" for name in names[1:]]
    certainty = {"_target_": "monai_coat.transforms.CertaintyMapd", "keys": "pred"}
    certainty |= dict(zip(("possible", "certain"), places, strict=True))
    config["inferer"].pop("append_probs", None)
    # MONAI Label's own entry "image_path" would be taken for metadata by MONAI's Spacingd.
    hidden, shown = (
        {"_target_": "CopyItemsd", "keys": key, "names": name, "allow_missing_keys": True}
        for key, name in (("image_path", "path_of_image"), ("path_of_image", "image_path"))
    )
    config["preprocessing"]["transforms"][:0] = [hidden, {"_target_": "DeleteItemsd", "keys": "image_path"}]
    outputs = metadata["network_data_format"]["outputs"]["pred"]
    transforms = ["@restore", certainty, shown]
    if len(outputs["spatial_shape"]) == 2:  # MONAI Label's writer takes a channel of a flat image for an axis
        transforms.append({"_target_": "SqueezeDimd", "keys": "pred", "dim": 0})
    config |= {"method": method, "postprocessing": {"_target_": "Compose", "transforms": transforms}}
    classes = [outputs["channel_def"][key] for key in sorted(outputs["channel_def"], key=int)]
    labels = ["background", *(f"{name} {kind}" for name in classes for kind in ("certain", "possible"))]
    outputs["channel_def"] = {str(value): name for value, name in enumerate(labels)}
    for each, content in ((path, config), (described, metadata)):
        each.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
    return [*written, path, described]


def write_label_app(folder: Path) -> Path:
    """Make an app folder for MONAI Label, which keeps its logs in it; the app itself stays in this package.

    Args:
        folder: folder to make; it must not exist.

    Returns:
        The file that MONAI Label loads.

    Raises:
        FileExistsError: if ``folder`` exists.
    """
    if folder.exists():
        raise FileExistsError(f"folder must not exist, got {folder}; remove it or name another.")
    folder.mkdir(parents=True)
    shutil.copy(Path(__file__).parent / "apps" / "label" / "main.py", folder / "main.py")
    return folder / "main.py"


def _metadata(bundle: Path) -> dict[str, Any]:
    """The bundle's metadata, or nothing if it has none."""
    path = bundle / "configs" / "metadata.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m monai_coat", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    export = commands.add_parser("export-bundle", help="write a self-contained copy of a bundle")
    export.add_argument("source", type=Path, help="folder of the bundle")
    export.add_argument("target", type=Path, help="folder to make")
    export.add_argument("--models", type=Path, help="folder of calibrated models to put in, for MONAI Label's own app")
    export.add_argument("--method", default="coat", help="which of the models")
    export.set_defaults(run=_export)
    _add_benchmark(commands)
    _add_calibrate(commands)
    _add_merge(commands)
    label = commands.add_parser("label-app", help="write the folder that MONAI Label's start_server takes as --app")
    label.add_argument("folder", type=Path, help="folder to make")
    label.set_defaults(run=lambda options: [write_label_app(options.folder)])
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        written = options.run(options)
    except (OSError, TypeError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    sys.stdout.writelines(f"{path}\n" for path in written)
    return 0


def _export(options: argparse.Namespace) -> list[Path]:
    written = export_bundle(options.source, options.target)
    return written + (add_models(options.target, options.models, options.method) if options.models else [])


def _add_calibrate(commands: Any) -> None:
    command = commands.add_parser("calibrate", help="find the threshold for probability maps that are there already")
    command.add_argument("--probs", type=Path, required=True, help="folder of probability maps (8 bit, or NIfTI)")
    command.add_argument("--labels", type=Path, required=True, help="folder of the masks of the same names")
    command.add_argument("--alpha", type=float, default=0.1, help="tolerated mean false negative rate")
    command.add_argument("--output", type=Path, default=Path("calibration.json"), help="file to write")
    command.set_defaults(run=_calibrate)


def _calibrate(options: argparse.Namespace) -> list[Path]:
    result = calibrate_saved_maps(map_datalist(options.probs, options.labels), options.alpha)
    save_calibration(replace(result, method="crc"), options.output)
    logging.getLogger(__name__).info(
        "take probabilities >= %.6g (8-bit values >= %d): %s; n = %d, %d without foreground left out",
        result.cutoff[0],
        math.ceil(result.cutoff[0] * 255 - 1e-4),
        result.guarantee,
        result.n[0],
        result.n_empty[0],
    )
    return [options.output]


def _add_merge(commands: Any) -> None:
    command = commands.add_parser("merge", help="calibrate together what several shards have collected")
    command.add_argument("files", type=Path, nargs="+", help="statistic files of different images")
    command.add_argument("--alpha", type=float, default=0.1, help="tolerated mean of the risk")
    command.add_argument(
        "--risk", default="miss", choices=[risk.value for risk in ConformalRisk], help="what is limited"
    )
    command.add_argument("--output", type=Path, default=Path("calibration.json"), help="file to write")
    command.set_defaults(run=_merge)


def _merge(options: argparse.Namespace) -> list[Path]:
    shard = merge_statistics(options.files)
    result = calibrate_risk(shard.statistic, options.alpha, options.risk)
    save_calibration(replace(result, method=shard.method, network=shard.network), options.output)
    logging.getLogger(__name__).info(
        "cutoff %s from %d files: %s; n = %s, without foreground %s",
        ", ".join(f"{cutoff:.6g}" for cutoff in result.cutoff),
        len(options.files),
        result.guarantee,
        ", ".join(map(str, result.n)),
        ", ".join(map(str, result.n_empty)),
    )
    return [options.output]


def _add_benchmark(commands: Any) -> None:
    command = commands.add_parser("benchmark", help="compare all methods; a run that was stopped goes on")
    command.add_argument("--protocol", help="JSON file, or paper (the default), predictions, study or quick")
    command.add_argument("--quick", action="store_true", help="the protocol quick: two minutes, on generated images")
    command.add_argument("--output", type=Path, default=Path("benchmark_output"), help="folder for everything")
    command.add_argument("--probs", type=Path, help="folder of your own probability maps, to compare methods on them")
    command.add_argument("--labels", type=Path, help="folder of the masks that go with them")
    command.add_argument("--images", type=Path, help="folder of the images, to keep near repeats in one part")
    command.set_defaults(run=_benchmark)


def _benchmark(options: argparse.Namespace) -> list[Path]:
    own = options.probs or options.labels
    protocol = load_protocol("quick" if options.quick else options.protocol or ("predictions" if own else "paper"))
    if own:
        protocol = protocol_of_folder(protocol, options.probs, options.labels, options.images)
    return write_benchmark(protocol, options.output)
