# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The artifact: what is saved is what is loaded, and damage is refused."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.calibration import (
    CalibrationResult,
    ConfidentRisk,
    ExpectedRisk,
    FalseNegativeRate,
    PerGroup,
    PipelineIdentity,
    Referring,
    WorstClassFalseNegativeRate,
    calibrate_maps,
    check_calibration_fits,
    load_calibration,
    pack_calibration,
    save_calibration,
    unpack_calibration,
)
from monai_coat.functional import exact_level, images_needed

IDENTITY = PipelineIdentity({"scorer": "CRC", "weights": "digest a"}, {"preprocessing": "digest c"})
RESULT = CalibrationResult((0.25, -0.5), 0.1, (99, 120), (1, 0), (0.0875, 0.09), "E[FNR] <= 0.1", "coat", IDENTITY)


@pytest.fixture
def path(tmp_path):
    """A saved calibration."""
    save_calibration(RESULT, tmp_path / "calibration.json")
    return tmp_path / "calibration.json"


def edit(path, **entries):
    """Overwrite entries; None removes them."""
    content = json.loads(path.read_text()) | entries
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def forge(path, **entries):
    """Overwrite entries, and the checksum with them; None removes them."""
    content = json.loads(path.read_text()) | entries | {"checksum": None}
    content = {key: value for key, value in content.items() if value is not None}
    text = json.dumps(content, sort_keys=True)
    path.write_text(json.dumps({**content, "checksum": hashlib.sha256(text.encode()).hexdigest()}))


entries_of_identities = st.dictionaries(st.text(), st.text(), max_size=3)


@st.composite
def results(draw):
    classes = draw(st.integers(1, 4))
    alpha = draw(st.floats(1e-15, 1, exclude_max=True))

    def per_class(values):
        return tuple(draw(values) for _ in range(classes))

    n = per_class(st.integers(images_needed(alpha), 10**16))
    level = exact_level(alpha)
    return CalibrationResult(
        cutoff=per_class(st.floats(-(2.0**126), 2.0**126, width=32)),
        alpha=alpha,
        n=n,
        n_empty=per_class(st.integers(0, 10**9)),
        risk=tuple(max(float((level * (m + 1) - 1) / m) * draw(st.floats(0, 1)), 0.0) for m in n),
        guarantee=draw(st.sampled_from([f"E[FNR] <= {alpha}", f"E[FNR] <= {alpha}; {draw(st.text())}"])),
        method=draw(st.text()),
        identity=PipelineIdentity(draw(entries_of_identities), draw(entries_of_identities)),
    )


@settings(max_examples=60)
@given(results())
def test_saving_and_loading_is_identity(tmp_path_factory, result):
    path = tmp_path_factory.getbasetemp() / "identity.json"
    save_calibration(result, path)
    assert load_calibration(path) == result
    assert repr(load_calibration(path).cutoff) == repr(result.cutoff)  # bit for bit: repr tells 0.0 from -0.0


def test_folders_are_made_and_the_file_says_what_it_is(tmp_path):
    path = tmp_path / "new" / "folder" / "calibration.json"
    save_calibration(RESULT, str(path))
    content = json.loads(path.read_text())
    assert (content["format"], content["version"]) == ("monai_coat calibration", 2)
    assert set(content["versions"]) == {"torch", "numpy"}
    assert content["identity"] == {
        "network": {"scorer": "CRC", "weights": "digest a"},
        "pipeline": {"preprocessing": "digest c"},
    }
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
        save_calibration(replace(RESULT, method="at"), path)
    assert load_calibration(path) == RESULT
    assert list(path.parent.iterdir()) == [path]


def unchecked(**entries):
    """A result that no constructor would make."""
    result = replace(RESULT)
    for name, value in entries.items():
        object.__setattr__(result, name, value)
    return result


