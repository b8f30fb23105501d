# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents, SupervisedEvaluator
from monai.handlers import from_engine
from monai.inferers import SimpleInferer
from monai.transforms import Activationsd, AsDiscreted, Compose, ScaleIntensity
from torch import nn

from monai_coat.calibration import (
    ExpectedRisk,
    FalsePositiveRatio,
    WorstClassFalseNegativeRate,
    calibrate_maps,
    identity_of,
    load_calibration,
    summary_of,
)
from monai_coat.handlers import CollectStatistic, ConformalCalibration
from monai_coat.networks import AdaptiveSegmenter
from tests.handlers import two_workers


def maps(pairs):
    scores, labels = zip(*pairs, strict=True)
    return list(torch.cat(scores)), list(torch.cat(labels))


def snapshot(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("alpha", [0.1, 0.3])
@pytest.mark.parametrize("as_lists", [False, True])
def test_any_engine_calibrates_as_the_function_does(pairs, plain_engine, as_lists, alpha):
    ConformalCalibration(alpha).attach(plain_engine)
    state = plain_engine.run([(list(s), list(y)) for s, y in pairs] if as_lists else pairs)
    expected = calibrate_maps(*maps(pairs), alpha)
    assert state.calibration == expected
    assert (state.calibration.n, state.calibration.n_empty) == ((10,), (1,))


def test_maps_may_differ_in_size(plain_engine):
    scores = [torch.rand(2, n, 5) for n in range(3, 15)]
    labels = [torch.ones(2, n, 5) for n in range(3, 15)]
    ConformalCalibration(0.1).attach(plain_engine)
    state = plain_engine.run([(scores[:7], labels[:7]), (scores[7:], labels[7:])])
    assert state.calibration == calibrate_maps(scores, labels, 0.1)


def test_the_result_goes_where_it_was_asked_for(pairs, plain_engine, make_network, tmp_path):
    network, path = make_network(), tmp_path / "deep" / "calibration.json"
    before = identity_of(network)
    ConformalCalibration(0.1, network, path, method="coat").attach(plain_engine)
    result = plain_engine.run(pairs).calibration
    assert result == replace(calibrate_maps(*maps(pairs), 0.1), method="coat", identity=before)
    assert load_calibration(path) == result
    assert bool(network.calibrated)
    assert tuple(network.calibrated_cutoff.tolist()) == result.cutoff
    assert tuple(network.calibrated_n.tolist()) == result.n
    assert identity_of(network) == before  # a calibration does not make it another network


def test_the_worst_class_can_be_promised(plain_engine, make_network):
    network = make_network(num_classes=2)
    scores, labels = torch.rand(20, 2, 6, 6), torch.rand(20, 2, 6, 6) < 0.3
    guarantee = ExpectedRisk(WorstClassFalseNegativeRate(), 0.1)
    ConformalCalibration(network=network, guarantee=guarantee).attach(plain_engine)
    result = plain_engine.run([(scores[:9], labels[:9]), (scores[9:], labels[9:])]).calibration
    expected = calibrate_maps(list(scores), list(labels), guarantee=guarantee)
    assert result == replace(expected, identity=identity_of(network))
    assert tuple(network.calibrated_cutoff.tolist()) == result.cutoff


def test_false_positives_go_to_the_artifact_alone(pairs, plain_engine, make_network, tmp_path):
    network = make_network()
    guarantee = ExpectedRisk(FalsePositiveRatio(), 0.2)
    ConformalCalibration(None, network, tmp_path / "certain.json", guarantee=guarantee).attach(plain_engine)
    result = plain_engine.run(pairs).calibration
    assert load_calibration(tmp_path / "certain.json") == result
    assert (result.controls, result.identity) == ("false_positive_ratio", identity_of(network))
    assert not bool(network.calibrated)


def test_the_network_covers_what_the_result_says(make_network):
    network = make_network()
    images, labels = torch.rand(20, 3, 16, 16), (torch.rand(20, 1, 16, 16) > 0.5).float()
    engine = Engine(lambda engine, batch: (network(batch[0]), batch[1]))
    ConformalCalibration(0.1, network).attach(engine)
    with torch.no_grad():
        result = engine.run(list(zip(images.split(5), labels.split(5), strict=True))).calibration
        missed = (~network.prediction_set(images) & labels.bool()).sum((1, 2, 3)) / labels.sum((1, 2, 3))
    assert missed.mean().item() == pytest.approx(result.risk[0], abs=1e-6)
    assert 20 * result.risk[0] + 1 <= 0.1 * 21 + 1e-9


def test_an_evaluator_of_the_host_takes_it(make_network, make_evaluator, images):
    network = make_network()
    handler = ConformalCalibration(0.2, network, output_transform=from_engine(["pred", "label"]))
    evaluator = make_evaluator(network, val_handlers=[handler])
    evaluator.run()
    with torch.no_grad():
        scores = [network(item["image"][None])[0] for item in images]
    result = evaluator.state.calibration
    assert (result.n, result.n_empty) == ((4,), (1,))
    assert result.cutoff == pytest.approx(calibrate_maps(scores, [i["label"] for i in images], 0.2).cutoff, abs=1e-6)


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda n: torch.compile(n, backend="eager")])
def test_a_wrapped_network_is_calibrated_itself(pairs, plain_engine, make_network, wrap):
    network = make_network()
    ConformalCalibration(0.1, wrap(network)).attach(plain_engine)
    assert plain_engine.run(pairs).calibration.identity == identity_of(network)
    assert bool(network.calibrated)


