# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The data of a benchmark, group by group: partition, segmenter, maps, and rounds of training images and pool."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_coat.benchmark.images import Images, load_images, samples_of
from monai_coat.benchmark.maps import Maps, Round
from monai_coat.benchmark.protocol import Protocol, digest_of
from monai_coat.benchmark.segmenters import train_segmenter, write_logits
from monai_coat.data import partition, split_by_group
from monai_coat.data.groups import group_of

__all__ = ["Bench"]

logger = logging.getLogger(__name__)

Samples = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class _Job:
    """A segmenter to train: one of the protocol, or one of its halves."""

    dataset: str
    network: str
    part: str = ""


class Bench:
    """Everything of a protocol that is made once and kept in a folder.

    Args:
        protocol: what is compared.
        folder: where images, weights and maps are kept.
    """

    def __init__(self, protocol: Protocol, folder: Path) -> None:
        self.protocol, self.folder = protocol, folder
        self.rounds = lru_cache(maxsize=1)(self._rounds)

    def _rounds(self, dataset: str, network: str, cross_fit: bool = False) -> list[Round]:
        """Training images and pool of each round.

        Saved predictions and studies have several rounds; else there is one, as training a segmenter is dear.
        """
        images, samples = (
            load_images(self.protocol, dataset, self.folder),
            samples_of(self.protocol, dataset, self.folder),
        )
        if len(images.probs):
            return self._rounds_of_predictions(images, samples)
        parts = partition(samples, self.protocol.fractions, self.protocol.seed)
        job = _Job(dataset, network)
        train = self._maps(job, images, parts.base_train, parts.threshold_train)
        if self.protocol.study:
            return self._folds(train, parts.threshold_train)
        pool = self._maps(job, images, parts.base_train, [*parts.calibration, *parts.test])
        if cross_fit:
            train = self._cross_fitted(job, images, parts.base_train).joined(train)
        return [Round(train, pool)]

    def _maps(self, job: _Job, images: Images, base: Samples, wanted: Samples) -> Maps:
        """Maps of some images by the segmenter that was trained on others."""
        epochs = int(self.protocol.datasets[job.dataset]["epochs"])
        folder = self.folder / "segmenters" / f"{job.dataset}-{job.network}{job.part}-{self._digest(job)}"
        chosen = images.take(wanted)
        path = folder / f"logits-{digest_of(chosen.ids)}.npy"
        if not path.is_file():
            logger.info("segmenter %s%s of %s", job.network, job.part, job.dataset)
            segmenter = train_segmenter(self.protocol, job.network, images.take(base), epochs, folder)
            write_logits(segmenter, chosen, path)
        return Maps(chosen.ids, chosen.image, chosen.label, torch.sigmoid(torch.from_numpy(np.load(path))))

    def _digest(self, job: _Job) -> str:
        protocol = self.protocol
        settings = (protocol.image_size, protocol.fractions, protocol.seed, protocol.batch_size, protocol.learning_rate)
        return digest_of((protocol.datasets[job.dataset], protocol.networks[job.network], settings))

    def _cross_fitted(self, job: _Job, images: Images, base: Samples) -> Maps:
        """Maps of the segmenter's own training images, each by a segmenter that has not seen it."""
        first, second = split_by_group(base, 0.5, self.protocol.seed)
        maps = [
            self._maps(_Job(job.dataset, job.network, part), images, seen, unseen)
            for part, seen, unseen in (("-half1", first, second), ("-half2", second, first))
        ]
        return maps[0].joined(maps[1])

    def _rounds_of_predictions(self, images: Images, samples: Samples) -> list[Round]:
        """Maps that were there before: no segmenter to train, and a new draw of training images in each round."""
        rounds = []
        for number in range(self.protocol.rounds):
            share = sum(self.protocol.fractions[2:]) / sum(self.protocol.fractions[1:])
            train, pool = split_by_group(samples, share, self.protocol.seed + number)
            rounds.append(Round(_saved(images.take(train)), _saved(images.take(pool))))
        return rounds

    def _folds(self, train: Maps, samples: Samples) -> list[Round]:
        """Rounds that never look beyond the training images: each holds out some of their groups."""
        group = {str(sample["id"]): group_of(sample) for sample in samples}
        names = sorted({group[name] for name in train.ids})
        fold = dict(zip(np.random.default_rng(self.protocol.seed).permutation(names), range(len(names)), strict=True))
        number = self.protocol.rounds
        places = [fold[group[name]] % number for name in train.ids]
        return [
            Round(
                train.rows([i for i, place in enumerate(places) if place != k]),
                train.rows([i for i, place in enumerate(places) if place == k]),
            )
            for k in range(number)
        ]


def _saved(images: Images) -> Maps:
    return Maps(images.ids, images.image, images.label, images.probs.float() / 255)
