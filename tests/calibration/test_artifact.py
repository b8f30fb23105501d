# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The artifact: what is saved is what is loaded, and damage is refused."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import CalibrationResult, check_calibration_fits, load_calibration, save_calibration

RESULT = CalibrationResult((0.25, -0.5), 0.1, (99, 120), (1, 0), (0.0875, 0.09), "E[FNR] <= 0.1", "coat", "a" * 64)


@pytest.fixture
def path(tmp_path):
    """A saved calibration."""
    save_calibration(RESULT, tmp_path / "calibration.json")
    return tmp_path / "calibration.json"


def edit(path, **entries):
    """Overwrite entries; None removes them."""
    content = json.loads(path.read_text()) | entries
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@st.composite
def results(draw):
    classes = draw(st.integers(1, 4))

    def each(values):
        return tuple(draw(values) for _ in range(classes))

    return CalibrationResult(
        cutoff=each(st.floats(width=32, allow_nan=False, allow_infinity=False)),
        alpha=draw(st.floats(0, 1, exclude_min=True, exclude_max=True)),
        n=each(st.integers(1, 10**9)),
        n_empty=each(st.integers(0, 10**9)),
        risk=each(st.floats(0, 1)),
        guarantee=draw(st.text()),
        method=draw(st.text()),
        network=draw(st.text("0123456789abcdef", max_size=64)),
    )


@settings(deadline=None, max_examples=60)
@given(results())
def test_saving_and_loading_is_identity(tmp_path_factory, result):
    path = tmp_path_factory.getbasetemp() / "identity.json"
    save_calibration(result, path)
    assert repr(load_calibration(path)) == repr(result)  # bit for bit: repr tells 0.0 from -0.0


def test_folders_are_made_and_the_file_says_what_it_is(tmp_path):
    path = tmp_path / "new" / "folder" / "calibration.json"
    save_calibration(RESULT, str(path))
    content = json.loads(path.read_text())
    assert (content["format"], content["version"]) == ("monai_coat calibration", 1)
    assert set(content["versions"]) == {"torch", "numpy"}
    assert load_calibration(str(path)) == RESULT


def test_others_may_read_it(tmp_path):
    before = os.umask(0o022)
    try:
        save_calibration(RESULT, tmp_path / "calibration.json")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "calibration.json").stat().st_mode) == 0o644


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_calibration(replace(RESULT, alpha=0.2), path)
    assert load_calibration(path) == RESULT
    assert list(path.parent.iterdir()) == [path]


def test_a_result_that_json_cannot_hold_leaves_the_old_file_and_nothing_else(path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_calibration(replace(RESULT, cutoff=(float("nan"), 0.0)), path)
    assert load_calibration(path) == RESULT
    assert list(path.parent.iterdir()) == [path]


def test_no_file_is_named(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(FileNotFoundError, match=rf"path must name a calibration file, got {path}; run"):
            load_calibration(path)


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": ', b"no JSON", b"\xff\xfe\x00"])
def test_files_that_are_no_json_are_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"path must name a JSON file, got {path}, which is none"):
        load_calibration(path)


def test_every_truncation_is_refused(path):
    content = path.read_bytes()
    for length in range(0, len(content) - 2, 7):  # the last two bytes are "}" and the newline
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="which is none"):
            load_calibration(path)


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"', "{}", '{"format": "other"}', '{"version": 1}'])
def test_other_formats_are_refused(path, content):
    path.write_text(content)
    with pytest.raises(ValueError, match=r"path must name a 'monai_coat calibration' file, got .*something else"):
        load_calibration(path)


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_other_versions_are_refused(path, version):
    edit(path, version=version)
    with pytest.raises(ValueError, match=rf"has version {version!r}, this release reads 1; calibrate again or upgrade"):
        load_calibration(path)


@pytest.mark.parametrize("entry", ["cutoff", "alpha", "n", "n_empty", "risk", "guarantee", "method", "network"])
def test_missing_entries_are_named(path, entry):
    edit(path, **{entry: None})
    with pytest.raises(ValueError, match=rf"is damaged \('{entry}'\); calibrate again"):
        load_calibration(path)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"cutoff": [float("nan"), 0.5]}, "cutoff must hold finite float32 numbers"),
        ({"cutoff": [float("inf"), 0.5]}, "cutoff must hold finite float32 numbers"),
        ({"cutoff": [0.1, 0.5]}, "cutoff must hold finite float32 numbers"),  # the double 0.1 is no float32
        ({"cutoff": [1e300, 0.5]}, "cutoff must hold finite float32 numbers"),
        ({"cutoff": [1e-60, 0.5]}, "cutoff must hold finite float32 numbers"),
        ({"cutoff": ["0.5", 0.5]}, "cutoff must hold finite float32 numbers"),
        ({"cutoff": [0.5]}, "one entry per class"),
        ({"cutoff": [], "n": [], "n_empty": [], "risk": []}, "one entry per class"),
        ({"n": [99]}, "one entry per class"),
        ({"cutoff": 0.5}, "not iterable"),
        ({"n": [0, 9]}, "n must be positive"),
        ({"n": [9.5, 9]}, "n must be positive"),
        ({"risk": [1.5, 0.1]}, "risk in \\[0, 1\\]"),
        ({"risk": [float("nan"), 0.1]}, "risk in \\[0, 1\\]"),
        ({"risk": ["0.1", 0.1]}, "not supported"),
        ({"alpha": 1.0}, "alpha must be in"),
        ({"alpha": "0.1"}, "alpha must be a number"),
        ({"alpha": float("nan")}, "alpha must be in"),
        ({"network": 5}, "must be text"),
        ({"method": ["coat"]}, "must be text"),
        ({"controls": "dice"}, "'dice' is not a valid ConformalRisk"),
    ],
)
def test_impossible_entries_are_refused(path, entries, message):
    edit(path, **entries)
    with pytest.raises(ValueError, match=rf"is damaged \(.*{message}.*\); calibrate again"):
        load_calibration(path)


def test_unknown_entries_are_passed_over(path):
    edit(path, comment="by hand")
    assert load_calibration(path) == RESULT


def test_a_calibration_that_fits_is_taken():
    check_calibration_fits(RESULT)
    check_calibration_fits(RESULT, alpha=0.1, classes=2, network="a" * 64)
    check_calibration_fits(RESULT, alpha=np.float64(0.1), network="")
    check_calibration_fits(replace(RESULT, network=""), network="b" * 64)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"alpha": 0.2}, r"is for alpha=0\.1, wanted is alpha=0\.2; calibrate for that level"),
        ({"alpha": 0.1000001}, r"is for alpha=0\.1, wanted is alpha=0\.1000001"),
        ({"alpha": 2}, r"alpha must be in \(0, 1\)"),
        ({"classes": 1}, r"is for 2 classes, the scores have 1; calibrate again"),
        ({"network": "b" * 64}, r"is for network aaaaaaaaaaaa, this is network bbbbbbbbbbbb; calibrate this network"),
    ],
)
def test_a_calibration_that_does_not_fit_is_refused(wanted, message):
    with pytest.raises(ValueError, match=message):
        check_calibration_fits(RESULT, **wanted)
