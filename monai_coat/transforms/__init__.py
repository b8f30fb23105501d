# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Transforms in MONAI's array and dictionary forms."""

from __future__ import annotations

from monai_coat.transforms.certainty_labels import CertaintyLabels
from monai_coat.transforms.certainty_map import CertaintyMap, CertaintyMapD, CertaintyMapd, CertaintyMapDict
from monai_coat.transforms.certainty_segments import CertaintySegments
from monai_coat.transforms.class_masks import ClassMasks, ClassMasksD, ClassMasksd, ClassMasksDict
from monai_coat.transforms.conformal_mask import ConformalMask, ConformalMaskD, ConformalMaskd, ConformalMaskDict
from monai_coat.transforms.ideal_threshold import IdealThreshold, IdealThresholdD, IdealThresholdd, IdealThresholdDict
from monai_coat.transforms.map_sketch import MapSketch, MapSketchD, MapSketchd, MapSketchDict
from monai_coat.transforms.read_files import (
    ReadImage,
    ReadImageD,
    ReadImaged,
    ReadImageDict,
    ReadLabelMapD,
    ReadLabelMapd,
    ReadLabelMapDict,
    ReadMaskD,
    ReadMaskd,
    ReadMaskDict,
)
from monai_coat.transforms.restore_grid import RestoreGridD, RestoreGridd, RestoreGridDict
from monai_coat.transforms.save_segmentation import (
    SaveSegmentation,
    SaveSegmentationD,
    SaveSegmentationd,
    SaveSegmentationDict,
)
from monai_coat.transforms.segmenter_probs import SegmenterProbs, SegmenterProbsD, SegmenterProbsd, SegmenterProbsDict

__all__ = [
    "CertaintyLabels",
    "CertaintyMap",
    "CertaintyMapD",
    "CertaintyMapDict",
    "CertaintyMapd",
    "CertaintySegments",
    "ClassMasks",
    "ClassMasksD",
    "ClassMasksDict",
    "ClassMasksd",
    "ConformalMask",
    "ConformalMaskD",
    "ConformalMaskDict",
    "ConformalMaskd",
    "IdealThreshold",
    "IdealThresholdD",
    "IdealThresholdDict",
    "IdealThresholdd",
    "MapSketch",
    "MapSketchD",
    "MapSketchDict",
    "MapSketchd",
    "ReadImage",
    "ReadImageD",
    "ReadImageDict",
    "ReadImaged",
    "ReadLabelMapD",
    "ReadLabelMapDict",
    "ReadLabelMapd",
    "ReadMaskD",
    "ReadMaskDict",
    "ReadMaskd",
    "RestoreGridD",
    "RestoreGridDict",
    "RestoreGridd",
    "SaveSegmentation",
    "SaveSegmentationD",
    "SaveSegmentationDict",
    "SaveSegmentationd",
    "SegmenterProbs",
    "SegmenterProbsD",
    "SegmenterProbsDict",
    "SegmenterProbsd",
]
