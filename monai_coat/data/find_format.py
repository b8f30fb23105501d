# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The format of a folder of predictions, from its files and what is said about them.

Tested by tests/data/test_prediction_folder.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_coat.data.arrays import array_shape, axes_that_fit
from monai_coat.data.class_labels import ClassLabels
from monai_coat.data.flat_files import size_of_flat
from monai_coat.data.map_format import MapFormat, MapOptions, has_background
from monai_coat.data.nnunet import NNUNet
from monai_coat.data.sample_maps import all_channels, source_of, unit_of
from monai_coat.data.volumes import VALUES, volume_grid
from monai_coat.files.names import is_array, is_volume

__all__ = ["format_of"]

Sample = Mapping[str, Any]


def format_of(
    samples: Sequence[Sample], options: MapOptions, nnunet: NNUNet | None, names: tuple[str, ...] = ()
) -> MapFormat:
    """Find out what channels, axes and values of maps mean; the first image decides, and the others must agree.

    Args:
        samples: dictionaries with ``probs``, and ``label`` where axes are to be told by sizes.
        options: what was said.
        nnunet: the description of the dataset, if maps are nnU-Net's.
        names: names of classes, if there is a folder for each.

    Raises:
        ValueError: if it is not clear.
    """
    classes = options.classes
    if names and (classes is None or classes.names != names):
        raise ValueError(
            f"classes must name the labels of {', '.join(names)}, in this order, got {classes}; give them, as in "
            f"--classes {','.join(f'{name}={number}' for number, name in enumerate(names, 1))}."
        )
    if options.are_masks:
        return MapFormat(classes, "classes", "", unit_of(source_of(samples[0])))
    axes = "czyx" if nnunet is not None else _axes(samples, options)
    maps, source = all_channels(samples[0], axes, nnunet), source_of(samples[0])
    if nnunet is not None:
        classes = _checked(classes, nnunet)
        background = nnunet.has_background
    else:
        background = not names and has_background(maps, classes, source)
    count = maps.shape[0] - background
    if classes is None and count > 1:
        classes = ClassLabels.numbered(count)
    channels = "background first" if background else "classes"
    return MapFormat(classes, channels, axes, maps.meta.get(VALUES, "float"))


def _checked(classes: ClassLabels | None, nnunet: NNUNet) -> ClassLabels:
    if classes is not None and classes != nnunet.classes:
        raise ValueError(
            f"classes must be those of dataset.json, {nnunet.classes}, got {classes}; leave them out, since the file "
            "says them."
        )
    return nnunet.classes


def _axes(samples: Sequence[Sample], options: MapOptions) -> str:
    """The axes of arrays: those that were said, or the only ones that fit the sizes of all masks."""
    arrays = [is_array(source_of(sample)) for sample in samples]
    if not any(arrays):
        if options.axes:
            raise ValueError(
                f"axes must be given for NumPy's files only, got {options.axes!r} for {source_of(samples[0])}, which "
                "says its own; leave them out."
            )
        return ""
    if not all(arrays):
        odd = source_of(samples[arrays.index(False)])
        raise ValueError(f"maps must all be NumPy's files, or none, got {odd} among them; save all maps in one way.")
    if options.axes:
        return options.axes
    fitting: list[str] = []
    for sample in samples:
        found = _axes_of(sample)
        fitting = [axes for axes in fitting if axes in found] if fitting else found
        if not fitting:
            raise ValueError(
                f"maps must have the size of their masks, got {array_shape(source_of(sample))} of {source_of(sample)} "
                f"for {sample.get('label', 'no mask')}; save maps at the size of the masks, all with the same axes."
            )
    if len(fitting) > 1:
        raise ValueError(
            f"axes must be given, since masks are as high as they are wide, so that {' and '.join(fitting)} fit "
            f"{source_of(samples[0])} and all others; name what its array has, as in --axes {fitting[0]} for NumPy's "
            "and OpenCV's order of rows."
        )
    return fitting[0]


def _axes_of(sample: Sample) -> list[str]:
    shape, label = array_shape(source_of(sample)), sample.get("label")
    if label is None:
        raise ValueError(f"axes must be given for {source_of(sample)} without a mask; name them, as in --axes cyx.")
    if not is_array(label):
        return axes_that_fit(shape, volume_grid(label)[1] if is_volume(label) else size_of_flat(label))
    # A mask that is an array too has the same axes, whichever they are.
    size = tuple(length for place, length in enumerate(array_shape(label)) if place or length > 1)
    order = {2: "yx", 3: "zyx"}.get(len(size), "")
    forms = {order: shape, f"c{order}": shape[1:], f"{order}c": shape[:-1]}
    return [axes for axes, spatial in forms.items() if order and spatial == size and len(axes) == len(shape)]
