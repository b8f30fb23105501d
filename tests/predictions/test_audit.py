# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Audits of folders, against the arrays that were written."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from monai_coat.calibration import (
    ConfidentRisk,
    ExpectedRisk,
    FalseNegativeRate,
    LearnThenTest,
    PerGroup,
    PerPatient,
    Weighted,
    WorstClassFalseNegativeRate,
    calibrate_maps,
    exchangeability_p_value,
    map_features,
    risk_bound,
)
from monai_coat.data import open_predictions, with_table
from monai_coat.predictions import (
    CalibratedMaps,
    audit_data,
    audit_folder,
    calibrate_folder,
    load_calibrated_maps,
    prefix_of,
    write_audit,
)
from tests.predictions.layouts import LAYOUTS, written

ALPHA, SIZE = 0.2, 12


def wrote(root, count, seed, faint=0.0, names="image_{:03}"):
    """Maps of 8 bits of boxes that are found the less well the fainter they are; and their masks."""
    rng, pairs = np.random.default_rng(seed), []
    for kind in ("maps", "masks"):
        (root / kind).mkdir(parents=True)
    for number in range(count):
        side, ease = rng.integers(3, 9), rng.uniform(0.3, 1) - faint
        mask = np.zeros((SIZE, SIZE), bool)
        mask[2 : 2 + side, 1 : 1 + side] = True
        probs = np.clip(np.where(mask, ease, 0.1) + rng.normal(0, 0.15, mask.shape), 0, 1)
        values = np.rint(probs * 255).astype(np.uint8)
        Image.fromarray(values).save(root / "maps" / f"{names.format(number)}.png")
        Image.fromarray(mask).save(root / "masks" / f"{names.format(number)}.png")
        pairs.append((values, mask))
    return pairs


def opened(root, calibrated=None):
    return open_predictions(root / "maps", root / "masks", format=None if calibrated is None else calibrated.format)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("audit")


@pytest.fixture(scope="module")
def seen(root):
    return wrote(root / "seen", 60, 0)


@pytest.fixture(scope="module")
def calibrated(root, seen):
    """By a file, as it will be."""
    path = root / "calibration.json"
    calibrate_folder(opened(root / "seen"), ALPHA).save(path)
    return load_calibrated_maps(path)


@pytest.fixture(scope="module")
def alike(root):
    return wrote(root / "alike", 150, 1)


@pytest.fixture(scope="module")
def fainter(root):
    return wrote(root / "fainter", 150, 2, faint=0.35)


def missed(pairs, cutoff):
    """False negative rates."""
    return np.array([(mask & (values / 255 < cutoff)).sum() / mask.sum() for values, mask in pairs])


def test_images_like_the_calibrations_do_not_break_the_promise(root, calibrated, alike):
    audit = audit_folder(calibrated, opened(root / "alike", calibrated), seed=1)
    (each,) = audit.promises
    np.testing.assert_allclose(each.risks, missed(alike, calibrated.result.cutoff[0]))
    assert each.found.mean == pytest.approx(np.mean(each.risks))
    assert each.found.limit == risk_bound(ALPHA, 60, 0.0125)
    assert (audit.verdict, each.found.n, each.found.n_left_out) == ("kept", 150, 0)
    assert each.exchangeability > 0.05
    assert audit.identity == (
        "the same kind of maps (8 bit, crc), and none of the 150 images is one of the calibration's 60"
    )


def test_fainter_images_break_it_and_look_unlike(root, calibrated, seen, fainter):
    audit = audit_folder(calibrated, opened(root / "fainter", calibrated), seed=3)
    (each,) = audit.promises
    assert audit.verdict == "broken"
    assert audit.sentence.startswith("E[FNR] <= 0.2: broken: the mean risk of 150 images is 0.")
    assert audit.sentence.endswith("the maps look unlike those of the calibration (p = 0.001)")
    features = [
        torch.cat([map_features(torch.tensor(values / 255)[None].float()) for values, _ in pairs])
        for pairs in (seen, fainter)
    ]
    assert each.exchangeability == exchangeability_p_value(*features, seed=3) == 0.001


