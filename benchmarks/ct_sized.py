# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Three classes on volumes as large as CT: learned from, calibrated and cut, each step in a process of its own.

It writes 6 GB to the folder of temporary files, and takes about ten minutes.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.timing import Row
from monai_coat.cli import main
from monai_coat.data import ClassLabels, MapFormat
from monai_coat.predictions import fit_scorer

SIZE, RADII, ALPHA = (300, 512, 512), (0.5, 0.25, 0.1), 0.2
SPACING = np.diag([0.8, 0.8, 1.5, 1.0])
CLASSES = ClassLabels.parse("liver=1,lesion=2,vessel=3")
STEPS = {"fit": 10, "calibrate": 5, "apply": 1}
"""Volumes of each step."""

LIMIT = 3.0
OUTPUT = 4 * len(RADII) * float(np.prod(SIZE)) / 1e9
"""What the segmenter gives for one volume, in GB."""


def volume(seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Maps of nested balls, ``(classes, z, y, x)``, and their label map."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, size, dtype=np.float32) for size in SIZE], indexing="ij", sparse=True)
    maps, label = np.empty((len(RADII), *SIZE), np.float32), np.zeros(SIZE, np.uint8)
    for index, radius in enumerate(RADII):
        center, error = rng.uniform(-0.4, 0.4, 3), np.float32(rng.normal(0, 0.03))
        distance = np.sqrt(sum((axis - np.float32(c)) ** 2 for axis, c in zip(axes, center, strict=True)))
        distance -= np.float32(radius)
        label[distance < 0] = index + 1
        distance += error
        np.exp(20 * distance, out=maps[index])
        maps[index] += 1
        np.reciprocal(maps[index], out=maps[index])
    return maps, label


def pairs(count: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Maps and masks, one volume at a time."""
    for seed in range(count):
        maps, label = volume(seed)
        yield torch.from_numpy(maps), torch.stack([torch.from_numpy(label == index) for index in (1, 2, 3)])


def write(folder: Path, seeds: range) -> None:
    """Volumes as files."""
    for name in ("maps", "labels"):
        (folder / name).mkdir(parents=True)
    for seed in seeds:
        for name, values in zip(("maps", "labels"), volume(seed), strict=True):
            nibabel.save(nibabel.Nifti1Image(values.T, SPACING), folder / name / f"{seed}.nii")


def work(step: str, root: Path) -> None:
    """Take one step, and print the peak of memory in GB and the seconds of one volume."""
    started, alpha = time.process_time(), ["--alpha", str(ALPHA)]
    scorer, artifact = str(root / "meg.pt"), str(root / "calibration.json")
    if step == "fit":
        fitted = fit_scorer(pairs(STEPS[step]), ALPHA, "meg")
        replace(fitted, format=MapFormat(CLASSES, "classes", "", "float")).save(scorer)
    elif step in STEPS:
        given = ["--probs", str(root / step / "maps")]
        labels = ["--labels", str(root / step / "labels"), "--classes", str(CLASSES), *alpha, "--scorer", scorer]
        more = [*labels, "--output", artifact] if step == "calibrate" else ["--output", str(root / "masks")]
        main([step, *([artifact] if step == "apply" else []), *given, *more])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"\n{peak} {(time.process_time() - started) / STEPS.get(step, 1)}")


def measured(step: str, root: Path) -> tuple[float, float]:
    """Peak of memory and seconds of a step."""
    command = [sys.executable, "-m", "benchmarks.ct_sized", step, str(root)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    peak, seconds = map(float, said.splitlines()[-1].split())
    return peak, seconds


def run() -> list[Row]:
    """Measure all steps with one thread."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        idle, _ = measured("nothing", root)
        for step, count in STEPS.items():
            if step != "fit":
                write(root / step, range(100 * count, 101 * count))
            peak, seconds = measured(step, root)
            beyond, what = peak - idle - OUTPUT, f"three classes of 512x512x300, {step} {count}"
            name = f"{what}: peak memory beyond one output of {OUTPUT:.2g} GB, GB"
            rows.append(Row(name, beyond, f"at most {LIMIT:g}", beyond <= LIMIT))
            rows.append(Row(f"{what}: CPU seconds a volume", seconds, "", True))
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 2:
        work(sys.argv[1], Path(sys.argv[2]))
    else:
        print(*run(), sep="\n")
