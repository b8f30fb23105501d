# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A Lightning trainer calibrates, keeps the calibration with the weights, and gives it to no others."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from monai_coat.calibration import (
    ExpectedRisk,
    FalsePositiveRatio,
    calibrate_maps,
    identity_of,
    pack_calibration,
    unpack_calibration,
)
from monai_coat.integrations.lightning import ConformalCallback
from monai_coat.networks import AdaptiveSegmenter

pytestmark = [
    # Said of every loader without workers and every trainer without a logger; both are meant here.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*num_workers"),
]


def images(count, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(count, 1, 8, 8, generator=generator) < 0.3).float()
    return TensorDataset(labels + torch.randn(count, 1, 8, 8, generator=generator), labels)


CALIBRATION, TEST, FEW, ODD = images(30, 1), images(20, 2), images(10, 3), images(31, 4)


class Segmentation(LightningModule):
    def __init__(self, net=None):
        super().__init__()
        torch.manual_seed(0)
        self.net = net or nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Dropout(0.5), nn.Conv2d(4, 1, 1))

    def training_step(self, batch, batch_idx):
        return nn.functional.binary_cross_entropy_with_logits(self.net(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        return {"logits": self.net(batch[0])}

    test_step = predict_step = validation_step

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), 0.01)


class OfSeveral(Segmentation):
    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        return super().validation_step(batch, batch_idx)


def taken(outputs, batch):
    return outputs["logits"].sigmoid(), batch[1]


def make_callback(alpha=0.2, **settings):
    return ConformalCallback(alpha, "net", **{"output_transform": taken, **settings})


@pytest.fixture
def make_trainer(tmp_path):
    def make(*callbacks, **settings):
        quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
        folder = str(tmp_path)
        return Trainer(callbacks=list(callbacks), accelerator="cpu", default_root_dir=folder, **{**quiet, **settings})

    return make


@pytest.fixture
def calibrated(make_trainer, tmp_path):
    """A callback that has calibrated, its module, and their checkpoint."""
    callback, module = make_callback(), Segmentation()
    trainer = make_trainer(callback)
    trainer.validate(module, loader(CALIBRATION), verbose=False)
    trainer.save_checkpoint(tmp_path / "calibrated.ckpt")
    return callback, module, tmp_path / "calibrated.ckpt"


def loader(data, batch_size=8):
    return DataLoader(data, batch_size=batch_size)


def scores_of(module, data):
    with torch.no_grad():
        return module.eval().net(data.tensors[0]).sigmoid()


@pytest.mark.parametrize("stage", ["validation", "test"])
def test_the_result_is_that_of_the_maps(make_trainer, stage):
    callback, module = make_callback(stage=stage), Segmentation()
    trainer = make_trainer(callback)
    run = trainer.validate if stage == "validation" else trainer.test
    run(module, loader(CALIBRATION), verbose=False)
    expected = calibrate_maps(scores_of(module, CALIBRATION), CALIBRATION.tensors[1], 0.2)
    assert callback.result == replace(expected, identity=identity_of(module.net))
    before = callback.result
    run(module, loader(CALIBRATION, 1), verbose=False)
    assert callback.result == before, "each run begins anew, whatever the batches"


def test_a_stage_that_calibrates_nothing_says_so(make_trainer, caplog):
    callback = make_callback()
    make_trainer(callback).test(Segmentation(), loader(CALIBRATION), verbose=False)
    assert callback.result is None
    assert "nothing is calibrated in trainer.test: this callback calibrates in trainer.validate" in caplog.text


def test_of_one_image_left_out_no_more_is_missed_than_promised(make_trainer):
    callback, module, missed = make_callback(), Segmentation(), []
    for left_out in range(len(FEW)):
        others = [index for index in range(len(FEW)) if index != left_out]
        make_trainer(callback).validate(module, loader(torch.utils.data.Subset(FEW, others)), verbose=False)
        scores, label = scores_of(module, FEW)[left_out], FEW.tensors[1][left_out] > 0
        missed.append(float((scores[label] < callback.result.cutoff[0]).double().mean()))
    # Whatever the images: over all choices of the one that is left out, the mean is within the level.
    assert sum(missed) / len(missed) <= 0.2
    assert max(missed) > 0


def test_a_checkpoint_brings_the_calibration_back(calibrated, make_trainer):
    before, _, path = calibrated
    callback = make_callback()
    make_trainer(callback).test(Segmentation(), loader(TEST), ckpt_path=path, verbose=False, weights_only=True)
    assert callback.result == before.result
    callback = make_callback()
    make_trainer(callback).predict(Segmentation(), loader(TEST), ckpt_path=path)
    assert callback.result == before.result


