# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is possible in the label map that is delivered, where classes touch or nest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.validity.inputs import Inputs, LabelledMap, halves, merged, statistics_of
from benchmarks.validity.scenes import nested_pair, touching_bars
from benchmarks.validity.sections import Content, Section, mean_and_error, paragraphs, progress, table
from benchmarks.validity.volumes import volume_maps
from monai_coat.calibration import CalibrationResult, ExpectedRisk, FalseNegativeRate, FalsePositiveRatio, Statistic
from monai_coat.functional import false_negative_rate, images_needed
from monai_coat.transforms import CertaintyLabels, CertaintyMap

ALPHAS, MADE_UP_ALPHAS, MADE_UP = (0.01, 0.02, 0.05, 0.1), (0.05,), 200
MISSED, CERTAIN = FalseNegativeRate(), FalsePositiveRatio()
TEXT = """Two calibrations, of what is missed and of false positives, make a label map (`CertaintyMap`); the possible
set of each class is read back from it (`CertaintyLabels`). What is compared is the FNR of the sets, which is promised,
and that of the map, which is delivered: mean over {splits} random divisions, with its standard error, both classes.
*One label a voxel* is the map that this package made before, in which a voxel of two sets went to one class. Half of
the images calibrate; at alpha 0.01, which needs 99, four fifths do. Where images are few for the level, the promise is
kept with room to spare: the new image is counted as lost. The volumes are segmented by a small network, trained for
{epochs} epochs at half size on others; the bars and the pair are made up. In full, a promise of the first column is:
"{words}"."""


def one_label_map(scores: Tensor, possible: CalibrationResult, certain: CalibrationResult) -> Tensor:
    """The exclusive labels ``(*spatial)`` of before, 2 k + 1 certain and 2 k + 2 possible, of scores ``(C, *spatial)``.

    A voxel goes to the class that is farthest above its cutoff, and any certain class goes before any possible one.
    """
    above_possible, above_certain = (_above(scores, calibration.cutoff) for calibration in (possible, certain))
    above_certain = torch.where(above_possible > -torch.inf, above_certain, -torch.inf)
    labels = torch.where(above_possible.amax(0) > -torch.inf, 2 * above_possible.argmax(0) + 2, 0)
    return torch.where(above_certain.amax(0) > -torch.inf, 2 * above_certain.argmax(0) + 1, labels)


def _above(scores: Tensor, cutoff: Sequence[float]) -> Tensor:
    """How far scores are above the cutoff of their class; minus infinity below it."""
    cut = torch.tensor(cutoff).reshape(-1, *[1] * (scores.dim() - 1))
    return torch.where(scores >= cut, scores - cut, -torch.inf)


def missed_in_forms(image: LabelledMap, possible: CalibrationResult, certain: CalibrationResult) -> list[Tensor]:
    """FNR per class ``(C,)`` of the sets, of the delivered map read back, and of the map with one label a voxel."""
    classes = image.scores.shape[1]
    delivered = CertaintyMap(possible, certain)(image.scores[0])[0]
    exclusive = one_label_map(image.scores[0], possible, certain)
    kept = torch.stack([(exclusive == 2 * k + 1) | (exclusive == 2 * k + 2) for k in range(classes)])
    read_back = CertaintyLabels.of_count(classes).possible(delivered)
    sets = MISSED.image_risk(*image.pair, torch.tensor(possible.cutoff))[0]
    return [sets, *(false_negative_rate(mask[None].float(), image.label, 0.5)[0] for mask in (read_back, kept))]


def of_split(images: Sequence[LabelledMap], parts: list[list[Statistic]], alpha: float, split: int) -> Content:
    """Mean FNR per form and class of the images that did not calibrate, for one division."""
    share = 0.5 if images_needed(alpha) <= len(images) // 2 else 0.8
    calibration, test = halves(len(images), split, share)
    results = [
        ExpectedRisk(risk, alpha).calibrate(merged(risk.statistic(), [of_image[place] for place in calibration]))
        for risk, of_image in zip((MISSED, CERTAIN), parts, strict=True)
    ]
    forms = torch.stack([torch.stack(missed_in_forms(images[place], *results)) for place in test])
    differing = int((forms[:, 0] != forms[:, 1]).sum() - (forms[:, :2].isnan().all(1)).sum())
    means = forms.nanmean(0).tolist()
    return {"means": means, "differing": differing, "n": results[0].n[0], "words": results[0].guarantee}


def run(inputs: Inputs) -> Content:
    """FNR in each form, for each kind of images and level."""
    count = min(MADE_UP, 4 * inputs.scale.images)
    kinds = {
        "hippocampus" if inputs.root else "generated volumes": (volume_maps(inputs), ALPHAS),
        "two touching bars": (touching_bars(count), MADE_UP_ALPHAS),
        "a nested pair": (nested_pair(count), MADE_UP_ALPHAS),
    }
    rows = []
    for kind, (images, alphas) in kinds.items():
        parts = [statistics_of(risk, images) for risk in (MISSED, CERTAIN)]
        for alpha in alphas:
            if images_needed(alpha) > 0.8 * len(images):
                continue
            splits = [
                of_split(images, parts, alpha, split)
                for split in progress(f"label maps, {kind}, alpha {alpha}", range(inputs.scale.splits))
            ]
            means = np.array([division["means"] for division in splits])
            differing = sum(division["differing"] for division in splits)
            rows.append([kind, alpha, splits[0]["n"], means.tolist(), differing])
    words = splits[-1]["words"]
    return {"splits": inputs.scale.splits, "epochs": inputs.scale.epochs, "words": words, "rows": rows}


def lines(content: Content) -> list[str]:
    """A row per kind of images and level, classes side by side."""
    head = ["images", "promised", "n", "FNR of the sets", "FNR of the delivered map", "images that differ"]
    rows = []
    for kind, alpha, n, means, differing in content["rows"]:
        forms = np.array(means).transpose(1, 2, 0)  # form, class, split
        cells = [" / ".join("{:.4f} ± {:.4f}".format(*mean_and_error(values)) for values in form) for form in forms]
        rows.append([kind, f"E[FNR] <= {alpha}", str(n), *cells[:2], str(differing), cells[2]])
    text = TEXT.format(**{name: content[name] for name in ("splits", "epochs", "words")})
    return [*paragraphs(text), *table([*head, "FNR of one label a voxel"], rows)]


def verdict(content: Content) -> str:
    """Whether sets and map agree, and what the map of before would have missed."""
    differing = sum(row[-1] for row in content["rows"])
    kind, alpha, _, means, _ = content["rows"][0]
    sets, _, one_label = np.array(means).mean(0).max(1)
    return (
        f"The delivered map misses what the sets miss, to the bit ({differing} differ). At alpha {alpha}, {kind}, "
        f"it is {sets:.4f} of the worse class; with one label a voxel it would be {one_label:.4f}."
    )


SECTION = Section("Possible: what a label map of several classes misses", run, lines, verdict)
