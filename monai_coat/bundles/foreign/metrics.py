# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The bundle's own metrics, of prediction sets: which can be kept.

Tested by tests/bundles/foreign/test_facts.py.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monai_coat.bundles.foreign.source import Entry, Source

__all__ = ["KeptMetrics", "kept_metrics"]

PAIR = re.compile(r"\$\s*(?:monai\.handlers\.)?from_engine\(\s*(\[[^\]]*\])\s*\)")
PLACES = {"key_val_metric": "validate::key_metric", "additional_metrics": "validate::additional_metrics"}


@dataclass
class KeptMetrics:
    """Metrics of the bundle that are computed beside ours.

    Attributes:
        metrics: of the evaluator's two arguments for metrics, references by name.
        transforms: references to transforms of the bundle that the metrics need after masks were made.
        left_out: names of the others.
    """

    metrics: dict[str, dict[str, str]] = field(default_factory=dict)
    transforms: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def kept_metrics(source: Source) -> KeptMetrics:
    """Metrics of prediction and label, whole or split into channels; others are left out by name."""
    kept = KeptMetrics()
    splits = _splits(source)
    made = {name: entry for entry in splits for name in _names(source, entry)}
    for argument, place in PLACES.items():
        for name, config in (source.followed(source.get(place)) or {}).items():
            keys = _keys(config)
            if not keys or not {*keys} <= {"pred", "label", *made}:
                kept.left_out.append(name)
                continue
            kept.metrics.setdefault(argument, {})[name] = f"@{place}::{name}"
            kept.transforms += [f"@{made[key].id}" for key in keys if key in made]
    kept.transforms = list(dict.fromkeys(kept.transforms))
    if "additional_metrics" in kept.metrics and "key_val_metric" not in kept.metrics:
        kept.metrics["key_val_metric"] = kept.metrics.pop("additional_metrics")
    return kept


def _splits(source: Source) -> list[Entry]:
    """Transforms of the validation that split predictions and labels into channels."""
    try:
        entries = source.transforms("validate::postprocessing") if source.training else []
    except ValueError:  # an expression that cannot be followed: what it makes is not there
        return []
    return [e for e in entries if e.target == "SplitDim" and {*e.keys(source)} <= {"pred", "label"}]


def _names(source: Source, entry: Entry) -> list[str]:
    endings = source.followed(entry.config.get("output_postfixes")) or []
    return [f"{key}_{ending}" for key in entry.keys(source) for ending in endings]


def _keys(config: Any) -> list[str]:
    """What a metric takes out of the engine's output; nothing if that cannot be told."""
    transform = config.get("output_transform") if isinstance(config, Mapping) else None
    found = PAIR.fullmatch(transform.strip()) if isinstance(transform, str) else None
    return [str(key) for key in ast.literal_eval(found[1])] if found else []