def test_another_network_is_refused(calibrated, make_trainer):
    _, module, path = calibrated
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"]["net.2.bias"] += 1
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r"calibration is of another pipeline: .*weights"):
        make_trainer(make_callback()).test(module, loader(TEST), ckpt_path=path, verbose=False)


def test_an_edited_calibration_is_refused(calibrated, make_trainer):
    _, module, path = calibrated
    checkpoint = torch.load(path, weights_only=True)
    (state,) = checkpoint["callbacks"].values()
    state["calibration"] = state["calibration"].replace('"n": [30]', '"n": [31]')
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match="the checkpoint was changed after it was written"):
        make_trainer(make_callback()).test(module, loader(TEST), ckpt_path=path, verbose=False)


def test_a_calibration_of_another_risk_is_refused(calibrated):
    callback, _, _ = calibrated
    other = ConformalCallback(guarantee=ExpectedRisk(FalsePositiveRatio(), 0.2))
    with pytest.raises(ValueError, match="is for expected_risk of false_negative_rate, wanted is expected_risk of f"):
        other.load_state_dict(callback.state_dict())


def test_validation_within_a_fit_calibrates_nothing_and_training_forgets(calibrated, make_trainer, caplog):
    caplog.set_level("INFO", "monai_coat")
    callback, module, _ = calibrated
    text = callback.state_dict()["calibration"]
    assert unpack_calibration(text.encode(), "x") == callback.result
    assert text == pack_calibration(callback.result).decode()
    make_trainer(callback, max_epochs=1).fit(module, loader(images(8, 3)), loader(CALIBRATION))
    assert callback.result is None
    assert callback.state_dict() == {}
    assert "training calibrates nothing; call trainer.validate when it is over" in caplog.text


def test_a_network_that_was_changed_by_hand_is_refused(calibrated, make_trainer):
    callback, module, _ = calibrated
    with torch.no_grad():
        module.net[0].weight.mul_(2)
    with pytest.raises(ValueError, match="calibration is of another pipeline"):
        make_trainer(callback).test(module, loader(TEST), verbose=False)


def test_an_adaptive_segmenter_carries_it_too(make_trainer, tmp_path):
    def make():
        return Segmentation(AdaptiveSegmenter(nn.Conv2d(1, 1, 3, padding=1)))

    torch.manual_seed(0)
    callback, module = make_callback(output_transform=lambda outputs, batch: (outputs["logits"], batch[1])), make()
    trainer = make_trainer(callback)
    trainer.validate(module, loader(CALIBRATION), verbose=False)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    other = make()
    other.load_state_dict(torch.load(tmp_path / "a.ckpt", weights_only=True)["state_dict"])
    assert other.eval().net.require_calibration().tolist() == list(callback.result.cutoff)


def test_two_risks_share_a_trainer(make_trainer, tmp_path):
    possible, certain = make_callback(), make_callback(None, guarantee=ExpectedRisk(FalsePositiveRatio(), 0.2))
    trainer = make_trainer(possible, certain)
    trainer.validate(Segmentation(), loader(CALIBRATION), verbose=False)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert len(torch.load(tmp_path / "a.ckpt", weights_only=True)["callbacks"]) == 2
    assert possible.result.cutoff < certain.result.cutoff


def test_masks_and_repeated_images_are_refused(make_trainer):
    def masks(outputs, batch):
        return (outputs["logits"] > 0).float(), batch[1]

    with pytest.raises(ValueError, match="got masks; let the step return what the network gave, before a threshold"):
        make_trainer(make_callback(output_transform=masks)).validate(Segmentation(), loader(CALIBRATION), verbose=False)
    twice = torch.utils.data.ConcatDataset([CALIBRATION, CALIBRATION])
    with pytest.raises(ValueError, match="images that are not yet in the statistic"):
        make_trainer(make_callback()).validate(Segmentation(), loader(twice), verbose=False)


def test_several_devices_calibrate_together_and_count_no_image_twice(run_workers):
    # In the batches of the two processes: on some processors a network rounds differently in others.
    image, label = ODD.tensors
    batches = [
        TensorDataset(image[rank::2], label[rank::2])[start : start + 4] for rank in (0, 1) for start in range(0, 16, 4)
    ]
    scores = torch.cat([scores_of(Segmentation(), TensorDataset(*batch)) for batch in batches])
    expected = calibrate_maps(scores, torch.cat([label for _, label in batches]), 0.2)
    for together, repeated in run_workers(str(Path(__file__).with_name("two_devices.py")), 600):
        assert together == [list(expected.cutoff), [31]]
        # Lightning's sampler repeats an image, so that both have 16.
        assert "images that are not yet in the statistic, got 1 that are" in repeated