def test_groups_by_prefix_and_strata_of_true_size(root, calibrated):
    place = root / "grouped"
    wrote(place, 40, 4, names="north_{:02}")
    rng = np.random.default_rng(5)
    for number in range(40):
        mask = np.zeros((SIZE, SIZE), bool)
        mask[:4, : 4 + number % 8] = True
        Image.fromarray(rng.integers(0, 30, mask.shape).astype(np.uint8)).save(place / f"maps/south{number}.png")
        Image.fromarray(mask).save(place / f"masks/south{number}.png")
    folder = opened(place, calibrated)
    groups = {sample["id"]: prefix_of(sample["id"]) for sample in folder.samples}
    (each,) = audit_folder(calibrated, folder, groups=groups).promises
    found = {group.name: group for group in each.groups}
    assert list(found) == ["north", "south", "size: small", "size: middling", "size: large"]
    assert (found["north"].n, found["north"].above) == (40, False)
    assert (found["south"].n, found["south"].above) == (40, True)
    assert found["south"].mean > 0.95
    assert sum(found[f"size: {name}"].n for name in ("small", "middling", "large")) == 80


def test_one_group_is_no_group(root, calibrated, alike):
    folder = opened(root / "alike", calibrated)
    groups = {sample["id"]: "image" for sample in folder.samples}
    (each,) = audit_folder(calibrated, folder, groups=groups).promises
    assert [group.name for group in each.groups] == ["size: small", "size: middling", "size: large"]


def test_what_was_seen_is_refused_and_so_are_copies(root, calibrated, alike, tmp_path):
    with pytest.raises(ValueError, match="images must be others than those that the scorer was calibrated on"):
        audit_folder(calibrated, opened(root / "seen", calibrated))
    wrote(tmp_path, 5, 6)
    for kind in ("maps", "masks"):
        (tmp_path / kind / "z.png").write_bytes((tmp_path / kind / "image_003.png").read_bytes())
    with pytest.raises(ValueError, match=r"the map and mask of .*image_003\.png again in .*z\.png; leave copies out"):
        audit_folder(calibrated, opened(tmp_path, calibrated))


def test_blank_images_do_not_count_and_nothing_but_blank_ones_is_refused(calibrated, tmp_path):
    wrote(tmp_path, 3, 7)
    for number in range(2):
        Image.fromarray(np.zeros((SIZE, SIZE), bool)).save(tmp_path / f"masks/image_00{number}.png")
    (each,) = audit_folder(calibrated, opened(tmp_path, calibrated)).promises
    assert (each.found.n, each.found.n_left_out, each.groups, each.slab) == (1, 2, (), None)
    Image.fromarray(np.zeros((SIZE, SIZE), bool)).save(tmp_path / "masks/image_002.png")
    with pytest.raises(ValueError, match="labels must be of images with foreground"):
        audit_folder(calibrated, opened(tmp_path, calibrated))


def test_blank_images_of_the_calibration_are_not_compared(root, seen, alike, tmp_path):
    """Ten images without foreground, whose maps are of nothing, change neither the cutoff nor the comparison."""
    wrote(tmp_path, 60, 0)
    for number in range(10):
        for kind, mode in (("maps", np.uint8), ("masks", bool)):
            Image.fromarray(np.zeros((SIZE, SIZE), mode)).save(tmp_path / kind / f"blank_{number}.png")
    found = [calibrate_folder(opened(place), ALPHA) for place in (root / "seen", tmp_path)]
    assert found[0].result.cutoff == found[1].result.cutoff
    audits = [audit_folder(each, opened(root / "alike", each)) for each in found]
    # The order of the calibration's images decides which permutations are drawn, and blank ones come first by name.
    assert audits[0].promises[0].exchangeability == audits[1].promises[0].exchangeability
    assert audits[1].identity.endswith("none of the 150 images is one of the calibration's 70")


