# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Five bundles like those of MONAI's model zoo, trained for seconds by their own configs, once for all tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigWorkflow

from monai_coat.bundles import OverlayOptions, Overlays, write_overlays
from tests.bundles.foreign.zoo import HELD_OUT, TRAINED, ZOO

ALPHA = 0.2


@dataclass(frozen=True)
class ZooBundle:
    """A bundle in a folder, and the means to run its steps."""

    folder: Path
    name: str
    data: Path

    @property
    def ending(self) -> str:
        return "yaml" if ZOO[self.name]().yaml else "json"

    def overlay(self, **options: object) -> Overlays:
        return write_overlays(self.folder, OverlayOptions(**{"alpha": ALPHA, **options}))

    def copied(self, folder: Path) -> ZooBundle:
        """The bundle and its weights, and nothing calibrated, in another folder, where a test may change everything."""
        shutil.copytree(self.folder / "configs", folder / "configs")
        (folder / "models").mkdir()
        shutil.copyfile(self.folder / "models" / "model.pt", folder / "models" / "model.pt")
        return ZooBundle(folder, self.name, self.data)

    def workflow(self, step: str, **more: object) -> ConfigWorkflow:
        """One step as MONAI's own workflow, of the configs that the printed command names."""
        names = {"train": ["train"], "inference": ["inference", "coat_inference"]}
        files = names.get(step, ["train", "inference", f"coat_{step}"])
        configs = [f"{name}.{'json' if name.startswith('coat_') else self.ending}" for name in files]
        places = {"bundle_root": str(self.folder), "dataset_dir": str(self.data)}
        return ConfigWorkflow(
            config_file=[str(self.folder / "configs" / name) for name in configs],
            meta_file=str(self.folder / "configs" / "metadata.json"),
            logging_file=False,
            workflow_type=None,
            **{**places, **more},
        )

    def run(self, step: str, **more: object) -> ConfigWorkflow:
        workflow = self.workflow(step, **more)
        workflow.initialize()
        workflow.run()
        workflow.finalize()
        return workflow


@pytest.fixture(scope="session")
def zoo_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ZooBundle]:
    """Make a bundle by its name, trained."""
    made: dict[str, ZooBundle] = {}

    def make(name: str) -> ZooBundle:
        if name not in made:
            folder, zoo, rng = tmp_path_factory.mktemp(name), ZOO[name](), np.random.default_rng(0)
            bundle = ZooBundle(zoo.write_bundle(folder / name), name, folder / "data")
            for number in range(TRAINED + HELD_OUT):
                zoo.write(bundle.data, number, rng)
            bundle.run("train")
            made[name] = bundle
        return made[name]

    return make
