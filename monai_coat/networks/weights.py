# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Weights of a network in a file: written whole or not at all, and refused when they are of another network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from monai_coat.files import replacing

__all__ = ["load_weights", "save_weights", "save_whole"]

Network = TypeVar("Network", bound=nn.Module)


def save_weights(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write a network's ``state_dict``; the file is written beside its place and renamed.

    Example:
        >>> path = getfixture("tmp_path") / "model.pt"
        >>> save_weights(nn.Linear(2, 1), path)
        >>> load_weights(nn.Linear(2, 1), path)
        Linear(in_features=2, out_features=1, bias=True)
    """
    save_whole(network.state_dict(), path)


def save_whole(content: Any, path: str | os.PathLike[str]) -> None:
    """``torch.save`` that leaves the old file, or the new one, and never half a one.

    Raises:
        OSError: naming the file, if it cannot be written, as on a full disk.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch then says how many bytes are missing, but not why
                raise error.__context__ from None
            raise


def load_weights(network: Network, path: str | os.PathLike[str]) -> Network:
    """Load a ``state_dict`` strictly, and return the network.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file holds no weights, or weights of another network. Nothing is loaded then.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path must name a file of weights, got {path}; run the step that makes it first.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"path must name a file of weights, got {path}, which is none ({error}).") from None
    # Compared first: load_state_dict would complain only after it had loaded what fits.
    expected, given = _shapes(network.state_dict()), _shapes(state)
    different = sorted({name for name, _ in expected.items() ^ given.items()})
    if different:
        raise ValueError(
            f"{path} holds weights of another network: {len(different)} entries differ by name or shape, such as "
            f"{different[0]!r}."
        )
    network.load_state_dict(state)
    return network


def _shapes(state: Any) -> dict[str, torch.Size | None]:
    """Shape of each entry; of something that is no ``state_dict``, one entry that no network has."""
    return (
        {name: getattr(value, "shape", None) for name, value in state.items()}
        if isinstance(state, dict)
        else {"": None}
    )
