# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Which methods can be compared on volumes: those that learn from sketches and give scores."""

from __future__ import annotations

import torch

from monai_coat.comparison.protocol import Protocol
from monai_coat.scorers import NeedsMapsError, SketchedMaps, method_of

__all__ = ["refuse_methods_of_whole_maps"]


def refuse_methods_of_whole_maps(protocol: Protocol) -> None:
    """Refuse a method that would have to hold all volumes in memory, before any is read.

    Each method is fitted to two tiny images, which tells at once what it asks for.

    Raises:
        ValueError: naming the method.
    """
    probs = torch.linspace(0.01, 0.99, 16).reshape(1, 4, 4)
    with torch.random.fork_rng(devices=[]):
        tiny = SketchedMaps.collect([(probs, probs > 0.4), (probs, probs > 0.6)])
        fitting = {name for name in protocol.methods if _learns_from_sketches(protocol, name, tiny)}
    for name in protocol.methods:
        if name not in fitting:
            raise ValueError(
                f"methods must learn from sketches and give scores where volumes are compared, got {name!r}, which "
                "needs all maps in memory; leave it out, or take the protocol 'volumes'."
            )


def _learns_from_sketches(protocol: Protocol, name: str, tiny: SketchedMaps) -> bool:
    settings = protocol.settings_of(name)
    try:
        fitted = method_of(settings.fit).fit(tiny, alpha=0.5, seed=0, **settings.arguments)
    except NeedsMapsError:
        return False
    except (ValueError, ArithmeticError, RuntimeError):
        return True  # two images are too few for it
    return fitted.scorer is not None
