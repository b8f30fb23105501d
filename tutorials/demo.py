# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The main job on generated images: train, calibrate, evaluate and predict through the polyp bundle.

    python tutorials/demo.py [folder]

Every step is the command that the bundle documents, with smaller settings; each is printed before it runs.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from monai_coat.data import write_synthetic_dataset

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "polyp_coat"
SETTINGS = {"domain": "synthetic", "sources": "[]", "image_size": "[64,64]", "val_interval": "10"}
METHODS = ("crc", "at", "coat", "meg")


def run(step: str, folder: Path, **overrides: str) -> None:
    """Run one step of the bundle, show the command, and stop the demo if it fails."""
    options = {"model_dir": folder / "models", "output_dir": folder, **SETTINGS, **overrides}
    if step not in ("train", "train_thresholds"):
        del options["val_interval"]
    command = ["-m", "monai.bundle", "run", "--config_file", f"configs/{step}.json"]
    command += [word for key, value in options.items() for word in (f"--{key}", str(value))]
    print(f"\n$ {shlex.join(['python', *command])}", flush=True)
    environment = {**os.environ, "COAT_DATA_DIR": str(folder / "data"), "PYTHONWARNINGS": "ignore"}
    subprocess.run([sys.executable, *command], cwd=BUNDLE, env=environment, check=True)


def main() -> None:
    """Make images, run all steps, name the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("demo_output"))
    folder = parser.parse_args().folder.resolve()
    started = time.monotonic()
    write_synthetic_dataset(folder / "data", count=500, spatial_size=(96, 96))
    print(f"$ cd {shlex.quote(str(BUNDLE))}\n$ export COAT_DATA_DIR={shlex.quote(str(folder / 'data'))}")
    run("train", folder, max_epochs="20")
    for method in ("at", "coat"):
        run("train_thresholds", folder, method=method, max_epochs="100", learning_rate="0.003")
    run("fit", folder)
    for method in METHODS:
        run("calibrate", folder, method=method)
    run("evaluate", folder, methods=str(list(METHODS)))
    run("inference", folder, method="meg")
    print(f"\nDone in {time.monotonic() - started:.0f} s. Look at:")
    for path in ("evaluation/page.png", "evaluation/table.md", "masks"):
        print(f"  {os.path.relpath(folder / path)}")


if __name__ == "__main__":
    main()
