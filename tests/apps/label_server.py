# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A MONAI Label server with our app in a process of its own, on this machine only."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from monai_coat.cli.main import main

requests = pytest.importorskip("requests", reason="MONAI Label is not installed; see make label-test")


LIMITED = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2); "
LIMITED += "os.execv(sys.argv[2], sys.argv[2:])"
"""Program that limits its memory and becomes another one."""


def with_shim() -> str:
    """Where Python looks for modules: first the lines that let torchvision be imported."""
    return os.pathsep.join(filter(None, [str(Path(__file__).parent / "shim"), os.environ.get("PYTHONPATH")]))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class LabelServer:
    """Starts on entering and stops on leaving.

    Attributes:
        studies: folder of images.
        conf: settings of the app.
        app: folder of another app than ours.
        memory: bytes of address space that the server may have, if any limit.
        more: further variables of its environment.
    """

    studies: Path
    conf: dict[str, str]
    app: Path | None = None
    memory: int | None = None
    more: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=_free_port)
    log: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> LabelServer:
        app = self.app or self.studies.parent / "app"
        if not app.exists():
            main(["label-app", str(app)])
        command = [sys.executable, "-m", "monailabel.main", "start_server", "--app", str(app)]
        command += ["--studies", str(self.studies), "--host", "127.0.0.1", "--port", str(self.port)]
        for name, value in self.conf.items():
            command += ["--conf", name, value]
        home = self.studies.parent / "home"
        home.mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "HOME": str(home),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONWARNINGS": "ignore",
            "PYTHONPATH": with_shim(),
            "MONAI_LABEL_SERVER_PORT": str(self.port),
            "MONAI_LABEL_SESSION_PATH": str(home / "sessions"),
            "MONAI_LABEL_DATASTORE_AUTO_RELOAD": "false",
            "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",
            **self.more,
        }
        limits = [sys.executable, "-c", LIMITED, str(self.memory)] if self.memory else []
        self.path = home / f"server_{self.port}.log"
        self.file = self.path.open("w")
        self.process = subprocess.Popen(
            [*limits, *command], env=environment, stdout=self.file, stderr=subprocess.STDOUT
        )
        self._wait()
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.terminate()
        self.status = self.process.wait(timeout=60)
        self.file.close()
        self.log = self.path.read_text()

    def _wait(self) -> None:
        for _ in range(240):
            if self.process.poll() is not None:
                raise RuntimeError(self.path.read_text()[-3000:])
            try:
                if requests.get(f"{self.url}/info/", timeout=5).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.5)
        raise TimeoutError(self.path.read_text()[-3000:])

    def memory_of(self, what: str) -> int:
        """A line of /proc about the server's memory, in MB: VmRSS, VmHWM (its highest), VmPeak (address space)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith(what))) // 1024

    def alive(self) -> bool:
        return self.process.poll() is None and requests.get(f"{self.url}/info/", timeout=30).ok
