# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The table of methods: each row is fitted, scores as it says, and needs no other place to be known at."""

from __future__ import annotations

import inspect
import json

import pytest
import torch

from monai_coat.bundles import STEPS
from monai_coat.comparison import ComparisonData, load_protocol, run_comparison, write_comparison
from monai_coat.functional import ideal_threshold
from monai_coat.scorers import METHODS, FittedMethod, MethodRow, PredictedMaps, ProbabilityScorer, Scorer, method_of
from monai_coat.scorers.methods import aa_crc

LOSS = {"_target_": "monai_coat.losses.ThresholdPinballLoss"}
SETTINGS = {"learned": {"loss": LOSS, "epochs": 2}, "at": {"epochs": 2}, "coat": {"epochs": 2}}
SETTINGS |= {"meg": {"members": 2, "width": 8}}


@pytest.fixture(scope="module")
def maps():
    """Sixty maps, masks drawn from them: calibrated probabilities."""
    generator = torch.Generator().manual_seed(0)
    hardness = torch.rand(60, 1, 1, 1, generator=generator)
    probs = torch.rand(60, 1, 12, 12, generator=generator) ** (0.5 + 2 * hardness)
    label = torch.rand(60, 1, 12, 12, generator=generator) < probs
    image = torch.randint(0, 256, (60, 3, 12, 12), dtype=torch.uint8, generator=generator)
    return PredictedMaps(tuple(map(str, range(60))), image, label, probs)


@pytest.mark.parametrize("name", METHODS)
def test_every_row_gives_scores_in_its_range_or_thresholds(maps, name):
    train, pool = maps.rows(range(40)), maps.rows(range(40, 60))
    fitted = method_of(name).fit(train, alpha=0.2, seed=0, **SETTINGS.get(name, {}))
    assert (fitted.scorer is None) != (fitted.rule is None)
    if fitted.scorer is not None:
        assert isinstance(fitted.scorer, Scorer)
        with torch.no_grad():
            scores = fitted.scorer(pool.image.float() / 127.5 - 1, pool.probs)
        low, high = METHODS[name].score_range
        assert scores.shape == pool.probs.shape
        assert low <= scores.min() <= scores.max() <= high
    else:
        assert fitted.rule(pool, range(10), range(10, 20)).shape == (10,)


@pytest.mark.parametrize("name", METHODS)
def test_every_row_says_what_it_is_and_names_a_step_that_bundles_have(name):
    assert inspect.getdoc(METHODS[name].fit).splitlines()[0].endswith(".")
    assert METHODS[name].step in {"", *STEPS}


@pytest.mark.parametrize("form", ["published", "exact"])
def test_forms_of_aa_crc_that_need_no_controller_give_thresholds(maps, form):
    fitted = aa_crc(maps, 0.2, 0, form=form, ridge=0.001)
    assert fitted.scorer is None
    thresholds = fitted.rule(maps, range(40), range(40, 60))
    # The exact form is allowed to take everything, and does where images are few and features many.
    assert not thresholds.isnan().any()
    assert form == "exact" or thresholds.isfinite().all()


def test_an_unknown_form_is_named_before_anything_is_fitted(maps):
    with pytest.raises(ValueError, match=r"form must be 'published', 'exact' or 'controlled', got 'best'"):
        aa_crc(maps, 0.2, 0, form="best")


def test_the_oracle_looks_at_the_masks_of_the_test_images(maps):
    thresholds = METHODS["oracle"].fit(maps, 0.2, 0).rule(maps, range(40), range(40, 60))
    assert torch.equal(thresholds, ideal_threshold(maps.probs[40:], maps.label[40:], 0.2)[:, 0])


def test_bounds_are_predict_all_and_the_oracle():
    assert {name for name, method in METHODS.items() if method.is_bound} == {"predict-all", "oracle"}


class BrightnessScorer(Scorer):
    """Probabilities, weighted by the brightness of the image: a method of a few lines."""

    def forward(self, image, probs):
        return probs * (1.5 + image.mean(1, keepdim=True))


def brightness(train, alpha, seed, weight=1.0):
    """Brightness times probability."""
    assert weight == 2.0
    return FittedMethod(BrightnessScorer())


@pytest.fixture
def protocol(tmp_path):
    """A comparison of two methods that takes seconds."""
    layer = {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 1, "kernel_size": 1}
    content = {
        "name": "toy",
        "datasets": {"generated": {"generate": {"count": 90, "spatial_size": [32, 32]}, "epochs": 1}},
        "networks": {"layer": layer},
        "methods": {"CRC": {"fit": "crc"}, "Brightness": {"fit": "brightness", "weight": 2.0}},
        "reference": "CRC",
        "default": "Brightness",
        "image_size": [32, 32],
        "alphas": [0.2],
        "splits": 3,
        "batch_size": 8,
    }
    (tmp_path / "toy.json").write_text(json.dumps(content))
    return tmp_path / "toy.json"


def test_a_new_method_is_one_row(protocol, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"method must be one of crc, .*, got 'brightness'"):
        load_protocol(protocol)
    monkeypatch.setitem(METHODS, "brightness", MethodRow(brightness, score_range=(0.0, 2.5)))
    write_comparison(load_protocol(protocol), tmp_path / "out")
    table = (tmp_path / "out" / "tables.md").read_text()
    assert "| Brightness | " in table
    assert "Brightness: gap / precision" in table
    assert (tmp_path / "out" / "images_generated.png").is_file()


def test_a_method_from_elsewhere_is_a_dotted_path(protocol, tmp_path, monkeypatch):
    (tmp_path / "own_brightness.py").write_text("from monai_coat.scorers import METHODS\n\nfit = METHODS['crc'].fit\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    content = json.loads(protocol.read_text())
    content["methods"]["Brightness"] = {"fit": "own_brightness.fit"}
    protocol.write_text(json.dumps(content))
    crc, own = run_comparison(ComparisonData(load_protocol(protocol), tmp_path / "out"))
    assert own["splits"] == crc["splits"]
    assert method_of("own_brightness.fit").fit is METHODS["crc"].fit


@pytest.mark.parametrize("name", ["magic", "monai_coat.scorers.methods.magic", "absent_module.fit", ""])
def test_a_name_that_leads_nowhere_is_named(name):
    with pytest.raises(ValueError, match=r"method must be one of crc, .* or the dotted path of a fit, got "):
        method_of(name)


def test_one_threshold_for_all_images_is_the_map_itself(maps):
    assert isinstance(METHODS["crc"].fit(maps, 0.1, 0).scorer, ProbabilityScorer)
