# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which image next: that of which the model can call least certain."""

from __future__ import annotations

import logging
import random
import time
from typing import Any

from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy

from monai_coat.apps.serving import CalibratedBundle

__all__ = ["AmbiguityScoring", "ByAmbiguity"]

logger = logging.getLogger(__name__)
KEY = "ambiguity"


class AmbiguityScoring(ScoringMethod):  # type: ignore[misc]
    """Leaves in each image's information the share of its possible set that is not certain, between 0 and 1.

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
            possible = sum(size for name, size in sizes.items() if name.endswith(" possible"))
            scored[image] = possible / max(sum(sizes.values()), 1)
            datastore.update_image_info(image, {KEY: scored[image]})
        return {"executed": len(scored), "scores": scored}


class ByAmbiguity(Strategy):  # type: ignore[misc]
    """The unlabelled image of the largest ambiguity; one without a score, at random, where none has."""

    def __init__(self) -> None:
        super().__init__("The image of which the model can call least certain")

    def __call__(self, request: dict[str, Any], datastore: Any) -> dict[str, Any] | None:
        """The choice and its score."""
        images = datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels"))
        if not images:
            return None
        scores = {image: datastore.get_image_info(image).get(KEY) for image in images}
        known = {image: score for image, score in scores.items() if score is not None}
        chosen = max(known, key=lambda image: known[image]) if known else random.choice(images)
        datastore.update_image_info(chosen, {"strategy": {request["strategy"]: {"ts": int(time.time())}}})
        return {"id": chosen, "weight": known.get(chosen)}