def test_a_result_that_json_cannot_hold_leaves_the_old_file_and_nothing_else(path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_calibration(unchecked(cutoff=(float("nan"), 0.0)), path)
    assert load_calibration(path) == RESULT
    assert list(path.parent.iterdir()) == [path]


def test_no_file_is_named(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(FileNotFoundError, match=rf"a calibration must be a file, got {path}, .*; run the calib"):
            load_calibration(path)


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": ', b"no JSON", b"\xff\xfe\x00"])
def test_files_that_are_no_json_are_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"a calibration must be a JSON file, got {path}, which is none"):
        load_calibration(path)


def test_every_truncation_is_refused(path):
    content = path.read_bytes()
    for length in range(0, len(content) - 2, 7):  # the last two bytes are "}" and the newline
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="which is none"):
            load_calibration(path)


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"'])
def test_files_that_hold_no_object_are_refused(path, content):
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"a calibration must hold a JSON object, got a .* in {path}; run the calib"):
        load_calibration(path)


@pytest.mark.parametrize("content", ["{}", '{"format": "other"}', '{"version": 2}'])
def test_other_formats_are_refused(path, content):
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"path must name a 'monai_coat calibration' file, got {path}.*something el"):
        load_calibration(path)


@pytest.mark.parametrize("version", [1, 3, 0, "2", None])
def test_other_versions_are_refused(path, version):
    edit(path, version=version)
    with pytest.raises(ValueError, match=rf"has version {version!r}, this release reads 2; calibrate again or upgrade"):
        load_calibration(path)


LATER = ("settings", "groups", "referral")


@pytest.mark.parametrize("entry", [field.name for field in fields(CalibrationResult) if field.name not in LATER])
def test_missing_entries_are_named(path, entry):
    edit(path, **{entry: None})
    with pytest.raises(ValueError, match=rf"is damaged \('{entry}'\); calibrate again"):
        load_calibration(path)


@pytest.mark.parametrize("entry", LATER)
def test_files_of_releases_that_did_not_have_an_entry_are_read_and_others_were_edited(path, entry):
    edit(path, **{entry: None})
    with pytest.raises(ValueError, match="was changed after it was written"):
        load_calibration(path)
    save_calibration(RESULT, path)
    forge(path, settings=None, groups=None, referral=None)
    assert load_calibration(path) == RESULT


IMPOSSIBLE = [
    ({"cutoff": [0.1, 0.5]}, "cutoff must hold finite float32 numbers"),  # the double 0.1 is no float32
    ({"cutoff": [1e300, 0.5]}, "cutoff must hold finite float32 numbers"),
    ({"cutoff": ["0.5", 0.5]}, "cutoff must hold finite float32 numbers"),
    ({"cutoff": [0.5]}, "one entry per class"),
    ({"cutoff": [], "n": [], "n_empty": [], "risk": []}, "one entry per class"),
    ({"n": [99]}, "one entry per class"),
    ({"cutoff": 0.5}, "not iterable"),
    ({"n": [0, 9]}, "n must hold positive"),
    ({"n": [9.5, 9]}, "n must hold positive"),
    ({"n": [True, 120]}, "n must hold positive"),
    ({"n": [3, 120]}, "do not support the promise"),
    ({"n_empty": [-5, 0]}, "n_empty no negative ones"),
    ({"risk": [1.5, 0.1]}, r"risk must be in \[0, 1\]"),
    ({"risk": ["0.1", 0.1]}, r"risk must be in \[0, 1\]"),
    ({"risk": [False, 0.09]}, r"risk must be in \[0, 1\]"),
    ({"risk": [0.99, 0.09]}, "do not support the promise"),
    ({"alpha": 1.0}, "alpha must be in"),
    ({"alpha": "0.1"}, "alpha must be a number"),
    ({"alpha": 0.3}, r"guarantee must be about alpha=0\.3"),
    ({"alpha": 0.05, "guarantee": "E[FNR] <= 0.05"}, "do not support the promise"),
    ({"identity": 5}, "identity must have a network and a pipeline"),
    ({"identity": ""}, "identity must have a network and a pipeline"),
    ({"identity": {"network": {}}}, "identity must have a network and a pipeline"),
    ({"identity": {"network": {"weights": 5}, "pipeline": {}}}, "dictionaries of text"),
    ({"method": ["coat"]}, "must be text"),
    ({"controls": "dice"}, "controls and kind must be known, got 'dice' and 'expected_risk'"),
    ({"kind": "hope"}, "controls and kind must be known, got 'false_negative_rate' and 'hope'"),
    ({"controls": "false_positive_ratio"}, r"guarantee must be about min\(1, false positives / foreground\)"),
]


