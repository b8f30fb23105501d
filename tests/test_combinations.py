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
    identity_of,
    load_calibration,
    summary_of,
)
from monai_coat.functional import exact_level, false_negative_rate
from monai_coat.handlers import ConformalCalibration
from monai_coat.networks import AdaptiveSegmenter
from monai_coat.scorers import METHODS, FittedMethod, MethodRow, PredictedMaps, Scorer, method_of

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


def images_of(scorer):
    """Score maps and masks of two classes; the last four images are copies of others, and two lack a class each."""
    maps = generated(2, 2 * COUNT)
    rows = [0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 3, 7]
    with torch.no_grad():
        scores = scorer(maps.image.float(), maps.probs).reshape(COUNT, 2, SIDE, SIDE)
    labels = maps.label.reshape(scores.shape).clone()
    labels[5, 0], labels[6] = False, False
    return [(scores[row][None], labels[row][None]) for row in rows]


def collected(statistic, images):
    for scores, labels in images:
        statistic.update(scores, labels)
    return statistic


def risks_of(guarantee, image, cutoff):
    """The risk of one image per class as rational numbers; None where it does not count."""
    risks = guarantee.risk.image_risk(*image, torch.tensor(cutoff))[0].tolist()
    return [None if risk != risk else Fraction(risk).limit_denominator(SIDE * SIDE) for risk in risks]  # noqa: PLR0124


def the_left_out_image_loses_on_average_at_most_alpha(guarantee, images):
    totals, counts = {}, {}
    for index, image in enumerate(images):
        rest = images[:index] + images[index + 1 :]
        cutoff = guarantee.calibrate(collected(guarantee.statistic(), rest)).cutoff
        for place, risk in enumerate(risks_of(guarantee, image, cutoff)):
            if risk is not None:
                totals[place] = totals.get(place, 0) + risk
                counts[place] = counts.get(place, 0) + 1
    assert counts
    for place, total in totals.items():
        assert total <= exact_level(guarantee.alpha) * counts[place]


def merged_halves_are_the_whole_to_the_bit(guarantee, images):
    halves = [collected(guarantee.statistic(), part) for part in (images[::2], images[1::2])]
    halves[1].merge(halves[0])
    expected = guarantee.calibrate(collected(guarantee.statistic(), images))
    assert repr(guarantee.calibrate(halves[1])) == repr(expected)


def the_order_of_images_is_no_matter(guarantee, images):
    expected = guarantee.calibrate(collected(guarantee.statistic(), images))
    for order in (images[::-1], images[5:] + images[:5]):
        assert repr(guarantee.calibrate(collected(guarantee.statistic(), order))) == repr(expected)


def its_small_statistic_gives_what_whole_maps_give(guarantee, images):
    small = guarantee.calibrate(collected(guarantee.statistic(), images))
    whole = guarantee.calibrate(collected(MapStatistic(guarantee.risk), images))
    assert (small.cutoff, small.n, small.n_empty) == (whole.cutoff, whole.n, whole.n_empty)
    assert small.risk == pytest.approx(whole.risk, abs=1e-15)
    assert (small.guarantee, small.controls, small.kind) == (whole.guarantee, whole.controls, whole.kind)


def the_risk_of_the_result_is_the_mean_of_its_images(guarantee, images):
    result = guarantee.calibrate(collected(guarantee.statistic(), images))
    rows = [risks_of(guarantee, image, result.cutoff) for image in images]
    for index in range(len(result.cutoff)):
        column = [row[0 if guarantee.risk.joint else index] for row in rows]
        counted = [risk for risk in column if risk is not None]
        assert result.n[index] == len(counted)
        assert result.n_empty[index] == len(images) - len(counted)
        assert result.risk[index] == pytest.approx(float(sum(counted) / len(counted)), abs=1e-12)
        assert sum(counted) <= guarantee.budget(len(counted))


CHECKS = (
    the_left_out_image_loses_on_average_at_most_alpha,
    merged_halves_are_the_whole_to_the_bit,
    the_order_of_images_is_no_matter,
    its_small_statistic_gives_what_whole_maps_give,
    the_risk_of_the_result_is_the_mean_of_its_images,
)
EVERY_CHECK = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)


def test_only_what_is_said_here_has_no_scorer():
    assert {name for name in FORMS if scorer_of(name) is None} == WITHOUT_SCORER


@EVERY_CHECK
@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("risk", RISKS)
@pytest.mark.parametrize("form", sorted(set(FORMS) - WITHOUT_SCORER))
def test_every_combination_holds(form, risk, guarantee, check):
    check(GUARANTEES[guarantee](RISKS[risk](), ALPHA), images_of(scorer_of(form)))


class Brightness(Scorer):
    """A scorer from elsewhere: the probability, less how bright the image is."""

    def forward(self, image, probs):
        return probs - image.float().mean((1, 2, 3), keepdim=True) / 256


@dataclass(frozen=True)
class Exceeds(Risk):
    """A risk from elsewhere: whether more than a fifth of the foreground is missed."""

    name = "exceeds"
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


TOYS = [
    pytest.param(lambda: (Brightness(), ExpectedRisk(RISKS["false_negative_rate"](), ALPHA)), id="scorer"),
    pytest.param(lambda: (scorer_of("coat"), ExpectedRisk(Exceeds(), ALPHA)), id="risk"),
    pytest.param(lambda: (scorer_of("coat"), TwoSpared(RISKS["false_positive_ratio"](), ALPHA)), id="guarantee"),
    pytest.param(lambda: (Brightness(), TwoSpared(Exceeds(), ALPHA)), id="all three"),
]


@pytest.fixture
def rows(monkeypatch):
    """The one row that each of them needs beside its class."""
    monkeypatch.setitem(RISKS, "exceeds", Exceeds)
    monkeypatch.setitem(GUARANTEES, "two_spared", TwoSpared)
    monkeypatch.setitem(METHODS, "brightness", MethodRow(lambda train, alpha, seed: FittedMethod(Brightness())))


@EVERY_CHECK
@pytest.mark.parametrize("make", TOYS)
@pytest.mark.usefixtures("rows")
def test_a_scorer_a_risk_and_a_guarantee_from_elsewhere_hold_as_well(make, check):
    scorer, guarantee = make()
    check(guarantee, images_of(scorer))


@pytest.mark.parametrize("risk", [*RISKS, "exceeds"])
@pytest.mark.parametrize("guarantee", [*GUARANTEES, "two_spared"])
@pytest.mark.parametrize("method", ["crc", "coat", "brightness"])
@pytest.mark.usefixtures("rows")
def test_every_combination_goes_through_handler_and_artifact(tmp_path, method, risk, guarantee):
    scorer = method_of(method).fit(generated(1, 40), ALPHA, 0, **({"epochs": 1} if method == "coat" else {})).scorer
    network = AdaptiveSegmenter(nn.Conv2d(3, 1, 1), scorer).eval()
    promised = GUARANTEES[guarantee](RISKS[risk](), ALPHA)
    maps = generated(2, 20)
    scores = network(maps.image.float())
    engine = Engine(lambda engine, batch: batch)
    handler = ConformalCalibration(
        network=network, path=tmp_path / "a.json", method=method, guarantee=promised, pipeline={"inferer": "whole"}
    )
    handler.attach(engine)
    result = engine.run([(scores[:7], maps.label[:7]), (scores[7:], maps.label[7:])]).calibration
    assert load_calibration(tmp_path / "a.json") == result
    assert (result.method, result.controls, result.kind) == (method, risk, guarantee)
    expected = promised.calibrate(collected(promised.statistic(), [(scores, maps.label)]))
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
