# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MONAI looks a bare ``_target_`` up in every loaded module whose name begins with "monai", so in ours too."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from monai.bundle.config_item import ComponentLocator

# Names that MONAI is about to have, and one it has in a form of its own.
RESERVED = {"ConformalPredictor", "ConformalCalibrator", "ConformalRiskCalibrator", "ConformalRiskPredictor"}
RESERVED |= {"CalibrationError"}


def modules() -> Iterator[ModuleType]:
    package = importlib.import_module("monai_coat")
    for found in pkgutil.walk_packages(package.__path__, "monai_coat."):
        if found.name.endswith("__main__"):
            continue
        try:
            yield importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            if str(error.name).startswith("monai_coat"):
                raise  # otherwise an optional package is not installed


def place(module: ModuleType, value: Any) -> str:
    is_code = inspect.isclass(value) or inspect.isfunction(value)
    return f"{module.__file__}:{inspect.getsourcelines(value)[1] if is_code else 1}"


@pytest.fixture(scope="module")
def ours() -> dict[str, str]:
    """Where each name is that is in an ``__all__``, or that the look-up finds because a module defines it."""
    return {
        name: place(module, value)
        for module in modules()
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (name in getattr(module, "__all__", ()) or getattr(value, "__module__", "") == module.__name__)
    }


def test_our_names_are_not_monai_names(ours):
    locator = ComponentLocator(excludes=["monai_coat"])
    assert locator.get_component_module_name("UNet"), "the host's look-up finds nothing; follow its change."
    taken = {name: locator.get_component_module_name(name) for name in ours}
    faults = [f"{ours[name]} {name} is in {where} too; rename ours." for name, where in taken.items() if where]
    assert not faults, "\n".join(["", *faults])


def test_our_names_are_not_reserved(ours):
    faults = [f"{where} {name} is reserved for MONAI; rename ours." for name, where in ours.items() if name in RESERVED]
    assert not faults, "\n".join(["", *faults])
