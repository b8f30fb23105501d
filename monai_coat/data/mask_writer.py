# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The writer of NIfTI masks that lie where their image lies, in every viewer."""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping
from typing import Any

import nibabel
import numpy as np
from monai.config import NdarrayOrTensor, PathLike
from monai.data import ImageWriter, NibabelWriter
from monai.data.folder_layout import default_name_formatter
from monai.data.utils import to_affine_nd
from monai.utils import convert_to_numpy

from monai_coat.data.volumes import FORM
from monai_coat.files import replacing

__all__ = ["MaskWriter", "name_of_output"]


class MaskWriter(NibabelWriter):
    """MONAI's writer of NIfTI files, with the qform and the sform that the image has.

    A NIfTI header may place voxels twice, by a qform and by an sform, and viewers differ in which they follow. MONAI
    reads one of them and writes it as both, so that the mask of an image in which they differ lies beside the image in
    some viewers. Here both are written as the image has them, with their codes, where the mask is on the image's own
    grid and its metadata still hold the image's header, as they do after :class:`~monai_coat.transforms.ReadImaged`;
    otherwise as MONAI does.

    Example:
        >>> import torch
        >>> from monai.data import MetaTensor
        >>> from monai.transforms import SaveImage
        >>> folder = getfixture("tmp_path")
        >>> save = SaveImage(folder, "", writer=MaskWriter, separate_folder=False, print_log=False)
        >>> _ = save(MetaTensor(torch.ones(1, 4, 4, 4)))
        >>> nibabel.load(folder / "0.nii.gz").shape
        (4, 4, 4)
    """

    def set_data_array(self, data_array: NdarrayOrTensor, *args: Any, **options: Any) -> None:
        """MONAI's, which leaves out a third axis of length 1; readers of this package want three."""
        super().set_data_array(data_array, *args, **options)
        lost = max(0, 3 - self.data_obj.ndim)
        self.data_obj = self.data_obj[(..., *[None] * lost)]

    def set_metadata(self, meta_dict: Mapping[str, Any] | None, resample: bool = True, **options: Any) -> None:
        """MONAI's, and the forms of the image's header."""
        if resample:
            super().set_metadata(meta_dict, resample, **options)
        else:  # MONAI compares two of the three axes, and fails on volumes whose third is another in space
            _, affine, _ = self.get_meta_info(meta_dict)
            self.affine = np.eye(4) if affine is None else convert_to_numpy(affine)
            if self.output_dtype is None:
                self.output_dtype = np.asarray(self.data_obj).dtype
        meta = meta_dict or {}
        self.forms = {name: np.asarray(meta[name]) for name in FORM if name in meta}
        original = meta.get("original_affine")
        moved = original is None or not np.allclose(_whole(original), _whole(self.affine), atol=1e-5)
        if moved or len(self.forms) < len(FORM):
            self.forms = {}

    def write(self, filename: PathLike, verbose: bool = False, **obj_kwargs: Any) -> None:
        """Write the file."""
        if not self.forms:
            super().write(filename, verbose, **obj_kwargs)
            return
        ImageWriter.write(self, filename, verbose)  # which logs
        image: Any = self.create_backend_obj(self.data_obj, self.affine, self.output_dtype, **obj_kwargs)
        for name, value in self.forms.items():
            image.header[name] = value
        # Without an affine, which would be written over the header.
        placed = nibabel.Nifti1Image(image.dataobj, None, image.header)  # type: ignore[no-untyped-call]
        content = placed.to_bytes()
        with replacing(filename) as temporary:
            temporary.write_bytes(
                gzip.compress(content, 1, mtime=0) if str(filename).lower().endswith(".gz") else content
            )


def name_of_output(meta: Mapping[str, Any] | None, saver: Any) -> dict[str, Any]:
    """What MONAI's ``SaveImage`` names a file after, for its ``output_name_formatter``; of a DICOM series, the folder.

    MONAI takes what follows the last dot for an ending. Folders are often named by UIDs, of which the masks of several
    series would then have one name.

    Example:
        >>> series = getfixture("tmp_path") / "1.2.840.113"
        >>> series.mkdir()
        >>> name_of_output({"filename_or_obj": str(series)}, None)["subject"].endswith("1.2.840.113.nii")
        True
    """
    named: dict[str, Any] = default_name_formatter(dict(meta or {}), saver)
    return {**named, "subject": f"{named['subject']}.nii"} if os.path.isdir(named["subject"]) else named


def _whole(affine: Any) -> Any:
    """An affine of three axes."""
    return to_affine_nd(3, np.asarray(affine, dtype=float))
