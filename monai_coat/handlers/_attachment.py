# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a handler may be attached to.

Tested by tests/handlers/test_intake.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ignite.engine import Engine, Events

__all__: list[str] = []


def check_engine(engine: Engine, handler: Callable[..., Any], event: Any = Events.EPOCH_STARTED) -> None:
    """Refuse what is no engine, and one that has the handler already: each image would count twice.

    Args:
        engine: what is attached to.
        handler: method that is about to be attached.
        event: the event that it is attached to.

    Raises:
        TypeError: if ``engine`` is none.
        ValueError: if it has the handler.
    """
    if not isinstance(engine, Engine):
        raise TypeError(
            f"engine must be an ignite Engine, such as MONAI's evaluators, got {type(engine).__name__}; the network is "
            "an argument of the handler."
        )
    if engine.has_event_handler(handler, event):
        raise ValueError("engine must have each handler once, got one that it has already; attach it once.")