def test_what_is_not_understood_is_refused(make_trainer):
    with pytest.raises(ValueError, match="stage must be one of validation, test, got 'fit'"):
        ConformalCallback(0.1, stage="fit")
    with pytest.raises(AttributeError, match="must name a part of Segmentation, got 'network'; it has net"):
        make_trainer(ConformalCallback(0.1, "network")).validate(Segmentation(), loader(CALIBRATION), verbose=False)
    with pytest.raises(ValueError, match=r"trainer\.validate must have one dataloader, of the calibration images"):
        make_trainer(make_callback()).validate(OfSeveral(), [loader(CALIBRATION), loader(TEST)], verbose=False)
    with pytest.raises(ValueError, match=r"must return \(scores, labels\), got dict"):
        make_trainer(ConformalCallback(0.1)).validate(Segmentation(), loader(CALIBRATION), verbose=False)
    with pytest.raises(ValueError, match="needs at least 99"):
        make_trainer(make_callback(0.01)).validate(Segmentation(), loader(CALIBRATION), verbose=False)


def test_without_lightning_the_extra_is_named():
    script = "import sys; sys.modules['lightning'] = None; import monai_coat.integrations.lightning"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert 'ModuleNotFoundError: lightning must be installed for this module; pip install "monai_coat[lightning]".' in (
        done.stderr
    )


@pytest.mark.filterwarnings("ignore:Be aware that when using")
def test_a_checkpoint_of_another_level_or_network_of_the_module_is_refused_by_what_it_has(calibrated, make_trainer):
    _, module, path = calibrated
    message = r"checkpoint must be calibrated for expected_risk, false_negative_rate, alpha=0\.1, .*got one for .*=0\.2"
    for run in (make_trainer(make_callback(0.1)).test, make_trainer(make_callback(0.1)).predict):
        with pytest.raises(ValueError, match=message):
            run(module, loader(TEST), ckpt_path=path)
    with pytest.raises(ValueError, match=r"network='', got one for .*network='net'; make the callback for that"):
        make_trainer(ConformalCallback(0.2)).predict(module, loader(TEST), ckpt_path=path)
    callback = make_callback(0.1)
    make_trainer(callback).validate(module, loader(CALIBRATION), ckpt_path=path, verbose=False)
    assert callback.result.alpha == 0.1, "calibrates anew, whatever is there"


def test_another_precision_is_refused(make_trainer, tmp_path):
    callback, path = make_callback(), tmp_path / "half.ckpt"
    trainer = make_trainer(callback, precision="bf16-mixed")
    trainer.validate(Segmentation(), loader(CALIBRATION), verbose=False)
    trainer.save_checkpoint(path)
    assert {*callback.result.identity.pipeline} == {"precision"}
    message = r"must have the precision that was calibrated, 'bf16-mixed', got '32-true', .*Trainer\(precision="
    for name in ("predict", "test"):
        with pytest.raises(ValueError, match=message):
            getattr(make_trainer(make_callback()), name)(Segmentation(), loader(TEST), ckpt_path=path)
    again = make_callback()
    make_trainer(again, precision="bf16-mixed").predict(Segmentation(), loader(TEST), ckpt_path=path)
    assert again.result == callback.result


def test_a_precision_that_is_not_said_is_refused(calibrated, make_trainer):
    callback, module, _ = calibrated
    other = make_callback()
    other.load_state_dict({"calibration": callback.state_dict()["calibration"]})
    with pytest.raises(ValueError, match="must have the precision that was calibrated, 'unknown', got '32-true'"):
        make_trainer(other).predict(module, loader(TEST))


def test_two_levels_share_a_trainer(make_trainer, tmp_path):
    def make():
        return make_callback(0.1), make_callback(0.2)

    trainer = make_trainer(*make())
    trainer.validate(Segmentation(), loader(CALIBRATION), verbose=False)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    strict, loose = make()
    make_trainer(strict, loose).predict(Segmentation(), loader(TEST), ckpt_path=tmp_path / "a.ckpt")
    assert (strict.result.alpha, loose.result.alpha) == (0.1, 0.2)
    assert strict.result.cutoff < loose.result.cutoff
