# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Run all benchmarks and write ``docs/results/speed.md``."""

from __future__ import annotations

from pathlib import Path

from benchmarks import aa_crc, calibration, ct_sized, expected_gap, inference, loss, summaries, volumes

TARGET = Path(__file__).resolve().parents[1] / "docs" / "results" / "speed.md"
HEAD = """# Speed and memory

Made by `make bench`. Ratios are medians over rounds in which the contestants alternate in one process, on a CPU, with
one thread. They depend on the machine, above all on how long it takes to hand out memory.

| measured | value | asked for | holds |
|---|---|---|---|
"""


def main() -> None:
    """Print each row as it is there, then write the page."""
    rows = []
    for benchmark in (inference, loss, calibration, aa_crc, summaries, expected_gap, volumes, ct_sized):
        for row in benchmark.run():
            print(row, flush=True)
            rows.append(row)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(HEAD + "".join(f"{row}\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
