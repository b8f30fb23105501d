# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Folders of predictions as data sets of a protocol: one for each class, with what was said of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from monai_coat.comparison import load_protocol, protocol_of_folder
from monai_coat.comparison.data.own_maps import (
    checked_pairs,
    holds_volumes,
    is_own,
    open_own_maps,
    place_of_class,
)
from monai_coat.data import ClassLabels, MapOptions
from tests.predictions.layouts import LAYOUTS, written


def test_a_folder_of_predictions_needs_masks(write_maps):
    folder = write_maps(3)
    with pytest.raises(ValueError, match=r"probs \(or masks\) and labels must both name a folder"):
        protocol_of_folder(load_protocol("predictions"), folder / "maps", None)
    with pytest.raises(FileNotFoundError, match="labels must be a folder"):
        protocol_of_folder(load_protocol("predictions"), folder / "maps", folder / "absent")


def test_one_class_without_a_name_is_yours_and_samples_are_listed_by_their_maps(write_maps):
    folder = write_maps(3)
    (folder / "maps" / "2.png").unlink()
    protocol = protocol_of_folder(load_protocol("quick"), folder / "maps", folder / "masks")
    assert (list(protocol.networks), protocol.name) == (["saved maps"], "quick")
    settings = protocol.datasets["yours"]
    assert settings == {"probs": str(folder / "maps"), "labels": str(folder / "masks")}
    assert is_own(settings)
    assert not is_own({"domain": "polyp", "model": "pranet"})
    samples = open_own_maps(settings).samples
    assert [sample["id"] for sample in samples] == ["0", "1"]
    assert samples[1]["label"] == str(folder / "masks" / "1.png")


def test_whole_groups_are_split_only_where_images_tell_near_repeats(write_maps):
    folder = write_maps(3)
    places = (load_protocol("predictions"), folder / "maps", folder / "masks")
    assert protocol_of_folder(*places).group_splits == 0
    assert protocol_of_folder(*places, folder / "maps").group_splits == places[0].group_splits > 0


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_was_said_is_in_the_protocol_as_plain_values(tmp_path, name):
    layout = LAYOUTS[name]
    written(layout, tmp_path, 0, 4)
    maps = tmp_path / "maps" if "maps" in layout.maps else {each: tmp_path / each for each in layout.names}
    options = MapOptions(
        classes=ClassLabels.parse(layout.said[1]) if layout.said else None,
        suffix=layout.suffix[1] if layout.suffix else "",
        are_masks=layout.kind == "--masks",
    )
    protocol = protocol_of_folder(None, maps, tmp_path / "labels", options=options)
    assert protocol.name == ("volumes" if layout.dims == 3 else "predictions")
    assert list(protocol.datasets) == list(layout.names or ("yours",))
    for place, settings in enumerate(protocol.datasets.values()):
        folder = open_own_maps(json.loads(json.dumps(settings)))
        assert folder.options == options
        assert holds_volumes(folder) == (layout.dims == 3)
        assert place_of_class(folder, settings) == place


def test_a_class_that_there_is_not_is_named(tmp_path):
    written(LAYOUTS["NIfTI softmax"], tmp_path, 0, 4)
    settings = {"probs": str(tmp_path / "maps"), "labels": str(tmp_path / "labels"), "classes": "a=1,b=2"}
    folder = open_own_maps(settings)
    for wrong in ({}, {"class": "c"}):
        with pytest.raises(ValueError, match="class of a data set must be one of a, b, got"):
            place_of_class(folder, settings | wrong)


def test_segmentations_are_refused_when_all_have_been_seen(write_maps):
    folder = write_maps(3)
    settings = {"probs": str(folder / "masks"), "labels": str(folder / "masks")}
    with pytest.raises(ValueError, match=r"got masks; .*0\.png and the others are segmentations: give the probability"):
        list(checked_pairs(open_own_maps(settings)))
    assert len(list(checked_pairs(open_own_maps({"masks": settings["probs"], "labels": settings["labels"]})))) == 3


def test_a_flat_map_among_volumes_is_named(tmp_path):
    written(LAYOUTS["NIfTI, labels turned"], tmp_path, 0, 3)
    for place, kind in (("maps", np.float32), ("labels", np.uint8)):
        Image.fromarray(np.eye(9).astype(kind)).save(tmp_path / place / "flat.tif")
    settings = {"probs": str(tmp_path / "maps"), "labels": str(tmp_path / "labels")}
    with pytest.raises(ValueError, match=r"maps must be all flat images or all volumes, got 2 axes of .*flat.tif"):
        list(checked_pairs(open_own_maps(settings)))
