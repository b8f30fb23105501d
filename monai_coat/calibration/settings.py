# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Settings of objects, and digests of them: what tells one preprocessing from another."""

from __future__ import annotations

import copyreg
import dis
import functools
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, NoneType
from typing import Any

import numpy as np
import torch

__all__ = ["class_path", "digest_of_settings"]

# Attributes that change where or how fast something is computed, or what is shown meanwhile, and not the result; and
# those in which MONAI's objects note what they have been used on.
WITHOUT_EFFECT = frozenset({"device", "sw_device", "sw_batch_size", "progress", "cpu_thresh", "cache_roi_weight_map"})
WITHOUT_EFFECT |= {"roi_weight_map", "buffer_steps", "buffer_dim", "training", "log_stats", "R", "allow_missing_keys"}
WITHOUT_EFFECT |= {"filenames"}
ALWAYS_INSTALLED = ("NumpyReader", "NibabelReader")
Place = tuple[int, ...]
# Of bytecode, see _steps.
CONSTANTS = ("LOAD_CONST", "RETURN_CONST", "KW_NAMES", "LOAD_SMALL_INT")
NAMES = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR")
OPERATORS = ("BINARY_", "INPLACE_", "COMPARE_OP", "UNARY_", "CONTAINS_OP", "IS_OP")
PLAIN: tuple[type, ...] = (NoneType, bool, int, float, complex, str, bytes, range, slice, Path, Enum, set, frozenset)
PLAIN += (np.generic, np.ndarray, torch.Tensor, torch.dtype, FunctionType, type)
PLAIN += (BuiltinFunctionType, np.ufunc, np.dtype)


def class_path(value: object) -> str:
    """Module and name of an object's class."""
    return _path(type(value))


def _path(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def digest_of_settings(value: object) -> str:
    """64 hexadecimal digits that change with the class or a setting of an object, or of anything in it."""
    return hashlib.sha256(json.dumps(described(value), sort_keys=True).encode()).hexdigest()


def described(value: Any, inside: Place = ()) -> Any:
    """An object as lists, dictionaries, text and numbers, equal in every process that makes the object alike.

    Args:
        value: any object.
        inside: identities of the objects that it is found in, so that one that holds itself comes to an end.
    """
    return "itself" if id(value) in inside else _described(value, (*inside, id(value)))


@functools.singledispatch
def _described(value: Any, inside: Place) -> Any:
    """Of most objects: the class, and the attributes that the result depends on, or what a copy would be made of."""
    if hasattr(value, "__dict__"):
        return [class_path(value), described(_attributes(value), inside)]
    try:
        reduce: Any = copyreg.dispatch_table.get(type(value), lambda item: item.__reduce_ex__(4))
        reduced = reduce(value)
    except TypeError:  # a lock or the like, of which there are no copies
        return [class_path(value)]
    return [class_path(value), described(reduced[1:], inside)]


@_described.register(NoneType)
@_described.register(bool)
@_described.register(int)
@_described.register(str)
def _of_plain(value: Any, inside: Place) -> Any:
    return value


@_described.register
def _of_float(value: float, inside: Place) -> str:
    return repr(float(value))


@_described.register(bytes)
def _of_bytes(value: bytes, inside: Place) -> str:
    return value.hex()


@_described.register
def _of_number(value: np.generic, inside: Place) -> Any:
    return described(value.item(), inside)


@_described.register
def _of_enum(value: Enum, inside: Place) -> Any:
    return [class_path(value), described(value.value, inside)]


@_described.register(dict)
@_described.register(Mapping)
def _of_mapping(value: Mapping[Any, Any], inside: Place) -> Any:
    return {str(key): described(item, inside) for key, item in value.items()}


@_described.register(list)
@_described.register(tuple)
def _of_sequence(value: list[Any], inside: Place) -> Any:
    return [described(item, inside) for item in value]


@_described.register(set)
@_described.register(frozenset)
def _of_set(value: set[Any], inside: Place) -> Any:
    return sorted((described(item, inside) for item in value), key=repr)


@_described.register(torch.Tensor)
@_described.register(np.ndarray)
def _of_array(value: Any, inside: Place) -> Any:
    array = torch.as_tensor(value).detach().cpu().contiguous()
    data = array.reshape(-1).view(torch.uint8).numpy().tobytes()
    return [str(array.dtype), list(array.shape), hashlib.sha256(data).hexdigest()]


@_described.register(type)
@_described.register(BuiltinFunctionType)
def _of_class(value: Any, inside: Place) -> str:
    return _path(value)


@_described.register(torch.dtype)
@_described.register(np.dtype)
@_described.register(np.ufunc)
def _of_name(value: object, inside: Place) -> str:
    return str(value)


@_described.register
def _of_path(value: Path, inside: Place) -> str:
    return value.name  # a folder may move


@_described.register(torch.device)
@_described.register(torch.Generator)
@_described.register(np.random.RandomState)
@_described.register(np.random.Generator)
def _of_no_effect(value: object, inside: Place) -> None:
    return None


@_described.register
def _of_partial(value: functools.partial, inside: Place) -> Any:  # type: ignore[type-arg]
    return ["partial", *(described(part, inside) for part in (value.func, value.args, value.keywords))]


@_described.register
def _of_method(value: MethodType, inside: Place) -> Any:
    return [described(value.__func__, inside), described(value.__self__, inside)]


@_described.register
def _of_function(value: FunctionType, inside: Place) -> Any:
    """The name of a function; of one without a name what it is made of."""
    if "<" not in value.__qualname__:
        return _path(value)
    enclosed = [described(cell.cell_contents, inside) for cell in value.__closure__ or ()]
    defaults = described([value.__defaults__, value.__kwdefaults__], inside)
    return ["function", list(_steps(value.__code__, inside)), enclosed, defaults]


def _steps(code: CodeType, inside: Place) -> Iterator[Any]:
    """Names, constants and operators of a function in order, and then of the functions in it.

    Bytecode is another one in every version of Python; these are alike from 3.11 on, and in 3.10 but for arithmetic.
    """
    for step in dis.get_instructions(code):
        if step.opname in CONSTANTS:
            constant = code.co_consts[step.arg or 0] if step.opname != "LOAD_SMALL_INT" else step.argval
            # Up to Python 3.10 a function's name is loaded beside its code.
            if not isinstance(constant, CodeType) and "<locals>" not in str(constant):
                yield ["constant", described(constant, inside)]
        elif step.opname in NAMES:
            yield step.argval
        elif step.opname.startswith(OPERATORS) and step.opname not in ("BINARY_SUBSCR", "BINARY_SLICE"):
            yield [step.opname, step.argrepr.removeprefix("bool(").removesuffix(")") or str(step.argval)]
    for constant in filter(lambda item: isinstance(item, CodeType), code.co_consts):
        yield from _steps(constant, inside)


def _attributes(value: object) -> dict[str, Any]:
    """The attributes that the result depends on; an object may say them itself, in ``identity_settings()``."""
    own = getattr(value, "identity_settings", None)
    if own is not None:
        return dict(own())
    attributes = {
        name: item
        for name, item in vars(value).items()
        if name not in WITHOUT_EFFECT and not isinstance(item, threading.local)
    }
    # MONAI's LoadImage keeps every reader whose library is installed, before the one that was asked for, if any.
    if "auto_select" in attributes and isinstance(attributes.get("readers"), list):
        *others, last = attributes["readers"]
        attributes["readers"] = [reader for reader in others if type(reader).__name__ in ALWAYS_INSTALLED] + [last]
    return attributes
