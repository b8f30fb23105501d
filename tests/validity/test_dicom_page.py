# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What ``docs/dicom.md`` shows, done."""

from __future__ import annotations

import re

import numpy as np
import pydicom
import torch
from monai.data import MetaTensor

from monai_coat.calibration import save_calibration
from monai_coat.data import read_image
from monai_coat.transforms import CertaintyLabels, ConformalMask
from tests.data.dicom_files import WAYS, values_by_number
from tests.transforms.test_certainty_segments import calibrations


def test_the_code_of_the_page_runs_and_writes_what_it_says(pytestconfig, tmp_path, monkeypatch):
    page = (pytestconfig.rootpath / "docs" / "dicom.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    made = WAYS["oblique"]
    image = read_image(made.write(tmp_path / "studies" / "patient1"))
    results = calibrations()
    for result, name in zip(results, ("calibration", "certain"), strict=True):
        save_calibration(result, f"{name}.json")
    scores = MetaTensor(torch.rand(2, *image.shape[1:]), meta=image.meta)
    possible, certain = (ConformalMask(result)(scores) for result in results)
    names = {"scores": scores, "possible": possible, "certain": certain}
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(block, names)
    assert np.allclose(names["affine"], image.affine)
    numbers = image[0].int()
    by_segment = values_by_number(names["file"], made)
    inside = {number for number, value in by_segment[1].items() if value}
    assert inside == set(numbers[possible[0].bool()].tolist())
    assert names["possible_of_liver"].array.sum() == len(inside)
    said = " ".join(re.search(r"(?:^> .*\n)+", page, re.MULTILINE)[0].replace(">", "", 1).replace("\n>", "").split())
    assert said == names["file"].SegmentSequence[0].SegmentDescription
    labels = values_by_number(pydicom.dcmread("sets.dcm"), made)[0]
    encoded = CertaintyLabels(("liver", "tumour")).encode(possible.as_tensor().bool(), certain.as_tensor().bool())
    assert labels == dict(zip(numbers.flatten().tolist(), encoded.flatten().tolist(), strict=True))
