# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The app: a bundle of this package behind MONAI Label's server.

Tested by tests/apps/test_label_server.py.
"""

from __future__ import annotations

import importlib
import json
import logging
import re
import tempfile
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.interfaces.app import MONAILabelApp

from monai_coat.apps.label.active_learning import AmbiguityScoring, ByAmbiguity
from monai_coat.apps.label.drift import ServedDrift
from monai_coat.apps.label.errors import answer_in_sentences
from monai_coat.apps.label.infer_task import CertaintyInferTask
from monai_coat.apps.label.train_task import ThresholdTrainTask
from monai_coat.apps.serving import CalibratedBundle

__all__ = ["CoatLabelApp"]

logger = logging.getLogger(__name__)


class CoatLabelApp(MONAILabelApp):  # type: ignore[misc]
    """Serves a calibrated bundle.

    Settings, given as ``--conf name value``:

    - ``bundle``: folder of the bundle;
    - ``model_dirs``: folders of calibrated models, one per level, with commas between;
    - ``method``: which method of them, "coat" by default;
    - ``device``: "cpu" by default;
    - ``overrides``: JSON object of further settings of the bundle's configs;
    - ``drift_level``: at what level evidence against the calibration is reported, 0.01 by default.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        for name in ("bundle", "model_dirs"):
            if not conf.get(name):
                raise ValueError(f"--conf {name} must be given, got none; it names the bundle's folders.")
        self.served = CalibratedBundle(
            conf["bundle"],
            conf["model_dirs"].split(","),
            conf.get("method", "coat"),
            conf.get("device", "cpu"),
            json.loads(conf.get("overrides", "{}")),
        )
        self.drift = ServedDrift(self.served, Path(studies), float(conf.get("drift_level", 0.01)))
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="monai_coat",
            description="What is certain and what is possible, with a calibrated promise",
            labels=self.served.labels,
        )

    @property
    def model(self) -> str:
        """Name of the model: that of the bundle's folder."""
        return str(self.served.bundle.name)

    def init_infers(self) -> dict[str, Any]:
        """The one model."""
        return {self.model: CertaintyInferTask(self.served)}

    def init_trainers(self) -> dict[str, Any]:
        """Thresholds alone are trained: the segmenter stays the one that was calibrated."""
        return {self.model: ThresholdTrainTask(self.served)}

    def init_strategies(self) -> dict[str, Any]:
        """MONAI Label's random choice, and the image of which least is certain."""
        return {**super().init_strategies(), "ambiguity": ByAmbiguity()}

    def init_scoring_methods(self) -> dict[str, Any]:
        """What the strategy goes by."""
        return {"ambiguity": AmbiguityScoring(self.served)}

    def info(self) -> dict[str, Any]:
        """MONAI Label's description, and how the promise stands."""
        return {**super().info(), "calibration": self.drift.report()}

    def infer(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Answer a request.

        Raises:
            HTTPException: 404 for an image or model that is not there, 400 for what cannot be answered.
        """
        if request.get("model") not in self._infers:
            raise HTTPException(404, f"model must be {self.model!r}, got {request.get('model')!r}.")
        self._check_image(request.get("image"))
        self.served.refresh()
        answer: dict[str, Any] = super().infer(request, datastore)
        return answer

    def on_init_complete(self) -> None:
        """The server is up: let it answer in sentences."""
        super().on_init_complete()
        server = importlib.import_module("monailabel.app").app  # which imports apps such as this one
        answer_in_sentences(server)

    def on_save_label(self, image_id: str, label_id: str) -> None:
        """Look whether a final annotation speaks against the promise."""
        super().on_save_label(image_id, label_id)
        self.drift.annotated(self.datastore(), image_id)

    def _check_image(self, image: Any) -> None:
        """An image of the studies by its name, or a file that a viewer has uploaded; no other file of the machine."""
        if isinstance(image, str) and (image in self.datastore().list_images() or self._uploaded(Path(image))):
            return
        raise HTTPException(404, f"image must be one of the studies or an upload, got {image!r}.")

    def _uploaded(self, file: Path) -> bool:
        """With the request, to a temporary file of Python's naming, or before it, into a session's folder."""
        temporary = file.parent == Path(tempfile.gettempdir()) and re.fullmatch(r"tmp[a-z0-9_]{8}(\..*)?", file.name)
        sessions = self.sessions()
        kept = sessions and file.resolve().is_relative_to(Path(sessions.store_path).resolve())
        return bool(temporary or kept) and file.is_file()
