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
from tests.fenced import sections_of
from tests.fl.sites import write_site

SITES = ("north", "south", "east")


@pytest.fixture
def page(pytestconfig):
    return (pytestconfig.rootpath / "docs" / "federated.md").read_text(encoding="utf-8")


def test_three_sites_calibrate_as_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    together, at_a_site = sections_of("federated.md")["Calibrating together"]
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


def test_three_sites_calibrate_on_an_engine_as_the_page_says(tmp_path):
    at_a_site, at_the_server, _ = sections_of("federated.md")["On an engine"]
    names, folders = {}, {}
    for seed, (name, sent) in enumerate(zip(SITES, ("sent", "sent_by_south", "sent_by_east"), strict=True)):
        folders[name] = write_site(tmp_path / name, seed, method="coat")
        here = {}
        exec(at_a_site.replace("bundles/polyp_coat", str(folders[name])), here)
        names |= {sent: here["sent"], **({"site": here["site"]} if name == "north" else {})}
    exec(at_the_server, names)
    assert names["result"].n == (45,)
    assert load_calibration(folders["north"] / "models" / "calibration_coat.json") == names["result"]
