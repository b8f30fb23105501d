# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Logits of networks that return more than a tensor, or smaller ones than their image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import interpolate

from monai_coat.networks.segmenter_calls import check_floating

__all__ = ["LogitsOf"]

MODES = {3: "linear", 4: "bilinear", 5: "trilinear"}


class LogitsOf(nn.Module):
    """A segmenter for :class:`~monai_coat.networks.AdaptiveSegmenter` made of any network.

    Logits of another size than the image's are brought to it, linearly between the centres of pixels: a calibration is
    of the maps that a user sees.

    Args:
        network: network that is called with an image ``(B, channels, *spatial)``.
        place: where its output has logits ``(B, C, *spatial)``: a key such as "out" (torchvision), an attribute such as
            "logits" (transformers), or a number, as in tuples of networks with several heads. By default the output is
            the logits.

    Raises:
        TypeError: when called, if there is no tensor in that place, or one of whole numbers.

    Example:
        >>> import torch
        >>> class Quarter(nn.Module):
        ...     def forward(self, image):
        ...         return {"out": image[..., ::4, ::4]}
        >>> LogitsOf(Quarter(), "out")(torch.rand(1, 1, 16, 12)).shape
        torch.Size([1, 1, 16, 12])
    """

    def __init__(self, network: nn.Module, place: str | int | None = None) -> None:
        super().__init__()
        self.network, self.place = network, place

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``(B, C, *spatial)`` at the image's size."""
        logits = self._taken(self.network(image))
        size = image.shape[2:]
        if logits.shape[2:] == size:
            return logits
        if logits.dim() != image.dim():
            raise TypeError(
                f"network must give logits (B, C, *spatial) with the axes of its image, {image.dim()}, got "
                f"{logits.dim()} in {self.place!r}; name another place."
            )
        return interpolate(logits, tuple(size), mode=MODES[logits.dim()], align_corners=False)

    def _taken(self, output: Any) -> Tensor:
        place, logits = self.place, None
        if place is None:
            logits = output
        elif isinstance(place, int):
            logits = output[place] if isinstance(output, tuple | list) and -len(output) <= place < len(output) else None
        else:
            logits = output.get(place) if isinstance(output, Mapping) else getattr(output, place, None)
        if not isinstance(logits, Tensor):
            raise TypeError(
                f"network must have a tensor in {place!r}, got {type(logits).__name__} there in its output, "
                f"{_words(output)}; name another place."
            )
        check_floating(logits)
        return logits


def _words(output: Any) -> str:
    """What an output is, with the places that it has."""
    name = type(output).__name__
    if isinstance(output, Mapping):
        return f"a {name} of {', '.join(map(repr, output)) or 'nothing'}"
    return f"a {name} of {len(output)}" if isinstance(output, tuple | list) else f"a {name}"
