# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A writer among several that believe to have one process number, as those of containers do: run as a script."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from monai_coat.files import replacing, write_json


def write_for(seconds: float, folder: Path, name: str) -> int:
    """Write the same two files over and over; returns how often."""
    os.getpid = lambda: 7
    limit, rounds = time.monotonic() + seconds, 0
    while time.monotonic() < limit:
        write_json(folder / "shared.json", {"by": name, "values": [rounds] * 2000})
        with replacing(folder / "shared.bin") as temporary, temporary.open("wb") as file:
            for _ in range(20):
                file.write(name.encode() * 1000)
        rounds += 1
    return rounds


if __name__ == "__main__":
    print(write_for(float(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
