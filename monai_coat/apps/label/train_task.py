# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training: from the final annotations of the studies to newly calibrated thresholds.

Tested by tests/apps/test_label_server.py.
"""

from __future__ import annotations

import logging
from typing import Any

from monailabel.interfaces.tasks.train import TrainTask

from monai_coat.apps.label.levels import alpha_of
from monai_coat.apps.retraining import retrain
from monai_coat.apps.serving import CalibratedBundle

__all__ = ["ThresholdTrainTask"]

logger = logging.getLogger(__name__)
EPOCHS, MOST_EPOCHS = 40, 10_000


class ThresholdTrainTask(TrainTask):  # type: ignore[misc]
    """Learns thresholds again and calibrates them on annotated images that are kept apart for it, for good.

    A request may name ``alpha`` and ``max_epochs``.

    Args:
        served: the bundle.
    """

    def __init__(self, served: CalibratedBundle) -> None:
        super().__init__("Learn thresholds from final annotations, and calibrate on others that are kept apart")
        self.served = served

    def config(self) -> dict[str, Any]:
        """What a viewer may set."""
        return {"alpha": list(self.served.alphas), "max_epochs": EPOCHS}

    def __call__(self, request: dict[str, Any], datastore: Any) -> dict[str, Any]:
        """Retrain; the answer says what was learned from and calibrated on, or why not."""
        samples = []
        for image in sorted(datastore.get_labeled_images("final")):
            label = datastore.get_label_uri(image, "final")
            samples.append({"id": image, "image": datastore.get_image_uri(image), "label": label})
        alpha, epochs = self._settings(request)
        try:
            result = retrain(self.served, samples, alpha, epochs)
        except ValueError as error:
            logger.warning("%s", error)
            return {"error": str(error)}
        self.served.refresh()
        return result

    def check(self, request: dict[str, Any]) -> None:
        """Refuse a request whose settings cannot be meant, before a process is started for it.

        Raises:
            TypeError, ValueError: with a sentence.
        """
        for each in (request, *(value for value in request.values() if isinstance(value, dict))):
            self._settings(each)

    def _settings(self, request: dict[str, Any]) -> tuple[float, int]:
        """Level and number of epochs of a request."""
        epochs = request.get("max_epochs", EPOCHS)
        if not isinstance(epochs, int) or isinstance(epochs, bool) or not 1 <= epochs <= MOST_EPOCHS:
            raise ValueError(f"max_epochs must be a whole number from 1 to {MOST_EPOCHS}, got {ascii(epochs)[:60]}.")
        return self.served.level(alpha_of(request.get("alpha"))), epochs