def test_every_epoch_begins_anew(pairs, plain_engine):
    ConformalCalibration(0.1).attach(plain_engine)
    once = plain_engine.run(pairs).calibration
    assert plain_engine.run(pairs, max_epochs=2).calibration == once


def failing(plain_engine, data, match, tmp_path, network, alpha=0.1):
    """Fail, with an artifact of before at its place."""
    path = tmp_path / "calibration.json"
    path.write_text("old")
    before = snapshot(network)
    ConformalCalibration(alpha, network, path).attach(plain_engine)
    with pytest.raises(ValueError, match=match):
        plain_engine.run(data)
    assert same(before, network.state_dict())
    assert path.read_text() == "old"
    assert not hasattr(plain_engine.state, "calibration")
    assert [p.name for p in tmp_path.iterdir()] == ["calibration.json"]


@pytest.mark.parametrize("calibrated", [False, True])
def test_too_few_images_change_nothing(pairs, plain_engine, make_network, tmp_path, calibrated):
    network = make_network(cutoff=(0.25,) if calibrated else ())
    match = r"alpha=0\.05 needs at least 19 calibration images with foreground, got 10 \(1 without"
    failing(plain_engine, pairs, match, tmp_path, network, alpha=0.05)
    assert bool(network.calibrated) == calibrated


def test_scores_that_are_not_finite_change_nothing(pairs, plain_engine, make_network, tmp_path):
    pairs[2][0][0, 0, 0, 0] = torch.nan
    failing(plain_engine, pairs, r"scores must be finite, got NaN", tmp_path, make_network())


def test_scores_of_other_classes_than_the_networks_change_nothing(pairs, plain_engine, make_network, tmp_path):
    match = r"calibration is for 1 classes, the scores have 2"
    failing(plain_engine, pairs, match, tmp_path, make_network(num_classes=2))


def test_an_artifact_that_cannot_be_written_leaves_the_network(pairs, plain_engine, make_network, tmp_path):
    network = make_network()
    (tmp_path / "file").touch()
    ConformalCalibration(0.1, network, tmp_path / "file" / "calibration.json").attach(plain_engine)
    with pytest.raises(OSError, match="file"):
        plain_engine.run(pairs)
    assert not bool(network.calibrated)


