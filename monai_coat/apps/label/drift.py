# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Whether final annotations of served images speak against the promise."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import LoadImage

from monai_coat.apps.label.active_learning import picked_as_hard
from monai_coat.apps.serving import CalibratedBundle
from monai_coat.calibration import DriftWatch
from monai_coat.data._json import write_json

__all__ = ["ServedDrift"]

logger = logging.getLogger(__name__)


class ServedDrift:
    """A :class:`~monai_coat.calibration.DriftWatch` per class, fed by every final annotation that is saved.

    The served set is made again from the image, so that it does not matter whether the answer was kept. Misses are kept
    in a hidden JSON file of the studies, in the order of time.

    Args:
        served: the bundle; its first level is watched.
        studies: folder of the images.
        level: at what level evidence is reported.
    """

    def __init__(self, served: CalibratedBundle, studies: Path, level: float) -> None:
        self.served, self.level = served, level
        self.path = studies / f".monai_coat_drift_{served.method}.json"
        self.misses: dict[str, dict[str, float | None]] = {}
        if self.path.is_file():
            self.misses = json.loads(self.path.read_text(encoding="utf-8"))

    def annotated(self, datastore: Any, image: str) -> None:
        """Take the final annotation of an image into account.

        The first one of each image counts, and none of an image that was picked for being hard.
        """
        path = datastore.get_label_uri(image, "final")
        if not path or image in self.misses or picked_as_hard(datastore, image):
            return
        found = self._misses(datastore.get_image_uri(image), path)
        if found is None:
            return
        self.misses[image] = found
        write_json(self.path, self.misses)
        for name, report in self.report()["classes"].items():
            if report["broken"]:
                logger.warning(
                    "%s: evidence %.3g against the calibration after %d annotations; calibrate anew",
                    name,
                    report["evidence"],
                    report["n"],
                )

    def _misses(self, image: str, annotation: str) -> dict[str, float | None] | None:
        """Share of each class that the possible set misses, None where there is none; None if shapes differ."""
        labels = self.served.predict(image).labels[0].numpy()
        final = LoadImage(image_only=True)(annotation).numpy()
        if final.shape != labels.shape:
            logger.warning(
                "annotation %s must have the image's shape %s, got %s", annotation, labels.shape, final.shape
            )
            return None
        misses: dict[str, float | None] = {}
        for index, name in enumerate(self.served.classes):
            present, inside = (np.isin(each, (2 * index + 1, 2 * index + 2)) for each in (final, labels))
            misses[name] = float((present & ~inside).sum() / present.sum()) if present.any() else None
        return misses

    def report(self) -> dict[str, Any]:
        """How the promise stands, per class."""
        alpha, classes = self.served.alphas[0], {}
        for name in self.served.classes:
            seen = [each[name] for each in self.misses.values()]
            watch = DriftWatch(alpha, [math.nan if miss is None else miss for miss in seen])
            broken = watch.against(self.level)
            classes[name] = {"n": watch.n, "evidence": round(watch.evidence, 4), "broken": broken}
        return {"alpha": alpha, "level": self.level, "method": self.served.method, "classes": classes}
