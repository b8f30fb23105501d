# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Networks with their calibration, from a folder, checked against each other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from monai_coat.calibration import ConformalRisk, check_calibration_fits, fingerprint, load_calibration
from monai_coat.networks import AdaptiveSegmenter, load_weights

__all__ = ["load_calibrated"]


def load_calibrated(
    networks: Mapping[str, AdaptiveSegmenter], folder: str | os.PathLike[str], alpha: float
) -> dict[str, AdaptiveSegmenter]:
    """Load the calibrated weights of one network or of several that share a segmenter.

    Args:
        networks: networks by method; ``model_<method>.pt`` and ``calibration_<method>.json`` are read.
        folder: where these files are.
        alpha: level that the calibration must be for.

    Returns:
        The networks, with weights and calibration.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a calibration is for another level, or does not belong to the weights beside it; also if one of
            several networks was calibrated with another segmenter than the rest. A network that does not fit is left
            uncalibrated.
    """
    folder = Path(folder)
    for method, network in networks.items():
        load_weights(network, folder / f"model_{method}.pt").calibrated.fill_(False)  # until it is seen to fit
    # Fingerprints are compared after all are loaded: a shared segmenter is the one of the file that came last.
    for method, network in networks.items():
        result = load_calibration(folder / f"calibration_{method}.json")
        check_calibration_fits(result, alpha=alpha, classes=network.num_classes, network=fingerprint(network))
        if result.controls == ConformalRisk.FALSE_ALARM:
            raise ValueError(
                f"calibration_{method}.json must be of what is missed, got one of {result.controls!r}; calibrate the "
                "prediction set, and keep false alarms in a file of their own."
            )
        network.set_calibration(result.cutoff, result.alpha, result.n)
    return dict(networks)
