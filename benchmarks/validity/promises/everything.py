# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""All trials: of every promise, and of wrong rules."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from multiprocessing import get_context

import torch

from benchmarks.validity.inputs import Inputs, Scale
from benchmarks.validity.promises.broken import broken_rules
from benchmarks.validity.promises.extras import binned, noisy_masks, two_risks
from benchmarks.validity.promises.judging import Outcome
from benchmarks.validity.promises.pool import Pool
from benchmarks.validity.promises.rows import RISKS, Rows, refusals
from benchmarks.validity.sections import Content, progress
from monai_coat.calibration import risk_named

PATIENTS, ABSENT = 1600, {"": 0.1, "images without foreground": 0.9}
"""How often a class is absent, by which images count."""


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings that an image was drawn twice."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def run(inputs: Inputs) -> Content:
    """All trials."""
    with quiet():
        return _run(inputs)


def _run(inputs: Inputs) -> Content:
    draws = inputs.scale.draws
    outcomes: list[Outcome] = []
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as workers:
        for found in progress("promises", [workers.submit(_outcomes_of, key, draws) for key in RISKS]):
            outcomes += found.result()
    pool = _population("")
    noisy, clean = noisy_masks(pool, draws)
    outcomes += two_risks(pool, draws) + binned(pool, draws) + noisy
    rules = broken_rules(pool)
    caught = [rule.outcome(draws, seed) for seed, rule in enumerate(progress("wrong rules", rules))]
    rows = len(outcomes) + len(caught)
    missed = [each.by for each in caught if each.kept(rows)]
    if missed and inputs.scale == Scale():
        raise RuntimeError(f"wrong rules must be caught, got past: {'; '.join(missed)}.")
    said: dict[str, list[list[str]]] = {}
    for key in RISKS:
        for name, sentence in refusals(risk_named(key), _population(key)).items():
            said.setdefault(sentence, []).append([key, name])
    return {
        "draws": draws,
        "images": len(pool),
        "rows": [each.to_json(rows) for each in outcomes],
        "wrong": [each.to_json(rows) for each in caught],
        "clean": [each.to_json(rows) for each in clean],
        "refused": said,
    }


def _outcomes_of(key: str, draws: int) -> list[Outcome]:
    """All trials of one risk, on one core."""
    torch.set_num_threads(1)
    with quiet():
        return list(Rows(key, _population(key), draws).outcomes())


@cache
def _population(key: str) -> Pool:
    """The population of a risk, by which of its images count; that of most risks for no key."""
    counted = risk_named(key).counted if key else ""
    kind = counted if counted in ABSENT else ""
    return Pool.drawn(PATIENTS, ABSENT[kind], list(ABSENT).index(kind))
