# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Inference: one label map of certain and possible, and what is promised about it.

Tested by tests/apps/test_label_server.py.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monai.transforms import SaveImage
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.transform.writer import write_itk
from PIL import Image
from torch import Tensor

from monai_coat.apps.label.errors import in_a_sentence
from monai_coat.apps.label.levels import alpha_of
from monai_coat.apps.label.polygons import write_polygons
from monai_coat.apps.serving import CalibratedBundle
from monai_coat.data import MaskWriter

__all__ = ["CertaintyInferTask", "write_labels"]

EXTENSIONS = (".nii.gz", ".nii", ".nrrd", ".png")


class CertaintyInferTask(InferTask):  # type: ignore[misc]
    """Runs a calibrated bundle on an image.

    A request may name ``alpha``, one of the calibrated levels, and ``result_extension``, one of .nii.gz, .nii, .nrrd
    and, for flat images, .png. Whole-slide viewers ask for polygons of flat images, by ``output`` "asap" or "dsa".

    Args:
        served: the bundle.
    """

    def __init__(self, served: CalibratedBundle) -> None:
        super().__init__(
            type=InferType.SEGMENTATION,
            labels=served.labels,
            dimension=served.spatial_dims,
            description="Label map of what is certain and what is possible, calibrated",
            config={"alpha": list(served.alphas)},
        )
        self.served = served

    def is_valid(self) -> bool:
        """The bundle was loaded and found to fit its calibrations."""
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """File of the labels and the result.

        Raises:
            HTTPException: 400 with a sentence, for a level that was not calibrated or an image that cannot be read.
        """
        with in_a_sentence():
            alpha, extension = alpha_of(request.get("alpha")), _extension(request, self.served.spatial_dims)
            prediction = self.served.predict(request["image"], alpha)
            result = {**prediction.result, "label_names": self.served.labels}
            json.dumps(result, allow_nan=False)  # raises where a number is none
            if request.get("output") in ("asap", "dsa") and self.served.spatial_dims == 2:
                return write_polygons(prediction.labels[0].as_subclass(Tensor), self.served.certainty, result, request)
            return write_labels(prediction.labels, extension), result


def _extension(request: dict[str, Any], dims: int) -> str:
    wanted = request.get("result_extension")
    if wanted is None:
        return ".nii.gz" if dims == 3 else ".png"
    if wanted not in EXTENSIONS or (dims == 3 and wanted == ".png"):
        raise ValueError(f"result_extension must be one of {', '.join(EXTENSIONS)}, got {wanted!r}.")
    return str(wanted)


def write_labels(labels: MetaTensor, extension: str) -> str:
    """Write labels ``(1, *spatial)`` to a new temporary file, which the server removes once it was sent.

    The file has the type of the labels, 8 bits or, with more than five classes, 32; PNG files have 16 bits then. NIfTI
    files have both forms of their image's header.
    """
    with tempfile.NamedTemporaryFile(suffix=extension, delete=False) as file:
        path = Path(file.name)
    values = labels[0].numpy()
    if extension == ".nrrd":
        write_itk(values, str(path), labels.affine.numpy(), str(values.dtype), False)
        return str(path)
    if extension == ".png":  # MONAI's writer would keep the lowest eight bits, and takes no image of one row
        Image.fromarray(np.ascontiguousarray(values.T, np.uint8 if values.dtype == np.uint8 else np.uint16)).save(path)
        return str(path)
    save = SaveImage(
        output_dir=path.parent,
        output_postfix="",
        output_ext=extension,
        output_dtype=None,  # that of the labels
        resample=False,
        separate_folder=False,
        print_log=False,
        writer=MaskWriter,
    )
    save(labels, filename=str(path).removesuffix(extension))
    return str(path)
