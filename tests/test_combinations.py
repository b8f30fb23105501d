# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Every scorer with every risk and every guarantee: what is promised holds exactly, however it was collected.

A scorer, a risk and a guarantee that are defined here, one class each, go through the same checks and through the
handler and the artifact.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from monai_coat.calibration import (
    GUARANTEES,
    RISKS,
    ExpectedRisk,
    MapStatistic,
    MeanGuarantee,
    Risk,
    check_calibration_fits,
    guarantee_named,
    identity_of,
    load_calibration,
    summary_of,
)
from monai_coat.calibration.statistics.base import update_with
from monai_coat.functional import exact_level, false_negative_rate
from monai_coat.handlers import ConformalCalibration
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.scorers import METHODS, FittedMethod, MethodRow, PredictedMaps, Scorer, method_of
from tests.calibration.rows import ADMITTED, EXAMPLES, REFUSED, SETTINGS, masks_for, metadata, promise_of

ALPHA = 0.3
SIDE, COUNT = 8, 13
# Small settings of the methods that learn; those of one method in several forms under several names.
FORMS = {
    **{name: (name, {}) for name in METHODS},
    "at": ("at", {"epochs": 2}),
    "coat": ("coat", {"epochs": 2}),
    "learned": ("learned", {"epochs": 2, "loss": {"_target_": "monai_coat.losses.SoftTPRLoss"}, "space": "logit"}),
    "learned shares": (
        "learned",
        {"epochs": 2, "loss": {"_target_": "monai_coat.losses.SoftTPRLoss"}, "space": "expected_coverage"},
    ),
    "meg": ("meg", {"members": 2, "width": 4}),
    "cra isotonic": ("cra", {"isotonic": True}),
    "cra strata": ("cra", {"strata": 2}),
    "recirc": ("recirc", {"trees": 3, "steps": 4}),
}
WITHOUT_SCORER = {"oracle"}  # its thresholds are used as they are


def generated(seed, count):
    """Maps in steps of 1/8, so that pixels tie, and masks that follow them."""
    generator = torch.Generator().manual_seed(seed)
    probs = torch.randint(0, 9, (count, 1, SIDE, SIDE), generator=generator) / 8
    label = torch.rand(probs.shape, generator=generator) < probs * 0.8
    image = torch.randint(0, 256, (count, 3, SIDE, SIDE), generator=generator).to(torch.uint8)
    return PredictedMaps(tuple(map(str, range(count))), image, label, probs)


@functools.cache
def scorer_of(form):
    """A scorer fitted to other images than are calibrated on."""
    name, settings = FORMS[form]
    scorer = method_of(name).fit(generated(1, 40), ALPHA, 0, **settings).scorer
    return None if scorer is None else scorer.eval()


def images_of(scorer, risk):
    """Score maps, masks and metadata of two classes; the last four images are copies of others, and two lack a class.

    There are two sites, nine patients, and weights from a half to one and a half.
    """
    maps = generated(2, 2 * COUNT)
    rows = [0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 3, 7]
    with torch.no_grad():
        scores = scorer(maps.image.float(), maps.probs).reshape(COUNT, 2, SIDE, SIDE)
    labels = maps.label.reshape(scores.shape).clone()
    labels[5, 0], labels[6] = False, False
    labels = masks_for(risk, labels)
    return [(scores[row][None], labels[row][None], m) for row, m in zip(rows, metadata(COUNT), strict=True)]


def collected(statistic, images):
    for scores, labels, meta in images:
        update_with(statistic, scores, labels, None if meta is None else [meta])
    return statistic


def calibrated(guarantee, images):
    return guarantee.calibrate(collected(guarantee.statistic(), images))


def risks_of(risk, image, cutoff):
    """The risk of one image per class as rational numbers; None where it does not count."""
    risks = risk.image_risk(*image[:2], torch.tensor(cutoff))[0].tolist()
    return [None if r != r else Fraction(r).limit_denominator(SIDE * SIDE) for r in risks]  # noqa: PLR0124


def units_of(guarantee, images):
    """What a promise takes as one: the images of a patient, or each image by itself."""
    units = {}
    for index, image in enumerate(images):
        units.setdefault(image[2]["patient"] if guarantee.name == "per_patient" else index, []).append(image)
    return list(units.values())


def loss_of(guarantee, unit, result):
    """Weight of a unit, and per class the mean risk of its images that count, at the cutoff that is for them."""
    meta = unit[0][2]
    cutoff = result.of_group(meta["site"]).cutoff
    columns = zip(*(risks_of(guarantee.risk, image, cutoff) for image in unit), strict=True)
    counted = [[risk for risk in column if risk is not None] for column in columns]
    weight = Fraction(meta["weight"]) if guarantee.name == "weighted" else 1
    return weight, [sum(risks) / len(risks) if risks else None for risks in counted]


