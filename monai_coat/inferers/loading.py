# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Loading of calibrated networks: weights and calibration from a folder, checked against each other."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from monai_coat.calibration import Guarantee, check_calibration_fits, identity_of, load_calibration, risk_named
from monai_coat.networks import AdaptiveSegmenter, load_weights

__all__ = ["attach_calibration", "load_calibrated"]

logger = logging.getLogger(__name__)


def load_calibrated(
    networks: Mapping[str, AdaptiveSegmenter],
    folder: str | os.PathLike[str],
    alpha: float | None = None,
    pipeline: Mapping[str, object] | None = None,
    guarantee: Guarantee | None = None,
) -> dict[str, AdaptiveSegmenter]:
    """Load the calibrated weights of one network or of several that share a segmenter.

    Args:
        networks: networks by method; ``model_<method>.pt`` and ``calibration_<method>.json`` are read.
        folder: where these files are.
        alpha: level that the calibration must be for, whatever is missed: of each class or of the worst.
        pipeline: what stands around the networks, by name, see :func:`~monai_coat.calibration.identity_of`; all that
            the calibration names must be given, and be what it was made with.
        guarantee: the whole promise that the calibration must be for, its risk too, in place of ``alpha``.

    Returns:
        The networks, with weights and calibration.

    Raises:
        FileNotFoundError: if a file is missing.
        TypeError: if neither ``alpha`` nor ``guarantee`` is given.
        ValueError: if a calibration is for another promise, or does not belong to the weights beside it; also if one of
            several networks was calibrated with another segmenter than the rest, or if a network was made with another
            logit temperature than the weights hold. A network that does not fit is left uncalibrated.
    """
    if not isinstance(networks, Mapping):
        raise TypeError(
            f'networks must be networks by method, such as {{"coat": network}}, got {type(networks).__name__}; name '
            "the method that the files have in their names."
        )
    folder = Path(folder)
    for method, network in networks.items():
        _load(network, folder / f"model_{method}.pt")
    # Identities are compared after all are loaded: a shared segmenter is the one of the file that came last.
    for method, network in networks.items():
        attach_calibration(network, folder / f"calibration_{method}.json", alpha, pipeline, guarantee)
    return dict(networks)


def attach_calibration(
    network: AdaptiveSegmenter,
    path: str | os.PathLike[str],
    alpha: float | None = None,
    pipeline: Mapping[str, object] | None = None,
    guarantee: Guarantee | None = None,
) -> AdaptiveSegmenter:
    """Give a network, whose weights are loaded, the calibration of a file that was made with it.

    Args:
        network: the network.
        path: the calibration.
        alpha: level that it must be for, see :func:`load_calibrated`.
        pipeline: what stands around the network, see :func:`load_calibrated`.
        guarantee: the whole promise that it must be for, in place of ``alpha``.

    Returns:
        The network, calibrated.

    Raises:
        FileNotFoundError: if there is no such file.
        TypeError: if neither ``alpha`` nor ``guarantee`` is given.
        ValueError: if the calibration is for another promise, or of another network, setting or pipeline, by name of
            what differs; or if it is of false positives.

    Example:
        >>> import torch
        >>> from dataclasses import replace
        >>> from monai_coat.calibration import calibrate_maps, save_calibration
        >>> network, path = AdaptiveSegmenter(torch.nn.Conv2d(3, 1, 1)).eval(), getfixture("tmp_path") / "c.json"
        >>> maps = [torch.rand(1, 8, 8) for _ in range(9)]
        >>> result = calibrate_maps(maps, [each > 0.5 for each in maps], alpha=0.1)
        >>> save_calibration(replace(result, identity=identity_of(network)), path)
        >>> bool(attach_calibration(network, path, alpha=0.1).calibrated)
        True
    """
    if alpha is None and guarantee is None:
        raise TypeError("alpha or guarantee must be given, got neither; say what is to be promised.")
    result, name = load_calibration(path), Path(path).name
    if not risk_named(result.controls).rises:
        raise ValueError(
            f"{name} must be of what is missed, got one of {result.controls!r}; calibrate the prediction set, and keep "
            "false positives in a file of their own."
        )
    unnamed = sorted({*result.identity.pipeline} - {*(pipeline or {})})
    if unnamed:
        given = ", ".join(pipeline or {}) or "none"
        raise ValueError(
            f"pipeline must name {', '.join(unnamed)}, as {name} does, got {given}; give the objects that are in use, "
            "so that they can be compared."
        )
    check_calibration_fits(
        result,
        alpha=alpha,
        guarantee=guarantee,
        classes=network.num_classes,
        identity=identity_of(network, pipeline),
    )
    network.set_calibration(result.cutoff, result.alpha, result.n)
    if not all(result.promised):
        logger.warning("%s: %s", name, result.guarantee)
    return network


def _load(network: AdaptiveSegmenter, path: Path) -> None:
    """Load weights, uncalibrated until they are seen to fit; a setting that they would silently replace is refused."""
    asked = float(network.logit_temperature)
    load_weights(network, path).clear_calibration()
    kept = float(network.logit_temperature)
    if asked != kept:
        raise ValueError(
            f"logit_temperature must be {kept:g}, which {path.name} was saved with, got {asked:g}; make the network as "
            "the one that was calibrated, or calibrate it again."
        )
