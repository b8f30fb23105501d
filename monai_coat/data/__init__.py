# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Lists of samples, their division into four disjoint parts, and synthetic images to try things on."""

from __future__ import annotations

from monai_coat.data.arrays import axes_that_fit
from monai_coat.data.class_labels import ClassLabels
from monai_coat.data.datasets import data_directory, folder_datalist, load_datalist
from monai_coat.data.described_images import with_table
from monai_coat.data.dicom_seg import Segment, write_dicom_seg
from monai_coat.data.dicom_series import DicomSeries
from monai_coat.data.grids import to_grid
from monai_coat.data.groups import group_names, split_by_group
from monai_coat.data.held_out import held_out_parts
from monai_coat.data.image_table import column_of, read_image_table
from monai_coat.data.images import read_image
from monai_coat.data.map_format import MapFormat, MapOptions
from monai_coat.data.map_listing import map_datalist
from monai_coat.data.maps import read_map
from monai_coat.data.mask_writer import MaskWriter, name_of_output
from monai_coat.data.masks import read_label_map, read_mask, read_masks
from monai_coat.data.near_duplicates.appearance import perceptual_hash
from monai_coat.data.near_duplicates.duplicates import drop_duplicates, group_duplicates
from monai_coat.data.partition import Partition, PartitionBy, partition
from monai_coat.data.prediction_folder import PredictionFolder, open_predictions
from monai_coat.data.public.layouts import LAYOUTS, Layout
from monai_coat.data.public.reader import download_dataset, read_layout
from monai_coat.data.readable import check_readable
from monai_coat.data.saved_maps import calibrate_saved_maps
from monai_coat.data.saved_partition import open_partition
from monai_coat.data.seen_images import refuse_seen, save_seen
from monai_coat.data.stamps import file_stamps, hash_of_transforms, hash_with_files
from monai_coat.data.synthetic import synthetic_images, synthetic_maps
from monai_coat.data.synthetic_dataset import write_synthetic_dataset

__all__ = [
    "LAYOUTS",
    "ClassLabels",
    "DicomSeries",
    "Layout",
    "MapFormat",
    "MapOptions",
    "MaskWriter",
    "Partition",
    "PartitionBy",
    "PredictionFolder",
    "Segment",
    "axes_that_fit",
    "calibrate_saved_maps",
    "check_readable",
    "column_of",
    "data_directory",
    "download_dataset",
    "drop_duplicates",
    "file_stamps",
    "folder_datalist",
    "group_duplicates",
    "group_names",
    "hash_of_transforms",
    "hash_with_files",
    "held_out_parts",
    "load_datalist",
    "map_datalist",
    "name_of_output",
    "open_partition",
    "open_predictions",
    "partition",
    "perceptual_hash",
    "read_image",
    "read_image_table",
    "read_label_map",
    "read_layout",
    "read_map",
    "read_mask",
    "read_masks",
    "refuse_seen",
    "save_seen",
    "split_by_group",
    "synthetic_images",
    "synthetic_maps",
    "to_grid",
    "with_table",
    "write_dicom_seg",
    "write_synthetic_dataset",
]
