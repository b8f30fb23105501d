# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Calibration as a callback of Lightning's trainer, kept in its checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from monai_coat.calibration import (
    CalibrationResult,
    CollectedStatistic,
    Guarantee,
    PipelineIdentity,
    ScoreForms,
    as_guarantee,
    check_calibration_fits,
    gather_statistic,
    identity_of,
    pack_calibration,
    summary_of,
    unpack_calibration,
)
from monai_coat.handlers.pairs import batches, check_forms
from monai_coat.networks import AdaptiveSegmenter

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
    from lightning.pytorch.trainer.states import TrainerFn
except ModuleNotFoundError as error:
    remedy = 'lightning must be installed for this module; pip install "monai_coat[lightning]".'
    raise ModuleNotFoundError(remedy, name=error.name) from None

__all__ = ["ConformalCallback"]

logger = logging.getLogger(__name__)
STAGES = {"validation": "validate", "test": "test"}
USES = (TrainerFn.VALIDATING, TrainerFn.TESTING, TrainerFn.PREDICTING)
KEY = "ConformalCallback["
PLAIN = "32-true"
"""The precision of plain PyTorch, which a pipeline need not name."""


class ConformalCallback(Callback):
    """Collect scores and labels in ``trainer.validate`` or ``trainer.test``, and calibrate when it is over.

    The result is in :attr:`result`, in the buffers of an :class:`~monai_coat.networks.AdaptiveSegmenter`, and in every
    checkpoint that the trainer then saves. A checkpoint that is loaded brings it back, or is refused: if it was made
    for another level or risk, belongs to another network than the one that is there, or was made under another
    ``precision`` of the trainer. One trainer may have callbacks of several levels, risks and networks. The validations
    within ``trainer.fit`` are passed over: their images choose the epoch, so nothing may be calibrated on them; and
    training on forgets the calibration. With several devices every image must be seen once, which Lightning's own
    sampler does not do: ``Trainer(use_distributed_sampler=False)``. Images that are seen twice are refused.

    Args:
        alpha: tolerated mean false negative rate, in (0, 1): short for
            ``guarantee=ExpectedRisk(FalseNegativeRate(), alpha)``.
        network: name of the module's attribute that makes the scores, such as "net" or "model.unet"; the calibration
            belongs to it. By default the whole module, with its losses and metrics.
        stage: "validation" for ``trainer.validate``, or "test".
        output_transform: takes ``(scores, labels)`` out of what the step returned and its batch: two batches
            ``(B, C, *spatial)`` or two lists of maps. By default the step returns the pair.
        guarantee: what is promised, in place of ``alpha``.
        pipeline: what stands around the network, by name, see :func:`~monai_coat.calibration.identity_of`.

    Raises:
        TypeError: if not exactly one of ``alpha`` and ``guarantee`` is given.
        ValueError: if ``alpha`` is no level or ``stage`` unknown; in the stage, if images are too few for the level or
            seen twice, scores are masks, or there are several dataloaders.

    Example:
        Where the step returns ``{"loss": ..., "logits": ...}``::

            def probs_and_labels(outputs, batch):
                return outputs["logits"].sigmoid(), batch[1]

            callback = ConformalCallback(0.1, "net", output_transform=probs_and_labels)
            trainer = Trainer(callbacks=[callback])
            trainer.validate(module, calibration_loader)
            trainer.save_checkpoint("calibrated.ckpt")
    """

    def __init__(
        self,
        alpha: float | None = None,
        network: str = "",
        stage: str = "validation",
        output_transform: Callable[[Any, Any], Any] = lambda outputs, batch: outputs,
        guarantee: Guarantee | None = None,
        pipeline: Mapping[str, object] | None = None,
    ) -> None:
        if stage not in STAGES:
            raise ValueError(f"stage must be one of {', '.join(STAGES)}, got {stage!r}.")
        self.guarantee = as_guarantee(guarantee, alpha)
        self.network, self.stage, self.output_transform, self.pipeline = network, stage, output_transform, pipeline
        self.result: CalibrationResult | None = None
        self._precision = ""
        self._collected, self._forms = CollectedStatistic(self.guarantee.statistic()), ScoreForms()

    @property
    def state_key(self) -> str:
        """Where checkpoints keep the calibration; one for each promise and network, so that callbacks share one."""
        promise = f"{self.guarantee.name}, {self.guarantee.risk.key}, alpha={float(self.guarantee.alpha)}"
        return f"{KEY}{promise}, network={self.network!r}]"

    def state_dict(self) -> dict[str, Any]:
        """The calibration, as the text of its artifact, and the precision of the trainer that made it."""
        if self.result is None:
            return {}
        return {"calibration": pack_calibration(self.result).decode(), "precision": self._precision}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the calibration of a checkpoint.

        Raises:
            ValueError: if it is damaged, or for another level, risk or guarantee.
        """
        result = unpack_calibration(str(state_dict.get("calibration")).encode(), "the checkpoint")
        check_calibration_fits(result, guarantee=self.guarantee)
        self.result, self._precision = result, str(state_dict.get("precision") or "unknown")

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that is to be used, and has calibrations, but not the one of this callback.

        Raises:
            ValueError: naming what the checkpoint is calibrated for.
        """
        found = [key for key in checkpoint.get("callbacks", {}) if str(key).startswith(KEY)]
        is_used = trainer.state.fn in USES and not self._calibrates(trainer)
        if found and self.state_key not in found and is_used:
            raise ValueError(
                f"checkpoint must be calibrated for {_words(self.state_key)}, got one for "
                f"{' and for '.join(map(_words, found))}; make the callback for that, or calibrate again for this."
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the calibration: the network is about to change."""
        self.result = None
        if trainer.is_global_zero:
            logger.info("training calibrates nothing; call trainer.%s when it is over", STAGES[self.stage])

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew in this callback's stage; elsewhere check that the calibration is of this network."""
        self._start(trainer, pl_module)

    on_test_start = on_predict_start = on_validation_start

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take in what the step returned."""
        if not self._calibrates(trainer):
            return
        if dataloader_idx > 0:
            raise ValueError(
                f"trainer.{STAGES[self.stage]} must have one dataloader, of the calibration images, got several; give "
                "it that one."
            )
        network = self._network(pl_module)
        if network.training:
            raise RuntimeError("network must be in evaluation mode, got training mode; let Lightning set it.")
        for scores, labels in batches(self.output_transform(outputs, batch), self._forms):
            self._collected.update(scores, labels)

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Calibrate on what was collected."""
        if not self._calibrates(trainer):
            return
        check_forms(self._forms, "let the step return what the network gave, before a threshold or argmax")
        network = self._network(pl_module)
        result = self.guarantee.calibrate(gather_statistic(self._collected).statistic)
        self.result = replace(result, identity=self._identity(trainer, network))
        self._precision = str(trainer.precision)
        if isinstance(network, AdaptiveSegmenter):
            check_calibration_fits(result, classes=network.num_classes)
            if self.guarantee.risk.rises:
                network.set_calibration(result.cutoff, result.alpha, result.n)
        if trainer.is_global_zero:
            logger.info("calibrated: %s", summary_of(self.result))

    on_test_epoch_end = on_validation_epoch_end

    def _start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        network = self._network(pl_module)
        if self._calibrates(trainer):
            self.result = None
            identity = self._identity(trainer, network)
            self._collected, self._forms = CollectedStatistic(self.guarantee.statistic(), identity), ScoreForms()
        elif self.result is not None:
            if self._precision != trainer.precision:
                raise ValueError(
                    f"trainer must have the precision that was calibrated, {self._precision!r}, got "
                    f"{trainer.precision!r}, with which scores and their cutoff are others; make it with "
                    f"Trainer(precision={self._precision!r}), or calibrate again."
                )
            check_calibration_fits(self.result, identity=self._identity(trainer, network))
        elif trainer.is_global_zero and trainer.state.fn is not None and trainer.state.fn.value in STAGES.values():
            logger.warning(
                "nothing is calibrated in trainer.%s: this callback calibrates in trainer.%s; call that, or "
                "give it another stage",
                trainer.state.fn.value,
                STAGES[self.stage],
            )

    def _identity(self, trainer: Trainer, network: nn.Module) -> PipelineIdentity:
        """The network and what stands around it, the precision too unless it is that of plain PyTorch."""
        own = {} if trainer.precision == PLAIN else {"precision": str(trainer.precision)}
        return identity_of(network, {**own, **(self.pipeline or {})})

    def _calibrates(self, trainer: Trainer) -> bool:
        return trainer.state.fn is not None and trainer.state.fn.value == STAGES[self.stage]

    def _network(self, pl_module: LightningModule) -> nn.Module:
        try:
            return pl_module.get_submodule(self.network)
        except AttributeError:
            names = ", ".join(name for name, _ in pl_module.named_children()) or "none"
            raise AttributeError(
                f"network must name a part of {type(pl_module).__name__}, got {self.network!r}; it has {names}."
            ) from None


def _words(key: str) -> str:
    return key.removeprefix(KEY).removesuffix("]")