def test_wrong_arguments_are_refused(make_network):
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\), got 0\.0"):
        ConformalCalibration(0.0)
    with pytest.raises(TypeError, match=r"network must be an AdaptiveSegmenter, got Sequential"):
        ConformalCalibration(0.1, make_network().segmenter)
    with pytest.raises(TypeError, match=r"alpha or guarantee must be given, and not both, got None and None"):
        ConformalCalibration()
    with pytest.raises(TypeError, match=r"and not both, got 0.1 and ExpectedRisk"):
        ConformalCalibration(0.1, guarantee=ExpectedRisk(alpha=0.1))
    with pytest.raises(TypeError, match=r"guarantee must be a Guarantee such as .*, got str; a level alone is alpha"):
        ConformalCalibration(guarantee="fnr")


def test_the_pipeline_is_part_of_the_identity(pairs, plain_engine, make_network, tmp_path):
    network, pipeline = make_network(), {"preprocessing": Compose([ScaleIntensity()]), "inferer": SimpleInferer()}
    ConformalCalibration(0.1, network, tmp_path / "calibration.json", pipeline=pipeline).attach(plain_engine)
    plain_engine.run(pairs)
    saved = load_calibration(tmp_path / "calibration.json")
    assert saved.identity == identity_of(network, pipeline)
    other = {"preprocessing": Compose([ScaleIntensity(maxv=2.0)]), "inferer": SimpleInferer()}
    assert saved.identity.differences(identity_of(network, other)) == ["preprocessing"]


def test_an_output_of_another_form_is_refused(plain_engine):
    ConformalCalibration(0.1).attach(plain_engine)
    with pytest.raises(ValueError, match=r"output_transform must return \(scores, labels\), got dict"):
        plain_engine.run([{"pred": torch.rand(1, 1, 4), "label": torch.ones(1, 1, 4)}])


def test_workers_calibrate_as_one_does_and_the_first_writes(run_workers, tmp_path):
    """Also where one of them has no image; and both refuse where all images together are too few."""
    found = run_workers(str(Path(two_workers.__file__)))
    expected = asdict(two_workers.calibrate(range(19)))
    expected.pop("identity")
    for how in two_workers.SHARDS:
        for rank in range(2):
            assert found[rank][how]["result"] == json.loads(json.dumps(expected)), how
            assert found[rank][how]["buffers"] == [list(expected["cutoff"]), [18], True]
            assert found[rank][how]["written"] == (rank == 0)
        assert load_calibration(tmp_path / f"{how} by 0.json").cutoff == expected["cutoff"]
    assert "needs at least 9 calibration images with foreground, got 7 (1 without" in found[0]["too few"]
    assert found[0]["too few"] == found[1]["too few"]
    # Records: of all workers on each, whichever worker saw them.
    alone = two_workers.record(range(19))
    assert found[0]["records"] == found[1]["records"] == alone
    assert [row[1:] for row in alone] == [row[1:] for row in found[0]["records of one worker"]]


class OfBatches(nn.Module):
    """A scorer whose scores are others in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def forward(self, image: torch.Tensor, probs: torch.Tensor) -> torch.Tensor:
        return self.norm(probs)


def test_a_network_is_calibrated_in_evaluation_mode():
    """As it was made it is in training mode; the engine of a plain loop does not know."""
    network = AdaptiveSegmenter(nn.Identity(), OfBatches(), activation="identity")
    images, labels = torch.rand(10, 1, 8, 8), torch.ones(10, 1, 8, 8)
    engine = Engine(lambda engine, batch: (network(batch[0]), batch[1]))
    ConformalCalibration(alpha=0.2, network=network).attach(engine)
    result = engine.run([(images, labels)]).calibration
    assert result == replace(calibrate_maps(list(network(images)), list(labels), alpha=0.2), identity=result.identity)


def test_scores_of_training_mode_are_refused():
    network = AdaptiveSegmenter(nn.Identity(), OfBatches(), activation="identity")
    engine = Engine(lambda engine, batch: (network.train()(batch[0]), batch[1]))
    ConformalCalibration(alpha=0.2, network=network).attach(engine)
    with pytest.raises(RuntimeError, match="network must be in evaluation mode"):
        engine.run([(torch.rand(10, 1, 8, 8), torch.ones(10, 1, 8, 8))])


def evaluator_that_cuts(data, **settings):
    """As in MONAI's tutorials and model zoo: postprocessing turns scores into masks."""
    cuts = Compose([Activationsd("pred", sigmoid=True), AsDiscreted("pred", threshold=0.5)])
    return SupervisedEvaluator(torch.device("cpu"), data, nn.Conv2d(1, 1, 1), postprocessing=cuts, **settings)


