# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A site sends the statistic of its bundle, and takes only the calibration of its own pipeline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from monai.fl.client import MonaiAlgoStats
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject
from monai.fl.utils.filters import Filter

from monai_coat.calibration import BinnedStatistic, calibrate, load_calibration
from monai_coat.data import write_synthetic_dataset
from monai_coat.fl import CalibrationStats, calibrate_sites
from monai_coat.fl.exchange import CALIBRATION, STATISTIC, statistic_in, with_calibration
from monai_coat.inferers import AdaptiveInferer, load_calibrated
from monai_coat.networks import AdaptiveSegmenter, save_weights
from tests.bundles.conftest import BUNDLE
from tests.fl.sites import ALPHA, pooled, segmenter, write_site


def started(folder: Path, **settings: object) -> CalibrationStats:
    site = CalibrationStats(str(folder), **settings)
    site.initialize({ExtraItems.CLIENT_NAME: folder.name})
    return site


@pytest.fixture
def sites(tmp_path):
    return {f"site_{seed}": started(write_site(tmp_path / f"site_{seed}", seed)) for seed in (1, 2, 3)}


def test_three_sites_have_the_cutoff_of_all_images_at_one_place(sites):
    result = calibrate_sites({name: site.get_data_stats() for name, site in sites.items()}, ALPHA)
    statistic = BinnedStatistic(0.0, 1.0)
    statistic.update(*pooled())
    expected = calibrate(statistic, ALPHA)
    assert (result.cutoff, result.n, result.risk) == (expected.cutoff, (45,), expected.risk)
    for site in sites.values():
        path = site.store_calibration(with_calibration(result))
        assert Path(path) == Path(site.bundle_root) / "models" / "calibration_crc.json"
        assert load_calibration(path) == result


def test_a_site_can_then_load_its_network(sites):
    result = calibrate_sites({name: site.get_data_stats() for name, site in sites.items()}, ALPHA)
    site = sites["site_2"]
    models = Path(site.store_calibration(with_calibration(result))).parent
    network = AdaptiveSegmenter(segmenter()).eval()
    save_weights(network, models / "model_crc.pt")
    load_calibrated({"crc": network}, models, ALPHA, {"inferer": AdaptiveInferer()})
    scores, labels = pooled()
    # The sets cover what is promised of the very images that were calibrated on, at all sites together.
    missed = 1 - ((scores >= network.require_calibration()) & (labels > 0)).sum((1, 2, 3)) / labels.sum((1, 2, 3))
    assert float(missed.double().mean()) <= result.risk[0] <= ALPHA


def test_what_is_sent_is_what_the_bundle_writes(sites):
    site = sites["site_1"]
    sent = site.get_data_stats().statistics[STATISTIC]
    assert sent == (Path(site.bundle_root) / "output" / "statistic.npz").read_bytes()
    # Asked again, a site says the same: two different answers would tell about single images.
    assert site.get_data_stats().statistics[STATISTIC] == sent


def test_our_own_bundle_collects(tmp_path):
    write_synthetic_dataset(tmp_path / "data", count=24, spatial_size=(32, 32), seed=1)
    config = ConfigParser()
    config.read_config(BUNDLE / "configs" / "collect.json")
    save_weights(config.get_parsed_content("segmenter"), tmp_path / "models" / "segmenter.pt")
    folders = {f"{name}_dir": str(tmp_path / name) for name in ("model", "output")} | {
        "model_dir": str(tmp_path / "models"),
        "dataset_dir": str(tmp_path / "data"),
    }
    site = started(
        BUNDLE, method="crc", domain="synthetic", samples="@datalist", image_size=[32, 32], device="cpu", **folders
    )
    sent = site.get_data_stats()
    assert statistic_in(sent, "north").statistic.n == (24,)
    result = calibrate_sites({"north": sent}, ALPHA)
    assert set(result.identity.pipeline) == {"preprocessing", "inferer", "restore"}
    path = site.store_calibration(with_calibration(result), str(tmp_path / "calibration_{method}.json"))
    assert load_calibration(path) == result


def test_filters_of_the_federation_see_what_is_sent(tmp_path):
    folder = write_site(tmp_path / "site", 1)
    (folder / "configs" / "filters.json").write_text(
        '{"post_statistics_filters": [{"_target_": "tests.fl.test_calibration_stats.Withhold"}]}'
    )
    site = started(folder, config_filters_filename="configs/filters.json")
    assert site.get_data_stats().statistics == {}


