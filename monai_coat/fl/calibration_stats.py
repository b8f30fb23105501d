# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A site of a federation: it runs a bundle over its images, sends their statistic, and keeps the calibration."""

from __future__ import annotations

import os
from typing import Any

from monai.bundle import BundleWorkflow, ConfigWorkflow
from monai.fl.client import MonaiAlgoStats
from monai.fl.utils.constants import ExtraItems, FlPhase
from monai.fl.utils.exchange_object import ExchangeObject
from monai.utils import ensure_tuple

from monai_coat.calibration import CollectedStatistic, check_calibration_fits, save_calibration
from monai_coat.fl.exchange import calibration_in, with_statistic

__all__ = ["CalibrationStats"]


class CalibrationStats(MonaiAlgoStats):
    """MONAI's client for statistics of data, whose statistic is the one that calibration takes.

    ``get_data_stats`` runs the bundle's step ``collect`` over the site's calibration images, and
    :func:`~monai_coat.fl.calibrate_sites` calibrates what all sites sent. ``store_calibration`` keeps the result beside
    the weights, where ``inference`` takes it. What travels are the bytes of the files of ``docs/federated.md``.

    Args:
        bundle_root: folder of the bundle, below the federation's application folder if it is relative.
        config_collect_filename: config of the step, or a list of them, below ``bundle_root``: any whose evaluator has
            the handler :class:`~monai_coat.handlers.CollectStatistic`.
        config_filters_filename: config with ``post_statistics_filters``, as in MONAI's own class.
        workflow: workflow to run in place of the configs, with that handler on its ``evaluator``.
        workflow_type: MONAI's kind of workflow. "train" is for configs of the model zoo, whose evaluator is called
            ``validate#evaluator``.
        smallest: fewest images of a class that leave the site as sums, whatever the bundle allows.
        override: settings of the bundle that are others at this site, such as ``method="coat"``.

    Example:
        Each site, and then the server, which sends its calibration back to each::

            site = CalibrationStats("bundles/polyp_coat", method="coat")
            site.initialize({ExtraItems.CLIENT_NAME: "north"})
            sent = site.get_data_stats()

            result = calibrate_sites({"north": sent, "south": ...}, alpha=0.1)

            site.store_calibration(with_calibration(result))
    """

    def __init__(
        self,
        bundle_root: str,
        config_collect_filename: str | list[str] = "configs/collect.json",
        config_filters_filename: str | list[str] | None = None,
        workflow: BundleWorkflow | None = None,
        workflow_type: str = "evaluation",
        smallest: int = 10,
        **override: Any,
    ) -> None:
        super().__init__(bundle_root, config_collect_filename, config_filters_filename, workflow=workflow)
        self.workflow_type, self.smallest, self.override = workflow_type, smallest, override
        self.collected: CollectedStatistic | None = None

    def initialize(self, extra: dict[str, Any] | None = None) -> None:
        """Read the bundle.

        Args:
            extra: what the federation says of the site, by MONAI's ``ExtraItems``: its name, and the folder of the
                application.
        """
        if self.workflow is None:
            root = os.path.join((extra or {}).get(ExtraItems.APP_ROOT, ""), self.bundle_root)
            self.workflow = ConfigWorkflow(
                config_file=[os.path.join(root, name) for name in ensure_tuple(self.config_train_filename)],
                logging_file=(extra or {}).get(ExtraItems.LOGGING_FILE) or False,
                workflow_type=self.workflow_type,
                # MONAI says it after the bundle's own initialization, which may read weights from there.
                **{"bundle_root": root, **self.override},
            )
        super().initialize(extra)  # type: ignore[no-untyped-call]

    def get_data_stats(self, extra: dict[str, Any] | None = None) -> ExchangeObject:
        """The statistic of the site's calibration images, to be sent.

        Raises:
            RuntimeError: if the site is not initialized, or its evaluator collects nothing.
            TypeError: if the bundle collects scores of single images, which must not leave the site.
            ValueError: if there are fewer images of a class than ``smallest``.
        """
        if self.workflow is None:
            raise RuntimeError("site must be initialized before it collects; call initialize() first.")
        self.phase = FlPhase.GET_DATA_STATS
        self.workflow.run()
        collected = getattr(self.workflow.evaluator.state, "collected", None)
        if not isinstance(collected, CollectedStatistic):
            raise RuntimeError(
                f"bundle must collect a statistic, got an evaluator without one in {self.bundle_root}; give it the "
                "handler monai_coat.handlers.CollectStatistic."
            )
        stats = with_statistic(collected, self.smallest)
        self.collected = collected
        for post_filter in self.post_statistics_filters or []:
            stats = post_filter(stats, extra)
        return stats

    def store_calibration(self, data: ExchangeObject, path: str = "models/calibration_{method}.json") -> str:
        """Keep the server's calibration, if it is of this site's pipeline.

        Args:
            data: what the server sent, see :func:`~monai_coat.fl.exchange.with_calibration`.
            path: JSON artifact to write, below the bundle if it is relative.

        Returns:
            The file.

        Raises:
            RuntimeError: if the site has sent no statistic.
            TypeError: if the server sent no calibration.
            ValueError: if the calibration is damaged, or of another network, pipeline, method or number of classes.
        """
        if self.collected is None:
            raise RuntimeError("site must have sent a statistic before it is calibrated; call get_data_stats() first.")
        result = calibration_in(data)
        mine = self.collected
        check_calibration_fits(result, classes=len(mine.statistic.n), identity=mine.identity)
        if result.method != mine.method:
            raise ValueError(
                f"calibration must be of the method {mine.method!r}, got {result.method!r}; collect and calibrate one."
            )
        place = os.path.join(self.bundle_root, path.format(method=result.method))
        save_calibration(result, place)
        return place