def test_an_older_scorer_has_no_features_and_is_told_so(root, calibrated, alike, tmp_path):
    older = CalibratedMaps(calibrated.result, replace(calibrated.fitted, features=None))
    older.save(tmp_path / "c.json")
    content = torch.load(tmp_path / "c.scorer.pt", weights_only=True)
    del content["features"]
    torch.save(content, tmp_path / "c.scorer.pt")
    again = load_calibrated_maps(tmp_path / "c.json")
    audit = audit_folder(again, opened(root / "alike", again))
    assert audit.promises[0].exchangeability is None
    write_audit(audit, tmp_path / "out")
    assert "calibrate again, with this version, to have it tested" in (tmp_path / "out/audit.md").read_text()
    torch.save({**content, "features": torch.zeros(3, 1)}, tmp_path / "c.scorer.pt")
    with pytest.raises(ValueError, match="its features are damaged"):
        load_calibrated_maps(tmp_path / "c.json")


def promised(calibrated, root, guarantee, meta=None):
    """The same maps, calibrated to another promise."""
    folder = opened(root / "seen")
    pairs = [(maps.as_tensor(), masks) for _, maps, masks in folder.pairs()]
    result = calibrate_maps(*zip(*pairs, strict=True), guarantee=guarantee, meta=meta)
    result = replace(result, method="crc", identity=calibrated.result.identity)
    return CalibratedMaps(result, calibrated.fitted)


def test_a_confident_promise_is_held_against_alpha(root, calibrated, alike):
    other = promised(calibrated, root, ConfidentRisk(FalseNegativeRate(), 0.3, delta=0.1))
    (each,) = audit_folder(other, opened(root / "alike", other)).promises
    assert (each.promise.delta, each.found.limit, each.found.verdict) == (0.1, 0.3, "kept")


def test_of_several_promises_each_has_its_part_of_the_level(root, calibrated, alike):
    guarantee = LearnThenTest(FalseNegativeRate(), 0.5, 0.2, {"false_discovery_rate": 0.8}, grid=(0, 1, 20))
    other = promised(calibrated, root, guarantee)
    audit = audit_folder(other, opened(root / "alike", other), level=0.1)
    assert [each.promise.words for each in audit.promises] == ["E[FNR] <= 0.5", "E[FDR] <= 0.8"]
    assert [each.found.level for each in audit.promises] == [0.05, 0.05]
    assert audit.verdict == "kept"


def test_a_promise_for_each_group_is_audited_at_the_cutoff_of_each(root, calibrated, alike):
    meta = [{"site": "north" if index % 2 else "south"} for index in range(60)]
    other = promised(calibrated, root, PerGroup(ExpectedRisk(FalseNegativeRate(), ALPHA), "site"), meta)
    folder = opened(root / "alike", other)
    with pytest.raises(ValueError, match="must say 'site' of every image"):
        audit_folder(other, folder)
    sites = ["north"] * 100 + ["south"] * 50
    table = {sample["id"]: {"site": site} for sample, site in zip(folder.samples, sites, strict=True)}
    audit = audit_folder(other, with_table(folder, table))
    assert [(each.promise.group, each.found.n, each.found.n_left_out) for each in audit.promises] == [
        ("north", 100, 0),
        ("south", 50, 0),
    ]
    for each, part in zip(audit.promises, (alike[:100], alike[100:]), strict=True):
        cutoff = other.result.groups[each.promise.group].cutoff[0]
        assert each.found.mean == pytest.approx(missed(part, cutoff).mean())
        assert each.exchangeability is None


