# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Settings of modules: what their own attributes say, and those of the plain objects that configure them."""

from __future__ import annotations

import copyreg
import functools
import logging
import random
import threading
from collections.abc import Mapping
from types import MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from monai_coat.calibration.settings import PLAIN, WITHOUT_EFFECT, Place, _described, class_path, described

__all__ = ["plain_settings"]

NOTHING = object()
"""In place of the setting of what is none: modules, which are looked at by themselves, and what only notes or draws."""
NO_SETTINGS: tuple[type, ...] = (nn.Module, ModuleType, torch.device, torch.Generator, random.Random)
NO_SETTINGS += (np.random.Generator, np.random.RandomState, logging.Logger, logging.LoggerAdapter, threading.local)
NO_SETTINGS += (torch.optim.Optimizer, RemovableHandle)
# Where a configuration of a library notes its origin.
ORIGIN = frozenset({"_name_or_path", "_commit_hash", "transformers_version"})


def plain_settings(module: nn.Module) -> dict[str, Any]:
    """A module's own attributes that are settings; layers, weights and private attributes are not.

    Of an object that is no module, such as a dataclass or a namespace, the attributes count in turn.
    """
    own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    settings = _of_attributes({name: value for name, value in own.items() if not _is_derived(module, name)}, ())
    if isinstance(module, torch.jit.ScriptModule):
        settings["code"] = module.code  # a script has its settings in its code
    return settings


def _of_attributes(values: Mapping[str, Any], inside: Place) -> dict[str, Any]:
    return _of_items({name: value for name, value in values.items() if name not in WITHOUT_EFFECT}, inside)


def _of_items(values: Mapping[Any, Any], inside: Place) -> dict[str, Any]:
    found = {str(name): _setting(value, inside) for name, value in values.items()}
    return {name: found[name] for name in sorted(found) if found[name] is not NOTHING}


def _setting(value: Any, inside: Place) -> Any:
    """A setting as :func:`~monai_coat.calibration.settings.described` gives it, or NOTHING."""
    if id(value) in inside:
        return "itself"
    inside = (*inside, id(value))
    if isinstance(value, NO_SETTINGS):
        return NOTHING
    return described(value) if isinstance(value, PLAIN) else _of_parts(value, inside)


def _of_parts(value: Any, inside: Place) -> Any:
    """A setting that is made of others."""
    if isinstance(value, functools.partial):
        value = ["partial", value.func, value.args, value.keywords]
    elif isinstance(value, MethodType):
        value = [value.__func__, value.__self__]
    if isinstance(value, Mapping):
        named = _of_items(value, inside)
        return named if named or not value else NOTHING
    if isinstance(value, tuple | list):
        items = [_setting(item, inside) for item in value]
        some = not items or any(item is not NOTHING for item in items)
        return [None if item is NOTHING else item for item in items] if some else NOTHING
    return _of_object(value, inside)


def _of_object(value: Any, inside: Place) -> Any:
    """Class and attributes of an object, or what it says itself, in ``identity_settings()``."""
    own = getattr(value, "identity_settings", None)
    if own is not None:
        return [class_path(value), _of_attributes(own(), inside)]
    slots = copyreg._slotnames(type(value))  # type: ignore[attr-defined]
    if not hasattr(value, "__dict__") and not slots:
        return NOTHING
    attributes = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    attributes |= getattr(value, "__dict__", {})
    kept = {name: item for name, item in attributes.items() if not _is_note(type(value), name)}
    return [class_path(value), _of_attributes(kept, inside)]


def _is_note(kind: type, name: str) -> bool:
    """Whether an attribute is an origin or a cache, which is written while the object is used."""
    cached = isinstance(getattr(kind, name, None), functools.cached_property)
    return cached or name in ORIGIN or (name.startswith("_") and "cache" in name)


def _is_derived(module: nn.Module, name: str) -> bool:
    """Whether a hook makes this tensor of the module's parameters before every call.

    Weight and spectral normalisation and pruning do, and what they have made is what was left from the last call.
    """
    hooks = module._forward_pre_hooks.values()
    return isinstance(vars(module)[name], torch.Tensor) and any(
        name in (getattr(hook, "name", None), getattr(hook, "_tensor_name", None)) for hook in hooks
    )


@_described.register
def _of_module(value: nn.Module, inside: Place) -> Any:
    modules = [[path, class_path(module), plain_settings(module)] for path, module in value.named_modules()]
    return [modules, described(dict(value.state_dict()), inside)]
