# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Two processes of one Lightning trainer; each writes what it has to ``<rank>.json``."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, Subset

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def run(shard, own_sampler):
    """Cutoff and n, or what was said; ``shard`` is of the images."""
    from tests.integrations.test_lightning import ODD, Segmentation, make_callback

    data = Subset(ODD, shard)
    callback, module = make_callback(), Segmentation()
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        callbacks=[callback],
        use_distributed_sampler=not own_sampler,
        **quiet,
    )
    try:
        trainer.validate(module, DataLoader(data, 4), verbose=False)
    except ValueError as error:
        return str(error)
    return [callback.result.cutoff, callback.result.n]


if __name__ == "__main__":
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    warnings.simplefilter("ignore")
    mine = run(range(rank, 31, 2), own_sampler=True)
    repeated = run(range(31), own_sampler=False)
    (Path(sys.argv[1]) / f"{rank}.json").write_text(json.dumps([mine, repeated]))
    dist.destroy_process_group()
