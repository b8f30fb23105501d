# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Processes that the server starts to train, to score and to infer many images: they end when it ends.

Tested by tests/apps/test_killed_server.py.
"""

from __future__ import annotations

import os
import sys
import threading
import time

__all__ = ["end_with_server", "is_server", "is_task"]

PROGRAM = "monailabel.interfaces.utils.app"
"""What MONAI Label runs as a process of its own for each task."""

SERVER = "MONAI_COAT_LABEL_SERVER"
"""Variable of the environment in which tasks find the process number of their server."""

PAUSE = 0.5


def is_server() -> None:
    """Say that this process is the server whose tasks end with it."""
    os.environ[SERVER] = str(os.getpid())


def is_task() -> bool:
    """Whether this process is a task of a server, and no server itself."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name == PROGRAM


def end_with_server() -> None:
    """In a task, watch the server that has started it, and end at once when it is gone, however it went.

    A server that is killed cannot stop its tasks. They would go on, next to those of the server that is started after
    it. What they write is written whole, so that they may end anywhere.
    """
    if is_task() and SERVER in os.environ:
        threading.Thread(target=_watch, args=(int(os.environ[SERVER]),), name="server watch", daemon=True).start()


def _watch(server: int) -> None:
    while os.getppid() == server:
        time.sleep(PAUSE)
    os._exit(1)
