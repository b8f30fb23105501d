# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training: from the final annotations of the studies to newly calibrated thresholds.

Tested by tests/apps/test_label_server.py.
"""

from __future__ import annotations

import logging
from typing import Any

from monailabel.interfaces.tasks.train import TrainTask

from monai_coat.apps.retraining import retrain
from monai_coat.apps.serving import CalibratedBundle

__all__ = ["ThresholdTrainTask"]

logger = logging.getLogger(__name__)


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
        return {"alpha": list(self.served.alphas), "max_epochs": 40}

    def __call__(self, request: dict[str, Any], datastore: Any) -> dict[str, Any]:
        """Retrain; the answer says what was learned from and calibrated on, or why not."""
        samples = []
        for image in sorted(datastore.get_labeled_images("final")):
            label = datastore.get_label_uri(image, "final")
            samples.append({"id": image, "image": datastore.get_image_uri(image), "label": label})
        alpha = request.get("alpha")
        alpha = alpha[0] if isinstance(alpha, list) else alpha
        try:
            result = retrain(self.served, samples, alpha, int(request.get("max_epochs", 40)))
        except ValueError as error:
            logger.warning("%s", error)
            return {"error": str(error)}
        self.served.refresh()
        return result
