# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Volumes: calibration against reading, the threshold against the windows, sketches against maps, two workers."""

from __future__ import annotations

import copy
import tempfile
import time
import tracemalloc
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from ignite.engine import Engine
from monai.inferers import SlidingWindowInferer
from monai.networks.nets import UNet
from torch import Tensor, nn

from benchmarks.timing import Row, alternate
from monai_coat.calibration import BinnedStatistic, CoverageStatistic, calibrate
from monai_coat.data import synthetic_maps
from monai_coat.functional import true_positive_rate
from monai_coat.handlers import ConformalCalibration
from monai_coat.inferers import AdaptiveInferer
from monai_coat.losses import SoftTPRLoss
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.scorers import MarginScorer, SketchMargins, ThresholdPredictor
from monai_coat.transforms import MapSketch

SIDE, COUNT, ALPHA = 128, 20, 0.1
Pairs = list[tuple[Tensor, Tensor]]


def make_volumes(count: int, side: int, seed: int = 0) -> Pairs:
    """Scores in [0, 1) and balls of about 3 % of the volume."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.meshgrid(*[torch.linspace(-1, 1, side)] * 3, indexing="ij")
    pairs = []
    for _ in range(count):
        center = torch.rand(3, generator=generator) - 0.5
        ball = sum((axis - place) ** 2 for axis, place in zip(axes, center, strict=True)) < 0.15
        pairs.append((torch.rand(1, 1, side, side, side, generator=generator), ball[None, None]))
    return pairs


def collect(pairs: Pairs) -> CoverageStatistic:
    """The statistic, volume by volume."""
    statistic = CoverageStatistic()
    for scores, labels in pairs:
        statistic.update(scores, labels)
    return statistic


def read(pairs: Pairs) -> None:
    """Touch every number once."""
    for scores, labels in pairs:
        scores.sum()
        labels.sum()


def peak_of(count: int, side: int = 64) -> float:
    """Peak memory in MB of a binned statistic that is shown so many volumes, each forgotten after it."""
    tracemalloc.start()
    statistic = BinnedStatistic()
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        scores = torch.rand(1, 1, side, side, side, generator=generator)
        statistic.update(scores, scores > 0.95)
    calibrate(statistic, ALPHA)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return peak


def make_network() -> AdaptiveSegmenter:
    """A small 3D UNet with a threshold predictor that looks at the volume."""
    segmenter = UNet(3, 1, 1, (16, 32, 64, 128), (2, 2, 2), num_res_units=1)
    return AdaptiveSegmenter(segmenter, MarginScorer(ThresholdPredictor(3, 1, backbone="small"))).eval()


def of_windows(rounds: int) -> float:
    """What the threshold adds to a sliding window, as a share of it."""
    network, image = make_network(), torch.rand(1, 1, SIDE, SIDE, SIDE)
    window = SlidingWindowInferer((64, 64, 64), sw_batch_size=2, overlap=0.25)
    with torch.no_grad():
        plain = partial(AdaptiveInferer(window), image, AdaptiveSegmenter(network.segmenter))
        times = alternate({"plain": plain, "adaptive": partial(AdaptiveInferer(window), image, network)}, rounds)
    return times["adaptive"].over(times["plain"]) - 1


def of_sketches(rounds: int) -> tuple[float, float]:
    """An epoch on full maps over one on sketches, and how far apart the calibrated coverages are."""
    large = [(pair["probs"][None], pair["label"][None]) for pair in synthetic_maps(8, (96, 96, 96))]
    scorer = MarginScorer(ThresholdPredictor(3, 1, backbone="none"))
    times = alternate(
        {
            "maps": partial(train, copy.deepcopy(scorer), large, 1, sketched=False),
            "sketches": partial(train, copy.deepcopy(scorer), [batch_of(sketches_of(scorer, large))], 1, sketched=True),
        },
        rounds,
    )
    small = [(pair["probs"][None], pair["label"][None]) for pair in synthetic_maps(240, (24, 24, 24), seed=1)]
    parts = small[:60], small[60:150], small[150:]
    means = []
    for sketched in (False, True):
        trained = copy.deepcopy(scorer)
        train(trained, sketches_of(trained, parts[0]) if sketched else parts[0], 10, sketched)
        means.append(coverage(trained, parts[1], parts[2]))
    return times["maps"].over(times["sketches"]), abs(means[0] - means[1])


def sketches_of(scorer: MarginScorer, pairs: Pairs) -> list[tuple[Tensor, ...]]:
    """What training keeps of each volume."""
    sketch = MapSketch(scorer.predictor)
    return [tuple(part[None] for part in sketch(probs[0], label[0])) for probs, label in pairs]


def batch_of(items: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Sketches of volumes of any sizes fit in one batch; maps do not."""
    return tuple(torch.cat(parts) for parts in zip(*items, strict=True))


