# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Times that are left, by a clock that is made for the test."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from monai_coat.files import progress
from monai_coat.files.progress import Progress, TimeLeft, duration_text


def test_equal_parts_take_equally_long(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    half = Progress(4)
    now[0] = 20.0
    assert half.after(2) == "2 of 4 (about 20 s left)"
    now[0] = 40.0
    assert half.after(4) == "4 of 4"


def test_a_kind_that_was_not_seen_takes_the_mean_of_the_others():
    left = TimeLeft(["maps", "CRC", "MEG", "CRC", "MEG", "MEG"])
    left.finish("maps", 30.0)
    left.finish("CRC", 2.0)
    # One CRC of 2 s, and three MEG of the mean of 30 s and 2 s.
    assert left.seconds == pytest.approx(2 + 3 * 16)
    left.finish("MEG", 10.0)
    left.finish("MEG", 20.0)
    assert left.seconds == pytest.approx(2 + 15)
    assert str(left) == "about 17 s"


def test_nothing_is_left_of_nothing():
    assert TimeLeft([]).seconds == 0


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "about 0 s"), (99, "about 99 s"), (100, "about 2 min")])
def test_durations_are_rough(seconds, text):
    assert duration_text(seconds) == text
