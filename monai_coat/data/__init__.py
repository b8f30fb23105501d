# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Lists of samples, their division into four disjoint parts, and synthetic images to try things on."""

from __future__ import annotations

from monai_coat.data.datasets import check_readable, data_directory, folder_datalist, load_datalist
from monai_coat.data.groups import split_by_group
from monai_coat.data.partition import Partition, PartitionBy, partition
from monai_coat.data.saved_partition import open_partition
from monai_coat.data.synthetic import synthetic_images, synthetic_maps
from monai_coat.data.synthetic_dataset import write_synthetic_dataset

__all__ = [
    "Partition",
    "PartitionBy",
    "check_readable",
    "data_directory",
    "folder_datalist",
    "load_datalist",
    "open_partition",
    "partition",
    "split_by_group",
    "synthetic_images",
    "synthetic_maps",
    "write_synthetic_dataset",
]
