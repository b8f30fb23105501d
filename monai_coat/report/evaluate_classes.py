# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One calibrated network on one test set: a table with a row for each class, however many, and one for the worst."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch.distributed as dist
from monai.engines import Evaluator

from monai_coat.files import replacing
from monai_coat.metrics import ImageRecord
from monai_coat.report.compare_classes import WORST, _of_class, _worst
from monai_coat.report.records import predict_all_records, save_records
from monai_coat.report.table import TRIVIAL, MethodSummary, class_table, summarize, to_csv

__all__ = ["evaluate_classes"]

logger = logging.getLogger(__name__)


def evaluate_classes(
    evaluator: Evaluator,
    class_names: Sequence[str],
    alpha: float,
    folder: str | os.PathLike[str],
    statement: str = "",
) -> list[MethodSummary]:
    """Run an evaluator with its calibrated network, and write what is covered of each class and what it costs.

    Writes ``table.md``, ``table.csv`` and ``records.csv``, and logs the table. Coverage of the worst class of an image
    is that of the class that is covered least, and sizes are sums over classes. A class that no test image contains has
    no row, and is named.

    Args:
        evaluator: MONAI evaluator over the test images, with :class:`~monai_coat.handlers.ImageRecords` attached.
        class_names: name of each class, one or more.
        alpha: level that the network is calibrated for.
        folder: where files are written.
        statement: what to say of the test set below the table.

    Returns:
        A row per class, one of the worst class if there are several, and one of the predictor that takes everything; an
        empty list on workers but the first.

    Raises:
        ValueError: if no test image has foreground.
    """
    evaluator.run()
    if dist.is_initialized() and dist.get_rank() > 0:
        return []
    state: Any = evaluator.state
    records: Sequence[ImageRecord] = state.records
    if not any(record.foreground for record in records):
        raise ValueError(
            f"test images must have foreground, got {len(records)} records without; evaluate on other images."
        )
    several = len(class_names) > 1
    by_class = {name: _of_class(records, i) if several else records for i, name in enumerate(class_names)}
    absent = [name for name, each in by_class.items() if not any(record.foreground for record in each)]
    shown = {name: each for name, each in by_class.items() if name not in absent}
    # Sizes of classes that no image contains would drown those of the others.
    all_classes = _worst([replace(r, name=f"{r.name}:") for each in shown.values() for r in each])
    rows = [summarize(name, each, alpha) for name, each in shown.items()]
    rows += [summarize(WORST, all_classes, alpha)] if several else []
    rows.append(summarize(TRIVIAL, predict_all_records(all_classes), alpha))
    missing = f"No test image contains {', '.join(absent)}." if absent else ""
    below = "\n\n".join(text for text in (missing, statement) if text)
    _write(rows, records, alpha, Path(folder), below)
    return rows


def _write(
    rows: Sequence[MethodSummary], records: Sequence[ImageRecord], alpha: float, folder: Path, below: str
) -> None:
    text = class_table(rows, alpha, below)
    save_records(records, folder / "records.csv")
    with replacing(folder / "table.csv") as csv_path, replacing(folder / "table.md") as markdown_path:
        csv_path.write_text(to_csv(rows), encoding="utf-8")
        markdown_path.write_text(text, encoding="utf-8")
    logger.info("\n%s", text)