def train(scorer: MarginScorer, items: list, epochs: int, sketched: bool) -> None:
    """Adam on single volumes, in their order."""
    loss, network = SoftTPRLoss(ALPHA, 0.05), SketchMargins(scorer)
    optimizer = torch.optim.Adam(scorer.parameters(), 1e-3)
    for _ in range(epochs):
        for item in items:
            optimizer.zero_grad()
            if sketched:
                summaries, values, label = item
                loss(network(summaries, values), label).backward()
            else:
                probs, label = item
                loss(scorer(probs, probs), label).backward()
            optimizer.step()


def coverage(scorer: MarginScorer, calibration: Pairs, test: Pairs) -> float:
    """Mean coverage of test volumes after calibration on others."""
    with torch.no_grad():
        cutoff = calibrate(collect([(scorer(p, p), y) for p, y in calibration]), ALPHA).cutoff[0]
        return float(torch.stack([true_positive_rate(scorer(p, p), y, cutoff).mean() for p, y in test]).mean())


def work(rank: int, workers: int, folder: str, volumes: int, side: int) -> None:
    """Calibrate this worker's share of the volumes; the first worker leaves the seconds it took."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=workers)
    torch.manual_seed(0)
    network: nn.Module = make_network()
    pairs = make_volumes(volumes, side)[rank::workers]
    engine = Engine(lambda _, pair: (AdaptiveInferer()(pair[0], network), pair[1]))
    ConformalCalibration(ALPHA).attach(engine)
    dist.barrier()
    start = time.perf_counter()
    with torch.no_grad():
        engine.run(pairs)
    if rank == 0:
        Path(folder, "seconds").write_text(str(time.perf_counter() - start))
    dist.destroy_process_group()


def seconds_of(workers: int) -> float:
    """Time that this many processes need to calibrate together, their start left out."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(work, (workers, folder, 16, 64), nprocs=workers)
        return float(Path(folder, "seconds").read_text())


def run(rounds: int = 3) -> list[Row]:
    """Measure with one thread per process."""
    torch.set_num_threads(1)
    pairs = make_volumes(COUNT, SIDE)
    times = alternate({"read": partial(read, pairs), "calibrate": lambda: calibrate(collect(pairs), ALPHA)}, rounds)
    ratio = times["calibrate"].over(times["read"])
    few, many = peak_of(20), peak_of(200)
    growth = 1e3 * (many - few) / 180
    added = of_windows(rounds)
    epoch, apart = of_sketches(rounds)
    two = min(seconds_of(2) for _ in range(rounds)) / min(seconds_of(1) for _ in range(rounds))
    return [
        Row(f"calibration of {COUNT} volumes of {SIDE}^3 / reading them once", ratio, "at most 5", ratio <= 5),
        Row("peak memory of binned calibration of 20 volumes of 64^3, MB", few, "under 1", few < 1),
        Row("what each further volume of 1 MB adds to it, up to 200, kB", growth, "under 1", growth < 1),
        Row(f"f_D beside sliding windows of {SIDE}^3, share added", added, "under 0.05", added < 0.05),
        Row(
            "epoch of f_D on 8 maps of 96^3 one by one / their sketches at once",
            epoch,
            "at least 20",
            epoch >= 20,
        ),
        Row("coverage after calibration, maps against sketches, difference", apart, "under 0.002", apart < 0.002),
        Row("two workers' calibration / one worker's", two, "at most 0.6", two <= 0.6),
    ]


if __name__ == "__main__":
    print(*run(), sep="\n")
