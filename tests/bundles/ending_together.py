# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A process that joins and leaves groups as a bundle does when its training ends; run by test_multi_process."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.nn
from torch import nn


def train_and_end(finalize: str) -> None:
    """A step of training, collectives whose tensors are freed by the group's threads, and the end."""
    group = dist.new_group([0, 1])
    network = nn.parallel.DistributedDataParallel(nn.Linear(64, 64), process_group=group)
    network(torch.rand(4, 64)).sum().backward()
    for _ in range(3):
        dist.all_gather([torch.empty(200) for _ in range(2)], torch.rand(200), group=group, async_op=True).wait()
    dist.destroy_process_group(group)
    del group
    eval(finalize.removeprefix("$").replace("@train_network", "network"), {}, {"network": network})


if __name__ == "__main__":
    dist.init_process_group("gloo")
    (expression,) = json.loads(Path(sys.argv[1]).read_text())["+finalize"]
    for _ in range(30):
        train_and_end(expression)
    print("ended", flush=True)
    os._exit(0)  # the group of all has served, and is no matter here
