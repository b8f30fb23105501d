# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The job on one machine, in FLARE's simulator.

Tested by tests/fl/flare/test_job.py.
"""

from __future__ import annotations

import os
from pathlib import Path

from nvflare.app_common.default_component_policy import DEFAULT_CLASS_ALLOW_LIST
from nvflare.job_config.api import FedJob

from monai_coat.files import write_json

__all__ = ["ALLOWED", "simulate"]

ALLOWED = "monai_coat.fl.flare."
"""What a site's ``local/resources.json`` must have in its ``class_allow_list``, so that FLARE runs our classes."""


def simulate(job: FedJob, workspace: str | os.PathLike[str]) -> None:
    """Run a job with all its sites as processes of this machine, which have leave to run our classes.

    Args:
        job: see :func:`~monai_coat.fl.flare.calibration_job`.
        workspace: folder for what server and sites leave; FLARE empties it, but for ``local``.
    """
    policy = {"format_version": 2, "class_allow_list": [*DEFAULT_CLASS_ALLOW_LIST, ALLOWED]}
    write_json(Path(workspace) / "local" / "resources.json", policy)
    job.simulator_run(os.fspath(workspace))
