# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Config items of the overlays: those that all steps share, and those of each step.

Tested by tests/bundles/foreign/test_overlays.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monai_coat.bundles.foreign.facts import Facts
from monai_coat.bundles.foreign.methods import OverlayMethod
from monai_coat.bundles.foreign.metrics import KeptMetrics
from monai_coat.bundles.foreign.source import Entry, Source, target_of

__all__ = ["STEP_ITEMS", "Plan"]

RISKS = {"each": "FalseNegativeRate", "worst": "WorstClassFalseNegativeRate"}
OURS = "monai_coat."
PAIRS = "$monai.handlers.from_engine(['{}', '{}'])"


@dataclass(frozen=True)
class Plan:
    """All that the overlays are made of.

    Attributes:
        source: the bundle's configs.
        facts: what is told of its network.
        loader: its component that loads the checkpoint.
        method: name of the method.
        row: the method.
        labels: transforms of the label.
        metrics: the bundle's metrics.
        promise: about "each" class, or the "worst".
        settings: plain settings, by id.
    """

    source: Source
    facts: Facts
    loader: Entry
    method: str
    row: OverlayMethod
    labels: Sequence[Any]
    metrics: KeptMetrics
    promise: str
    settings: Mapping[str, Any]

    def at(self, name: str) -> str:
        """Reference to one of the bundle's ids."""
        return f"@{getattr(self.source.ids, name)}"

    def file(self, kind: str, ending: str) -> str:
        """Expression for a file of the method in the folder of models."""
        return f"monai_coat.bundles.as_path(@coat_model_dir, '{kind}_{self.method}{ending}')"


def fit_items(plan: Plan) -> dict[str, Any]:
    """The step that learns the scorer, from maps on the grid of the network."""
    grid = {"_target_": "ResampleToMatchd", "keys": "label", "key_dst": "image", "mode": "nearest"}
    probs = {"_target_": f"{OURS}transforms.SegmenterProbsd", "keys": "image", "network": "@coat_network"}
    probs |= {"inferer": plan.at("inferer"), "device": "@coat_network_device"}
    prepared = f"$monai.transforms.Compose([{plan.at('preprocessing')}, *@coat_label, *@coat_maps])"
    return {
        **_shared(plan),
        **plan.row.more,
        **_with_labels(plan, "threshold_train"),
        "coat_network_device": "$next(@coat_network_def.parameters()).device",
        "coat_maps": [grid, probs],
        "coat_dataset": {"_target_": "Dataset", "data": "@coat_samples", "transform": prepared},
        "coat_dataloader": {"_target_": "DataLoader", "dataset": "@coat_dataset", "batch_size": 1, "num_workers": 0},
        **_initialize(plan, with_scorer=False),
        "run": [
            plan.row.fit,
            f"$monai_coat.networks.save_weights(@coat_scorer, {plan.file('coat_scorer', '.pt')})",
            _seen("save", plan.file("coat_scorer", ".pt")),
        ],
    }


def calibrate_items(plan: Plan) -> dict[str, Any]:
    """The step that finds the cutoffs, on the grid of each image's file."""
    handler = {
        "_target_": f"{OURS}handlers.ConformalCalibration",
        "guarantee": "@coat_guarantee",
        "network": "@coat_network",
        "path": f"${plan.file('coat_calibration', '.json')}",
        "method": plan.method,
        "pipeline": "@coat_pipeline",
        "output_transform": PAIRS.format("pred", "label"),
    }
    return {
        **_shared(plan),
        **_around(plan),
        **_with_labels(plan, "calibration"),
        **_labelled_dataset(plan),
        **_evaluator(plan, ["@coat_restore"], [_progress("calibration"), handler]),
        **_initialize(plan, others_than=["coat_scorer"] if plan.row.fit else []),
        "run": [f"${plan.at('evaluator')}.run()", _seen("save", plan.file("coat_calibration", ".json"))],
    }


def evaluate_items(plan: Plan) -> dict[str, Any]:
    """The step that says what is covered and what it costs, and computes the bundle's own metrics of the sets."""
    kept = plan.metrics.metrics
    names = ("coat_scores", "coat_masks") if kept else ("pred", "label")
    records = {"_target_": f"{OURS}handlers.ImageRecords", "output_transform": PAIRS.format(*names)}
    saver = {"_target_": "MetricsSaver", "save_dir": "@coat_results_dir", "metrics": "*"}
    more = [{"_target_": "StatsHandler", "iteration_log": False}, saver] if kept else []
    references = {f"{plan.at('evaluator')[1:]}::{argument}": value for argument, value in kept.items()}
    arguments = [plan.at("evaluator"), "@coat_classes", "@coat_alpha", "@coat_results_dir", "@coat_parts.statement"]
    return {
        **_shared(plan),
        **_around(plan),
        **_with_labels(plan, "test"),
        **_labelled_dataset(plan),
        **_evaluator(plan, ["@coat_restore", *_masks_for_metrics(plan)], [_progress("evaluation"), records, *more]),
        **references,
        **_initialize(
            plan,
            with_calibration=True,
            others_than=["coat_scorer", "coat_calibration"] if plan.row.fit else ["coat_calibration"],
        ),
        "run": [f"$monai_coat.report.evaluate_classes({', '.join(arguments)})"],
    }