@pytest.mark.parametrize("change", [edit, forge])
@pytest.mark.parametrize(("entries", "message"), IMPOSSIBLE)
def test_impossible_entries_and_contradictions_are_refused_whatever_the_checksum(path, change, entries, message):
    change(path, **entries)
    with pytest.raises(ValueError, match=rf"{path} is damaged \(.*{message}.*\); calibrate again"):
        load_calibration(path)


@pytest.mark.parametrize("change", [edit, forge])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("entry", ["cutoff", "risk", "alpha", "comment"])
def test_numbers_that_json_does_not_have_are_refused_wherever_they_are(path, change, number, entry):
    value = number if entry == "alpha" else (number, 0.5)
    change(path, **{entry: value})
    with pytest.raises(ValueError, match=rf"must be a JSON file, got {path}, which is none \(numbers must be finite"):
        load_calibration(path)
    if entry != "comment":
        with pytest.raises(ValueError, match=rf"{entry} must (be|hold)"):
            replace(RESULT, **{entry: value})


@pytest.mark.parametrize(
    "entries",
    [
        {"cutoff": [0.5, -0.5]},
        {"n_empty": [0, 0]},
        {"risk": [0.01, 0.09]},
        {"n": [100, 120]},
        {"method": "at"},
        {"identity": {"network": {}, "pipeline": {}}},
        {"comment": "by hand"},
        {"checksum": None},
        {"checksum": "0" * 64},
    ],
)
def test_what_was_edited_is_refused_by_its_checksum(path, entries):
    edit(path, **entries)
    with pytest.raises(ValueError, match=rf"{path} was changed after it was written \(its checksum is another\)"):
        load_calibration(path)


def test_unknown_entries_of_whoever_wrote_it_are_passed_over(path):
    forge(path, comment="of a later release")
    assert load_calibration(path) == RESULT


def test_a_calibration_that_fits_is_taken():
    check_calibration_fits(RESULT)
    check_calibration_fits(RESULT, alpha=0.1, classes=2, identity=IDENTITY)
    check_calibration_fits(RESULT, guarantee=ExpectedRisk(alpha=0.1))
    check_calibration_fits(RESULT, alpha=np.float64(0.1), identity=PipelineIdentity(IDENTITY.network))
    check_calibration_fits(RESULT, identity=PipelineIdentity(IDENTITY.network, {"inferer": "digest d"}))
    check_calibration_fits(
        replace(RESULT, identity=PipelineIdentity()), identity=PipelineIdentity({}, {"inferer": "digest d"})
    )


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"alpha": 0.2}, r"is for alpha=0\.1, wanted is alpha=0\.2; calibrate for that level"),
        ({"alpha": 0.1000001}, r"is for alpha=0\.1, wanted is alpha=0\.1000001"),
        ({"alpha": 2}, r"alpha must be in \(0, 1\)"),
        ({"guarantee": ExpectedRisk(alpha=0.2)}, r"is for alpha=0\.1, wanted is alpha=0\.2"),
        (
            {"guarantee": ExpectedRisk(WorstClassFalseNegativeRate(), 0.1)},
            "is for expected_risk of false_negative_rate, wanted is expected_risk of worst_class_false_negative_rate",
        ),
        ({"classes": 1}, r"is for 2 classes, the scores have 1; calibrate again"),
        (
            {"identity": PipelineIdentity({"scorer": "CRC", "weights": "digest b"})},
            "is of another pipeline: weights; calibrate this one, or use the network, preprocessing and inferer that",
        ),
        (
            {"identity": PipelineIdentity({"scorer": "COAT", "space": "logit", "weights": "digest a"})},
            r"is of another pipeline: scorer \(CRC against COAT\), space \(nothing against logit\); calibrate",
        ),
        (
            {"identity": PipelineIdentity(IDENTITY.network, {"preprocessing": "digest d"})},
            "another pipeline: preprocessing; ",
        ),
    ],
)
def test_a_calibration_that_does_not_fit_is_refused(wanted, message):
    with pytest.raises(ValueError, match=message):
        check_calibration_fits(RESULT, **wanted)


