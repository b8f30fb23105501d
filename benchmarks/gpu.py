# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Absolute times on a GPU: windows with and without the threshold, and calibration."""

from __future__ import annotations

from functools import partial

import torch
from monai.inferers import SlidingWindowInferer

from benchmarks.timing import Row, alternate
from benchmarks.volumes import collect, make_network, make_volumes
from monai_coat.calibration import calibrate
from monai_coat.inferers import AdaptiveInferer
from monai_coat.networks import AdaptiveSegmenter


def run(device: str = "cuda", side: int = 128, rounds: int = 5) -> list[Row]:
    """Measure on the device; what it is, the first row says."""
    network, image = make_network().to(device), torch.rand(1, 1, side, side, side, device=device)
    window = SlidingWindowInferer((64, 64, 64), sw_batch_size=4, overlap=0.25)
    pairs = [(scores.to(device), labels.to(device)) for scores, labels in make_volumes(5, side)]

    def timed(infer: AdaptiveInferer, model: AdaptiveSegmenter) -> None:
        with torch.no_grad():
            infer(image, model)
        if device == "cuda":
            torch.cuda.synchronize()

    infer = AdaptiveInferer(window)
    times = alternate(
        {
            "plain": partial(timed, infer, AdaptiveSegmenter(network.segmenter)),
            "adaptive": partial(timed, infer, network),
            "calibrate": lambda: calibrate(collect(pairs), 0.5),
        },
        rounds,
    )
    name = torch.cuda.get_device_name() if device == "cuda" else device
    return [
        Row(f"{name}: sliding windows of {side}^3, ms", times["plain"].milliseconds, "", True),
        Row(f"{name}: the same with f_D, ms", times["adaptive"].milliseconds, "", True),
        Row(f"{name}: calibration of {len(pairs)} volumes of {side}^3, ms", times["calibrate"].milliseconds, "", True),
    ]


if __name__ == "__main__":
    if torch.cuda.is_available():
        print(*run(), sep="\n")
    else:
        print("benchmarks on a GPU: skipped, as there is no CUDA device")
