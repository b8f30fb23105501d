# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import logging

import pytest
from ignite.engine import Engine

from monai_coat.handlers import ProgressLog


def lines(caplog, length, epochs=1, **options):
    engine = Engine(lambda engine, batch: None)
    ProgressLog("calibration", **options).attach(engine)
    with caplog.at_level(logging.INFO, logger="monai_coat"):
        engine.run(range(length), max_epochs=epochs)
    return [record.getMessage() for record in caplog.records if record.name.startswith("monai_coat")]


def test_some_ten_lines_and_the_last_batch(caplog):
    found = lines(caplog, 95)
    assert found == [f"calibration: batch {n} of 95" for n in (*range(10, 95, 10), 95)]


@pytest.mark.parametrize(("length", "number"), [(1, 1), (3, 3), (10, 10), (1000, 10)])
def test_never_more_lines_than_batches(caplog, length, number):
    assert len(lines(caplog, length)) == number


def test_as_many_lines_as_asked_for(caplog):
    assert lines(caplog, 40, lines=2) == ["calibration: batch 20 of 40", "calibration: batch 40 of 40"]


def test_every_epoch_counts_from_one(caplog):
    assert lines(caplog, 2, epochs=2) == ["calibration: batch 1 of 2", "calibration: batch 2 of 2"] * 2
