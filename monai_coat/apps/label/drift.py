# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Whether final annotations of served images speak against the promise."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import LoadImage
from numpy.typing import NDArray

from monai_coat.apps.label.active_learning import picked_as_hard
from monai_coat.apps.serving import CalibratedBundle
from monai_coat.calibration import DriftWatch
from monai_coat.data._json import read_json, write_json

__all__ = ["ServedDrift"]

logger = logging.getLogger(__name__)
Misses = dict[str, float | None]


class ServedDrift:
    """A :class:`~monai_coat.calibration.DriftWatch` per level and class, fed by every final annotation that is saved.

    The served sets are made again from the image, so that it does not matter whether the answer was kept, or at which
    level it was asked for. Misses are kept in a hidden JSON file of the studies, in the order of time, each with the
    calibration that it speaks about: after another one the test begins anew.

    Args:
        served: the bundle.
        studies: folder of the images.
        level: at what level evidence is reported.
    """

    def __init__(self, served: CalibratedBundle, studies: Path, level: float) -> None:
        self.served, self.level = served, level
        self.path = studies / f".monai_coat_drift_{served.method}.json"
        self.misses: dict[str, dict[str, Misses]] = {}
        if self.path.is_file():
            self.misses = read_json(self.path, "the record of annotations", "remove it to begin the test of drift anew")

    def annotated(self, datastore: Any, image: str) -> None:
        """Take the final annotation of an image into account.

        The first one of each image counts, and none of an image that was picked for being hard.
        """
        path = datastore.get_label_uri(image, "final")
        if not path or image in self.misses or picked_as_hard(datastore, image):
            return
        try:
            final = LoadImage(image_only=True)(path).numpy()
            uri = datastore.get_image_uri(image)
            self.misses[image] = {self._promise(alpha): self._misses(uri, final, alpha) for alpha in self.served.alphas}
        except (ValueError, OSError, RuntimeError) as error:
            logger.warning("annotation %s says nothing about the calibration: %s", path, error)
            return
        write_json(self.path, self.misses)
        for alpha, classes in self.report()["promises"].items():
            for name, report in classes.items():
                if report["broken"]:
                    logger.warning(
                        "%s at alpha=%s: evidence %.3g against the calibration after %d annotations; calibrate anew",
                        name,
                        alpha,
                        report["evidence"],
                        report["n"],
                    )

    def _misses(self, image: str, final: NDArray[Any], alpha: float) -> Misses:
        """Share of each class that the possible set misses, None where there is none."""
        labels = self.served.predict(image, alpha).labels[0].numpy()
        if final.shape != labels.shape:
            raise ValueError(f"it must have the image's shape, {labels.shape}, got {final.shape}.")
        misses: Misses = {}
        for index, name in enumerate(self.served.classes):
            present, inside = (np.isin(each, (2 * index + 1, 2 * index + 2)) for each in (final, labels))
            misses[name] = float((present & ~inside).sum() / present.sum()) if present.any() else None
        return misses

    def report(self) -> dict[str, Any]:
        """How each promise stands: by level, then by class."""
        promises = {f"{alpha:g}": self._of_level(alpha) for alpha in self.served.alphas}
        return {"level": self.level, "method": self.served.method, "promises": promises}

    def _promise(self, alpha: float) -> str:
        """Name of the calibration of a level."""
        result = self.served.calibration(alpha)
        return f"alpha {alpha:g}, network {result.network[:16]}, cutoff {', '.join(map(repr, result.cutoff))}"

    def _of_level(self, alpha: float) -> dict[str, Any]:
        classes, promise = {}, self._promise(alpha)
        for name in self.served.classes:
            seen = [each.get(promise, {}).get(name) for each in self.misses.values()]
            watch = DriftWatch(alpha, [math.nan if miss is None else miss for miss in seen])
            broken = watch.against(self.level)
            classes[name] = {"n": watch.n, "evidence": round(watch.evidence, 4), "broken": broken}
        return classes
