# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The way back from the grid of the network to that of the image's file, from whichever process prepared the image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, InvertibleTransform, Transform
from monai.transforms.inverse import TraceableTransform
from monai.utils import TraceKeys

__all__ = ["RestoreGridD", "RestoreGridDict", "RestoreGridd"]

Steps = list[tuple[TraceableTransform, int]]
"""Transforms, and how many of those that follow are inside each."""


class RestoreGridd(Invertd):
    """MONAI's ``Invertd``, also for images that were prepared by workers that do not share memory.

    MONAI knows a transform again by the number of the object in memory. Workers that are started anew (the default of
    Windows and macOS, and of Linux from Python 3.14 on) have objects of their own, and ``Invertd`` fails after them
    unless the whole program is set to "spawn". Here their steps are known by class and order in ``transform``.
    Arguments are those of ``Invertd``.

    Example:
        >>> import torch
        >>> from monai.transforms import Flipd
        >>> flip = Flipd("image", 0)
        >>> data = flip({"image": MetaTensor(torch.arange(4.0).reshape(1, 2, 2))})
        >>> RestoreGridd("pred", flip, "image")({**data, "pred": data["image"]})["pred"].tolist()
        [[[0.0, 1.0], [2.0, 3.0]]]
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Bring ``keys`` back; where no step of ``transform`` moves anything, they are where they were."""
        steps = (step for step, _ in _steps(self.transform) if not isinstance(step, Compose))
        if not any(isinstance(step, InvertibleTransform) for step in steps):
            return dict(data)
        known = {key: self._known_here(data[key]) for key in set(self.orig_keys) if key in data}
        restored = super().__call__({**data, **known})
        return {**restored, **{key: data[key] for key in known if key not in self.keys}}

    def _known_here(self, image: Any) -> Any:
        """The image, with steps of another process as those of the objects in this one."""
        if not isinstance(image, MetaTensor):
            return image
        here = _steps(self.transform)
        if {id(step) for step, _ in here} & {operation[TraceKeys.ID] for operation in image.applied_operations}:
            return image
        copy: Any = image.clone()
        copy.applied_operations = [_renumbered(operation, here) for operation in image.applied_operations]
        return copy


def _renumbered(operation: Mapping[str, Any], here: Steps) -> dict[str, Any]:
    """The operation as that of the first step of its class, which is taken out of ``here`` with all before it.

    Random transforms keep the operation that they chose, which is of a transform inside them, within their own.
    """
    names = [type(step).__name__ for step, _ in here]
    if operation[TraceKeys.CLASS_NAME] not in names:
        return dict(operation)
    place = names.index(operation[TraceKeys.CLASS_NAME])
    (step, inside), chosen = here[place], operation.get(TraceKeys.EXTRA_INFO)
    within = here[place + 1 : place + 1 + inside]
    del here[: place + 1 + inside]
    if isinstance(chosen, Mapping) and TraceKeys.CLASS_NAME in chosen:
        chosen = _renumbered(chosen, within)
    return {**operation, TraceKeys.ID: id(step), TraceKeys.EXTRA_INFO: chosen}


def _steps(part: Any) -> Steps:
    """The transforms in a transform that leave a trace, as they are run, each before those inside it."""
    parts = part if isinstance(part, list | tuple) else vars(part).values() if isinstance(part, Transform) else ()
    inside = [step for value in parts for step in _steps(value)]
    return [(part, len(inside)), *inside] if isinstance(part, TraceableTransform) else inside


RestoreGridD = RestoreGridDict = RestoreGridd
