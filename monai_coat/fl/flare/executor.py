# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A site's part of the job.

Tested by tests/fl/flare/test_job.py.
"""

from __future__ import annotations

from typing import Any

from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from monai_coat.fl.calibration_stats import CalibrationStats
from monai_coat.fl.flare.tasks import COLLECT, STORE

__all__ = ["CalibrationExecutor"]


class CalibrationExecutor(Executor):  # type: ignore[misc]
    """Run a bundle's step ``collect`` when the server asks, and keep the calibration that it sends.

    Args:
        bundle_root: folder of the bundle at this site.
        config_collect_filename: config of the step, or a list of them, below ``bundle_root``.
        workflow_type: MONAI's kind of workflow, see :class:`~monai_coat.fl.CalibrationStats`.
        smallest: fewest images of a class that leave the site as sums.
        calibration_path: JSON artifact to write, below the bundle if it is relative.
        override: settings of the bundle that are others at this site.
    """

    def __init__(
        self,
        bundle_root: str,
        config_collect_filename: str | list[str] = "configs/collect.json",
        workflow_type: str = "evaluation",
        smallest: int = 10,
        calibration_path: str = "models/calibration_{method}.json",
        override: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        # FLARE reads the arguments back from attributes of their names when it writes the job.
        self.bundle_root, self.config_collect_filename = bundle_root, config_collect_filename
        self.workflow_type, self.smallest = workflow_type, smallest
        self.calibration_path, self.override = calibration_path, override
        self._stats: CalibrationStats | None = None

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: Any, abort_signal: Any) -> Shareable:
        """Answer one task of the server; what goes wrong is logged here, and ends the job there."""
        try:
            if task_name == COLLECT:
                statistics = self._site(fl_ctx).get_data_stats().statistics
            elif task_name == STORE:
                sent = FLModelUtils.from_shareable(shareable).metrics
                path = self._site(fl_ctx).store_calibration(ExchangeObject(statistics=sent), self.calibration_path)
                self.log_info(fl_ctx, f"calibration stored in {path}")
                statistics = {"stored": True}
            else:
                return make_reply(ReturnCode.TASK_UNKNOWN)
        except Exception as error:  # whatever a bundle may raise: the server must hear of it
            self.log_exception(fl_ctx, f"{task_name} failed: {error}")
            return make_reply(ReturnCode.EXECUTION_EXCEPTION)
        return FLModelUtils.to_shareable(FLModel(metrics=statistics))

    def _site(self, fl_ctx: Any) -> CalibrationStats:
        """The site's bundle, read when it is first needed."""
        if self._stats is None:
            stats = CalibrationStats(
                self.bundle_root,
                self.config_collect_filename,
                workflow_type=self.workflow_type,
                smallest=self.smallest,
                **(self.override or {}),
            )
            stats.initialize({ExtraItems.CLIENT_NAME: fl_ctx.get_identity_name()})
            self._stats = stats
        return self._stats
