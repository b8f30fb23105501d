# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Every guarantee through a bundle's configs and MONAI Label's answers: what is said, and what is done with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from monai_coat.apps import CalibratedBundle
from monai_coat.calibration import load_calibration, promise_in_words
from tests.bundles.conftest import HIPPOCAMPUS, VolumeRun

OURS = "monai_coat.calibration."
FNR = {"_target_": OURS + "FalseNegativeRate"}
EXPECTED = {"_target_": OURS + "ExpectedRisk", "risk": FNR, "alpha": "@alpha"}
EXCEEDS = {"_target_": OURS + "Exceeds", "risk": FNR, "tolerance": 0.5}
CONFIDENT = {"_target_": OURS + "ConfidentRisk", "alpha": "@alpha", "delta": 0.4}
GUARANTEES = {
    "exceeds": {**EXPECTED, "risk": EXCEEDS},
    "lesions": {**EXPECTED, "risk": {"_target_": OURS + "LesionsMissed", "overlap": 0.1}},
    "confident": {**CONFIDENT, "risk": FNR},
    "betting": {**CONFIDENT, "risk": FNR, "bound": "betting"},
    "binomial": {**CONFIDENT, "risk": EXCEEDS, "bound": "binomial"},
    "growing": {"_target_": OURS + "GrowingSet", "risk": FNR, "alpha": "@alpha", "delta": 0.4},
    "per group": {"_target_": OURS + "PerGroup", "guarantee": EXPECTED, "key": "site"},
    "per stratum": {"_target_": OURS + "PerGroup", "guarantee": EXPECTED, "key": "size(0.0, 0.5)"},
    "per patient": {"_target_": OURS + "PerPatient", "guarantee": EXPECTED, "key": "site"},
    "weighted": {"_target_": OURS + "Weighted", "guarantee": EXPECTED, "key": "weight", "largest": 1.5},
    "learn then test": {
        "_target_": OURS + "LearnThenTest",
        "risk": FNR,
        "alpha": "@alpha",
        "delta": 0.4,
        "also": {"lesions_missed(0.0)": 0.6},
        "grid": [-1.0, 1.0, 20],
        "procedure": "fixed_sequence",
    },
    "referring": {"_target_": OURS + "Referring", "guarantee": EXPECTED, "share": 0.4},
}
SAMPLES = "$[{**s, 'site': 'ab'[i % 2], 'weight': 0.5 + i % 2} for i, s in enumerate(@partition.part('calibration'))]"
PATIENTS = SAMPLES.replace("'ab'[i % 2]", "str(i // 2)")
SMALL = {"image_size": [24, 24, 16], "roi_size": [16, 16, 16]}


@pytest.mark.bundle
@pytest.mark.parametrize("name", GUARANTEES)
def test_a_guarantee_goes_from_the_config_into_the_answer(volume_run: VolumeRun, tmp_path: Path, name: str):
    for file in ("segmenter.pt", "scorer_coat.pt", "partition.json"):
        shutil.copy(volume_run.folder / "models" / file, tmp_path)
    samples = PATIENTS if name == "per patient" else SAMPLES
    promise = {"guarantee": GUARANTEES[name], "alpha": 0.4, "model_dir": str(tmp_path), "method": "coat"}
    volume_run.run("calibrate", samples=samples, **promise)
    result = load_calibration(tmp_path / "calibration_coat.json")
    assert bool(result.groups) is (name in ("per group", "per stratum"))
    image = min((volume_run.folder / "data" / "synthetic" / "images").iterdir())
    answer = json.loads(
        json.dumps(CalibratedBundle(HIPPOCAMPUS, [tmp_path], "coat", overrides=SMALL).predict(image).result)
    )
    assert answer["guarantee"] == result.guarantee
    assert answer["in_words"] == promise_in_words(result)
    assert ("decision" in answer) is (name == "referring")
    (tmp_path / "few").mkdir()
    shutil.copy(image, tmp_path / "few")
    volume_run.run("inference", input_dir=str(tmp_path / "few"), masks_dir=str(tmp_path / "masks"), **promise)
    if name != "referring":  # which is the usual promise, and a rule beside it
        with pytest.raises(RuntimeError) as caught:
            volume_run.run("inference", method="coat", model_dir=str(tmp_path), alpha=0.4)
        assert "calibration is for" in str(caught.value.__cause__ or caught.value)


@pytest.mark.bundle
def test_a_promise_about_volumes_is_calibrated_and_not_drawn(volume_run: VolumeRun, tmp_path: Path):
    """The set may lie elsewhere than the structure: it is no answer to where it is."""
    for file in ("segmenter.pt", "scorer_coat.pt", "partition.json"):
        shutil.copy(volume_run.folder / "models" / file, tmp_path)
    volume = {**EXPECTED, "risk": {"_target_": OURS + "VolumeUnderestimated"}}
    volume_run.run("calibrate", guarantee=volume, alpha=0.4, model_dir=str(tmp_path), method="coat")
    assert load_calibration(tmp_path / "calibration_coat.json").controls == "volume_underestimated"
    with pytest.raises(ValueError, match="possible must be a calibration of what is missed or falsely marked"):
        CalibratedBundle(HIPPOCAMPUS, [tmp_path], "coat", overrides=SMALL)
