# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is certain and what is possible of the brain in a head, by networks that somebody else trained.

    python tutorials/demo_3d.py [folder] [--volume FILE]

The networks are those of deepbet (MIT licence), whose weights are in its wheel; the head is a volume that the machine
has: ch2 of Debian's mricron-data, or the template in nilearn's wheel. One subject shows and cannot calibrate, so the
networks are calibrated on generated deformations of it. That says how they hold out under these deformations; it
promises nothing about other people.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    Orientation,
    Rand3DElasticd,
    RandAdjustContrastd,
    RandBiasFieldd,
    RandRicianNoised,
    RandSimulateLowResolutiond,
    SaveImage,
    Spacing,
)
from monai.utils import optional_import

from monai_coat.calibration import (
    CalibrationResult,
    ExpectedRisk,
    FalseNegativeRate,
    FalsePositiveRatio,
    calibrate_maps,
    save_calibration,
)
from monai_coat.data import MaskWriter, read_image
from monai_coat.files import replacing
from monai_coat.transforms import CertaintyLabels, CertaintyMap

matplotlib.use("Agg")
from matplotlib import pyplot as plt

deepbet, _ = optional_import(
    "deepbet", descriptor="deepbet must be installed for its networks; run pip install 'monai_coat[demo3d]' ({})."
)

Network = Callable[[MetaTensor], MetaTensor]
"""A volume ``(1, *spatial)`` in, the probability of the brain out, alike."""

ALPHA = 0.05  # of what the possible set misses, and of what is wrong in the certain one
CALIBRATION, TEST, SEED = 39, 4, 0
SPACING, NETWORK_SIZE = 2.0, 160  # millimetres; voxels a side, of 256 that the networks were made for: it is faster
DEBIAN = Path("/usr/share/mricron/templates/ch2.nii.gz")
NILEARN = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
LABELS = CertaintyLabels(("brain",))


def find_volume() -> tuple[Path, str]:
    """A head that this machine has, and what it is."""
    if DEBIAN.is_file():
        return DEBIAN, "ch2, a head of mricron-data"
    found = importlib.util.find_spec("nilearn")
    template = Path(found.submodule_search_locations[0]) / NILEARN if found else None
    if template and template.is_file():
        return template, "nilearn's MNI template, a brain that is already without its head: an easy task"
    raise FileNotFoundError(
        f"a head must be there, got neither {DEBIAN} nor nilearn; install Debian's mricron-data or run pip install "
        "nilearn, or name a T1-weighted volume by --volume."
    )


def deepbet_networks() -> Network:
    """The networks of deepbet on the CPU: one finds the brain, the other marks it."""
    networks = deepbet.BrainExtraction(no_gpu=True)

    def probability(volume: MetaTensor) -> MetaTensor:
        probs = networks.run_model(volume[0].numpy().copy(), shape=(NETWORK_SIZE,) * 3)
        return MetaTensor(torch.from_numpy(probs).clamp(0, 1)[None], meta=volume.meta)

    return probability


def prepared(path: Path) -> MetaTensor:
    """The volume with axes towards right, anterior and superior, in voxels of 2 mm."""
    volume: MetaTensor = Spacing((SPACING,) * 3)(Orientation("RAS", labels=None)(read_image(path)))
    return volume


def deformed(volume: MetaTensor, mask: MetaTensor, seed: int) -> Iterator[tuple[MetaTensor, MetaTensor]]:
    """Heads of other shapes, in worse scans, with the mask deformed alike, without end."""
    transform = Compose(
        [
            Rand3DElasticd(
                ["image", "label"],
                sigma_range=(5, 5),
                magnitude_range=(0, 60),
                prob=1,
                rotate_range=(0.2, 0.2, 0.2),
                translate_range=(3, 3, 3),
                scale_range=(0.1, 0.1, 0.1),
                mode=["bilinear", "nearest"],
                padding_mode="zeros",
            ),
            RandSimulateLowResolutiond("image", prob=1, zoom_range=(0.4, 1.0)),
            RandBiasFieldd("image", prob=1, coeff_range=(0, 0.3)),
            RandAdjustContrastd("image", prob=1, gamma=(0.7, 1.5)),
            RandRicianNoised("image", prob=1, std=0.3, relative=True, sample_std=True),
        ]
    ).set_random_state(seed)
    while True:
        sample = transform({"image": volume, "label": mask})
        yield sample["image"], sample["label"].bool()


def timed(count: int, what: str) -> Iterator[int]:
    """Count, and say how far it is and how long it will take."""
    started = time.monotonic()
    for done in range(count):
        yield done
        left = (time.monotonic() - started) / (done + 1) * (count - done - 1)
        print(f"\r  {what} {done + 1}/{count}, about {left:.0f} s left ", end="", flush=True)
    print()


def calibrated(
    network: Network, heads: Iterator[tuple[MetaTensor, MetaTensor]], count: int
) -> tuple[CalibrationResult, CalibrationResult]:
    """The calibrations of what is missed and of what is wrongly included, on generated heads."""
    scores, labels = [], []
    for _ in timed(count, "calibration"):
        image, label = next(heads)
        scores.append(network(image).as_tensor())
        labels.append(label.as_tensor())
    guarantees = (ExpectedRisk(FalseNegativeRate(), ALPHA), ExpectedRisk(FalsePositiveRatio(), ALPHA))
    possible, certain = (calibrate_maps(scores, labels, guarantee=guarantee) for guarantee in guarantees)
    return possible, certain


