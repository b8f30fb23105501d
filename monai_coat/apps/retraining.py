# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""New annotations: thresholds are learned again, and calibrated again on images that were never learned from."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from monai.bundle import ConfigWorkflow
from PIL import Image

from monai_coat.apps.serving import CURRENT, CalibratedBundle
from monai_coat.calibration import load_calibration
from monai_coat.cli import step_configs
from monai_coat.functional import images_needed

__all__ = ["keep_apart", "retrain"]

Sample = Mapping[str, Any]


def keep_apart(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Divide samples into those to learn from and those to calibrate on, by their names alone.

    A name is on one side for good, however many images come or go: no image is ever learned from and calibrated on.

    Args:
        samples: dictionaries with ``id``.

    Returns:
        The two lists, about equally long.

    Example:
        >>> learning, calibration = keep_apart([{"id": f"image_{i}"} for i in range(100)])
        >>> len(learning) + len(calibration), 30 < len(learning) < 70
        (100, True)
    """
    sides: tuple[list[Sample], list[Sample]] = ([], [])
    for sample in samples:
        sides[hashlib.sha256(str(sample["id"]).encode()).digest()[0] % 2].append(sample)
    return sides


def retrain(
    served: CalibratedBundle, samples: Sequence[Sample], alpha: float | None = None, max_epochs: int = 40
) -> dict[str, Any]:
    """Learn thresholds from annotations of the app and calibrate them, beside the models that are served.

    The segmenter stays as it is. The new models come into a folder of their own; only when they are calibrated are they
    named as the current ones, which :meth:`CalibratedBundle.refresh` then takes.

    Args:
        served: the bundle; its first folder of the level is the home of the new models.
        samples: dictionaries with ``id``, ``image`` and ``label``, the path of a label map as the bundle's predictions
            have: certain and possible of a class both count as the class. The segmenter must not have seen the images.
        alpha: one of the calibrated levels; None for the first.
        max_epochs: epochs of COAT and AT.

    Returns:
        Numbers of images, and the new calibration's guarantee, fit for JSON.

    Raises:
        ValueError: if there are too few images on one of the sides.
    """
    level = served.level(alpha)
    learning, calibration = keep_apart(samples)
    needed = images_needed(level)
    if len(calibration) < needed or len(learning) < 10:
        raise ValueError(
            f"annotations must be of at least 10 images to learn from and {needed} to calibrate on at alpha={level}, "
            f"got {len(learning)} and {len(calibration)}; the names decide which is which. Annotate more."
        )
    home = served.homes[level] / "retrained"
    number = 1 + max((int(each.name) for each in home.glob("*") if each.name.isdecimal()), default=-1)
    target = home / f"{number:03}"
    target.mkdir(parents=True)
    shutil.copy(served.homes[level] / "segmenter.pt", target)
    learn, check = ([_with_classes(s, target / "labels") for s in side] for side in (learning, calibration))
    settings = {"model_dir": str(target), "output_dir": str(target / "output"), "alpha": level}
    if served.method in ("at", "coat"):
        held_out = max(1, len(learn) // 7)
        split = [learn[held_out:], learn[:held_out]]
        _run(served, "train", {**settings, "split": split, "max_epochs": max_epochs, "val_interval": max_epochs})
    elif served.method == "meg":
        _run(served, "fit", {**settings, "fit::dataset::data": learn})
    _run(served, "calibrate", {**settings, "samples": check})
    result = load_calibration(target / f"calibration_{served.method}.json")
    temporary = home / f".{CURRENT}.{os.getpid()}"
    temporary.write_text(target.name, encoding="utf-8")
    os.replace(temporary, home / CURRENT)
    return {
        "learned_from": len(learning),
        "calibrated_on": list(result.n),
        "alpha": level,
        "guarantee": result.guarantee,
        "models": target.name,
    }


def _run(served: CalibratedBundle, step: str, settings: dict[str, Any]) -> None:
    workflow = ConfigWorkflow(
        config_file=[str(file) for file in step_configs(served.bundle, step)],
        meta_file=str(served.bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="infer" if step == "calibrate" else "train",
        **{**served.settings, **settings},
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def _with_classes(sample: Sample, folder: Path) -> dict[str, Any]:
    """The sample with a label of the bundle's classes in place of certain and possible."""
    folder.mkdir(exist_ok=True)
    path, label = folder / Path(sample["label"]).name, Path(sample["label"])
    if path.name.lower().endswith((".nii", ".nii.gz")):
        volume: Any = nibabel.load(label)
        classes = ((np.asarray(volume.dataobj).squeeze() + 1) // 2).astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(classes, volume.affine), path)  # type: ignore[no-untyped-call]
    else:
        with Image.open(label) as image:
            Image.fromarray((np.asarray(image) > 0).astype(np.uint8) * 255).save(path)
    return {"id": sample["id"], "image": str(sample["image"]), "label": str(path), "group": sample["id"]}
