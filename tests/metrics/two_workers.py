# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Run by two processes: metrics of five images, dealt out unevenly, to one worker alone, or to nobody."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from monai_coat.metrics import CoverageGapMetric, CoverageMetric, SetSizeMetric

METRICS = {
    "coverage": CoverageMetric(reduction="mean_batch"),
    "gap": CoverageGapMetric(0.1, reduction="mean_batch"),
    "relative": SetSizeMetric("relative", reduction="mean_batch"),
    "fraction": SetSizeMetric("fraction", reduction="mean_batch"),
    "precision": SetSizeMetric("precision", reduction="mean_batch"),
}
SHARDS = {"uneven": ([0, 1, 2, 3], [4]), "empty": ([0, 1, 2, 3, 4], []), "nobody": ([], [])}


def shard(image):
    """Scores and label of an image of two classes; image 2 has no foreground of the second."""
    generator = torch.Generator().manual_seed(image)
    scores, label = torch.rand(2, 2, 6, 6, generator=generator)
    label = (label > 0.5).float()
    label[1] *= image != 2
    return scores, label


def main(folder: Path) -> None:
    dist.init_process_group("gloo")
    rank, found = dist.get_rank(), {}
    for name, metric in METRICS.items():
        for how, shards in SHARDS.items():
            metric.reset()
            for image in shards[rank]:
                metric(*(x[None] for x in shard(image)))
            try:
                found[f"{name} {how}"] = metric.aggregate().tolist()
                found[f"{name} {how} count"] = (~metric.get_buffer().isnan()).sum(0).tolist()
            except ValueError as error:
                found[f"{name} {how}"] = str(error)
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
