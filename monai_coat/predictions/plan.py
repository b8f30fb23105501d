# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The plan of a calibration, perhaps with a folder of predictions as its pilot, and its files.

Tested by tests/cli/test_plan.py.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from monai_coat.calibration import Guarantee, MeanGuarantee, PerGroup, Plan, Referring, Weighted, plan_calibration
from monai_coat.data import PredictionFolder
from monai_coat.files import replacing, write_json
from monai_coat.predictions.calibrate import crc_for, named_for
from monai_coat.report import draw_plan, plan_to_markdown

__all__ = ["plan_folder", "write_plan"]

logger = logging.getLogger(__name__)


def plan_folder(
    guarantee: Guarantee,
    folder: PredictionFolder | None = None,
    sizes: Sequence[int] = (),
    within: float | None = None,
) -> Plan:
    """Plan how many images to calibrate on, and log the plan.

    Args:
        guarantee: what is to be promised; classes without names get those of the folder.
        folder: the pilot: predictions with masks of images like those to come, which the network was not trained on;
            None for no pilot. It is taken with one threshold for all images, as ``calibrate`` has it.
        sizes: numbers of calibration images to look at; none for the usual ones.
        within: how far above alpha the risk of new images may be in 95 of 100 calibrations; None not to ask.

    Raises:
        TypeError: if the risk is calibrated from whole maps, of which no pilot can be made.
        ValueError: as :func:`~monai_coat.calibration.plan_calibration`; or naming the file, if one cannot be read.
    """
    promise = _of_a_mean(guarantee)
    if folder is None:
        return plan_calibration(promise, sizes, within)
    promise = named_for(promise, folder.format)
    statistic = promise.statistic()
    scorer = crc_for(folder)
    folder.collect(statistic, lambda maps, masks, source: scorer.score(maps))
    return plan_calibration(promise, sizes, within, statistic)


def _of_a_mean(guarantee: Guarantee) -> MeanGuarantee:
    """The guarantee, if it follows from the mean of one risk over images or patients of one weight.

    Raises:
        TypeError: if it does not, with what to plan in its place.
    """
    if isinstance(guarantee, PerGroup):
        remedy = "plan the promise without groups: its numbers are then those of each group"
    elif isinstance(guarantee, Weighted):
        remedy = "plan the promise without weights: it takes more images with them, the more they differ"
    elif isinstance(guarantee, Referring):
        remedy = "plan the promise without the referral, which takes 1 / alpha images more"
    else:
        remedy = "plan confident_risk of each of its risks, with its delta divided by their number"
    if not isinstance(guarantee, MeanGuarantee) or isinstance(guarantee, Weighted):
        raise TypeError(f"guarantee must be of the mean of one risk to be planned, got {guarantee!r}; {remedy}.")
    return guarantee


def write_plan(plan: Plan, output: str | os.PathLike[str]) -> list[Path]:
    """Write ``plan.json``, ``plan.md`` and ``plan.png`` into a folder; returns the files.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    data, table, picture = (Path(output) / f"plan.{kind}" for kind in ("json", "md", "png"))
    write_json(data, plan.to_json())
    with replacing(table) as temporary:
        temporary.write_text(plan_to_markdown(plan) + "\n", encoding="utf-8")
    draw_plan(plan, picture)
    return [data, table, picture]
