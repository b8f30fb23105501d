# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A frozen segmenter, a scorer and their calibration as one network with one tensor out: the score map."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from monai.utils import StrEnum
from torch import Tensor, nn

from monai_coat.functional import exact_level
from monai_coat.functional.checks import check_finite, check_temperature
from monai_coat.networks import segmenter_calls as calls
from monai_coat.networks.network_state import NetworkState, identity_bytes, is_same_state, state_of
from monai_coat.scorers.base import Scorer
from monai_coat.scorers.probability import ProbabilityScorer

__all__ = ["AdaptiveSegmenter", "ProbabilityActivation"]


class ProbabilityActivation(StrEnum):
    """How a segmenter's output becomes probabilities of foreground classes; "softmax" drops the background channel."""

    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"
    IDENTITY = "identity"


class AdaptiveSegmenter(nn.Module):
    """Score map of an image, and the prediction set ``{score >= cutoff}`` once calibrated.

    ``network(image)`` returns scores ``(B, C, *spatial)`` in float32. The forward pass runs outside autocast: an image
    has the same scores whatever precision is in force around the call, and ``half()`` or ``double()`` change no weight.
    The segmenter runs in evaluation mode and without gradients, also after ``network.train()``, and is left as it is:
    it may be trained on by itself. The calibration lives in buffers, so it travels with the weights, and so does
    the identity of what was calibrated: after more training, or a change of a setting, the network is uncalibrated.

    Args:
        segmenter: network that maps an image to logits ``(B, C, *spatial)``.
        scorer: module that maps image and probabilities to scores; by default the probabilities themselves.
        num_classes: foreground classes, the channels of the scores.
        activation: one of :class:`ProbabilityActivation`, applied to the segmenter's output.
        logit_temperature: positive number that the segmenter's output is divided by before the activation. Where a
            network is so sure that probabilities crowd at 0 and 1, thresholds of different images can only be told
            apart after these have been spread; the polyp bundle uses 8. With a sigmoid, or a softmax of two channels,
            it changes no order of pixels, hence nothing for one threshold for all images; with a softmax of more it
            does. It is kept with the weights.

    Raises:
        ValueError: if ``activation`` is unknown, ``logit_temperature`` is not positive, or it is not 1 where the
            activation is "identity".

    Example:
        >>> network = AdaptiveSegmenter(nn.Conv2d(3, 1, 1))
        >>> network(torch.rand(2, 3, 8, 8)).shape
        torch.Size([2, 1, 8, 8])
        >>> network.set_calibration((0.5,), alpha=0.1, n=(99,))
        >>> network.prediction_set(torch.rand(2, 3, 8, 8)).dtype
        torch.bool
    """

    calibration_buffers = ("calibrated", "calibrated_cutoff", "calibrated_alpha", "calibrated_n", "calibrated_identity")
    """Buffers that hold the calibration: they are no part of what is calibrated."""

    def __init__(
        self,
        segmenter: nn.Module,
        scorer: nn.Module | None = None,
        num_classes: int = 1,
        activation: ProbabilityActivation | str = ProbabilityActivation.SIGMOID,
        logit_temperature: float = 1.0,
    ) -> None:
        super().__init__()
        if activation not in list(ProbabilityActivation):
            raise ValueError(f"activation must be one of {', '.join(ProbabilityActivation)}, got {activation!r}.")
        check_temperature(logit_temperature, "logit_temperature")
        if activation == ProbabilityActivation.IDENTITY and logit_temperature != 1:
            raise ValueError(
                f"logit_temperature must be 1 with activation='identity', got {logit_temperature}; "
                "probabilities are no logits: leave the activation to this class."
            )
        self.segmenter = segmenter
        self.scorer = scorer if scorer is not None else ProbabilityScorer()
        self.num_classes = num_classes
        self.activation = str(ProbabilityActivation(activation))
        self.logit_temperature = nn.Buffer(torch.tensor(float(logit_temperature)))
        self.calibrated = nn.Buffer(torch.tensor(False))
        self.calibrated_cutoff = nn.Buffer(torch.zeros(num_classes))
        self.calibrated_alpha = nn.Buffer(torch.tensor(0.0))
        self.calibrated_n = nn.Buffer(torch.zeros(num_classes, dtype=torch.int64))
        self.calibrated_identity = nn.Buffer(torch.zeros(32, dtype=torch.uint8))
        self._checked_state: NetworkState = ((), ())

    def train(self, mode: bool = True) -> AdaptiveSegmenter:
        """Set the scorer's mode; evaluation mode is also the segmenter's, training mode is left to its owner."""
        if not mode:
            return super().train(mode)
        self.training = mode
        self.scorer.train(mode)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> AdaptiveSegmenter:
        """Move tensors, as torch does for ``to``, ``cuda`` and ``half``, but keep their precision.

        Scores are of float32 weights, and so are cutoffs: rounded ones would be those of another network.
        """

        def moved(tensor: Tensor) -> Tensor:
            changed = fn(tensor)
            return changed if changed.dtype == tensor.dtype else tensor.to(changed.device)

        return super()._apply(moved, recurse)  # type: ignore[no-any-return, no-untyped-call]

    def forward(self, image: Tensor) -> Tensor:
        """Scores ``(B, C, *spatial)`` of images ``(B, channels, *spatial)``."""
        if not torch.jit.is_scripting():
            calls.check_image(image)
        if not torch.jit.is_scripting():  # noqa: SIM102  scripting must not see the autocast below
            if torch.is_autocast_enabled(image.device.type):
                with torch.autocast(image.device.type, enabled=False):
                    return self.forward(image)
        if not torch.jit.is_scripting():
            image = self._checked_image(image)
        image = image.float()
        logits = self.segmenter(image) if torch.jit.is_scripting() else self.segment(image)
        scores: Tensor = self.scorer(image, self.activate(logits, image))
        return scores

    @torch.jit.unused
    def segment(self, image: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The segmenter's output, in evaluation mode and without gradients; its settings stay as they are.

        This is what inferers run by windows.
        """
        return calls.frozen_output(self.segmenter, image, *args, **kwargs)  # type: ignore[no-any-return]

    @torch.jit.unused
    def _checked_image(self, image: Tensor) -> Tensor:
        """The image, unless it is a window of one whose scorer must see it whole; plain for the compiler."""
        if torch.compiler.is_compiling():
            with_metadata = torch.compiler.is_dynamo_compiling() and type(image) is not Tensor
            return image.as_subclass(Tensor) if with_metadata else image
        if getattr(self.scorer, "adapts", True):
            calls.refuse_in_window()
        return image

    def activate(self, logits: Tensor, image: Tensor | None = None) -> Tensor:
        """Probabilities of the foreground classes, in float32, from the segmenter's output, of the image's size."""
        if not torch.jit.is_scripting():
            calls.check_output(logits, image)
        logits = logits.float() / self.logit_temperature.to(logits.device)
        if self.activation == "sigmoid":
            logits = torch.sigmoid(logits)
        elif self.activation == "softmax":
            logits = torch.softmax(logits, 1)[:, 1:]
        if logits.shape[1] != self.num_classes:
            raise ValueError(
                f"segmenter must give probabilities of {self.num_classes} foreground classes, got {logits.shape[1]}; "
                "set num_classes or activation to fit it, and give images with the axis of the batch, image[None]."
            )
        return logits

    @torch.jit.unused
    def probabilities(self, image: Tensor) -> Tensor:
        """The segmenter's probabilities ``(B, C, *spatial)`` of an image, outside autocast."""
        with torch.autocast(image.device.type, enabled=False):
            return self.activate(self.segment(image.float()), image)

    @torch.jit.unused
    def set_calibration(self, cutoff: tuple[float, ...], alpha: float, n: tuple[int, ...]) -> None:
        """Store a calibration in the buffers, with the identity of the network as it is now.

        The network is put in evaluation mode: what was calibrated is what it does there.

        Args:
            cutoff: cutoff per class.
            alpha: level it was made for.
            n: calibration images per class.

        Raises:
            ValueError: if ``cutoff`` or ``n`` has not one entry per class, or is none that a calibration gives.
        """
        if len(cutoff) != self.num_classes or len(n) != self.num_classes:
            raise ValueError(
                f"cutoff and n must have one entry per class, {self.num_classes}, got {len(cutoff)} and {len(n)}; "
                "the calibration is of another network."
            )
        exact_level(alpha)
        if not all(map(math.isfinite, cutoff)) or min(n) < 0:
            raise ValueError(f"cutoff must be finite and n not negative, got {cutoff} and {n}; calibrate the network.")
        self.eval()
        self.calibrated_cutoff.copy_(torch.tensor(cutoff))
        self.calibrated_alpha.fill_(alpha)
        self.calibrated_n.copy_(torch.tensor(n))
        self.calibrated_identity.copy_(identity_bytes(self))
        self.calibrated.fill_(True)
        self._checked_state = state_of(self)

    @torch.jit.unused
    def clear_calibration(self) -> None:
        """Forget the calibration."""
        with torch.inference_mode(self.calibrated.is_inference()):
            self.calibrated.fill_(False)

    @torch.jit.unused
    def require_calibration(self) -> Tensor:
        """The calibrated cutoff per class ``(C,)``.

        Raises:
            RuntimeError: if the network was never calibrated; if it is in training mode; or if it is not what was
                calibrated: trained on, changed in a setting, or with weights of another network. It is uncalibrated
                then.
        """
        if not bool(self.calibrated):
            raise RuntimeError(
                "network must be calibrated before it gives a prediction set or thresholds; run an engine with "
                "monai_coat.handlers.ConformalCalibration(alpha, network=network), load weights saved after that, or "
                "call set_calibration."
            )
        self.require_evaluation_mode()
        state = state_of(self)
        if not is_same_state(
            state, self._checked_state
        ):  # looked at again, digest by digest, only if something was written
            if not torch.equal(self.calibrated_identity.cpu(), identity_bytes(self)):
                self.clear_calibration()
                raise RuntimeError(
                    "network must be the one that was calibrated, but its weights or settings have changed since; "
                    "calibrate it again."
                )
            self._checked_state = state
        return self.calibrated_cutoff

    @torch.jit.unused
    def require_evaluation_mode(self) -> None:
        """Refuse scores that depend on chance or on the batch: of training mode, and of norms without statistics.

        Raises:
            RuntimeError: if a layer is in training mode, or takes its statistics from the batch in any mode.
        """
        calls.check_norms(self)
        if any(module.training for module in self.modules()):
            raise RuntimeError(
                "network must be in evaluation mode, as it is calibrated, got training mode; call network.eval()."
            )

    @torch.jit.unused
    def prediction_set(self, image: Tensor) -> Tensor:
        """The calibrated mask ``score >= cutoff``, bool ``(B, C, *spatial)``.

        Raises:
            RuntimeError: if the network is not calibrated, see :meth:`require_calibration`.
            ValueError: if a score is NaN or infinite.
        """
        return self.cut(self(image))

    @torch.jit.unused
    def cut(self, scores: Tensor) -> Tensor:
        """The calibrated mask of scores that this network made."""
        cutoff = self.require_calibration()
        check_finite(scores)
        return scores >= cutoff.reshape(1, -1, *[1] * (scores.dim() - 2))

    @torch.jit.unused
    def thresholds(self, image: Tensor, probs: Tensor | None = None) -> Tensor:
        """Each image's calibrated threshold, shape ``(B, C)``: its predicted one shifted by the cutoff.

        In the space "probability" that is ``clip(predicted threshold + cutoff, 0, 1)``; the set is where the
        probability reaches it. See the scorer for other spaces.

        Args:
            image: images ``(B, channels, *spatial)``.
            probs: their probabilities if they are at hand, or None to run the segmenter.

        Raises:
            RuntimeError: if the network is not calibrated, see :meth:`require_calibration`.
            TypeError: if the scorer's sets are no cuts of the probability map.
        """
        probs = self.probabilities(image) if probs is None else probs
        thresholds = self.thresholds_or_none(image, probs)
        if thresholds is None:
            raise TypeError(
                f"scorer must cut the probability map, got {type(self.scorer).__name__}, whose sets have no threshold "
                "in it; use prediction_set."
            )
        return thresholds

    @torch.jit.unused
    def thresholds_or_none(self, image: Tensor, probs: Tensor) -> Tensor | None:
        """As :meth:`thresholds`, or None if the scorer's sets are no cuts of the probability map."""
        cutoff = self.require_calibration()
        if not isinstance(self.scorer, Scorer):  # any module that maps image and probabilities to scores will do
            return None
        with torch.autocast(image.device.type, enabled=False):
            return self.scorer.calibrated_threshold(image.float(), probs, cutoff)
