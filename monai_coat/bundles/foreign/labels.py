# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""How the label of a bundle becomes one mask per class, on the grid of its file.

Tested by tests/bundles/foreign/test_facts.py.
"""

from __future__ import annotations

from typing import Any

from monai_coat.bundles.foreign.facts import Facts
from monai_coat.bundles.foreign.source import Entry, Source

__all__ = ["label_transforms"]

KEY = "label"

# What brings a label onto the grid of the network, or into a type of numbers: it stays on the grid of its file here.
PLACES = {"LoadImage", "EnsureChannelFirst", "AddChannel", "AsChannelFirst", "EnsureType", "CastToType", "ToTensor"}
PLACES |= {"Orientation", "Spacing", "Resize", "Zoom", "ResampleToMatch", "SpatialPad", "BorderPad", "DivisiblePad"}
PLACES |= {"CropForeground", "CenterSpatialCrop", "SpatialCrop", "ResizeWithPadOrCrop", "Rotate90", "Flip"}
PLACES |= {"CopyItems", "DeleteItems", "SelectItems", "Identity", "ToDevice", "SqueezeDim"}
# What changes the values of a mask of 0 and 255 into 0 and 1.
SCALES = {"ScaleIntensity", "ScaleIntensityRange"}
# What changes values, and is kept.
RELABELS = {"MapLabelValue", "Relabel"}
CHANNELS = {"ConvertToMultiChannelBasedOnBratsClasses"}


def label_transforms(source: Source, facts: Facts) -> list[Any]:
    """Transforms from the path of a label to masks ``(C, *spatial)``, some of them the bundle's own by reference.

    Raises:
        ValueError: if the bundle does something to the label that is not understood, naming the option that says what
            is to be done.
    """
    if facts.spatial_dims == 2 and len(facts.classes) == 1:
        _kept(source, scales=True)
        return [_ours("ReadMaskd")]
    kept = _kept(source)
    makes_channels = any(entry.target in CHANNELS for entry in kept)
    if facts.activation != "softmax" and len(facts.classes) > 1 and not makes_channels:
        raise ValueError(
            f"{source.ids.label_preprocessing} must make one channel per class of the label, since classes of a "
            f"{facts.activation} may overlap, got {', '.join(e.target for e in kept) or 'nothing that does'}; give "
            '--label-transforms, such as \'[{"_target_": "monai_coat.transforms.ClassMasksd", "keys": "label", '
            '"values": [1, 2]}]\' for values 1 and 2.'
        )
    masks = [] if makes_channels else [_ours("ClassMasksd", values=list(range(1, len(facts.classes) + 1)))]
    return [_ours("ReadLabelMapd"), *(f"@{entry.id}" for entry in kept), *masks]


def _ours(name: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": f"monai_coat.transforms.{name}", "keys": KEY, **arguments}


def _kept(source: Source, scales: bool = False) -> list[Entry]:
    """The bundle's own transforms of the label's values."""
    if not source.training:
        return []
    entries = [e for e in source.transforms(source.ids.label_preprocessing) if KEY in e.keys(source)]
    known = PLACES | RELABELS | CHANNELS | (SCALES if scales else set())
    for entry in entries:
        if entry.target not in known or (entry.target in RELABELS | CHANNELS and entry.keys(source) != (KEY,)):
            raise ValueError(
                f"{entry.id} must be a transform of the label that is known, got {entry.target}; say what makes masks "
                "of a label map after it was read, with --label-transforms, or [] if it is masks already."
            )
    return [entry for entry in entries if entry.target in RELABELS | CHANNELS]
