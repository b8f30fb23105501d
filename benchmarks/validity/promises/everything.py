# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""All trials: of every promise, and of wrong rules."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

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
    pools = {key: Pool.drawn(PATIENTS, absent, seed) for seed, (key, absent) in enumerate(ABSENT.items())}
    of_risk = {key: pools.get(risk_named(key).counted, pools[""]) for key in RISKS}
    outcomes: list[Outcome] = []
    for key in progress("promises", RISKS):
        outcomes += Rows(key, of_risk[key], draws).outcomes()
    noisy, clean = noisy_masks(pools[""], draws)
    outcomes += two_risks(pools[""], draws) + binned(pools[""], draws) + noisy
    rules = broken_rules(pools[""])
    caught = [rule.outcome(draws, seed) for seed, rule in enumerate(progress("wrong rules", rules))]
    rows = len(outcomes) + len(caught)
    missed = [each.by for each in caught if each.kept(rows)]
    if missed and inputs.scale == Scale():
        raise RuntimeError(f"wrong rules must be caught, got past: {'; '.join(missed)}.")
    said: dict[str, list[list[str]]] = {}
    for key in RISKS:
        for name, sentence in refusals(risk_named(key), of_risk[key]).items():
            said.setdefault(sentence, []).append([key, name])
    return {
        "draws": draws,
        "images": len(pools[""]),
        "rows": [each.to_json(rows) for each in outcomes],
        "wrong": [each.to_json(rows) for each in caught],
        "clean": [each.to_json(rows) for each in clean],
        "refused": said,
    }