def inference_items(plan: Plan) -> dict[str, Any]:
    """The step that writes the prediction sets of the bundle's own list of images, on the grid of each file."""
    handlers = plan.source.followed(plan.source.get(f"{plan.at('evaluator')[1:]}::val_handlers"))
    place = plan.source.referred(plan.source.get(f"{plan.at('evaluator')[1:]}::val_handlers"))
    own = [
        f"@{place}::{index}"
        for index, handler in enumerate(handlers if place and isinstance(handlers, list) else [])
        if target_of(plan.source.followed(handler)) != "CheckpointLoader"
    ]
    return {
        **_shared(plan),
        **_around(plan),
        **_evaluator(plan, ["@coat_restore", _conformal_mask(plan), *_written(plan)], own or [_progress("inference")]),
        **_initialize(plan, with_calibration=True),
        "run": [f"${plan.at('evaluator')}.run()"],
    }


STEP_ITEMS = {"fit": fit_items, "calibrate": calibrate_items, "evaluate": evaluate_items, "inference": inference_items}
"""What makes the overlay of each step, first to last."""


def _shared(plan: Plan) -> dict[str, Any]:
    """The network, and the checkpoint that is loaded into the bundle's own network inside it."""
    facts, loader = plan.facts, plan.loader
    loaded = plan.source.followed(loader.config.get("load_dict")) or {}
    network: dict[str, Any] = {"_target_": f"{OURS}networks.AdaptiveSegmenter", "segmenter": plan.at("network_def")}
    network |= {"scorer": "@coat_scorer", "num_classes": len(facts.classes), "activation": facts.activation}
    has_device = "device" in plan.source.inference
    return {
        **plan.settings,
        "coat_classes": list(facts.classes),
        "coat_scorer": plan.row.scorer(facts),
        "coat_network_def": network,
        "coat_network": f"$@coat_network_def{'.to(@device)' if has_device else ''}",
        f"{loader.id}::load_dict": {name: plan.at("network_def") for name in loaded},
        **({f"{loader.id}::map_location": "@device"} if has_device else {}),
    }


def _around(plan: Plan) -> dict[str, Any]:
    """What stands around the network, of which a calibration is, and what is promised."""
    risk = {"_target_": f"{OURS}calibration.{RISKS[plan.promise]}"}
    guarantee = {"_target_": f"{OURS}calibration.ExpectedRisk", "risk": risk, "alpha": "@coat_alpha"}
    return {
        "coat_guarantee": {**guarantee, "class_names": "@coat_classes"},
        "coat_inferer": {"_target_": f"{OURS}inferers.AdaptiveInferer", "inferer": plan.at("inferer")},
        "coat_restore": {
            "_target_": f"{OURS}transforms.RestoreGridd",
            "keys": "pred",
            "transform": plan.at("preprocessing"),
            "orig_keys": "image",
            "nearest_interp": False,
        },
        "coat_pipeline": {
            "preprocessing": plan.at("preprocessing"),
            "inferer": "@coat_inferer",
            "restore": "@coat_restore",
        },
    }


def _with_labels(plan: Plan, part: str) -> dict[str, Any]:
    """Images of one part, and how their labels become masks."""
    drawn = f"monai_coat.bundles.as_path(@coat_model_dir, 'coat_parts_{plan.method}.json')"
    arguments = f"{drawn}, @coat_data, @coat_shares, @coat_seed, @coat_trained_on"
    return {
        "coat_parts": f"$monai_coat.data.held_out_parts({arguments})",
        "coat_samples": f"$@coat_parts.part('{part}')",
        "coat_label": list(plan.labels),
    }


