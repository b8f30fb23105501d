# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The second edition of MEG: its fit, what it adds to a segmenter and to sliding windows, and the memory it takes."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import torch
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import UNet

from benchmarks.summaries import status
from benchmarks.timing import Row, alternate
from monai_coat.data import synthetic_maps
from monai_coat.inferers import AdaptiveInferer
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.scorers import ExpectedGapScorer

ALPHA, IMAGES, FLAT, SIDE = 0.1, 250, 352, 128


def fitted(spatial_size: tuple[int, ...] = (32, 32)) -> ExpectedGapScorer:
    """A scorer of a few small maps; how long it scores does not depend on them."""
    pairs = [(pair["probs"][None], pair["label"][None]) for pair in synthetic_maps(60, spatial_size)]
    return ExpectedGapScorer().fit_batches(pairs, ALPHA)


def seconds_of_fit() -> float:
    """CPU seconds to learn from 250 maps of 128 x 128 that are in memory."""
    pairs = [(pair["probs"][None], pair["label"][None]) for pair in synthetic_maps(IMAGES, (128, 128))]
    start = time.process_time()
    ExpectedGapScorer().fit_batches(pairs, ALPHA)
    return time.process_time() - start


def milliseconds_of_map(rounds: int) -> float:
    """CPU milliseconds to score one map of 352 x 352."""
    scorer, probs = fitted(), (20 * torch.rand(1, 1, FLAT, FLAT) - 18).clamp(0, 1)
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        scorer(probs, probs)
        seconds.append(time.process_time() - start)
    return 1e3 * sorted(seconds)[rounds // 2]


def share_of_windows(rounds: int) -> float:
    """What scores add to a sliding window over 128^3, as a share of it."""
    segmenter = UNet(3, 1, 1, (16, 32, 64, 128), (2, 2, 2), num_res_units=1).eval()
    image, window = torch.rand(1, 1, SIDE, SIDE, SIDE), SlidingWindowInferer((64, 64, 64), 2, overlap=0.25)
    networks = {"plain": AdaptiveSegmenter(segmenter), "adaptive": AdaptiveSegmenter(segmenter, fitted((12, 12, 12)))}
    with torch.no_grad():
        times = alternate(
            {name: partial(AdaptiveInferer(window), image, net.eval()) for name, net in networks.items()}, rounds
        )
    return times["adaptive"].over(times["plain"]) - 1


def memory_in_maps() -> float:
    """Peak memory of scoring a volume of 160^3 beyond the map, in maps; run it in a process of its own."""
    torch.set_num_threads(1)
    scorer, probs = fitted((12, 12, 12)), torch.rand(1, 1, 160, 160, 160)
    before = status("VmRSS")
    with torch.no_grad():
        scorer(probs, probs)
    return (status("VmHWM") - before) / probs.nbytes


def run(rounds: int = 5) -> list[Row]:
    """Measure with one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.no_grad():
        fit, flat, share = seconds_of_fit(), milliseconds_of_map(4 * rounds + 1), share_of_windows(rounds)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        maps = pool.submit(memory_in_maps).result()
    return [
        Row(f"MEG, second edition: fit to {IMAGES} maps of 128x128, CPU s", fit, "at most 2", fit <= 2),
        Row(f"its scores of a map of {FLAT}x{FLAT}, CPU ms", flat, "at most 25", flat <= 25),
        Row(f"its scores beside sliding windows of {SIDE}^3, share added", share, "at most 0.1", share <= 0.1),
        Row("its memory beyond the map, in maps", maps, "at most 6", maps <= 6),
    ]


if __name__ == "__main__":
    print(*run(), sep="\n")
