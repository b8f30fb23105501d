# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The samples of a protocol's data set: which files belong to which image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import monai_coat
from monai_coat.comparison.protocol import Protocol, digest_of
from monai_coat.data import data_directory, load_datalist, write_synthetic_dataset

__all__ = ["samples_of"]


def samples_of(protocol: Protocol, dataset: str, folder: Path) -> list[dict[str, Any]]:
    """The samples of a data set of the protocol, unless they are somebody's saved maps.

    Generated images are written to ``folder`` first.

    Raises:
        FileNotFoundError: if the data is real and ``COAT_DATA_DIR`` does not say where it is.
    """
    settings = protocol.datasets[dataset]
    if "generate" in settings:
        made_by = digest_of((settings["generate"], monai_coat.__version__))
        root = folder / "generated" / f"{dataset}-{made_by}"
        if not (root / "datasets.json").is_file():
            write_synthetic_dataset(root, **settings["generate"])
        return load_datalist(root, "synthetic")
    root_of_collection = data_directory()
    if root_of_collection is None:
        raise FileNotFoundError(
            f"COAT_DATA_DIR must name the folder of the data collection for data set {dataset!r}, but it is unset; "
            "set it, or run the protocol 'quick', which needs none."
        )
    return load_datalist(root_of_collection, settings["domain"], settings.get("sources"), settings.get("model"))
