# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What must hold on a GPU; `make gpu-check` runs these and says what it skipped where there is none."""

from __future__ import annotations

import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import from_engine
from monai.inferers import SlidingWindowInferer

from monai_coat.calibration import BinnedStatistic, CoverageStatistic, calibrate
from monai_coat.handlers import ConformalCalibration
from monai_coat.inferers import AdaptiveInferer
from monai_coat.losses import SoftTPRLoss

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and there is none"),
]

CUDA = torch.device("cuda")


def maps(count=20):
    return torch.rand(count, 2, 24, 20) * 2 - 1, torch.rand(count, 2, 24, 20) < 0.3


@pytest.mark.parametrize("kind", [CoverageStatistic, BinnedStatistic])
def test_the_same_scores_give_the_same_cutoff_to_the_bit(kind):
    scores, labels = maps()
    here, there = kind(), kind()
    here.update(scores, labels)
    there.update(scores.to(CUDA), labels.to(CUDA))
    assert calibrate(here, 0.1) == calibrate(there, 0.1)


def samples(count=24):
    return [{"image": torch.rand(3, 32, 32), "label": (torch.rand(1, 32, 32) < 0.3).float()} for _ in range(count)]


@pytest.mark.parametrize("amp", [False, True])
def test_a_training_step_moves_the_scorer_alone(make_network, amp):
    network = make_network().to(CUDA)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trainer = SupervisedTrainer(
        device=CUDA,
        max_epochs=1,
        train_data_loader=DataLoader(Dataset(samples()), num_workers=0, batch_size=6),
        network=network,
        optimizer=torch.optim.SGD(network.scorer.parameters(), 0.1),
        loss_function=SoftTPRLoss(0.1, 0.2),
        amp=amp,
        decollate=False,
    )
    trainer.run()
    assert torch.isfinite(torch.as_tensor(trainer.state.output["loss"])).all()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("scorer.") for name in changed)


@pytest.mark.parametrize("amp", [False, True])
def test_calibration_on_the_gpu_is_for_the_scores_that_it_gives(make_network, amp):
    network, items = make_network().to(CUDA), samples()
    evaluator = SupervisedEvaluator(
        device=CUDA,
        val_data_loader=DataLoader(Dataset(items), num_workers=0, batch_size=1),
        network=network,
        inferer=AdaptiveInferer(SlidingWindowInferer((16, 16), overlap=0.5)),
        amp=amp,
    )
    ConformalCalibration(0.2, network, output_transform=from_engine(["pred", "label"])).attach(evaluator)
    evaluator.run()
    inferer = AdaptiveInferer(SlidingWindowInferer((16, 16), overlap=0.5))
    missed = []
    with torch.no_grad():
        for item in items:
            scores = inferer(item["image"][None].to(CUDA), network)
            missed.append((~network.cut(scores).cpu()[0])[item["label"].bool()].double().mean())
    assert float(torch.stack(missed).mean()) == pytest.approx(evaluator.state.calibration.risk[0], abs=1e-9)