def what_is_left_out_loses_on_average_at_most_alpha(guarantee, images):
    """Of a weighted promise on the weighted average; of one for each site, in each."""
    losses, weights = {}, {}
    units = units_of(guarantee, images)
    for index, unit in enumerate(units):
        rest = [image for other in units[:index] + units[index + 1 :] for image in other]
        weight, risks = loss_of(guarantee, unit, calibrated(guarantee, rest))
        for place, risk in enumerate(risks):
            if risk is not None:
                key = (place, unit[0][2]["site"] if guarantee.name == "per_group" else "")
                losses[key] = losses.get(key, 0) + weight * risk
                weights[key] = weights.get(key, 0) + weight
    assert weights
    for key, loss in losses.items():
        assert loss <= exact_level(guarantee.alpha) * weights[key]


def merged_halves_are_the_whole_to_the_bit(guarantee, images):
    halves = [collected(guarantee.statistic(), part) for part in (images[::2], images[1::2])]
    again = guarantee.statistic()
    again.load_state_dict(halves[1].state_dict())
    again.merge(halves[0])
    assert repr(guarantee.calibrate(again)) == repr(calibrated(guarantee, images))


def the_order_of_images_is_no_matter(guarantee, images):
    expected = calibrated(guarantee, images)
    for order in (images[::-1], images[5:] + images[:5]):
        assert repr(calibrated(guarantee, order)) == repr(expected)


def its_small_statistic_gives_what_whole_maps_give(guarantee, images):
    small = calibrated(guarantee, images)
    whole = guarantee.calibrate(collected(MapStatistic(guarantee.risk), images))
    assert (small.cutoff, small.n, small.n_empty) == (whole.cutoff, whole.n, whole.n_empty)
    assert small.risk == pytest.approx(whole.risk, abs=1e-15)
    assert (small.guarantee, small.controls, small.kind) == (whole.guarantee, whole.controls, whole.kind)


def the_risk_of_the_result_is_the_mean_of_its_images(guarantee, images):
    result, units = calibrated(guarantee, images), units_of(guarantee, images)
    rows = [loss_of(guarantee, unit, result) for unit in units]
    for index in range(len(result.cutoff)):
        place = 0 if guarantee.risk.joint else index
        counted = [(weight, risks[place]) for weight, risks in rows if risks[place] is not None]
        total, loss = sum(weight for weight, _ in counted), sum(weight * risk for weight, risk in counted)
        assert result.n[index] == len(counted)
        assert result.n_empty[index] == len(units) - len(counted)
        # Sums on a grid of cutoffs are rounded up, in parts of 2 ** -32.
        assert result.risk[index] == pytest.approx(
            float(loss / total), abs=1e-9 if "learn" in guarantee.name else 1e-12
        )
        if isinstance(guarantee, ExpectedRisk | TwoSpared):
            assert loss <= guarantee.budget(len(counted))
    guarantee.check(result)


CHECKS = (
    what_is_left_out_loses_on_average_at_most_alpha,
    merged_halves_are_the_whole_to_the_bit,
    the_order_of_images_is_no_matter,
    its_small_statistic_gives_what_whole_maps_give,
    the_risk_of_the_result_is_the_mean_of_its_images,
)
EVERY_CHECK = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
# With high probability means that it may be wrong on these images; what has units of its own is made from no maps.
NOT_FOR = {
    what_is_left_out_loses_on_average_at_most_alpha: {"confident_risk", "growing_set", "learn_then_test"},
    its_small_statistic_gives_what_whole_maps_give: {"learn_then_test", "per_group", "per_patient", "weighted"},
}
# All forms are tried with the risks that read scores in different ways, and two of them with everything.
FIRST = ("false_negative_rate", "worst_class_false_negative_rate", "false_positive_ratio")
FEW = ("crc", "coat")
COMBINATIONS = [
    (form, risk, guarantee)
    for form in sorted(set(FORMS) - WITHOUT_SCORER)
    for guarantee, risk in ADMITTED
    if form in FEW or (guarantee == "expected_risk" and risk in FIRST)
]


def test_only_what_is_said_here_has_no_scorer():
    assert {name for name in FORMS if scorer_of(name) is None} == WITHOUT_SCORER


@EVERY_CHECK
@pytest.mark.parametrize(("form", "risk", "guarantee"), COMBINATIONS)
def test_every_combination_holds(form, risk, guarantee, check):
    if guarantee not in NOT_FOR.get(check, ()):
        check(promise_of(guarantee, EXAMPLES[risk], ALPHA), images_of(scorer_of(form), EXAMPLES[risk]))


def test_every_form_every_risk_and_every_guarantee_is_tried():
    forms, risks, guarantees = map(set, zip(*COMBINATIONS, strict=True))
    assert (forms, risks, guarantees) == (set(FORMS) - WITHOUT_SCORER, {*RISKS}, {*GUARANTEES})


@pytest.mark.parametrize(("guarantee", "risk"), REFUSED)
def test_what_does_not_go_together_is_refused_with_a_sentence(guarantee, risk):
    with pytest.raises(TypeError, match=f"^{REFUSED[guarantee, risk]}"):
        calibrated(promise_of(guarantee, EXAMPLES[risk], ALPHA), images_of(scorer_of("crc"), EXAMPLES[risk]))


