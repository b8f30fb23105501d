# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Three sites with one small bundle, and images of their own."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from monai_coat.networks import AdaptiveSegmenter

ALPHA = 0.2
NETWORK = {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 1, "kernel_size": 3, "padding": 1}
COMMON = {
    "imports": ["$import torch", "$import monai", "$import monai_coat"],
    "bundle_root": ".",
    "device": "$torch.device('cpu')",
    "dataset_dir": "$@bundle_root + '/data'",
    "model_dir": "$@bundle_root + '/models'",
    "output_dir": "$@bundle_root + '/output'",
    "method": "crc",
    "segmenter": NETWORK,
    "network_def": {"_target_": "monai_coat.networks.AdaptiveSegmenter", "segmenter": "@segmenter"},
    "network": "$@network_def.to(@device)",
    "inferer": {"_target_": "monai_coat.inferers.AdaptiveInferer"},
    "dataset": {
        "_target_": "Dataset",
        "data": "$torch.load(@dataset_dir + '/images.pt')",
    },
    "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 4},
    "pred_and_label": "$monai.handlers.from_engine(['pred', 'label'])",
    "statistic": {"_target_": "monai_coat.calibration.BinnedStatistic", "low": 0.0, "high": 1.0},
    "handlers": [
        {
            "_target_": "monai_coat.handlers.CollectStatistic",
            "path": "$@output_dir + '/statistic.npz'",
            "statistic": "@statistic",
            "network": "@network",
            "method": "@method",
            "output_transform": "@pred_and_label",
            "pipeline": {"inferer": "@inferer"},
        }
    ],
    "evaluator": {
        "_target_": "SupervisedEvaluator",
        "device": "@device",
        "val_data_loader": "@dataloader",
        "network": "@network",
        "inferer": "@inferer",
        "val_handlers": "@handlers",
    },
    "initialize": ["$monai_coat.networks.load_weights(@segmenter, @model_dir + '/segmenter.pt')"],
    "run": ["$@evaluator.run()"],
}


def images(seed: int, count: int = 15) -> list[dict[str, torch.Tensor]]:
    """Images that are brighter where the object is."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(count):
        label = (torch.rand(1, 12, 10, generator=generator) < 0.3).float()
        found.append({"image": label + torch.randn(1, 12, 10, generator=generator), "label": label})
    return found


def segmenter(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Conv2d(1, 1, 3, padding=1)


def write_site(folder: Path, seed: int, count: int = 15, weights: int = 0, **changes: object) -> Path:
    """A bundle in ``folder`` with images of its own."""
    for name in ("configs", "data", "models"):
        (folder / name).mkdir(parents=True)
    (folder / "configs" / "collect.json").write_text(json.dumps({**COMMON, **changes}))
    (folder / "configs" / "metadata.json").write_text(json.dumps({"version": "0.1.0"}))
    torch.save(images(seed, count), folder / "data" / "images.pt")
    torch.save(segmenter(weights).state_dict(), folder / "models" / "segmenter.pt")
    return folder


def pooled(seeds: tuple[int, ...] = (1, 2, 3), count: int = 15) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores and labels of all sites at one place."""
    network = AdaptiveSegmenter(segmenter()).eval()
    samples = [sample for seed in seeds for sample in images(seed, count)]
    scores = network(torch.stack([sample["image"] for sample in samples]))
    return scores, torch.stack([sample["label"] for sample in samples])
