# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The identity of a pipeline: what a calibration belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from monai_coat.calibration.module_settings import plain_settings
from monai_coat.calibration.settings import class_path, digest_of_settings

__all__ = ["PipelineIdentity", "identity_of", "network_identity", "tensors_of"]

Entries = Mapping[str, str]


@dataclass(frozen=True)
class PipelineIdentity:
    """What made the scores, entry by entry, so that a difference has a name.

    Attributes:
        network: settings of the network and its scorer in words, digests of the segmenter and of all weights.
        pipeline: digests of what stands around the network, by name: preprocessing, inferer, restoration.
    """

    network: Entries = field(default_factory=dict)
    pipeline: Entries = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((frozenset(self.network.items()), frozenset(self.pipeline.items())))

    @property
    def digest(self) -> str:
        """64 hexadecimal digits that change with any entry of the network; empty if nothing is said about it."""
        return digest_of_entries(self.network).hex() if self.network else ""

    def differences(self, other: PipelineIdentity) -> list[str]:
        """What differs, by name; parts of the pipeline that one of the two does not name are not compared.

        Example:
            >>> mine, other = (PipelineIdentity({"scorer.space": space}) for space in ("probability", "logit"))
            >>> mine.differences(other)
            ['scorer.space (probability against logit)']
        """
        odd = [_difference(name, self.network, other.network) for name in sorted({*self.network, *other.network})]
        odd += [
            _difference(name, self.pipeline, other.pipeline) for name in sorted({*self.pipeline} & {*other.pipeline})
        ]
        return [text for text in odd if text]

    def to_json(self) -> dict[str, dict[str, str]]:
        """Plain dictionaries."""
        return {"network": dict(self.network), "pipeline": dict(self.pipeline)}

    @classmethod
    def from_json(cls, content: Any) -> PipelineIdentity:
        """The identity that :meth:`to_json` wrote.

        Raises:
            ValueError: if the content is something else.
        """
        parts = [content.get(name) for name in ("network", "pipeline")] if isinstance(content, dict) else [None]
        for part in parts:
            if not isinstance(part, dict) or not all(isinstance(text, str) for pair in part.items() for text in pair):
                raise ValueError("identity must have a network and a pipeline, dictionaries of text")
        return cls(*parts)


def _difference(name: str, mine: Entries, other: Entries) -> str:
    if mine.get(name) == other.get(name):
        return ""
    values = [entries.get(name, "nothing") for entries in (mine, other)]
    return f"{name} ({values[0]} against {values[1]})" if "digest" not in values[0] + values[1] else name


def digest_of_entries(entries: Entries) -> bytes:
    """32 bytes that change with any of the entries."""
    return hashlib.sha256(json.dumps(dict(entries), sort_keys=True).encode()).digest()


def identity_of(network: nn.Module | None = None, pipeline: Mapping[str, object] | None = None) -> PipelineIdentity:
    """The identity of a network and of what stands around it.

    Args:
        network: network that makes the scores, or None if it is not at hand.
        pipeline: whatever else the scores depend on, by name: the objects themselves, such as
            ``{"preprocessing": transforms, "inferer": inferer, "restore": inverse}``. Their classes and plain settings
            count; devices and progress bars do not.

    Returns:
        The identity, the same in every process, on every device and after weights were saved and loaded.

    Example:
        >>> a, b = nn.Linear(2, 1), nn.Linear(2, 1)
        >>> identity_of(a) == identity_of(b), identity_of(a) == identity_of(a)
        (False, True)
        >>> identity_of(a).differences(identity_of(b))
        ['weights']
    """
    parts = {name: f"digest {digest_of_settings(part)[:32]}" for name, part in (pipeline or {}).items()}
    return PipelineIdentity(network_identity(network) if network is not None else {}, parts)


def network_identity(network: nn.Module) -> dict[str, str]:
    """Entries about a network: classes and plain settings of its modules, and digests of weights.

    Modules of this package are named one by one, so that another space or input size can be told; those of others,
    which are many, share one entry for each child of the network. Of weights every parameter and buffer counts, also
    those that are not saved, except the calibration itself, which a class lists in ``calibration_buffers``.
    """
    entries: dict[str, str] = {}
    others: dict[str, list[Any]] = {}
    for path, module in _modules(network):
        settings = plain_settings(module)
        if _is_named_one_by_one(module):
            prefix = f"{path}." if path else ""
            entries[path or "network"] = class_path(module)
            entries |= {f"{prefix}{name}": json.dumps(value) for name, value in settings.items()}
        else:
            others.setdefault(path.split(".")[0], []).append([path, class_path(module), settings])
    entries |= {_of(child, "layers"): f"digest {digest_of_settings(rows)[:32]}" for child, rows in others.items()}
    return entries | _weights(network, {path for path, module in _modules(network) if _is_named_one_by_one(module)})


def _is_named_one_by_one(module: nn.Module) -> bool:
    package, _, rest = type(module).__module__.partition(".")
    return package == __name__.split(".")[0] and not rest.startswith("networks.segmenters")


def _modules(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules by path, whatever compilation has wrapped them in."""
    for path, module in network.named_modules(remove_duplicate=False):
        if not hasattr(module, "_orig_mod"):
            yield _unwrapped(path), module


def _unwrapped(path: str) -> str:
    return path.replace("_orig_mod.", "").removesuffix("._orig_mod").removeprefix("_orig_mod")


def _weights(network: nn.Module, named: set[str]) -> dict[str, str]:
    """Single numbers of the named modules, and one digest of all other parameters and buffers for each child."""
    entries: dict[str, str] = {}
    digests: dict[str, Any] = {}
    for path, tensor in sorted(tensors_of(network)):
        array = tensor.detach().cpu().contiguous()
        if array.numel() == 1 and path.rpartition(".")[0] in named:
            entries[path] = repr(array.item())
            continue
        digest = digests.setdefault(path.split(".")[0] if "." in path else "", hashlib.sha256())
        digest.update(f"{path} {array.dtype} {tuple(array.shape)}\n".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return entries | {_of(child, "weights"): f"digest {d.hexdigest()[:32]}" for child, d in digests.items()}


def tensors_of(network: nn.Module) -> list[tuple[str, Tensor]]:
    """Parameters and buffers by path, without the calibrations of the modules that carry one."""
    left_out = {
        f"{path}.{name}".removeprefix(".")
        for path, module in network.named_modules(remove_duplicate=False)
        for name in getattr(type(module), "calibration_buffers", ())
    }
    named = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    return [(_unwrapped(path), tensor) for path, tensor in named if path not in left_out]


def _of(child: str, what: str) -> str:
    return f"{child} {what}" if child else what
