# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Run by two processes: a calibration and the records of images, dealt out unevenly or to one worker alone."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
import torch.distributed as dist
from ignite.engine import Engine
from monai.data import DistributedSampler
from torch import nn

from monai_coat.handlers import ConformalCalibration, ImageRecords
from monai_coat.networks import AdaptiveSegmenter

SHARDS = {"uneven": (range(16), range(16, 19)), "empty": (range(19), range(0)), "empty first": (range(0), range(19))}


def image(index):
    """Scores, with ties, and label ``(1, 1, 6, 6)`` of an image; image 3 has no foreground."""
    generator = torch.Generator().manual_seed(index)
    scores, label = torch.rand(2, 1, 1, 6, 6, generator=generator)
    return (scores * 32).round() / 32, (label > 0.4).float() * (index != 3)


def calibrate(indices, **options):
    """Calibrate on these images, in an engine that knows nothing of it."""
    engine = Engine(lambda engine, batch: batch)
    ConformalCalibration(alpha=0.1, **options).attach(engine)
    # An iterator: Ignite does not let an engine run on a loader of length 0.
    return engine.run(iter([image(index) for index in indices])).calibration


def record(indices):
    """Records of these images by a calibrated network."""
    engine = Engine(lambda engine, batch: batch)
    engine.network = AdaptiveSegmenter(nn.Conv2d(1, 1, 1))
    engine.network.set_calibration((0.5,), alpha=0.1, n=(18,))
    ImageRecords(keep_masks=True).attach(engine)
    state = engine.run(iter([image(index) for index in indices]))
    masks = {name: int(kept.unpack()[0].sum()) for name, kept in state.masks.items()}
    return [[r.name, r.set_size, r.foreground, masks[r.name]] for r in state.records]


def main(folder: Path) -> None:
    dist.init_process_group("gloo")
    rank, found = dist.get_rank(), {}
    for how, shards in SHARDS.items():
        network, path = AdaptiveSegmenter(nn.Conv2d(1, 1, 1)), folder / f"{how} by {rank}.json"
        result = asdict(calibrate(shards[rank], network=network, path=path))
        del result["identity"]  # the weights are each worker's own here
        buffers = [network.calibrated_cutoff.tolist(), network.calibrated_n.tolist(), bool(network.calibrated)]
        found[how] = {"result": result, "buffers": buffers, "written": path.exists()}
    try:
        calibrate(range(4 * rank, 4 * rank + 4))
    except ValueError as error:
        found["too few"] = str(error)
    sampler = DistributedSampler(range(19), even_divisible=False, shuffle=False)
    found["records"] = record(sampler)
    found["records of one worker"] = record(range(19) if rank else [])
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
