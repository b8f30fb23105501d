# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Retraining on new annotations: thresholds are learned again, and calibrated on images that were not learned from.

Tested by tests/apps/test_serving.py.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from filelock import FileLock, Timeout
from monai.bundle import ConfigWorkflow

from monai_coat.apps.annotations import read_annotation
from monai_coat.apps.causes import by_its_cause
from monai_coat.apps.serving import CURRENT, CalibratedBundle
from monai_coat.bundles import step_configs
from monai_coat.calibration import CalibrationResult, load_calibration
from monai_coat.files import remove_unfinished, replacing, replacing_folder
from monai_coat.functional import images_needed
from monai_coat.scorers import METHODS

__all__ = ["retrain", "split_for_recalibration"]

Sample = Mapping[str, Any]


def split_for_recalibration(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Divide samples into those to learn from and those to calibrate on, by their names alone.

    A name is on one side for good, however many images come or go: no image is ever learned from and calibrated on.

    Args:
        samples: dictionaries with ``id``.

    Returns:
        The two lists, about equally long.

    Example:
        >>> learning, calibration = split_for_recalibration([{"id": f"image_{i}"} for i in range(100)])
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
            have, see :func:`~monai_coat.apps.annotations.read_annotation`: certain and possible of a class both count
            as the class. The segmenter must not have seen the images.
        alpha: one of the calibrated levels; None for the first.
        max_epochs: epochs of COAT and AT.

    Returns:
        Numbers of images, and the new calibration's guarantee, fit for JSON.

    Raises:
        ValueError: if there are too few images on one of the sides, an annotation cannot be used, a class is missing in
            too many, or another training is running.
    """
    level = served.level(alpha)
    learning, calibration = split_for_recalibration(samples)
    needed = images_needed(level)
    if len(calibration) < needed or len(learning) < 10:
        raise ValueError(
            f"annotations must be of at least 10 images to learn from and {needed} to calibrate on at alpha={level}, "
            f"got {len(learning)} and {len(calibration)}; the names decide which is which. Annotate more."
        )
    _check_annotations(served, samples)
    home = served.homes[level] / "retrained"
    home.mkdir(exist_ok=True)
    try:
        with FileLock(home / ".lock", timeout=0):  # which goes with its process, however that ends
            remove_unfinished(home)
            result, name = _new_models(served, level, (learning, calibration), max_epochs)
            with replacing(home / CURRENT) as temporary:
                temporary.write_text(name, encoding="utf-8")
    except Timeout:
        raise ValueError(
            f"training must be the only one in {home}, got another that is running; wait for it."
        ) from None
    return {
        "learned_from": len(learning),
        "calibrated_on": list(result.n),
        "alpha": level,
        "guarantee": result.guarantee,
        "models": name,
    }


def _check_annotations(served: CalibratedBundle, samples: Sequence[Sample]) -> None:
    """Refuse annotations that cannot be used, by the names of their images, before anything is written."""
    for sample in samples:
        try:
            read_annotation(sample["label"], sample["image"], served.certainty, served.overlapping)
        except ValueError as error:
            raise ValueError(
                f"annotation of {sample['id']} cannot be used: {error} Annotate it again, or remove it, and train then."
            ) from None


def _new_models(
    served: CalibratedBundle, level: float, sides: tuple[Sequence[Sample], Sequence[Sample]], max_epochs: int
) -> tuple[CalibrationResult, str]:
    """Learn from one side and calibrate on the other, into a folder of its own, which is there when it is whole."""
    home = served.homes[level] / "retrained"
    number = 1 + max((int(folder.name) for folder in home.glob("*") if folder.name.isdecimal()), default=-1)
    learn, check = ([_as_sample(sample) for sample in side] for side in sides)
    step = METHODS[served.method].step
    with replacing_folder(home / f"{number:03}") as target:
        shutil.copy(served.homes[level] / "segmenter.pt", target)
        settings = {"model_dir": str(target), "output_dir": str(target / "output"), "alpha": level}
        settings["label_transforms"] = _reader_of_annotations(served)
        if step:
            _run(served, step, {**settings, **_learning_settings(step, learn, max_epochs)})
        _run(served, "calibrate", {**settings, "samples": check})
        result = load_calibration(target / f"calibration_{served.method}.json")
        made, before = (_promise(each) for each in (result, served.calibration(level)))
        if made != before:
            raise ValueError(
                f"bundle must be calibrated for the promise that is served, {before}, got {made}; set guarantee in its "
                "configs to that, or calibrate the served models anew."
            )
        if not all(result.promised):  # which the models that are served may have promised
            raise ValueError(
                f"annotations must hold enough images of each class, got: {result.guarantee}. Annotate more of it."
            )
    return result, f"{number:03}"


def _promise(result: CalibrationResult) -> str:
    """What is promised, and how, but for the level."""
    settings = ", ".join(f"{name}={value}" for name, value in sorted(result.settings.items()))
    rule = ", with a referral" if result.referral is not None else ""
    return f"{result.kind} of {result.controls}" + (f" ({settings})" if settings else "") + rule


def _learning_settings(step: str, samples: list[dict[str, Any]], max_epochs: int) -> dict[str, Any]:
    """What a step that learns thresholds must be told to learn from these samples."""
    if step == "fit":
        return {"fit::dataset::data": samples}
    held_out = max(1, len(samples) // 7)
    split = [samples[held_out:], samples[:held_out]]
    return {"split": split, "max_epochs": max_epochs, "val_interval": max_epochs}


def _run(served: CalibratedBundle, step: str, settings: dict[str, Any]) -> None:
    workflow = ConfigWorkflow(
        config_file=[str(file) for file in step_configs(served.bundle, step)],
        meta_file=str(served.bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="infer" if step == "calibrate" else "train",
        **{**served.settings, **settings},
    )
    workflow.initialize()
    with by_its_cause():
        workflow.run()
    workflow.finalize()


def _as_sample(sample: Sample) -> dict[str, Any]:
    """What the bundle's steps read."""
    paths = {"image": str(sample["image"]), "label": str(sample["label"])}
    return {"id": sample["id"], **paths, "group": sample["id"]}


def _reader_of_annotations(served: CalibratedBundle) -> list[dict[str, Any]]:
    """What reads annotations, in place of the bundle's own reader of labels, which has other values."""
    masks = {"_target_": "monai_coat.apps.annotations.AnnotationMasksd", "keys": "label"}
    read = {"_target_": "monai_coat.transforms.ReadLabelMapd", "keys": "label"}
    return [read, {**masks, "classes": list(served.classes), "overlapping": served.overlapping}]
