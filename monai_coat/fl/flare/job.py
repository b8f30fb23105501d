# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The job: what runs where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nvflare.job_config.api import FedJob

from monai_coat.fl.flare.controller import CalibrationController
from monai_coat.fl.flare.executor import CalibrationExecutor
from monai_coat.functional import exact_level

__all__ = ["calibration_job"]


def calibration_job(
    bundles: Mapping[str, str], alpha: float, smallest: int = 10, name: str = "calibration", **settings: Any
) -> FedJob:
    """A job of NVIDIA FLARE that calibrates one network on the images of several sites.

    Args:
        bundles: folder of the bundle at each site, by the site's name. All have the same network, and images of
            their own.
        alpha: tolerated mean false negative rate, in (0, 1).
        smallest: fewest images of a class that a site must have.
        name: name of the job.
        settings: the same for all sites, see :class:`~monai_coat.fl.flare.CalibrationExecutor`.

    Returns:
        The job: ``simulator_run(folder)`` runs it on this machine, ``export_job(folder)`` writes it to be submitted.

    Raises:
        ValueError: if ``alpha`` is no level, or there is no site.

    Example:
        Three sites, on this machine::

            sites = {f"site-{number}": f"sites/{number}/polyp_coat" for number in (1, 2, 3)}
            calibration_job(sites, alpha=0.1, override={"method": "coat"}).simulator_run("workspace")
    """
    exact_level(alpha)
    if not bundles:
        raise ValueError("bundles must name the bundle of at least one site, got none.")
    job = FedJob(name=name, min_clients=len(bundles))
    # Installed at every site, in the version that the site chose; FLARE would send the files along.
    job.set_app_packages(["monai_coat"])
    job.to_server(CalibrationController(alpha, smallest))
    for site, bundle in bundles.items():
        job.to(CalibrationExecutor(str(bundle), smallest=smallest, **settings), site)
    return job
