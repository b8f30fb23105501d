# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What ``docs/federated.md`` tells sites to do, done."""

from __future__ import annotations

import re
import shlex

import pytest
import torch
from monai.transforms import Compose, ScaleIntensity

from monai_coat.calibration import load_calibration
from monai_coat.cli.main import main
from monai_coat.inferers import AdaptiveInferer
from monai_coat.networks import AdaptiveSegmenter

SITES = ("north", "south", "east")


@pytest.fixture
def page(pytestconfig):
    return (pytestconfig.rootpath / "docs" / "federated.md").read_text(encoding="utf-8")


def test_three_sites_calibrate_as_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    together, at_a_site = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    network = AdaptiveSegmenter(torch.nn.Conv2d(3, 1, 1)).eval()
    names = {"network": network, "inferer": AdaptiveInferer(), "preprocessing": Compose([ScaleIntensity()])}
    for site in SITES:
        loader = [(torch.rand(4, 3, 8, 8), torch.rand(4, 1, 8, 8) < 0.3) for _ in range(5)]
        exec(at_a_site.replace("north.npz", f"{site}.npz"), {**names, "loader": loader})
    exec(together, {})
    in_python = load_calibration("calibration_coat.json")
    assert (in_python.n, in_python.method) == ((60,), "coat")
    command = re.search(r"python -m monai_coat (merge .*)", page)[1]
    assert main(shlex.split(command)) == 0
    assert load_calibration("calibration_coat.json") == in_python