def test_a_calibration_that_does_not_say_its_network_fits_none():
    for silent in (PipelineIdentity(), PipelineIdentity({}, IDENTITY.pipeline)):
        with pytest.raises(ValueError, match="does not say which network it is of; calibrate this network again"):
            check_calibration_fits(replace(RESULT, identity=silent), identity=IDENTITY)


def test_a_message_is_checked_as_a_file_is(tmp_path):
    message = pack_calibration(RESULT)
    assert unpack_calibration(message, "the server") == RESULT
    save_calibration(RESULT, tmp_path / "a.json")
    assert unpack_calibration((tmp_path / "a.json").read_bytes(), "the server") == RESULT
    for content, said in (
        (message.replace(b'"method": "', b'"method": "x'), "the server was changed after it was written"),
        (message[:-1], "content must be a 'monai_coat calibration', got another from the server"),
        (b"\xff", "content must be a 'monai_coat calibration', got another from the server"),
        (b"[]", "got something else from the server"),
    ):
        with pytest.raises(ValueError, match=said):
            unpack_calibration(content, "the server")
    with pytest.raises(TypeError, match="must be the bytes of a calibration, got dict from the server"):
        unpack_calibration({}, "the server")


CONFIDENT = ConfidentRisk(FalseNegativeRate(), 0.5, 0.2, "hinge")
GROUPED = PerGroup(ExpectedRisk(FalseNegativeRate(), 0.5), "site")
RULED = Referring(ExpectedRisk(FalseNegativeRate(), 0.5), 0.25)


@pytest.mark.parametrize(
    ("guarantee", "change"),
    [
        (CONFIDENT, {"settings": {"delta": 0.9, "bound": "hinge"}}),
        (CONFIDENT, {"settings": {"delta": 0.2, "bound": "hoeffding_bentkus"}}),
        (CONFIDENT, {"settings": {"delta": 0.2}}),
        (CONFIDENT, {"kind": "expected_risk", "settings": {}}),
        (CONFIDENT, {"kind": "growing_set", "settings": {"delta": 0.2}}),
        (CONFIDENT, {"guarantee": "P(E[FNR] <= 0.5) >= 0.8 for every patient"}),
        (CONFIDENT, {"guarantee": ""}),
        (GROUPED, {"settings": {"guarantee": "expected_risk", "key": "size(0.5, 0.1)"}}),
        (GROUPED, {"settings": {"guarantee": "expected_risk"}}),
        (GROUPED, {"n": [9999]}),
        (GROUPED, {"risk": [0.0]}),
        (GROUPED, {"groups": {}}),
        (RULED, {"referral": None}),
    ],
)
def test_words_and_numbers_that_do_not_go_together_are_damaged_whatever_the_checksum(path, guarantee, change):
    scores, labels = torch.rand(40, 1, 16), torch.ones(40, 1, 16)
    meta = [{"site": "ab"[index % 2]} for index in range(40)]
    save_calibration(calibrate_maps(list(scores), list(labels), guarantee=guarantee, meta=meta), path)
    assert load_calibration(path).kind == guarantee.name
    forge(path, **change)
    with pytest.raises(ValueError, match="is damaged"):
        load_calibration(path)