def tested(
    network: Network,
    heads: Iterator[tuple[MetaTensor, MetaTensor]],
    calibrations: tuple[CalibrationResult, CalibrationResult],
    count: int,
) -> list[list[float]]:
    """Of further generated heads, what the possible set misses, and what is wrong in the certain one."""
    losses = []
    for _ in timed(count, "test"):
        image, label = next(heads)
        scores, truth = network(image).as_tensor()[None], label.as_tensor()[None]
        risks = (FalseNegativeRate(), FalsePositiveRatio())
        found = [
            risk.image_risk(scores, truth, result.cutoff[0]) for risk, result in zip(risks, calibrations, strict=True)
        ]
        losses.append([float(loss) for loss in found])
    return losses


def draw(volume: MetaTensor, labels: MetaTensor, path: Path, title: str) -> None:
    """Three slices in each of three directions, with the outlines of what is possible and what is certain."""
    possible, certain = (of(labels[0].as_tensor())[0].numpy() for of in (LABELS.possible, LABELS.certain))
    inside = np.argwhere(possible)
    low, high = inside.min(axis=0), inside.max(axis=0)
    figure, axes = plt.subplots(3, 3, figsize=(10, 10), layout="constrained", facecolor="white")
    for axis, row in enumerate(axes):
        for share, panel in zip((0.3, 0.5, 0.7), row, strict=True):
            place = int(low[axis] + share * (high[axis] - low[axis]))
            image, outer, inner = (np.rot90(a.take(place, axis)) for a in (volume[0].numpy(), possible, certain))
            panel.imshow(image, cmap="gray", vmax=np.quantile(volume, 0.995))
            for mask, color in ((outer, "tab:orange"), (inner, "tab:cyan")):
                if mask.any() and not mask.all():
                    panel.contour(mask, levels=[0.5], colors=color, linewidths=1)
            panel.set_axis_off()
    lines = [plt.Line2D([], [], color=color) for color in ("tab:orange", "tab:cyan")]
    names = ["possible: misses little", "certain: little in it is wrong"]
    figure.legend(lines, names, loc="outside lower center", ncols=2)
    figure.suptitle(title)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=90, format="png")
    plt.close(figure)


def show(volume: MetaTensor, probs: MetaTensor, certainty: CertaintyMap, folder: Path, name: str) -> None:
    """Write a head, its probabilities and the map of what is certain and possible as NIfTI, and a picture."""
    maps = {"volume": volume, "probs": probs, "certainty": certainty(probs)}
    for kind, values in maps.items():
        named = MetaTensor(values.as_tensor(), affine=volume.affine, meta={"filename_or_obj": f"{name}.nii.gz"})
        how = {"writer": MaskWriter, "separate_folder": False, "print_log": False, "resample": False}
        SaveImage(folder, kind, output_dtype=np.uint8 if kind == "certainty" else np.float32, **how)(named)
    title = f"{name.replace('_', ' ')}: the brain, calibrated on deformations of one head"
    draw(volume, maps["certainty"], folder / f"{name}.png", title)


def run(network: Network, path: Path, folder: Path, counts: tuple[int, int] = (CALIBRATION, TEST)) -> None:
    """Calibrate on deformations of a head, and show the head and a deformation."""
    volume = prepared(path)
    probs = network(volume)
    mask = MetaTensor((probs.as_tensor() >= 0.5).float(), meta=volume.meta)
    print("One subject shows, and cannot calibrate: a promise is about new images like those of the calibration.")
    print(
        f"So {counts[0]} deformations of the one head are generated, worse scans of heads of other shapes. Known is the"
    )
    print("networks' own mask of the head as it is, deformed alike: this shows how the networks hold out under these")
    print("deformations, not how right they are, and nothing is promised about other people.\n")
    heads = deformed(volume, mask, SEED)
    possible, certain = calibrations = calibrated(network, heads, counts[0])
    losses = np.array(tested(network, heads, calibrations, counts[1]))
    for result, name in ((possible, "possible"), (certain, "certain")):
        save_calibration(result, folder / f"{name}.json")
        print(f"  {name}: probability >= {result.cutoff[0]:.6g}: {result.guarantee} (n = {result.n[0]})")
    missed, wrong = losses.mean(axis=0)
    print(
        f"  {counts[1]} further deformations, on average: {missed:.4f} missed by possible, {wrong:.4f} wrong in certain"
    )
    print("  (few: what is promised is the average over all new deformations)")
    certainty = CertaintyMap(possible, certain)
    show(volume, probs, certainty, folder, "head_as_it_is")
    image, _ = next(heads)
    show(image, network(image), certainty, folder, "a_deformation")


def main() -> None:
    """Find networks and head, run, and name what was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("demo_3d_output"))
    parser.add_argument("--volume", type=Path, help="a T1-weighted head in NIfTI, in place of one that the machine has")
    options = parser.parse_args()
    started, folder = time.monotonic(), options.folder.resolve()
    path, what = (options.volume, str(options.volume)) if options.volume else find_volume()
    print(f"Head: {what}. Networks: deepbet, with {NETWORK_SIZE} voxels a side.")
    run(deepbet_networks(), path, folder)
    print(f"\nDone in {time.monotonic() - started:.0f} s. Look at:")
    for name in sorted(folder.iterdir()):
        print(f"  {os.path.relpath(name)}")


if __name__ == "__main__":
    main()
