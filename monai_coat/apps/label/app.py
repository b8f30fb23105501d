# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The app: a bundle of this package behind MONAI Label's server.

Tested by tests/apps/test_label_server.py.
"""

from __future__ import annotations

import importlib
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import monai
from fastapi import HTTPException
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp

import monai_coat
from monai_coat.apps.annotations import read_annotation
from monai_coat.apps.label.active_learning import AmbiguityScoring, ByAmbiguity
from monai_coat.apps.label.answers import Cleaner
from monai_coat.apps.label.checks import Checks
from monai_coat.apps.label.datastore import StudiesDatastore
from monai_coat.apps.label.drift import ServedDrift
from monai_coat.apps.label.errors import answer_in_sentences, in_a_sentence
from monai_coat.apps.label.guard import GuardSettings, set_guard
from monai_coat.apps.label.infer_task import CertaintyInferTask
from monai_coat.apps.label.names import check_drawn_tag
from monai_coat.apps.label.objects import json_object
from monai_coat.apps.label.processes import end_with_server, is_server
from monai_coat.apps.label.sessions import PrivateSessions
from monai_coat.apps.label.train_task import ThresholdTrainTask
from monai_coat.apps.label.visits import RequestFiles, current_visit
from monai_coat.apps.limits import MOST_VOXELS
from monai_coat.apps.serving import CalibratedBundle
from monai_coat.files import remove_unfinished
from monai_coat.files.names import SUFFIXES

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
    - ``drift_level``: at what level evidence against the calibration is reported, 0.01 by default;
    - ``max_voxels``: how large an image may be, 67 million voxels by default;
    - ``max_megabytes``: how much a request may send, 512 by default.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        end_with_server()
        for name in ("bundle", "model_dirs"):
            if not conf.get(name):
                raise ValueError(f"--conf {name} must be given, got none; it names the bundle's folders.")
        self.served = CalibratedBundle(
            conf["bundle"],
            conf["model_dirs"].split(","),
            conf.get("method", "coat"),
            conf.get("device", "cpu"),
            json_object(conf.get("overrides", "{}"), "--conf overrides"),
            _whole_number(conf, "max_voxels", MOST_VOXELS),
        )
        self.most_bytes = 10**6 * _whole_number(conf, "max_megabytes", 512)
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

    def init_datastore(self) -> StudiesDatastore:
        """The folder of studies, in which every final label is an annotation that can be used."""
        return StudiesDatastore(
            self.studies,
            lambda label, image: read_annotation(label, image, self.served.certainty, self.served.overlapping),
            extensions=[f"*{suffix}" for suffix in SUFFIXES],
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def _load_sessions(self, load: bool = False) -> PrivateSessions | None:
        return PrivateSessions(settings.MONAI_LABEL_SESSION_PATH, settings.MONAI_LABEL_SESSION_EXPIRY) if load else None

    def infer(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Answer a request.

        Raises:
            HTTPException: 404 for an image or model that is not there, 400 for what cannot be answered.
        """
        if request.get("model") not in self._infers:
            raise HTTPException(
                404, f"model must be {self.model!r}, got {ascii(request.get('model'))[:80]}; correct it."
            )
        self._check_image(request.get("image"))
        if request.get("save_label"):
            with in_a_sentence():
                check_drawn_tag(request.get("label_tag", "original"))
        self.served.refresh()
        answer: dict[str, Any] = super().infer(request, datastore)
        return answer

    def on_init_complete(self) -> None:
        """The server is up: let it look at requests, and answer in sentences."""
        is_server()
        super().on_init_complete()
        for folder in self._written():
            remove_unfinished(folder)
        server = importlib.import_module("monailabel.app").app  # which imports apps such as this one
        answer_in_sentences(server)
        files, api = RequestFiles(), settings.MONAI_LABEL_API_STR
        checks = Checks(self.served.limits, self._trainers[self.model].check if self._trainers else None, api)
        set_guard(server, GuardSettings(checks, Cleaner(self._folders(files)), files, self.most_bytes))

    def _written(self) -> list[Path]:
        """Folders in which files are written whole, or were begun by a process that was killed."""
        studies = Path(self.studies)
        return [studies, *(path for path in studies.glob("labels/*") if path.is_dir())]

    def _folders(self, files: RequestFiles) -> list[Path]:
        """Folders of the server that are nobody else's business."""
        ours = [self.studies, self.app_dir, self.served.bundle, *self.served.homes.values(), files.folder]
        sessions = [self.sessions().store_path] if self.sessions() else []
        python = [sys.prefix, sys.base_prefix, *(Path(str(each.__file__)).parents[1] for each in (monai, monai_coat))]
        return [Path(folder) for folder in (*ours, *sessions, *python, Path.home(), Path.cwd(), files.folder.parent)]

    def on_save_label(self, image_id: str, label_id: str) -> None:
        """Look whether a final annotation speaks against the promise."""
        super().on_save_label(image_id, label_id)
        self.drift.annotated(self.datastore(), image_id)

    def _check_image(self, image: Any) -> None:
        """An image of the studies by its name, or what came with this request or its session; no path of a client's."""
        named = isinstance(image, str) and not current_visit().session and image in self.datastore().list_images()
        if named and Path(image).exists():
            raise HTTPException(400, f"image {image!r} is also a file where the server runs; start it somewhere else.")
        if not (named or (isinstance(image, str) and self._brought(Path(image)))):
            shown = ascii(image)[:80]
            raise HTTPException(404, f"image must be one of the studies, an upload or an open session, got {shown}.")

    def _brought(self, file: Path) -> bool:
        """Whether MONAI Label wrote the file for this very request, or for the session that the request names."""
        visit, sessions = current_visit(), self.sessions()
        if visit.session:
            return bool(sessions and sessions.holds(visit.session, file))
        return "file" in visit.uploads and file.parent == Path(tempfile.gettempdir()) and file.is_file()


def _whole_number(conf: dict[str, str], name: str, default: int) -> int:
    """A setting of the server that is a positive whole number."""
    text = str(conf.get(name, default))
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"--conf {name} must be a positive whole number, got {text!r}; leave it out for {default}.")
    return int(text)