def noisy_squares():
    torch.manual_seed(0)
    labels = [(torch.rand(1, 1, 8, 8) > 0.6).float() for _ in range(12)]
    return [{"image": label + 0.5 * torch.randn(1, 1, 8, 8), "label": label} for label in labels]


@pytest.mark.parametrize("handler", [lambda path: ConformalCalibration(0.2, path=path), CollectStatistic])
def test_masks_in_place_of_scores_are_refused(tmp_path, handler):
    evaluator = evaluator_that_cuts(noisy_squares())
    made = handler(tmp_path / "out.json")
    made.output_transform = from_engine(["pred", "label"])
    made.attach(evaluator)
    with pytest.raises(ValueError, match=r"more values than 0 and 1, got masks; .*event=.*FORWARD_COMPLETED"):
        evaluator.run()
    assert not list(tmp_path.iterdir())


def test_scores_are_taken_while_they_are_scores():
    """The same evaluator, left as it is, gives the cutoff of its probabilities."""
    data = noisy_squares()
    evaluator = evaluator_that_cuts(data)
    handler = ConformalCalibration(0.2, output_transform=lambda o: (o["pred"].sigmoid(), o["label"]))
    handler.attach(evaluator, event=IterationEvents.FORWARD_COMPLETED)
    found = evaluator.run() or evaluator.state.calibration
    with torch.no_grad():
        scores = [evaluator.network(sample["image"])[0].sigmoid() for sample in data]
    assert found.cutoff == calibrate_maps(scores, [sample["label"][0] for sample in data], 0.2).cutoff


def test_the_result_is_logged(pairs, plain_engine, caplog):
    ConformalCalibration(0.2).attach(plain_engine)
    with caplog.at_level("INFO"):
        result = plain_engine.run(pairs).calibration
    assert f"calibrated: {summary_of(result)}" in caplog.text
    assert "n = 10, 1 left out" in caplog.text


def test_a_network_that_changes_before_the_end_is_refused(tmp_path, plain_engine):
    network = AdaptiveSegmenter(nn.Conv2d(1, 1, 1))
    ConformalCalibration(0.2, network, tmp_path / "c.json").attach(plain_engine)
    plain_engine.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: network.segmenter.weight.data.mul_(2))
    with pytest.raises(ValueError, match="calibration is of another pipeline: segmenter weights"):
        plain_engine.run([(torch.rand(12, 1, 4, 4), torch.rand(12, 1, 4, 4) > 0.5)])
    assert not network.calibrated
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_behind_where_one_of_two_calibrations_fails(tmp_path, plain_engine):
    """Images that are foreground all over have nothing that could be falsely included."""
    network = AdaptiveSegmenter(nn.Conv2d(1, 1, 1))
    ConformalCalibration(0.2, network, tmp_path / "possible.json").attach(plain_engine)
    certain = ConformalCalibration(guarantee=ExpectedRisk(FalsePositiveRatio(), 0.2), path=tmp_path / "certain.json")
    certain.attach(plain_engine)
    with pytest.raises(ValueError, match=r"images with foreground and background, got 0 \(12 that lack either"):
        plain_engine.run([(torch.rand(12, 1, 4, 4), torch.ones(12, 1, 4, 4))])
    assert not network.calibrated
    assert not list(tmp_path.iterdir())
