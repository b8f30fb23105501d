# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MONAI's own command exports a calibrated network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.bundle import ckpt_export

from tests.bundles.conftest import BundleRun


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated.*:DeprecationWarning")
def test_ckpt_export_writes_the_calibrated_network(calibrated_run: BundleRun, tmp_path: Path):
    models = calibrated_run.folder / "models"
    settings = calibrated_run.overrides(method="coat")
    ckpt_export(
        "network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(models / "model_coat.pt"),
        meta_file=str(calibrated_run.bundle / "configs" / "metadata.json"),
        config_file=str(calibrated_run.bundle / "configs" / "inference.json"),
        key_in_ckpt="",
        **settings,
    )
    loaded = torch.jit.load(tmp_path / "model.ts")
    workflow = calibrated_run.workflow("inference", method="coat")
    workflow.initialize()
    network = workflow.parser.get_parsed_content("network_def").cpu()
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(loaded(image), network(image), atol=1e-6, rtol=0)
    assert bool(loaded.calibrated)
    assert torch.equal(loaded.calibrated_cutoff, network.calibrated_cutoff)
