# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Image-adaptive thresholds with a conformal guarantee for segmentation, for MONAI."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from monai_coat._version import __version__

__all__ = ["__version__"]


def __getattr__(name: str) -> ModuleType:
    """Import a room when it is first used.

    Bundle configs say ``$import monai_coat`` and then ``monai_coat.data...``. Importing all rooms for them would make
    the guarantee, which needs torch and NumPy only, need MONAI, and each command wait for it.
    """
    if name in __dir__() and not name.startswith("_"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The rooms, whether imported yet or not."""
    return [*globals(), *(module.name for module in pkgutil.iter_modules(__path__))]
