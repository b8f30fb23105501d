# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is inferred of a bundle from its configs alone, and what is refused with the option that says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monai_coat.bundles import BundleIds, Given, OverlayOptions, write_overlays
from monai_coat.bundles.foreign.facts import Facts, facts_of
from monai_coat.bundles.foreign.labels import label_transforms
from monai_coat.bundles.foreign.methods import OVERLAY_METHODS
from monai_coat.bundles.foreign.metrics import kept_metrics
from monai_coat.bundles.foreign.source import Source
from tests.bundles.foreign.zoo import ZOO, item


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return ZOO["spleen"]().write_bundle(tmp_path / "spleen")


def source_of(name: str, folder: Path) -> Source:
    return Source.read(ZOO[name]().write_bundle(folder / name), BundleIds())


def change(bundle: Path, step: str, place: str, value: Any) -> None:
    """Write another value into a config, at a place of names and numbers."""
    path = bundle / "configs" / f"{step}.json"
    content = json.loads(path.read_text())
    *parents, last = [int(part) if part.isdigit() else part for part in place.split("#")]
    found = content
    for part in parents:
        found = found[part]
    if value is None:
        del found[last]
    else:
        found[last] = value
    path.write_text(json.dumps(content))


FACTS = {
    "spleen": ("softmax", ("spleen",), 1, 3),
    "brats": ("sigmoid", ("Tumor_core", "Whole_tumor", "Enhancing_tumor"), 4, 3),
    "endoscopic": ("softmax", ("tools",), 3, 2),
    "pancreas": ("softmax", ("pancreas", "pancreatic_tumor"), 1, 3),
}


@pytest.mark.parametrize("name", FACTS)
def test_activation_classes_and_dimensions_are_told_from_the_configs(name, tmp_path):
    facts = facts_of(source_of(name, tmp_path), Given())
    assert (facts.activation, facts.classes, facts.in_channels, facts.spatial_dims) == FACTS[name]


def test_one_hundred_and_five_channels_are_one_hundred_and_four_classes(tmp_path):
    facts = facts_of(source_of("whole_body", tmp_path), Given())
    assert (facts.classes[0], facts.classes[-1], len(facts.classes)) == ("organ_1", "organ_104", 104)


def test_labels_become_masks_by_our_reader_and_what_the_bundle_does_to_their_values(tmp_path):
    names = {}
    for name in ZOO:
        source = source_of(name, tmp_path)
        made = label_transforms(source, facts_of(source, Given()))
        names[name] = [each if isinstance(each, str) else each["_target_"].rpartition(".")[2] for each in made]
    assert names["spleen"] == names["pancreas"] == names["whole_body"] == ["ReadLabelMapd", "ClassMasksd"]
    assert names["brats"] == ["ReadLabelMapd", "@train::preprocessing_transforms::1"]
    assert names["endoscopic"] == ["ReadMaskd"]


def test_metrics_of_something_else_are_left_out_by_name(bundle):
    other = item("MeanDice", output_transform="$lambda output: output")
    change(bundle, "train", "validate#additional_metrics#of_something_else", other)
    kept = kept_metrics(Source.read(bundle, BundleIds()))
    assert set(kept.metrics["key_val_metric"]) == {"val_mean_dice"}
    assert kept.left_out == ["of_something_else"]
    notes = write_overlays(bundle).notes
    assert "metric left out: of_something_else, of something else than predictions and labels" in notes


REFUSED = [
    ("inference", "postprocessing#transforms", [], "give --activation softmax, sigmoid or identity"),
    ("inference", "postprocessing#transforms", "$make()", "must be a list of transforms, or a sum of such lists"),
    ("inference", "network_def#out_channels", 3, "got 3 in network_def, 2 in metadata; give --out-channels"),
    ("inference", "network_def", None, ""),
    ("train", "validate#preprocessing", None, "got None; give the id of one with --label-preprocessing"),
    ("metadata", "network_data_format#outputs#pred#format", "classes", "got classes as pred in the metadata"),
    (
        "metadata",
        "network_data_format#outputs#pred#channel_def",
        {"0": "spleen", "1": "Background"},
        "must name the background as channel 0 of a softmax and nothing else, got 'Background' as channel 1 of 1",
    ),
    ("inference", "inferer", None, "say what it is called there with --inferer"),
    ("inference", "dataset", None, "say what it is called there with --dataset"),
    ("inference", "evaluator#_target_", "scripts.evaluator.Own", "say where with --evaluator"),
    ("inference", "evaluator#prepare_batch", "$scripts.own", "got prepare_batch: a promise is made about a map"),
    ("inference", "inferer#_target_", "scripts.OwnInferer", "give the id of one with --inferer"),
    ("inference", "checkpointloader", None, "must have one CheckpointLoader, got 0"),
    ("inference", "checkpointloader#load_dict", {"a": "@network", "b": "@x"}, "must load the network alone"),
    ("train", "validate#dataset", None, "with --calibration-data"),
    ("train", "train#deterministic_transforms#0#_target_", "scripts.Ownd", "with --label-transforms"),
]


