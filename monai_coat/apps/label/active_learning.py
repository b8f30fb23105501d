# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which image next: that of which the model can call least certain, and now and then any.

Tested by tests/apps/test_label_server.py.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable
from typing import Any

from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy

from monai_coat.apps.retraining import split_for_recalibration
from monai_coat.apps.serving import CalibratedBundle

__all__ = ["AmbiguityScoring", "ByAmbiguity", "picked_as_hard"]

logger = logging.getLogger(__name__)
KEY = "ambiguity"


class AmbiguityScoring(ScoringMethod):  # type: ignore[misc]
    """Leaves in each image's information the share of its possible sets that is not certain, between 0 and 1.

    Sizes of the classes are added, so that a voxel of two possible sets counts in both.

    Args:
        served: the bundle.
    """

    def __init__(self, served: CalibratedBundle) -> None:
        super().__init__("Share of the possible set that is not certain")
        self.served = served

    def __call__(self, request: dict[str, Any], datastore: Any) -> dict[str, Any]:
        """Score images without a label that have no score yet."""
        scored = {}
        for image in datastore.get_unlabeled_images():
            if KEY in datastore.get_image_info(image):
                continue
            try:
                sizes = self.served.predict(datastore.get_image_uri(image)).result["sizes"]
            except (ValueError, OSError, RuntimeError) as error:
                logger.warning("%s has no score: %s", image, error)
                continue
            possible = sum(sizes[f"{name} possible"] for name in self.served.classes)
            scored[image] = possible / max(sum(sizes.values()), 1)
            datastore.update_image_info(image, {KEY: scored[image]})
        return {"executed": len(scored), "scores": scored}


class ByAmbiguity(Strategy):  # type: ignore[misc]
    """The image of the largest ambiguity among those to learn from; among those to calibrate on, any.

    Images that were picked for being hard are not like new ones, and a calibration on them would promise nothing about
    these. So only the images that :func:`~monai_coat.apps.split_for_recalibration` leaves to learn from are picked; of
    the others one is drawn at random whenever fewer of them are annotated.
    """

    def __init__(self) -> None:
        super().__init__("The image of which the model can call least certain; every other one is for calibration")

    def __call__(self, request: dict[str, Any], datastore: Any) -> dict[str, Any] | None:
        """The choice and its score."""
        tag = request.get("label_tag")
        learning, calibration = _sides(datastore.get_unlabeled_images(tag, request.get("labels")))
        if not learning and not calibration:
            return None
        learned, calibrated = _sides(datastore.get_labeled_images(tag))
        if not learning or (calibration and len(calibrated) < len(learned)):
            chosen, score = random.choice(calibration), None
        else:
            scores = {image: datastore.get_image_info(image).get(KEY, -1.0) for image in learning}
            chosen = max(learning, key=lambda image: (scores[image], random.random()))
            score = scores[chosen]
        datastore.update_image_info(chosen, {"strategy": {request["strategy"]: {"ts": int(time.time())}}})
        return {"id": chosen, "weight": score}


def picked_as_hard(datastore: Any, image: str) -> bool:
    """Whether :class:`ByAmbiguity` offered the image for its ambiguity: it says nothing about images as they come."""
    learning, _ = _sides([image])
    return bool(learning) and KEY in datastore.get_image_info(image).get("strategy", {})


def _sides(images: Iterable[str]) -> tuple[list[str], list[str]]:
    """Images to learn from and to calibrate on."""
    learning, calibration = split_for_recalibration([{"id": image} for image in sorted(images)])
    return [sample["id"] for sample in learning], [sample["id"] for sample in calibration]