def _labelled_dataset(plan: Plan) -> dict[str, Any]:
    """The bundle's dataset, of images with labels; one at a time, since each has a size of its own."""
    dataset, loader = plan.at("dataset")[1:], plan.source.get(f"{plan.at('evaluator')[1:]}::val_data_loader")
    place = plan.source.referred(loader) or f"{plan.at('evaluator')[1:]}::val_data_loader"
    return {
        f"{dataset}::data": "@coat_samples",
        f"{dataset}::transform": f"$monai.transforms.Compose([{plan.at('preprocessing')}, *@coat_label])",
        f"{place}::batch_size": 1,
    }


def _evaluator(plan: Plan, transforms: list[Any], handlers: list[Any]) -> dict[str, Any]:
    """The bundle's evaluator with our network, inferer and postprocessing."""
    evaluator = plan.at("evaluator")[1:]
    return {
        "coat_postprocessing": {"_target_": "Compose", "transforms": transforms},
        f"{evaluator}::network": "@coat_network",
        f"{evaluator}::inferer": "@coat_inferer",
        f"{evaluator}::postprocessing": "@coat_postprocessing",
        f"{evaluator}::val_handlers": handlers,
    }


def _initialize(
    plan: Plan, with_scorer: bool = True, with_calibration: bool = False, others_than: Sequence[str] = ()
) -> dict[str, Any]:
    """What the bundle does first, then the checkpoint unless it did, our scorer and the calibration.

    ``others_than`` names the files that were made of other images than the step's own.
    """
    own = plan.source.inference.get("initialize")
    lines = own if isinstance(own, list) else [own] if own else []
    added = []
    if not any(f"@{plan.loader.id}(" in str(line).replace("#", "::") for line in lines):
        added.append(f"$@{plan.loader.id}({plan.at('evaluator')})")
    if with_scorer and plan.row.fit:
        added.append(f"$monai_coat.networks.load_weights(@coat_scorer, {plan.file('coat_scorer', '.pt')})")
    if with_calibration:
        arguments = f"@coat_network, {plan.file('coat_calibration', '.json')}, None, @coat_pipeline, @coat_guarantee"
        added.append(f"$monai_coat.inferers.attach_calibration({arguments})")
    added += [_seen("refuse", plan.file(kind, ".pt" if kind == "coat_scorer" else ".json")) for kind in others_than]
    if isinstance(own, list):
        return {"+initialize": added} if added else {}
    return {"initialize": [*lines, *added]}


def _seen(verb: str, file: str) -> str:
    """What keeps of which images a file was made, or refuses these images."""
    return f"$monai_coat.data.{verb}_seen({file}, @coat_samples)"


def _conformal_mask(plan: Plan) -> dict[str, Any]:
    path = f"${plan.file('coat_calibration', '.json')}"
    return {"_target_": f"{OURS}transforms.ConformalMaskd", "keys": "pred", "calibration": path}


def _masks_for_metrics(plan: Plan) -> list[Any]:
    """Sets and labels as the bundle's metrics expect them; scores and masks are kept beside."""
    if not plan.metrics.metrics:
        return []
    copies = {"_target_": "CopyItemsd", "keys": ["pred", "label"], "names": ["coat_scores", "coat_masks"]}
    background = {
        "_target_": "Lambdad",
        "keys": ["pred", "label"],
        "func": "$lambda masks: torch.cat([1 - masks.amax(0, keepdim=True), masks])",
    }
    has_background = [background] if plan.facts.activation == "softmax" else []
    return [copies, _conformal_mask(plan), *has_background, *plan.metrics.transforms]


def _written(plan: Plan) -> list[Any]:
    """The writer of sets: one file, with a channel per class; of flat images one file per class."""
    flat, several = plan.facts.spatial_dims == 2, len(plan.facts.classes) > 1
    folder = "@output_dir" if "output_dir" in plan.source.inference else "@coat_results_dir"
    root = f"$monai_coat.bundles.common_folder({plan.at('dataset')}::data)"
    common = {
        "output_dir": folder,
        "data_root_dir": root,
        "resample": False,
        "separate_folder": False,
        "print_log": False,
    }
    writer = {"output_ext": ".png", "scale": 255} if flat else {"output_ext": ".nii.gz", "output_dtype": "uint8"}
    if not flat:
        writer["writer"] = "$monai_coat.data.MaskWriter"
    names = [f"_{name}" for name in plan.facts.classes] if flat and several else [""]
    split = {"_target_": "SplitDimd", "keys": "pred", "output_postfixes": [name[1:] for name in names]}
    savers = [
        {"_target_": "SaveImaged", "keys": f"pred{name}", "output_postfix": f"{plan.method}{name}", **common, **writer}
        for name in names
    ]
    return [split, *savers] if flat and several else savers


def _progress(name: str) -> dict[str, Any]:
    return {"_target_": f"{OURS}handlers.ProgressLog", "name": name}
