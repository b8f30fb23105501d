# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The server's part of the job: collect, merge, calibrate, and hand the calibration back.

Tested by tests/fl/flare/test_job.py.
"""

from __future__ import annotations

from pathlib import Path

from monai.fl.utils.exchange_object import ExchangeObject
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.workflows.model_controller import ModelController

from monai_coat.calibration import save_calibration, summary_of
from monai_coat.fl.exchange import with_calibration
from monai_coat.fl.flare.tasks import COLLECT, STORE
from monai_coat.fl.server import calibrate_sites

__all__ = ["CalibrationController"]


class CalibrationController(ModelController):  # type: ignore[misc]
    """Ask all sites for their statistics, calibrate, and send the calibration to all of them.

    The calibration is also written into the server's folder of the job, ``calibration.json``. Every site must
    answer: if one fails, or what they sent does not belong together, the job ends with the reason and no site is given
    a calibration.

    Args:
        alpha: tolerated mean false negative rate, in (0, 1).
        smallest: fewest images of a class that each site must have sent.
    """

    def __init__(self, alpha: float, smallest: int = 10) -> None:
        super().__init__()
        self.alpha, self.smallest = alpha, smallest

    def run(self) -> None:
        """The job, from start to end."""
        answers = self.send_model_and_wait(COLLECT, FLModel(metrics={}))
        sites = {answer.meta["client_name"]: ExchangeObject(statistics=answer.metrics) for answer in answers}
        asked = self.sample_clients()
        if len(sites) != len(asked):
            self.panic(f"every site must send a statistic, got {', '.join(sites) or 'none'} of {', '.join(asked)}.")
            return
        try:
            result = calibrate_sites(sites, self.alpha, smallest=self.smallest)
        except (TypeError, ValueError) as error:
            self.panic(f"no calibration: {error}")
            return
        self.info(f"calibrated {len(sites)} sites: {summary_of(result)}")
        save_calibration(result, self._folder() / "calibration.json")  # sites say the method, so it names no file here
        self.send_model_and_wait(STORE, FLModel(metrics=with_calibration(result).statistics))

    def _folder(self) -> Path:
        workspace = self.fl_ctx.get_engine().get_workspace()
        return Path(workspace.get_run_dir(self.fl_ctx.get_job_id()))