def test_a_promise_over_patients_is_about_their_means(root, calibrated, alike):
    meta = [{"patient": str(index // 2)} for index in range(60)]
    other = promised(calibrated, root, PerPatient(ExpectedRisk(FalseNegativeRate(), ALPHA), "patient"), meta)
    folder = opened(root / "alike", other)
    with pytest.raises(ValueError, match="must say 'patient' of every image"):
        audit_folder(other, folder)
    patients = [0] * 50 + list(range(1, 101))
    table = {s["id"]: {"patient": str(name)} for s, name in zip(folder.samples, patients, strict=True)}
    (each,) = audit_folder(other, with_table(folder, table)).promises
    risks = missed(alike, other.result.cutoff[0])
    assert each.found.n == 101
    assert each.found.mean == pytest.approx((risks[:50].mean() + risks[50:].sum()) / 101)


def test_weighted_promises_are_about_other_images(root, calibrated, alike):
    weights = [{"weight": 1.0} for _ in range(60)]
    guarantee = Weighted(ExpectedRisk(FalseNegativeRate(), ALPHA), "weight", largest=2.0)
    other = promised(calibrated, root, guarantee, weights)
    with pytest.raises(ValueError, match="got one that is weighted"):
        audit_folder(other, opened(root / "alike", other))


@pytest.mark.parametrize("joint", [False, True])
def test_each_class_or_all_together(tmp_path, joint):
    layout = LAYOUTS["NRRD"]
    for part, seed in (("seen", 0), ("new", 1)):
        written(layout, tmp_path / part, seed)
    risk = WorstClassFalseNegativeRate() if joint else FalseNegativeRate()
    options = open_predictions(tmp_path / "seen/maps", tmp_path / "seen/labels")
    calibrated = calibrate_folder(options, guarantee=ExpectedRisk(risk, ALPHA))
    folder = open_predictions(tmp_path / "new/maps", tmp_path / "new/labels", format=calibrated.format)
    audit = audit_folder(calibrated, folder)
    expected = [calibrated.format.names, ("",)][joint]
    assert tuple(each.promise.name for each in audit.promises) == tuple(expected)
    for k, each in enumerate(audit.promises):
        risks = [
            float(risk.image_risk(maps.as_tensor()[None], masks[None], torch.tensor(calibrated.result.cutoff))[0, k])
            for _, maps, masks in folder.pairs()
        ]
        np.testing.assert_allclose(each.risks, risks)
        assert 0 < each.exchangeability <= 1
        assert each.slab is None


def test_the_report_is_whole_and_the_same_each_time(root, calibrated, fainter, tmp_path):
    audit = audit_folder(calibrated, opened(root / "fainter", calibrated))
    files = write_audit(audit, tmp_path / "a")
    assert [file.name for file in files] == ["audit.json", "audit.md", "audit.png"]
    again = write_audit(audit_folder(calibrated, opened(root / "fainter", calibrated)), tmp_path / "b")
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(files, again, strict=True))
    data = json.loads(files[0].read_text(), parse_constant=pytest.fail)
    assert data == audit_data(audit)
    assert data["verdict"] == data["promises"][0]["verdict"] == "broken"
    assert set(data["promises"][0]["worst_slab"]["direction"]) >= {"predicted share", "uncertain share"}
    assert len(data["promises"][0]["risks"]) == 150
    page = files[1].read_text()
    assert page.startswith("# Audit: broken\n")
    assert "| size: small | " in page
    assert "Worst slab, found on one half of the images and measured on the other" in page
    with Image.open(files[2]) as figure:
        assert figure.width == 1200


def test_what_is_no_number_is_none_in_json(calibrated, tmp_path):
    wrote(tmp_path, 2, 8)
    Image.fromarray(np.zeros((SIZE, SIZE), bool)).save(tmp_path / "masks/image_000.png")
    audit = audit_folder(calibrated, opened(tmp_path, calibrated))
    assert math.isnan(audit.promises[0].risks[0])
    assert audit_data(audit)["promises"][0]["risks"]["image_000"] is None