@pytest.mark.parametrize(("step", "place", "value", "words"), REFUSED, ids=lambda value: str(value)[:30])
def test_what_cannot_be_told_is_refused_with_the_option_that_says_it(bundle, step, place, value, words):
    change(bundle, step, place, value)
    if place == "network_def":  # the one of the config for training is taken by MONAI, and so here
        assert write_overlays(bundle).files
        return
    with pytest.raises(ValueError, match=words):
        write_overlays(bundle)
    assert not list((bundle / "configs").glob("coat_*"))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("network_def", "$monai.networks.nets.vista3d132(in_channels=1)"),
        ("inferer#_target_", "scripts.inferer.Vista3dInferer"),
        ("preprocessing#transforms#0#_target_", "AddGuidanceSignalDeepEditd"),
        ("evaluator#_target_", "scripts.evaluator.PromptEvaluator"),
    ],
)
def test_networks_with_prompts_are_refused(bundle, place, value):
    change(bundle, "inference", place, value)
    with pytest.raises(ValueError, match=r"which is of a network with prompts: .* calibrate those"):
        write_overlays(bundle)


def test_other_ids_are_taken(bundle):
    path = bundle / "configs" / "inference.json"
    path.write_text(path.read_text().replace('"network_def"', '"net"').replace("@network_def", "@net"))
    path.write_text(path.read_text().replace('"inferer": {', '"windows": {').replace('"@inferer"', '"@windows"'))
    with pytest.raises(ValueError, match="say what it is called there with --inferer"):
        write_overlays(bundle)
    write_overlays(bundle, ids=BundleIds(network_def="net", inferer="windows"))
    content = json.loads((bundle / "configs" / "coat_calibrate.json").read_text())
    assert content["coat_network_def"]["segmenter"] == "@net"
    assert content["coat_inferer"]["inferer"] == "@windows"
    assert content["checkpointloader::load_dict"] == {"model": "@net"}


def test_what_is_given_goes_before_what_would_be_inferred(bundle):
    change(bundle, "inference", "network_def#out_channels", "$1 + 1")
    change(bundle, "metadata", "network_data_format#outputs#pred#channel_def", {"0": "left", "1": "right"})
    given = Given(activation="sigmoid", out_channels=2, spatial_dims=3)
    masks = {"_target_": "monai_coat.transforms.ClassMasksd", "keys": "label", "values": [3, 7]}
    write_overlays(bundle, OverlayOptions(given=given, labels=[masks]))
    content = json.loads((bundle / "configs" / "coat_calibrate.json").read_text())
    assert (content["coat_network_def"]["num_classes"], content["coat_network_def"]["activation"]) == (2, "sigmoid")
    assert content["coat_label"][1:] == [masks]


def test_a_background_among_classes_that_may_overlap_is_refused(bundle):
    options = OverlayOptions(given=Given(activation="sigmoid", out_channels=2))
    with pytest.raises(ValueError, match="got 'background' as channel 0 of 2 classes in 2 channels; correct the metad"):
        write_overlays(bundle, options)


def test_margins_of_a_cropped_image_are_refused(bundle):
    change(bundle, "inference", "preprocessing#transforms#1", item("CropForegroundd", keys="image", source_key="image"))
    with pytest.raises(ValueError, match="method must be crc where preprocessing crops images, got 'meg'"):
        write_overlays(bundle, OverlayOptions(method="meg"))
    assert write_overlays(bundle).files


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (OverlayOptions(method="cra"), "method must be one of crc, meg, meg2, coat, at, got 'cra'"),
        (OverlayOptions(alpha=1.5), "alpha must be in"),
        (OverlayOptions(promise="all"), "promise must be one of each, worst, got 'all'"),
        (OverlayOptions(data=["images"]), "calibration data must be an id or expression"),
    ],
)
def test_wrong_options_are_refused(bundle, options, words):
    with pytest.raises(ValueError, match=words):
        write_overlays(bundle, options)


def test_a_folder_without_a_config_for_inference_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"bundle must hold configs/inference\.json or \.yaml, got"):
        write_overlays(tmp_path)


@pytest.mark.parametrize("name", OVERLAY_METHODS)
def test_scorers_are_of_the_network_s_classes_and_dimensions(name):
    from monai.bundle import ConfigParser

    facts = Facts("softmax", "", ("a", "b"), 4, 2)
    scorer = ConfigParser(OVERLAY_METHODS[name].scorer(facts)).get_parsed_content()
    predictor = getattr(scorer, "predictor", None)
    assert predictor is None or predictor.num_classes == 2
    assert getattr(predictor, "in_channels", 4) == 4
