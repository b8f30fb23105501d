# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The test whether final annotations of served images speak against the promise.

Tested by tests/apps/test_label_server.py.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

from monai.data import MetaTensor
from torch import Tensor

from monai_coat.apps.annotations import read_annotation
from monai_coat.apps.label.active_learning import picked_as_hard
from monai_coat.apps.serving import CalibratedBundle
from monai_coat.calibration import DriftWatch, risk_named, share_of_level
from monai_coat.files import read_json, write_json

__all__ = ["ServedDrift"]

logger = logging.getLogger(__name__)
Risks = dict[str, float | None]
"""Risk of an image by class, None where the class is absent."""
Record = dict[str, dict[str, Risks]]
"""Risks by image, then by calibration, in the order of time."""
REMEDY = "remove it to begin the test of drift anew"


class ServedDrift:
    """A :class:`~monai_coat.calibration.DriftWatch` per level and class, fed by every final annotation that is saved.

    The served sets are made again from the image, so that it does not matter whether the answer was kept, or at which
    level it was asked for. The risk of each set is kept in a hidden JSON file of the studies, in the order of time,
    with the calibration that it speaks about. After another calibration the test begins anew.

    The level is that of all false alarms together, for ever: each calibration of any level gets a share of it, the k-th
    that annotations spoke about (from 0) 1 / ((k + 1) (k + 2)), and divides it among the classes, see
    :func:`~monai_coat.calibration.share_of_level`. Levels may be added, and calibrations made, as often as one likes.

    Args:
        served: the bundle.
        studies: folder of the images.
        level: probability that any false alarm is ever raised.

    Raises:
        ValueError: if there is a record of annotations that cannot be understood.
    """

    def __init__(self, served: CalibratedBundle, studies: Path, level: float) -> None:
        self.served, self.level = served, level
        self.path = studies / f".monai_coat_drift_{served.method}.json"
        self.risks: Record = _read_record(self.path) if self.path.is_file() else {}

    def annotated(self, datastore: Any, image: str) -> None:
        """Take the final annotation of an image into account.

        The first one of each image counts, and none of an image that was picked for being hard.
        """
        path = datastore.get_label_uri(image, "final")
        if not path or image in self.risks or picked_as_hard(datastore, image):
            return
        try:
            uri = datastore.get_image_uri(image)
            masks = read_annotation(path, uri, self.served.certainty, self.served.overlapping)
            self.risks[image] = {self._promise(alpha): self._risks(uri, masks, alpha) for alpha in self.served.alphas}
        except (ValueError, OSError, RuntimeError) as error:
            logger.warning("annotation %s says nothing about the calibration: %s", path, error)
            return
        write_json(self.path, self.risks)
        self._warn()

    def _warn(self) -> None:
        """Say which promises are broken."""
        for alpha in self.served.alphas:
            risk, level = risk_named(self.served.calibration(alpha).controls), self._level(alpha)
            for name, watch in self._watches(alpha).items():
                if watch.broken:
                    logger.warning(
                        "%s at alpha=%g: the mean %s of new images is higher than chance in the calibration explains "
                        "(evidence %.3g after %d annotations, %.3g was passed; any false alarm, ever, has a chance of "
                        "at most %g); calibrate anew",
                        name,
                        alpha,
                        risk.words,
                        watch.evidence,
                        watch.n_seen,
                        2 / level,
                        self.level,
                    )

    def _risks(self, image: str, masks: MetaTensor, alpha: float) -> Risks:
        """The risk that each class's possible set has on the image."""
        labels = self.served.predict(image, alpha).labels
        sets = self.served.certainty.possible(labels[0].as_subclass(Tensor))
        risk = risk_named(self.served.calibration(alpha).controls)
        # The set as scores of 0 and 1, cut between them: the same definition that was calibrated.
        values = risk.image_risk(sets[None].float(), masks.as_subclass(Tensor)[None], 0.5)[0]
        known = [None if math.isnan(value) else value for value in values.expand(len(self.served.classes)).tolist()]
        return dict(zip(self.served.classes, known, strict=True))

    def report(self) -> dict[str, Any]:
        """How each promise stands: by level, then by class."""
        promises = {f"{alpha:g}": self._of_level(alpha) for alpha in self.served.alphas}
        return {"level": self.level, "method": self.served.method, "promises": promises}

    def _of_level(self, alpha: float) -> dict[str, Any]:
        return {
            name: {
                "n": watch.n_seen,
                "evidence": round(watch.evidence, 4),
                "enough": round(2 / self._level(alpha), 4),
                "broken": watch.broken,
                "notices_above": round(watch.bound, 4),
            }
            for name, watch in self._watches(alpha).items()
        }

    def _watches(self, alpha: float) -> dict[str, DriftWatch]:
        """A test of each class, with all that was annotated under the calibration that is served now."""
        promise, result, level = self._promise(alpha), self.served.calibration(alpha), self._level(alpha)
        watches = {}
        for name, n in zip(self.served.classes, result.n, strict=True):
            seen = [of_image[promise].get(name) for of_image in self.risks.values() if promise in of_image]
            watches[name] = DriftWatch(alpha, n, level, [math.nan if risk is None else risk for risk in seen])
        return watches

    def _promise(self, alpha: float) -> str:
        """Name of the calibration of a level."""
        result = self.served.calibration(alpha)
        return f"alpha {alpha:g}, network {result.identity.digest[:16]}, cutoff {', '.join(map(repr, result.cutoff))}"

    def _level(self, alpha: float) -> float:
        """The share of the level that each class's test of the calibration has."""
        watched = [promise for of_image in self.risks.values() for promise in of_image]
        promises = list(dict.fromkeys([*watched, *map(self._promise, self.served.alphas)]))
        return share_of_level(self.level, len(self.served.classes), promises.index(self._promise(alpha)))


def _read_record(path: Path) -> Record:
    """The record of annotations, also one of an earlier release: its calibrations are others, and count as earlier."""
    what = "the record of annotations"
    record: Record = read_json(path, what, REMEDY)
    try:
        risks = [risk for image in record.values() for classes in image.values() for risk in classes.values()]
        understood = all(risk is None or 0 <= risk <= 1 for risk in risks)
    except (AttributeError, TypeError):
        understood = False
    if not understood:
        raise ValueError(
            f"{what} must hold a number from 0 to 1, or null, for each image, calibration and class, got something "
            f"else in {path}; {REMEDY}."
        )
    return record
