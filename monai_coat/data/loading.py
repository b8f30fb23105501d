# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MONAI's loading of a file by one reader.

Tested by tests/data/test_volumes.py.
"""

from __future__ import annotations

import os
from typing import Any, cast

import numpy as np
import torch
from monai.data import ImageReader, MetaTensor
from monai.transforms import EnsureChannelFirst
from monai.transforms.io.array import switch_endianness
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["load_by"]


def load_by(reader: ImageReader, path: str | os.PathLike[str], dtype: type | None = np.float32) -> MetaTensor:
    """A file as ``(channels, *spatial)``, as MONAI's ``LoadImage`` gives it with this reader.

    ``LoadImage`` itself makes every reader that is installed, one of which warns each time, whatever the file is.

    Args:
        reader: MONAI's reader of such files.
        path: the file.
        dtype: of the values; None for that of the file.
    """
    values, meta = reader.get_data(reader.read(os.fspath(path)))
    meta = {**switch_endianness(meta, "<"), "filename_or_obj": os.fspath(path)}
    loaded = MetaTensor.ensure_torch_and_prune_meta(_native(np.asarray(values, dtype)), meta)
    return cast(MetaTensor, EnsureChannelFirst()(loaded, meta))


def _native(values: NDArray[Any]) -> NDArray[Any] | Tensor:
    """Values in the machine's order of bytes; floating point as a view of the array, whatever its order of axes.

    MONAI would copy it into the other order, and again with the channels first: many seconds for a large volume.
    """
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    is_plain = native.dtype.kind == "f" and native.itemsize <= 8 and native.flags.writeable
    return torch.from_numpy(native) if is_plain and min(native.strides, default=0) >= 0 else native
