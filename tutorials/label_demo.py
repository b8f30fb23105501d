# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A MONAI Label server over a bundle that was trained on generated volumes, for viewers on this machine.

    python tutorials/label_demo.py [folder] [--picture FILE]

With --picture the server is asked for one volume, the answer is drawn to the file, and the server is stopped.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import matplotlib
import nibabel
import numpy as np
import requests
import torch
from monai.bundle import ConfigWorkflow

from monai_coat.cli.main import main as command
from monai_coat.data import write_synthetic_dataset
from monai_coat.transforms import CertaintyLabels

matplotlib.use("Agg")
from matplotlib import pyplot as plt

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "hippocampus_coat"
SMALL = {"image_size": [32, 40, 24], "roi_size": [32, 40, 24], "domain": "synthetic"}
LABELS = CertaintyLabels(("anterior", "posterior"))
PORT = 8000


def run(step: str, folder: Path, **more: object) -> None:
    """Run one step of the bundle."""
    print(f"{step} ...", flush=True)
    settings = {"bundle_root": str(BUNDLE), "model_dir": str(folder / "models"), "output_dir": str(folder / "output")}
    workflow = ConfigWorkflow(
        config_file=str(BUNDLE / "configs" / f"{step}.json"),
        meta_file=str(BUNDLE / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train" if step in ("train", "fit") else "infer",
        **{**settings, "dataset_dir": str(folder / "data"), **SMALL, **more},
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def prepare(folder: Path) -> None:
    """Train and calibrate on generated volumes, and put ten new ones where the server looks for images."""
    write_synthetic_dataset(folder / "data", count=200, spatial_size=(32, 40, 24), seed=0, classes=2)
    run("train", folder, max_epochs=100, val_interval=100)
    run("fit", folder)
    run("calibrate", folder, method="meg", certain_alpha=0.3)  # of so few training images little is certain
    write_synthetic_dataset(folder / "new", count=10, spatial_size=(32, 40, 24), seed=1, classes=2)
    shutil.copytree(folder / "new" / "synthetic" / "images", folder / "studies")
    command(["label-app", str(folder / "app")])


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start the server, for this machine only."""
    arguments = ["-m", "monailabel.main", "start_server", "--app", str(folder / "app"), "--studies"]
    arguments += [str(folder / "studies"), "--host", "127.0.0.1", "--port", str(PORT)]
    settings = f'{{"image_size": {SMALL["image_size"]}, "roi_size": {SMALL["roi_size"]}}}'
    for name, value in {
        "bundle": str(BUNDLE),
        "model_dirs": str(folder / "models"),
        "method": "meg",
        "overrides": settings,
    }.items():
        arguments += ["--conf", name, value]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "MONAI_LABEL_SESSION_PATH": str(folder / "sessions")}
    return subprocess.Popen([sys.executable, *arguments], env=environment)


def ask(folder: Path, picture: Path) -> None:
    """Draw the server's answer for one volume: slices with the outlines of certain and possible."""
    url, name = f"http://127.0.0.1:{PORT}", "synthetic_0000"
    for _ in range(120):
        try:
            if requests.get(f"{url}/info/", timeout=5).ok:
                break
        except requests.ConnectionError:
            time.sleep(1)
    answer = requests.post(f"{url}/infer/hippocampus_coat?image={name}&output=image", timeout=120)
    answer.raise_for_status()
    (folder / "answer.nii.gz").write_bytes(answer.content)
    volume = nibabel.load(folder / "studies" / f"{name}.nii.gz").get_fdata()
    labels = np.asarray(nibabel.load(folder / "answer.nii.gz").dataobj).squeeze()
    draw(volume, labels, picture)


def draw(volume: np.ndarray, labels: np.ndarray, picture: Path) -> None:
    """Three orthogonal slices through the middle of what is possible."""
    middle = np.median(np.argwhere(labels > 0), axis=0).astype(int)
    figure, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
    for axis, panel in enumerate(axes):
        image, cut = (np.rot90(array.take(middle[axis], axis)) for array in (volume, labels))
        panel.imshow(image, cmap="gray", vmax=np.quantile(volume, 0.998))
        # A voxel may be possible of both parts, and has the label of the combination then.
        possible, certain = (decode(torch.from_numpy(cut.astype(int))) for decode in (LABELS.possible, LABELS.certain))
        for outline, filled, color in zip(possible.numpy(), certain.numpy(), ("C1", "C0"), strict=True):
            if outline.any():
                panel.contour(outline, levels=[0.5], colors=color, linewidths=1.2)
            if filled.any():
                panel.contourf(filled, levels=[0.5, 1.5], colors=color, alpha=0.35)
        panel.set_axis_off()
    handles = [plt.Line2D([], [], color=color, label=name) for color, name in (("C1", "anterior"), ("C0", "posterior"))]
    handles += [plt.Line2D([], [], color="0.4", label="outline: possible")]
    handles += [plt.Rectangle((0, 0), 1, 1, color="0.4", alpha=0.35, label="filled: certain")]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    figure.savefig(picture, dpi=110)


def main() -> None:
    """Prepare once, then serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("label_demo_output"))
    parser.add_argument("--picture", type=Path, help="draw one answer of the server, and stop")
    options = parser.parse_args()
    folder = options.folder.resolve()
    if not (folder / "app").exists():
        prepare(folder)
    server = start(folder)
    try:
        if options.picture:
            ask(folder, options.picture)
        else:
            print(f"Point 3D Slicer or another viewer to http://127.0.0.1:{PORT}; stop with Ctrl-C.", flush=True)
            server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.terminate()
        server.wait(timeout=60)


if __name__ == "__main__":
    main()
