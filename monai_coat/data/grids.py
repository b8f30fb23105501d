# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Grids of volumes: where voxels lie, and whether two volumes lie on one another.

Tested by tests/data/test_volumes.py.
"""

from __future__ import annotations

import os
from itertools import product
from typing import Any, cast

import nibabel
import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

__all__ = ["TOLERANCE", "Grid", "check_affine", "check_same_grid", "steps_to", "to_grid"]

TOLERANCE = 0.1
"""How far, in voxels, the corners of two volumes may lie apart to be of one grid: what rounding in headers does."""

orientations: Any = nibabel.orientations

Path_ = str | os.PathLike[str]
Grid = tuple[NDArray[np.float64], tuple[int, ...]]
"""Affine from voxels to millimetres ``(4, 4)``, and spatial size."""


def check_affine(affine: NDArray[np.float64], path: Path_) -> None:
    """Refuse an affine that places no voxel.

    Raises:
        ValueError: naming the file.
    """
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise ValueError(
            f"affine must say where voxels lie, got {affine[:3].tolist()} in {path}; correct the file's header."
        )


def to_grid(values: MetaTensor, grid: Grid, names: tuple[Path_, Path_]) -> MetaTensor:
    """Bring a label or a map to the grid of another volume, if it has the same voxels in another order of axes.

    Args:
        values: volume ``(channels, *spatial)`` as it was read.
        grid: affine and size of the other.
        names: the two files, for messages.

    Returns:
        The values, with axes permuted and flipped if need be, and the affine that belongs to them.

    Raises:
        ValueError: if sizes differ, or voxels do not lie on one another.
    """
    steps, affine = steps_to((np.asarray(values.affine, dtype=float), tuple(values.shape[1:])), grid, names)
    turned: Any = values.flip([axis for axis, (_, direction) in enumerate(steps, 1) if direction < 0])
    turned = turned.permute(0, *(1 + np.argsort(steps[:, 0])).tolist())
    turned.affine = torch.as_tensor(affine)
    return cast(MetaTensor, turned)


def check_same_grid(grid: Grid, other: Grid, names: tuple[Path_, Path_]) -> None:
    """Refuse two volumes that :func:`to_grid` would not bring together.

    Raises:
        ValueError: naming both.
    """
    steps_to(grid, other, names)


def steps_to(grid: Grid, other: Grid, names: tuple[Path_, Path_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each axis goes and whether it is turned round, and the affine afterwards."""
    (affine, size), (other_affine, other_size) = grid, other
    if len(size) != 3 or len(other_size) != 3:
        raise ValueError(
            f"volumes of an image must have three axes, got {size} of {names[0]} and {other_size} of {names[1]}; save "
            "flat images as PNG, or with a third axis of length 1."
        )
    steps = orientations.ornt_transform(orientations.io_orientation(affine), orientations.io_orientation(other_affine))
    # As nibabel does it: axes are turned round where they are, then axis i goes to place steps[i, 0].
    new_size = tuple(size[axis] for axis in np.argsort(steps[:, 0]))
    if new_size != other_size:
        raise ValueError(
            f"volumes of an image must have one size, got {size} of {names[0]} and {other_size} of {names[1]}; "
            "resample one to the other, or leave the image out."
        )
    moved = affine @ orientations.inv_ornt_aff(steps, size)
    apart = _distance(moved, other)
    if apart > TOLERANCE:
        raise ValueError(
            f"volumes of an image must lie on one another, got {names[0]} up to {apart:.3g} voxels from {names[1]}; "
            "resample one to the other, or correct the affine in its header."
        )
    return steps, moved


def _distance(affine: NDArray[np.float64], grid: Grid) -> float:
    """The largest distance between corners of two volumes of one size, in the shortest voxel edges of the second."""
    corners = np.array([[*corner, 1] for corner in product(*[(0, length - 1) for length in grid[1]])], dtype=float)
    edge = float(np.linalg.norm(grid[0][:3, :3], axis=0).min())
    return float(np.linalg.norm((corners @ (affine - grid[0]).T)[:, :3], axis=1).max()) / edge