class Withhold(Filter):
    def __call__(self, data, extra=None):
        return ExchangeObject(statistics={})


def test_it_is_a_client_of_monai_and_below_the_folder_of_the_application(tmp_path):
    write_site(tmp_path / "app" / "bundle", 1)
    site = CalibrationStats("bundle")
    assert isinstance(site, MonaiAlgoStats)
    site.initialize({ExtraItems.APP_ROOT: str(tmp_path / "app")})
    assert statistic_in(site.get_data_stats(), "north").statistic.n == (15,)


def test_configs_of_the_model_zoo_have_their_evaluator_elsewhere(tmp_path):
    folder = write_site(tmp_path / "site", 1, run=["$@validate#evaluator.run()"])
    path = folder / "configs" / "collect.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "validate": {"evaluator": config.pop("evaluator")}}))
    sent = started(folder, workflow_type="train").get_data_stats()
    assert statistic_in(sent, "north").statistic.n == (15,)


def test_few_images_do_not_leave_the_site(tmp_path):
    handlers = {"handlers#0#smallest": 1}
    few = started(write_site(tmp_path / "few", 1, count=9), **handlers)
    with pytest.raises(ValueError, match="at least 10 images of each class that it has any of, got 9"):
        few.get_data_stats()
    assert started(tmp_path / "few", smallest=9, **handlers).get_data_stats().statistics.keys() == {STATISTIC}


def test_scores_of_single_images_do_not_leave_the_site(tmp_path):
    exact = {"_target_": "monai_coat.calibration.CoverageStatistic"}
    site = started(write_site(tmp_path / "site", 1, statistic=exact))
    with pytest.raises(TypeError, match="must be a BinnedStatistic to leave its site, got CoverageStatistic"):
        site.get_data_stats()


def test_a_bundle_that_collects_nothing_is_told_what_it_needs(tmp_path):
    site = started(write_site(tmp_path / "site", 1, handlers=[]))
    with pytest.raises(RuntimeError, match=r"got an evaluator without one in .*CollectStatistic"):
        site.get_data_stats()
    with pytest.raises(RuntimeError, match=r"call initialize\(\) first"):
        CalibrationStats("bundle").get_data_stats()


def test_a_site_refuses_what_is_not_its_own(tmp_path, sites):
    sent = {name: site.get_data_stats() for name, site in sites.items()}
    result = calibrate_sites(sent, ALPHA)
    other = started(write_site(tmp_path / "other", 4, weights=1))
    with pytest.raises(RuntimeError, match=r"call get_data_stats\(\) first"):
        other.store_calibration(with_calibration(result))
    other.get_data_stats()
    with pytest.raises(ValueError, match=r"calibration is of another pipeline: .*weights"):
        other.store_calibration(with_calibration(result))
    message = with_calibration(result).statistics[CALIBRATION]
    edited = ExchangeObject(statistics={CALIBRATION: message.replace(b'"alpha": 0.2', b'"alpha": 0.3')})
    with pytest.raises(ValueError, match="the server is damaged"):
        sites["site_1"].store_calibration(edited)
    with pytest.raises(TypeError, match="must be the bytes of a calibration, got NoneType from the server"):
        sites["site_1"].store_calibration(ExchangeObject())
    assert not list(tmp_path.rglob("calibration_*.json"))


def test_another_method_is_refused(tmp_path, sites):
    renamed = started(write_site(tmp_path / "renamed", 1, method="mine"))
    result = calibrate_sites({"north": renamed.get_data_stats()}, ALPHA)
    site = sites["site_1"]
    site.get_data_stats()
    with pytest.raises(ValueError, match="must be of the method 'crc', got 'mine'"):
        site.store_calibration(with_calibration(result))


def test_weights_that_changed_after_sending_are_another_network(sites):
    sent = {name: site.get_data_stats() for name, site in sites.items()}
    result = calibrate_sites(sent, ALPHA)
    with torch.no_grad():
        sites["site_1"].workflow.network_def.segmenter.weight.add_(1)
    sites["site_1"].get_data_stats()
    with pytest.raises(ValueError, match="calibration is of another pipeline"):
        sites["site_1"].store_calibration(with_calibration(result))
