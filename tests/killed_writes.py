# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Work that kills itself at a chosen moment of a write, in processes that are forked once everything is imported.

Run as a script: ``python -m tests.killed_writes TASK FOLDER COUNT`` prints what happened as JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from PIL import Image

from monai_coat.calibration import load_calibration
from monai_coat.cli.main import main
from monai_coat.comparison import ComparisonData, load_protocol, run_comparison
from monai_coat.comparison.results.report import write_report
from monai_coat.data import write_synthetic_dataset
from monai_coat.files import temporaries
from monai_coat.handlers import ConformalCalibration, load_losses
from tests.bundles.conftest import BundleRun
from tests.comparison.conftest import CONTENT

EPOCHS = 4


class Moments:
    """Counts the moments of writes and logs them; at one of them the process kills itself."""

    def __init__(self, log: int, kill_at: int | None) -> None:
        self.log, self.kill_at, self.count = log, kill_at, 0

    def watch(self) -> None:
        """Put a moment before and after each step of a write, and one with half of its content on the disk."""
        steps = [(Path, "touch", "before"), (temporaries, "_try_lock", "inside"), (os, "fsync", "inside")]
        steps += [(os, "replace", "inside"), (temporaries, "_remove", "after"), (Path, "unlink", "after")]
        for owner, name, where in steps:
            setattr(owner, name, self._stepwise(getattr(owner, name), name, where))

    def _stepwise(self, real: Callable[..., Any], name: str, where: str) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            is_folder = name == "fsync" and os.path.isdir(f"/proc/self/fd/{args[0]}")
            place = "after" if is_folder else where
            self.reached(place, f"before {name}")
            if name == "fsync" and not is_folder:
                self.reached(place, "half of the content", f"/proc/self/fd/{args[0]}")
            result = real(*args, **kwargs)
            self.reached({"touch": "inside", "replace": "after"}.get(name, place), f"after {name}")
            return result

        return step

    def reached(self, place: str, what: str, half: str = "") -> None:
        """A moment, ``place`` a write: the last one, if it is the chosen one."""
        os.write(self.log, f"{place}: {what}\n".encode())
        if self.count == self.kill_at:
            if half:
                os.truncate(half, os.path.getsize(half) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1


def forked(work: Callable[[], None], log: Path, kill_at: int | None) -> tuple[int, list[str]]:
    """Do work in a process of its own; returns how it ended, and the moments that it reached."""
    log.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            output = os.open(log.with_suffix(".output"), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            random.seed(0), np.random.seed(0), torch.manual_seed(0)
            Moments(descriptor, kill_at).watch()
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, log.read_text().splitlines()


class Training:
    """The training of a bundle's segmenter."""

    def prepare(self, folder: Path) -> None:
        write_synthetic_dataset(folder / "data", count=40, spatial_size=(32, 32), seed=1)

    def work(self, folder: Path, shared: Path) -> None:
        settings = {"model_dir": str(folder), "output_dir": str(folder), "max_epochs": EPOCHS, "val_interval": 2}
        BundleRun(shared).run("train", **settings, image_size=[32, 32])

    def read(self, folder: Path) -> dict[str, Any]:
        """What is there, all of which must be whole."""
        for path in folder.rglob("checkpoint_epoch=*.pt"):
            torch.load(path, weights_only=True)
        weights = folder / "segmenter.pt"
        found = {} if not weights.exists() else torch.load(weights, weights_only=True)
        losses = [load_losses(path) for path in folder.rglob("losses/*.csv")]
        return {"losses": losses, "weights": {name: value.tolist() for name, value in found.items()}}

    def is_allowed(self, now: dict[str, Any], end: dict[str, Any]) -> bool:
        """Whether what a kill left is absent or a beginning of what comes out in the end."""
        losses = now["losses"][0] if now["losses"] else []
        return losses == end["losses"][0][: len(losses)] and now["weights"] in ({}, end["weights"])


class Handler:
    """A calibration by the handler, over an older one."""

    def prepare(self, folder: Path) -> None:
        """Nothing is needed."""

    def work(self, folder: Path, shared: Path, alpha: float = 0.2) -> None:
        generator = torch.Generator().manual_seed(0)
        batches = [(torch.rand(4, 1, 50, generator=generator), torch.ones(4, 1, 50)) for _ in range(5)]
        engine = Engine(lambda engine, batch: batch)
        ConformalCalibration(alpha=alpha, path=folder / "c.json").attach(engine)
        engine.run(batches)

    def read(self, folder: Path) -> dict[str, Any]:
        path = folder / "c.json"
        return {"alpha": load_calibration(path).alpha, "bytes": path.read_text()} if path.exists() else {}

    def is_allowed(self, now: dict[str, Any], end: dict[str, Any]) -> bool:
        return now in ({}, end) or now["alpha"] == 0.4  # the older one


class Command(Handler):
    """A calibration by the command, over an older one."""

    def prepare(self, folder: Path) -> None:
        for number in range(12):
            mask = np.random.default_rng(number).random((8, 8)) < 0.5
            probs = np.random.default_rng(number + 99).random((8, 8)) * 200 + 50 * mask
            for name, values in (("probs", probs.astype(np.uint8)), ("labels", mask.astype(np.uint8) * 255)):
                (folder / name).mkdir(exist_ok=True)
                Image.fromarray(values).save(folder / name / f"{number}.png")

    def work(self, folder: Path, shared: Path, alpha: float = 0.2) -> None:
        paths = ["--probs", f"{shared}/probs", "--labels", f"{shared}/labels", "--output", f"{folder}/c.json"]
        main(["calibrate", *paths, "--alpha", str(alpha)])


class Comparison:
    """A comparison of methods, with its report."""

    def prepare(self, folder: Path) -> None:
        (folder / "tiny.json").write_text(json.dumps(CONTENT))

    def work(self, folder: Path, shared: Path) -> None:
        data = ComparisonData(load_protocol(shared / "tiny.json"), folder)
        write_report(run_comparison(data), data)

    def read(self, folder: Path) -> dict[str, Any]:
        cells = {path.name: json.loads(path.read_text()) for path in folder.glob("cells/*/*.json")}
        for path in folder.rglob("*.png"):
            Image.open(path).load()
        for path in folder.rglob("*.np[yz]"):
            np.load(path)
        return {name: {key: value for key, value in cell.items() if key != "seconds"} for name, cell in cells.items()}

    def is_allowed(self, now: dict[str, Any], end: dict[str, Any]) -> bool:
        return all(cell == end[name] for name, cell in now.items())


TASKS = {"training": Training(), "handler": Handler(), "command": Command(), "comparison": Comparison()}


def killed_everywhere(task: Any, folder: Path, count: int) -> list[dict[str, Any]]:
    """Kill a task at moments spread over all of its writes, and run it to its end after each kill."""
    shared, log = folder / "shared", folder / "log"
    shared.mkdir()
    task.prepare(shared)
    (folder / "whole").mkdir()
    status, moments = forked(lambda: task.work(folder / "whole", shared), log, None)
    assert status == 0, log.with_suffix(".output").read_text()
    end, rows = task.read(folder / "whole"), []
    for number, kill_at in enumerate(np.linspace(0, len(moments) - 1, count).round().astype(int).tolist()):
        place = folder / str(number)
        place.mkdir()
        if isinstance(task, Handler) and number % 2:
            forked(lambda place=place: task.work(place, shared, 0.4), log, None)
        status, reached = forked(lambda place=place: task.work(place, shared), log, kill_at)
        row = {"killed": status == -signal.SIGKILL, "moment": reached[-1]}
        row["left"] = sum(path.name.endswith(".tmp") for path in place.rglob(".*"))
        row["allowed"] = task.is_allowed(task.read(place), end)
        row["ended"] = forked(lambda place=place: task.work(place, shared), log, None)[0] == 0
        row["equal"] = task.read(place) == end
        row["temporaries"] = [path.name for path in place.rglob(".*") if path.name.endswith(".tmp")]
        rows.append(row)
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(killed_everywhere(TASKS[sys.argv[1]], Path(sys.argv[2]), int(sys.argv[3]))))
