# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What goes into a network with a scorer, and what comes out of its segmenter: refused where a promise would break."""

from __future__ import annotations

import sys
from typing import Any

import torch
from monai.inferers import PatchInferer, sliding_window_inference
from torch import Tensor, nn

__all__ = ["check_floating", "check_image", "check_norms", "check_output", "frozen_output", "refuse_in_window"]

WINDOWED: Any = (sliding_window_inference, PatchInferer.__call__)
CODES = {getattr(call, "__wrapped__", call).__code__ for call in WINDOWED}


def refuse_in_window() -> None:
    """Refuse a call from inside MONAI's sliding windows and patches, found by the functions that are running.

    A scorer that adapts to the image would adapt to every window by itself, and a calibration of whole images would
    not hold.

    Raises:
        RuntimeError: if there is such a call.
    """
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code in CODES:
            raise RuntimeError(
                "network must see the whole image, since its thresholds are of images, got a window of one; use "
                "monai_coat.inferers.AdaptiveInferer(inferer) in place of the inferer: it runs the segmenter by "
                "windows and the scorer on the whole image."
            )
        frame = frame.f_back  # type: ignore[assignment]


def frozen_output(segmenter: nn.Module, image: Tensor, *args: Any, **kwargs: Any) -> Any:
    """What a segmenter gives in evaluation mode and without gradients; its own mode stays as it is."""
    if torch.compiler.is_compiling():
        return segmenter(image, *args, **kwargs)
    training = [module for module in segmenter.modules() if module.training]
    try:
        for module in training:  # whose batch statistics would drift
            module.training = False
        with torch.no_grad():
            return segmenter(image, *args, **kwargs)
    except RuntimeError as error:
        _check_precision(segmenter, error)
        raise
    finally:
        for module in training:
            module.training = True


def check_image(image: object) -> None:
    """Refuse what is no tensor.

    Raises:
        TypeError: if it is none.
    """
    if not isinstance(image, Tensor):
        raise TypeError(
            f"image must be a torch.Tensor (B, channels, *spatial), got {type(image).__name__}; convert it, "
            "torch.as_tensor(image)."
        )


def _check_precision(segmenter: nn.Module, error: RuntimeError) -> None:
    """Say what torch means by types that differ, where the weights are not of the images' precision."""
    others = {p.dtype for p in segmenter.parameters() if p.is_floating_point()} - {torch.float32}
    if others and "type" in str(error):
        raise RuntimeError(
            f"segmenter must take images in float32, got weights in {', '.join(sorted(map(str, others)))}; call "
            f"segmenter.float(), or wrap it in a module that casts its input and output ({error})."
        ) from error


def check_norms(network: nn.Module) -> None:
    """Refuse batch normalisation without running statistics: in evaluation mode too, it takes those of the batch.

    Raises:
        RuntimeError: naming the layer.
    """
    for path, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise RuntimeError(
                f"network must give an image the same scores in every batch, got {path}, a {type(module).__name__} "
                "without running statistics; train it with track_running_stats=True, or with GroupNorm or InstanceNorm."
            )


def check_output(output: object, image: Tensor | None = None) -> None:
    """Refuse what a segmenter gives beside a tensor, or of another size than the image's, whose labels have that.

    Raises:
        TypeError: if it is no tensor, or one of whole numbers, with what to do in the message.
        ValueError: if its size is another.
    """
    if not isinstance(output, Tensor):
        place = {"dict": "'out'", "tuple": "0", "list": "0"}.get(_kind(output), "'logits'")
        raise TypeError(
            f"segmenter must return a tensor of logits (B, C, *spatial), got {type(output).__name__}; name the place "
            f"of its logits: AdaptiveSegmenter(monai_coat.networks.LogitsOf(segmenter, {place}), ...)."
        )
    check_floating(output)
    if image is not None and not torch.compiler.is_compiling() and output.shape[2:] != image.shape[2:]:
        raise ValueError(
            f"segmenter must give logits of the image's size, {tuple(image.shape[2:])}, got {tuple(output.shape[2:])}; "
            "let monai_coat.networks.LogitsOf(segmenter) bring them to it."
        )


def check_floating(logits: Tensor) -> None:
    """Refuse labels in place of logits.

    Raises:
        TypeError: if the numbers are not floating point.
    """
    if not logits.is_floating_point():
        raise TypeError(
            f"network must give logits of floating point, got {logits.dtype}, which is of labels; take its output "
            "before argmax or a threshold."
        )


def _kind(output: object) -> str:
    return next((kind.__name__ for kind in (dict, list, tuple) if isinstance(output, kind)), "")
