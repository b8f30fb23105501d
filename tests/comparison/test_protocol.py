# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Protocols: what comes with the package, and what is refused."""

from __future__ import annotations

import json

import pytest

from monai_coat.comparison import load_protocol
from monai_coat.comparison.protocol import FOLDER, MethodSettings, digest_of
from monai_coat.scorers import METHODS


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.json")))
def test_every_protocol_of_the_package_names_rows_of_the_table_of_methods(name):
    protocol = load_protocol(name)
    assert {protocol.settings_of(method).fit for method in protocol.methods} <= set(METHODS)


@pytest.mark.parametrize("name", ["paper", "predictions", "quick"])
def test_protocols_have_the_ends_of_the_scale(name):
    fits = {settings["fit"] for settings in load_protocol(name).methods.values()}
    assert {name for name, method in METHODS.items() if method.is_bound} <= fits


def test_the_paper_s_groups_are_three_data_sets_by_four_networks_by_two_levels():
    protocol = load_protocol("paper")
    assert {group.dataset for group in protocol.groups()} == {"polyp", "skin", "fire"}
    assert {group.network for group in protocol.groups()} == {"DeepLabV3+", "UNet", "PSPNet", "SINet"}
    assert {group.alpha for group in protocol.groups()} == {0.1, 0.2}
    assert len(list(protocol.groups())) == 24
    assert protocol.splits == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alphas": [0.1, 1.5]}, "alpha"),
        ({"default": "best"}, "default must be one of the methods, got 'best'"),
        ({"splits": 1}, "splits must be at least 2, got 1"),
        ({"group_splits": 5}, "group_splits must be 0 or an even number from 4 on, got 5"),
        ({"group_splits": 2}, "group_splits must be 0 or an even number from 4 on, got 2"),
        ({"repeats": 5}, "repeats must be between 1 and the number of splits, 4, got 5"),
        ({"reference": "best"}, "reference must be one of the methods, got 'best'"),
        ({"highlighted": ["CRC", "COAT"]}, "highlighted must be one of the methods, got 'COAT'"),
        ({"methods": {"CRC": {"space": "logit"}}}, "methods must each have a fit, got .* for 'CRC'"),
        (
            {"methods": {"CRC": {"fit": "magic"}}},
            r"method must be one of crc, .* or the dotted path of a fit, got 'magic'",
        ),
        ({"colour": "red"}, "protocol must be a JSON object with name, datasets"),
    ],
)
def test_bad_protocols_are_named(tiny, change, message):
    with pytest.raises(ValueError, match=message):
        tiny(**change)


def test_an_absent_protocol_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="protocol must be a JSON file or one of paper, paper_small, predictions"
    ):
        load_protocol("papers")
    (tmp_path / "text.json").write_text("not JSON")
    with pytest.raises(ValueError, match=r"protocol must be a JSON file, got .*text\.json, which is none"):
        load_protocol(tmp_path / "text.json")


def test_a_digest_depends_on_content_and_not_on_order():
    assert digest_of({"a": 1, "b": 2}) == digest_of(json.loads('{"b": 2, "a": 1}'))
    assert digest_of({"a": 1}) != digest_of({"a": 2})


def test_settings_are_divided_into_the_fit_and_its_arguments(tiny):
    methods = {"CRC": {"fit": "crc"}, "MEG": {"fit": "meg", "members": 2, "cross_fit": True}}
    protocol = tiny(methods=methods)
    assert protocol.settings_of("MEG") == MethodSettings("meg", {"members": 2}, cross_fit=True)
    assert protocol.settings_of("CRC") == MethodSettings("crc", {}, cross_fit=False)


def test_shown_methods_are_reference_default_and_the_highlighted(tiny):
    assert tiny(highlighted=["oracle"]).shown == ("CRC", "MEG", "oracle")
    assert load_protocol("paper").shown == ("CRC", "COAT", "MEG", "MEG, second edition", "COAT, ours")
