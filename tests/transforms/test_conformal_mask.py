# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from monai.data import MetaTensor, set_track_meta
from monai.transforms import Compose, MapTransform, Transform

from monai_coat.calibration import CalibrationResult, save_calibration
from monai_coat.transforms import ConformalMask, ConformalMaskD, ConformalMaskd, ConformalMaskDict


def calibration(*cutoff):
    count = len(cutoff)
    return CalibrationResult(cutoff, 0.1, (99,) * count, (0,) * count, (0.09,) * count, "E[FNR] <= 0.1")


def test_ties_are_inside():
    # 0.1 as float32 is above the decimal: a comparison in float64 would put the tie outside.
    mask = ConformalMask(calibration(float(np.float32(0.1))))(torch.tensor([[0.0999, 0.1, 0.1001]]))
    assert mask.tolist() == [[0.0, 1.0, 1.0]]
    assert mask.dtype == torch.float32


@pytest.mark.parametrize("size", [(4,), (4, 5), (4, 5, 6)])
def test_every_class_has_its_cutoff(size):
    scores = torch.rand(3, *size)
    mask = ConformalMask(calibration(0.25, 0.5, -1.0))(scores)
    for index, cutoff in enumerate((0.25, 0.5, -1.0)):
        assert torch.equal(mask[index].as_tensor(), (scores[index] >= cutoff).float())


@pytest.mark.parametrize("kind", [torch.Tensor, MetaTensor, np.ndarray])
def test_array_and_dictionary_form_agree(kind):
    scores = torch.rand(1, 6, 6)
    scores = {torch.Tensor: scores, MetaTensor: MetaTensor(scores), np.ndarray: scores.numpy()}[kind]
    data = {"pred": scores, "other": 1}
    result = ConformalMaskd("pred", calibration(0.5))(data)
    assert torch.equal(result["pred"], ConformalMask(calibration(0.5))(scores))
    assert result["other"] == 1
    assert data["pred"] is scores  # what came in stays as it was


def test_metadata_is_kept():
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0]))
    scores = MetaTensor(torch.rand(1, 4, 4, 4), affine=affine, meta={"filename_or_obj": "a.nii"})
    mask = ConformalMask(calibration(0.5))(scores)
    assert isinstance(mask, MetaTensor)
    assert torch.equal(mask.affine, scores.affine)
    assert mask.meta["filename_or_obj"] == "a.nii"
    set_track_meta(False)
    try:
        assert type(ConformalMask(calibration(0.5))(torch.rand(1, 4, 4))) is torch.Tensor
    finally:
        set_track_meta(True)


def test_an_artifact_serves_by_its_path(tmp_path):
    save_calibration(calibration(0.5), tmp_path / "calibration.json")
    scores = torch.rand(1, 6, 6)
    expected = ConformalMask(calibration(0.5))(scores)
    for path in (tmp_path / "calibration.json", str(tmp_path / "calibration.json")):
        assert torch.equal(ConformalMask(path)(scores), expected)
        assert torch.equal(ConformalMaskd("pred", path)({"pred": scores})["pred"], expected)


def test_missing_and_damaged_artifacts_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a calibration must be a file, got .*none\.json"):
        ConformalMask(tmp_path / "none.json")
    (tmp_path / "odd.json").write_text("{}")
    with pytest.raises(ValueError, match=r"odd\.json"):
        ConformalMaskd("pred", tmp_path / "odd.json")


@pytest.mark.parametrize("classes", [1, 3])
def test_another_number_of_classes_is_refused(classes):
    with pytest.raises(ValueError, match=rf"calibration is for 2 classes, the scores have {classes}"):
        ConformalMask(calibration(0.5, 0.5))(torch.rand(classes, 4, 4))


def test_several_keys_and_missing_ones():
    data = {"a": torch.rand(1, 4, 4), "b": torch.rand(1, 4, 4)}
    both = ConformalMaskd(["a", "b"], calibration(0.5))(data)
    assert all(torch.equal(both[key].as_tensor(), (data[key] >= 0.5).float()) for key in data)
    del data["b"]
    with pytest.raises(KeyError, match="b"):
        ConformalMaskd(["a", "b"], calibration(0.5))(data)
    assert set(ConformalMaskd(["a", "b"], calibration(0.5), allow_missing_keys=True)(data)) == {"a"}


def test_they_are_transforms_of_the_host():
    assert ConformalMaskD is ConformalMaskDict is ConformalMaskd
    array, mapped = ConformalMask(calibration(0.5)), ConformalMaskd("pred", calibration(0.5))
    assert isinstance(array, Transform)
    assert isinstance(mapped, MapTransform)
    assert array.backend == mapped.backend
    scores = torch.rand(1, 4, 4)
    for transform in (mapped, pickle.loads(pickle.dumps(mapped))):
        assert torch.equal(Compose([transform])({"pred": scores})["pred"], array(scores))


def test_of_double_precision_no_score_is_lifted_onto_the_cutoff():
    """The nearest float32 of 1 - 1e-9 is 1."""
    mask = ConformalMask(CalibrationResult((1.0,), 0.1, (99,), (0,), (0.09,), ""))
    assert mask(torch.tensor([[1 - 1e-9, 1.0]], dtype=torch.float64)).tolist() == [[0, 1]]


def test_scores_that_are_not_finite_are_refused():
    mask = ConformalMask(CalibrationResult((0.5,), 0.1, (99,), (0,), (0.09,), ""))
    with pytest.raises(ValueError, match="scores must be finite"):
        mask(torch.tensor([[0.5, torch.nan]]))
