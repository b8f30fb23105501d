# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Bundles whose networks are handed more than an image: refused, since a calibration would not be of what they do.

Tested by tests/bundles/foreign/test_facts.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from monai_coat.bundles.foreign.source import Source, target_of

__all__ = ["check_one_image_in", "crops"]

PROMPTS = re.compile(r"prompt|click|guidance|vista3d|(^|[._])sam(2|ed)?($|[._(])", re.IGNORECASE)
HOOKS = ("prepare_batch", "iteration_update", "hyper_kwargs")
CROPS = re.compile(r"Crop")
NO_MAPS = ("classes", "classification", "points", "dict")


def check_one_image_in(source: Source) -> None:
    """Refuse a bundle that is not an image in, a map out.

    Raises:
        ValueError: naming what hands the network more than an image: prompts, or an evaluator or inferer of its
            bundle; or if the metadata say that it gives no map.
    """
    outputs = source.metadata.get("network_data_format", {}).get("outputs", {})
    for name, described in outputs.items():
        if described.get("format") in NO_MAPS:
            raise ValueError(
                f"network must give a map with a class per voxel, got {described['format']} as {name} in the metadata; "
                "take a bundle that segments."
            )
    evaluator, inferer = source.required("evaluator"), source.required("inferer")
    network, own = source.required("network_def"), "a promise is made about a map that follows from the image alone"
    places = {source.ids.network_def: network, source.ids.inferer: inferer, source.ids.evaluator: evaluator}
    places |= {entry.id: entry.config for entry in source.transforms(source.ids.preprocessing)}
    for place, config in places.items():
        called = str(config.get("_target_", "")) if isinstance(config, Mapping) else str(config)
        if PROMPTS.search(called):
            raise ValueError(
                f"network must be handed an image and nothing else, got {called} at {place}, which is of a network "
                f"with prompts: {own}; save the maps for the prompts you use, and calibrate those."
            )
    if target_of(evaluator) != "SupervisedEvaluator":
        raise ValueError(
            f"{source.ids.evaluator} must be MONAI's SupervisedEvaluator, got "
            f"{evaluator.get('_target_') if isinstance(evaluator, Mapping) else evaluator}: {own}; if the bundle has "
            f"one, say where with {source.ids.option('evaluator')}."
        )
    if hooks := [name for name in HOOKS if evaluator.get(name) is not None]:
        raise ValueError(
            f"{source.ids.evaluator} must hand the network an image and nothing else, got {', '.join(hooks)}: {own}; "
            "save its maps, and calibrate those."
        )
    called = str(inferer.get("_target_", "")) if isinstance(inferer, Mapping) else str(inferer)
    if not re.fullmatch(r"\$?(monai\.inferers\.(\w+\.)*)?\w+Inferer(\(.*\))?", called):
        raise ValueError(
            f"{source.ids.inferer} must be one of MONAI's inferers, which run any network, got {called}; give the id "
            f"of one with {source.ids.option('inferer')}."
        )


def crops(source: Source) -> list[str]:
    """Transforms that cut something of the image off, which cannot be brought back."""
    return [entry.target for entry in source.transforms(source.ids.preprocessing) if CROPS.search(entry.target)]
