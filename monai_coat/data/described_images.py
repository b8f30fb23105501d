# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A folder of predictions with what a table says of its images.

Tested by tests/predictions/test_promises.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from monai_coat.data.prediction_folder import PredictionFolder

__all__ = ["with_table"]


def with_table(folder: PredictionFolder, table: Mapping[str, Mapping[str, str]]) -> PredictionFolder:
    """The folder, with the rows of a table as metadata of its images, see :func:`~monai_coat.data.read_image_table`.

    Raises:
        ValueError: naming an image that is not in the table.
    """
    missing = [str(sample["id"]) for sample in folder.samples if str(sample["id"]) not in table]
    if missing:
        raise ValueError(
            f"table must have a row for each of the {len(folder)} images, got none for {missing[0]}, one of "
            f"{len(missing)}; its column id has the names of files without their endings."
        )
    rows = tuple({**sample, "meta": dict(table[str(sample["id"])])} for sample in folder.samples)
    return replace(folder, samples=rows)
