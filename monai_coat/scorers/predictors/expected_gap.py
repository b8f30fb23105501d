# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The predictor of MEG, minimum expected gap: curves of gap, coverage and precision, and a choice on them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from monai_coat.functional import (
    coverage_curves,
    coverage_gap,
    foreground_sketch,
    gap_prices,
    least_expected_gap,
    precision_curves,
    precision_of_one_threshold,
)
from monai_coat.functional.foreground import plain
from monai_coat.scorers.fitted import check_fitted
from monai_coat.scorers.predictors.map_summaries import MapSummaries

__all__ = ["ExpectedGapPredictor"]


class ExpectedGapPredictor(nn.Module):
    r"""Predict, for a ladder of thresholds, what an image's coverage and precision will be, and choose among them.

    .. math:: \hat\tau(X) = \arg\min_\tau\; E\big[\,|\mathrm{TPR}(\tau) - (1 - \alpha)|\;\big|\;X\big]
        + \lambda\, E\big[\mathrm{TPR}(\tau)\;\big|\;X\big] - \mu\, E\big[\mathrm{precision}(\tau)\;\big|\;X\big]

    A few small networks read :class:`MapSummaries` of the probability map and give the expectations at every step of
    the ladder. They are fitted by least squares, so that no gradient dies and no temperature is needed. Each of them
    leaves a part of the training images out; on what they left out, :math:`\lambda` is set so that the mean coverage is
    right before any calibration, and :math:`\mu` so that thresholds are, on average, no less precise than one threshold
    for all images.

    It is a predictor for :class:`MarginScorer`, best in the space "logit", and is fitted to one ``alpha``.

    Args:
        num_classes: channels of the probability map.
        members: networks in the ensemble, at least 2.
        width: hidden units of each of their two layers.
        keep_precision: whether :math:`\mu` is set, or 0: then the gap is as small as it gets, whatever it costs.

    Raises:
        ValueError: if ``members`` is below 2.
        RuntimeError: when called before it was fitted.

    Example:
        >>> probs = torch.rand(64, 1, 16, 16) ** 3
        >>> labels = torch.rand(64, 1, 16, 16) < probs
        >>> predictor = ExpectedGapPredictor(members=2, width=8).fit(probs, labels, alpha=0.1)
        >>> predictor(image=probs, probs=probs).shape
        torch.Size([64, 1])
    """

    def __init__(self, num_classes: int = 1, members: int = 5, width: int = 64, keep_precision: bool = True) -> None:
        super().__init__()
        if members < 2:
            raise ValueError(f"members must be at least 2, got {members}; each leaves out what others learn from.")
        self.num_classes, self.keep_precision = num_classes, keep_precision
        # The lowest step is below every score of the space "logit": take the whole image.
        self.ladder = nn.Buffer(torch.cat([torch.tensor([-14.0]), torch.linspace(-12, 12, 97)]), persistent=False)
        self.summaries = MapSummaries(num_classes)
        inputs, outputs = self.summaries.num_features, 3 * num_classes * len(self.ladder)
        self.members = nn.ModuleList(_member(inputs, width, outputs) for _ in range(members))
        self.center = nn.Buffer(torch.zeros(inputs))
        self.spread = nn.Buffer(torch.ones(inputs))
        self.prices = nn.Buffer(torch.zeros(2, num_classes))
        self.fitted = nn.Buffer(torch.tensor(False))

    def forward(self, image: Tensor, probs: Tensor) -> Tensor:
        """Thresholds ``(B, C)``, as probabilities, of maps ``(B, C, *spatial)``; the image plays no part."""
        return self.of_summaries(self.summaries(probs.float()))

    def of_summaries(self, summaries: Tensor) -> Tensor:
        """Thresholds ``(B, C)`` of summaries ``(B, num_features)``."""
        check_fitted(self.fitted, "predictor")
        return torch.sigmoid(self.ladder)[least_expected_gap(self.curves(summaries), self.prices)]

    def curves(self, summaries: Tensor) -> Tensor:
        """Expected gap, coverage and precision ``(B, 3, C, steps)`` at each step of the ladder."""
        inputs = (summaries - self.center) / self.spread
        total = torch.zeros(1, device=summaries.device)
        for member in self.members:
            total = total + member(inputs)
        return (total / len(self.members)).reshape(-1, 3, self.num_classes, len(self.ladder))

    @torch.jit.unused
    def observe(self, probs: Tensor, labels: Tensor, alpha: float) -> Tensor:
        """True gap, coverage and precision ``(B, 3, C, steps)`` of maps; NaN where an image has no foreground."""
        precision = precision_curves(probs, labels, torch.sigmoid(self.ladder))
        return self.observe_sketches(foreground_sketch(probs, labels), precision, alpha)

    @torch.jit.unused
    def observe_sketches(self, sketches: Tensor, precision: Tensor, alpha: float) -> Tensor:
        """As :meth:`observe`, of foreground sketches ``(B, C, K)`` and precision at the ladder ``(B, C, steps)``."""
        coverage = coverage_curves(sketches, torch.sigmoid(self.ladder))
        return torch.stack([coverage_gap(coverage, alpha), coverage, precision], 1)

    @torch.jit.unused
    def fit(self, probs: Tensor, labels: Tensor, alpha: float, seed: int = 0) -> ExpectedGapPredictor:
        """Fit to images that no calibration will use; a few seconds per thousand images.

        Args:
            probs: probability maps ``(N, C, *spatial)``.
            labels: reference masks of the same shape, bool or {0, 1}.
            alpha: tolerated mean false negative rate, in (0, 1).
            seed: of the ensemble's parts and weights.

        Raises:
            ValueError: as :meth:`fit_curves`; or if shapes differ, or values are out of range.
        """
        return self.fit_batches([(probs, labels)], alpha, seed)

    @torch.jit.unused
    def fit_batches(
        self, batches: Iterable[tuple[Tensor, Tensor]], alpha: float, seed: int = 0
    ) -> ExpectedGapPredictor:
        """:meth:`fit` for a stream of ``(probs, labels)``, of which no more than one is held at a time.

        Maps of several sizes can be mixed from batch to batch.

        Raises:
            ValueError: as :meth:`fit`; or if there is no batch.
        """
        with torch.no_grad():  # of the network as well, where batches are made of it while they are taken
            pairs = [(self.summaries(plain(p).float()), self.observe(plain(p), plain(y), alpha)) for p, y in batches]
        if not pairs:
            raise ValueError("batches must hold at least one batch of maps, got none.")
        summaries, observed = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        return self.fit_curves(summaries, observed, alpha, seed)

    @torch.jit.unused
    def fit_curves(self, summaries: Tensor, observed: Tensor, alpha: float, seed: int = 0) -> ExpectedGapPredictor:
        """:meth:`fit` for images whose summaries and true curves are at hand, batch by batch or from a cache.

        Args:
            summaries: ``(N, num_features)``, from :attr:`summaries`.
            observed: ``(N, 3, C, steps)``, from :meth:`observe`.
            alpha: the level that they were observed for.
            seed: of the ensemble's parts and weights.

        Raises:
            ValueError: if there are fewer images than twice the members.
        """
        if len(summaries) < 2 * len(self.members):
            raise ValueError(
                f"summaries must be of at least {2 * len(self.members)} images, twice the members, got "
                f"{len(summaries)}; add images to learn from."
            )
        generator = torch.Generator().manual_seed(seed)
        self.center.copy_(summaries.mean(0))
        self.spread.copy_(summaries.std(0) + 1e-3)
        inputs = (summaries - self.center) / self.spread
        part = torch.randperm(len(inputs), generator=generator) % len(self.members)
        unseen = torch.empty_like(observed)
        for index, member in enumerate(self.members):
            rows = part != index
            _fit_member(member, inputs[rows], observed[rows].flatten(1), generator)
            with torch.no_grad():
                unseen[~rows] = member(inputs[~rows]).reshape(unseen[~rows].shape)
        for index in range(self.num_classes):
            has = ~torch.isnan(observed[:, 1, index, 0])
            expected, true = unseen[has, :, index], observed[has, :, index]
            floor = precision_of_one_threshold(true, alpha) if self.keep_precision else None
            prices = gap_prices(expected, true, alpha, floor)
            self.prices[:, index] = torch.tensor([prices.coverage, prices.precision])
        self.fitted.fill_(True)
        return self.eval()


_EPOCHS = 60


def _member(inputs: int, width: int, outputs: int) -> nn.Sequential:
    hidden = [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(0.4), nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.4)]
    return nn.Sequential(*hidden, nn.Linear(width, outputs))


@torch.enable_grad()
def _fit_member(member: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator) -> None:
    """Least squares, absent classes left out; begins at the mean curve."""
    known = ~torch.isnan(targets)
    targets = torch.where(known, targets, 0.0)
    for layer in member.modules():
        if isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            with torch.no_grad():
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.zero_()
            last = layer
    with torch.no_grad():
        last.weight.mul_(0.1)
        last.bias.copy_(targets.sum(0) / known.sum(0).clamp(min=1))
    optimizer = torch.optim.AdamW(member.parameters(), 3e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _EPOCHS * -(-len(inputs) // 64))
    member.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        for _ in range(_EPOCHS):
            for rows in torch.randperm(len(inputs)).split(64):
                optimizer.zero_grad()
                ((member(inputs[rows]) - targets[rows])[known[rows]] ** 2).mean().backward()
                optimizer.step()
                schedule.step()
    member.eval()
