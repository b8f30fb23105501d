# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The configs of all bundles: written from their overlays, and the documented commands, as typed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from monai_coat.bundles import STEPS, config_text, step_configs, write_configs
from monai_coat.data import write_synthetic_dataset
from tests.bundles.conftest import BUNDLE, HIPPOCAMPUS

BUNDLES = sorted(path for path in BUNDLE.parent.iterdir() if path.is_dir())
SHARED = {"logging.conf", *(f"multi_gpu{step}.json" for step in ("", "_train", "_calibrate", "_evaluate"))}
TINY = {
    "domain": "synthetic",
    "sources": "[]",
    "alpha": "0.3",
    "segmenter#channels": "[4,8]",
    "segmenter#strides": "[2]",
}
TINY_TRAINING = {"max_epochs": "1", "val_interval": "1", "batch_size": "8"}
every_bundle = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)


def test_there_are_four_bundles():
    assert [bundle.name for bundle in BUNDLES] == ["fire_coat", "hippocampus_coat", "polyp_coat", "skin_coat"]


@every_bundle
def test_committed_configs_are_those_of_their_overlays(bundle: Path, tmp_path: Path):
    """If this fails, ``make bundles`` writes them."""
    write_configs(bundle, tmp_path)
    configs = bundle / "configs"
    names = {f"{step}.json" for step in STEPS} | SHARED
    assert {path.name for path in configs.iterdir()} == names | {"metadata.json", "overlays"}
    for path in sorted(tmp_path.iterdir()):
        assert (configs / path.name).read_bytes() == path.read_bytes(), path.name
    for name in SHARED:
        assert (configs / name).read_bytes() == (BUNDLE / "configs" / name).read_bytes(), name


@every_bundle
@pytest.mark.parametrize("step", STEPS)
def test_a_config_says_what_monai_reads_out_of_the_overlays(bundle: Path, step: str):
    merged, alone = ConfigParser(), ConfigParser()
    merged.read_config(step_configs(bundle, step))
    alone.read_config(bundle / "configs" / f"{step}.json")
    assert alone.get() == merged.get()


def test_writing_again_changes_nothing_and_heals_what_was_edited(tmp_path: Path):
    for name in ("polyp_coat", "skin_coat"):
        shutil.copytree(BUNDLE.parent / name, tmp_path / name, ignore=shutil.ignore_patterns("output", "data"))
    configs = tmp_path / "skin_coat" / "configs"
    before = {path.name: path.read_bytes() for path in configs.iterdir() if path.is_file()}
    (configs / "train.json").write_text("{}")
    (configs / "logging.conf").unlink()
    written = write_configs(tmp_path / "skin_coat")
    assert {path.name for path in written} == {f"{step}.json" for step in STEPS} | SHARED
    assert {path.name: path.read_bytes() for path in configs.iterdir() if path.is_file()} == before


@pytest.mark.parametrize(
    "value", [[], {}, [1, [2, {"a": [0.5, None, True]}]], {"text": '"\\é', "long": ["x" * 90] * 2}]
)
def test_laid_out_text_is_the_value(value):
    text = config_text({"key": value})
    assert json.loads(text) == {"key": value}
    assert "\n    " in text


def documented(bundle: Path, program: str = "python -m") -> list[list[str]]:
    """Words of each documented command of a program, without the program."""
    text = (bundle / "docs" / "README.md").read_text()
    return [shlex.split(line.strip())[2:] for line in text.splitlines() if line.strip().startswith(program)]


@every_bundle
def test_documented_commands_are_those_of_the_steps(bundle: Path):
    files = [words[words.index("--config_file") + 1] for words in documented(bundle) if "--config_file" in words]
    assert sorted(files) == sorted(f"configs/{step}.json" for step in STEPS)
    for words in documented(bundle, "torchrun"):
        lists = [word for word in words if word.startswith("[")]
        names = re.findall(r"'([^']+)'", lists[0])
        assert len(names) == 3
        assert all((bundle / name).is_file() for name in names)


@every_bundle
@pytest.mark.parametrize("step", [step for step in STEPS if step != "fit"])  # which is neither training nor inference
def test_monai_finds_the_properties_it_looks_for(request: pytest.FixtureRequest, bundle: Path, step: str):
    run = request.getfixturevalue("volume_run" if bundle == HIPPOCAMPUS else "calibrated_run")
    extra = {"input_dir": str(run.folder / "data" / "synthetic" / "images")} if step == "inference" else {}
    workflow = replace(run, bundle=bundle).workflow(step, **extra)
    workflow.initialize()
    assert not workflow.check_properties()


def run_as_typed(bundle: Path, words: list[str], data: Path, out: Path, **more: str) -> None:
    """Give a documented command from the bundle's folder, with tiny settings after it."""
    settings = {**TINY, **more, "model_dir": str(out / "models"), "output_dir": str(out / "output")}
    if any(name in words[3] for name in ("train", "fit")):
        settings |= TINY_TRAINING
    options = [word for key, value in settings.items() for word in (f"--{key}", value)]
    variables = {"COAT_DATA_DIR": str(data), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-m", *words, *options],
        cwd=bundle,
        env={**os.environ, **variables, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


def commands_of(bundle: Path, **values: str) -> list[list[str]]:
    """The documented commands with a value for each variable of the shell."""
    commands = []
    for words in documented(bundle):
        if words[0] == "monai.bundle":
            commands.append([values.get(word, word) for word in words])
    return commands


@pytest.mark.bundle
def test_all_documented_commands_run_as_typed(tmp_path: Path):
    write_synthetic_dataset(tmp_path / "data", count=60, spatial_size=(32, 32), seed=3)
    images = str(tmp_path / "data" / "synthetic" / "images")
    values = {"$method": "coat", "['crc','at','coat','meg']": "['coat']", "path/to/images": images}
    for words in commands_of(BUNDLE, **values):
        run_as_typed(BUNDLE, words, tmp_path / "data", tmp_path, image_size="[32,32]", smallest="1")
    assert {path.name for path in (tmp_path / "models").iterdir()} == {
        *("segmenter.pt", "partition.json", "scorer_coat.pt", "scorer_meg.pt"),
        *("model_coat.pt", "calibration_coat.json", "certain_coat.json"),
    }
    output = tmp_path / "output"
    assert len(list((output / "masks").glob("*_coat.png"))) == 60
    for name in ("evaluation/table.md", "evaluation/certain.csv", "evaluation/page.png", "statistic_coat.npz"):
        assert (output / name).stat().st_size > 0, name


@pytest.mark.bundle
@pytest.mark.parametrize("bundle", [path for path in BUNDLES if path != BUNDLE], ids=lambda bundle: bundle.name)
def test_the_first_command_of_the_other_bundles_runs_as_typed(bundle: Path, tmp_path: Path):
    volumes = bundle == HIPPOCAMPUS
    size = (16, 16, 16) if volumes else (32, 32)
    write_synthetic_dataset(tmp_path / "data", count=24, spatial_size=size, seed=3, classes=2 if volumes else 1)
    sizes = {"image_size": str(list(size))} | ({"roi_size": str(list(size))} if volumes else {})
    words = commands_of(bundle)[0]
    assert words[3] == "configs/train.json"
    run_as_typed(bundle, words, tmp_path / "data", tmp_path, **sizes)
    assert (tmp_path / "models" / "segmenter.pt").is_file()