class Brightness(Scorer):
    """A scorer from elsewhere: the probability, less how bright the image is."""

    def forward(self, image, probs):
        return probs - image.float().mean((1, 2, 3), keepdim=True) / 256


@dataclass(frozen=True)
class AFifthMissed(Risk):
    """A risk from elsewhere: whether more than a fifth of the foreground is missed."""

    name = "a_fifth_missed"
    words = "1{FNR > 0.2}"

    def image_risk(self, scores, labels, cutoff):
        rates = false_negative_rate(scores, labels, cutoff)
        return torch.where(rates.isnan(), rates, (rates > 0.2).double())


@dataclass(frozen=True)
class TwoSpared(MeanGuarantee):
    """A guarantee from elsewhere, which tolerates the loss of one image less."""

    name = "two_spared"
    risk: Risk
    alpha: float

    @property
    def promise(self):
        return f"E[{self.risk.words}], twice corrected, <= {self.alpha}"

    def budget(self, n):
        return exact_level(self.alpha) * (n + 1) - 2


@pytest.fixture
def rows(monkeypatch):
    """The one row that each of them needs beside its class."""
    monkeypatch.setitem(RISKS, "a_fifth_missed", AFifthMissed)
    monkeypatch.setitem(GUARANTEES, "two_spared", TwoSpared)
    monkeypatch.setitem(METHODS, "brightness", MethodRow(lambda train, alpha, seed: FittedMethod(Brightness())))


TOYS = [
    pytest.param(lambda: (Brightness(), ExpectedRisk(EXAMPLES["false_negative_rate"], ALPHA)), id="scorer"),
    pytest.param(lambda: (scorer_of("coat"), ExpectedRisk(AFifthMissed(), ALPHA)), id="risk"),
    pytest.param(lambda: (scorer_of("coat"), TwoSpared(EXAMPLES["false_positive_ratio"], ALPHA)), id="guarantee"),
    pytest.param(lambda: (Brightness(), TwoSpared(AFifthMissed(), ALPHA)), id="all three"),
]


@EVERY_CHECK
@pytest.mark.parametrize("make", TOYS)
@pytest.mark.usefixtures("rows")
def test_a_scorer_a_risk_and_a_guarantee_from_elsewhere_hold_as_well(make, check):
    scorer, guarantee = make()
    check(guarantee, images_of(scorer, guarantee.risk))


KEYED = {"per_patient", "weighted"}  # metadata go another way, see tests/handlers
STRATA = {"per_group": {"key": "size(0.5, 0.5)"}}
THROUGH_HANDLER = [
    *(("crc", guarantee, risk) for guarantee, risk in ADMITTED if guarantee not in KEYED),
    *product(("coat", "brightness"), ("expected_risk", "two_spared"), (*FIRST, "a_fifth_missed")),
]


@pytest.mark.parametrize(("method", "guarantee", "risk"), THROUGH_HANDLER)
@pytest.mark.usefixtures("rows")
def test_every_combination_goes_through_handler_and_artifact(tmp_path, method, risk, guarantee):
    scorer = method_of(method).fit(generated(1, 40), ALPHA, 0, **({"epochs": 1} if method == "coat" else {})).scorer
    network = AdaptiveSegmenter(nn.Conv2d(3, 1, 1), scorer).eval()
    made = EXAMPLES.get(risk) or RISKS[risk]()
    promised = guarantee_named(guarantee, made, ALPHA, STRATA.get(guarantee, SETTINGS.get(guarantee)))
    maps = generated(2, 20)
    scores, labels = network(maps.image.float()), masks_for(made, maps.label)
    engine = Engine(lambda engine, batch: batch)
    handler = ConformalCalibration(
        network=network, path=tmp_path / "a.json", method=method, guarantee=promised, pipeline={"inferer": "whole"}
    )
    handler.attach(engine)
    result = engine.run([(scores[:7], labels[:7]), (scores[7:], labels[7:])]).calibration
    assert load_calibration(tmp_path / "a.json") == result
    assert (result.method, result.controls, result.kind) == (method, made.key, guarantee)
    expected = promised.calibrate(collected(promised.statistic(), [(scores, labels, None)]))
    assert (result.cutoff, result.n, result.risk) == (expected.cutoff, expected.n, expected.risk)
    assert result.guarantee.startswith(promised.promise)
    assert promised.promise in summary_of(result)
    check_calibration_fits(result, alpha=ALPHA, classes=1, identity=identity_of(network, {"inferer": "whole"}))
    # What is missed is for the prediction set; false positives are for another.
    assert bool(network.calibrated) is promised.risk.rises
    if promised.risk.rises:
        inside = network.prediction_set(maps.image.float())
        assert torch.equal(inside, scores >= torch.tensor(result.cutoff).reshape(1, -1, 1, 1))
    with pytest.raises(ValueError, match="another pipeline: inferer"):
        check_calibration_fits(result, identity=identity_of(network, {"inferer": "in windows"}))
