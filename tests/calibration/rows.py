# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""An example of every row of the tables: each risk and each guarantee, with settings where it has no usual ones."""

from __future__ import annotations

from itertools import cycle, islice

import torch

from monai_coat.calibration import GUARANTEES, RISKS, FalseNegativeRate, guarantee_named
from monai_coat.calibration.statistics.base import update_with

WITH_ARGUMENTS = {"exceeds": lambda: RISKS["exceeds"](FalseNegativeRate(), 0.2)}
SETTINGS = {
    "confident_risk": {"delta": 0.2},
    "growing_set": {"delta": 0.2},
    "cross_risk": {"folds": 60},
    "learn_then_test": {"delta": 0.2, "grid": (-1.0, 1.5, 40), "procedure": "fixed_sequence"},
    "per_group": {"key": "site"},
    "per_patient": {"key": "patient"},
    "weighted": {"key": "weight", "largest": 1.5},
}


def example_of(name):
    """A risk of the table."""
    return WITH_ARGUMENTS.get(name, RISKS[name])()


EXAMPLES = {name: example_of(name) for name in RISKS}
MONOTONE = {name: risk for name, risk in EXAMPLES.items() if risk.monotone}


def promise_of(name, risk, alpha):
    """A guarantee of the table about a risk."""
    return guarantee_named(name, risk, alpha, SETTINGS.get(name)) if name in SETTINGS else GUARANTEES[name](risk, alpha)


ONE_WAY = "risk must go one way with the cutoff, got 'false_discovery_rate', which may fall and rise; promise it by"
NO_SHARE = "risk must be a share of scores to have a mean over a patient's images, got "
NO_WEIGHTS = "guarantee must be ExpectedRisk of a share of scores, such as false_negative_rate, got "
FALLS = "risk must rise with the cutoff"
REFUSED = {
    # What may fall and rise has no last cutoff that keeps it: every cutoff must be tested.
    **dict.fromkeys([(name, "false_discovery_rate") for name in GUARANTEES if name != "learn_then_test"], ONE_WAY),
    # Critical scores of one image after another: what looks at all classes at once, or goes up and down, has none.
    ("per_patient", "false_discovery_rate"): NO_SHARE,
    ("per_patient", "worst_class_false_negative_rate"): NO_SHARE,
    ("weighted", "false_discovery_rate"): NO_WEIGHTS,
    ("weighted", "worst_class_false_negative_rate"): NO_WEIGHTS,
    # Its raters are what is averaged over already.
    ("per_patient", "mean_over_raters"): NO_SHARE,
    ("weighted", "mean_over_raters"): NO_WEIGHTS,
    # A union of sets misses less than each; it marks more.
    **{("cross_risk", name): FALLS for name in RISKS if not EXAMPLES[name].rises},
}
"""Pairs of a guarantee and a risk that do not go together, and the sentence that says so."""

ADMITTED = [(name, risk) for name in GUARANTEES for risk in RISKS if (name, risk) not in REFUSED]


def metadata(count):
    """Two sites, patients with one to three images, and weights of a mean about 1, with a largest one of 1.5."""
    sites, patients = islice(cycle("nns"), count), islice(cycle("abacdd"), count)
    weights = islice(cycle((0.5, 1.5, 1.0, 1.25)), count)
    return [
        {"site": site, "patient": f"{patient}{index // 6}", "weight": weight}
        for index, (site, patient, weight) in enumerate(zip(sites, patients, weights, strict=True))
    ]


def masks_for(risk, labels):
    """Masks of which as many images count for the risk: these, or full ones where they are empty and none elsewhere."""
    if risk.counted != "images without foreground":
        return labels
    return (labels.flatten(2).amax(2) == 0).to(labels)[(...,) + (None,) * (labels.dim() - 2)].expand(labels.shape)


def maps(count, classes=2, seed=0):
    """Scores of foreground in [0.5, 1] and of background in [0, 0.5] on a grid of 1/16, and masks."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.rand(count, classes, 16, generator=generator) < 0.5
    noise = torch.randint(0, 9, labels.shape, generator=generator) / 16
    return noise + 0.5 * labels, labels


def calibrated(guarantee, count=60, classes=2):
    """The result of a guarantee on :func:`maps`, without foreground if its risk is about those."""
    scores, labels = maps(count, classes)
    statistic = guarantee.statistic()
    update_with(statistic, scores, masks_for(guarantee.risk, labels), metadata(count))
    return guarantee.calibrate(statistic)
