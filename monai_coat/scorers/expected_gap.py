# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The scorer of MEG, second edition: minimum expected gap, calibrated by the price on coverage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from monai_coat.functional import (
    KernelRidge,
    curves_of_one_threshold,
    exact_level,
    gap_frontier,
    gap_prices,
    gaussian_kernel,
    placed_logits,
    precision_to_ask_for,
    price_levels,
    price_scores,
    saved_gap,
)
from monai_coat.functional.foreground import plain
from monai_coat.scorers.base import Scorer
from monai_coat.scorers.fitted import check_fitted
from monai_coat.scorers.fitting.observed_curves import (
    KEPT,
    STEPS,
    ThresholdObjective,
    curves_left_out,
    curves_on,
    group_numbers,
    ladder_of,
    observed_curves,
)
from monai_coat.scorers.predictors.map_summaries import MapSummaries

__all__ = ["ExpectedGapScorer"]

LEAST, MOST = 10, 1000
"""Images that a class is learned from: fewer tell nothing, and more are thinned out."""
HIGHEST = 1.0
"""The highest price that is paid for precision: that much gap for as much precision."""
FAR = 1e6
"""Further, in standard deviations, than any image is."""
FRONTIER = (0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)
"""Prices on precision at which a frontier is drawn."""
CERTAIN, WORTH = 2.0, 1e-3
"""Standard errors, and coverage, by which the gap must be smaller on images left out."""


class ExpectedGapScorer(Scorer):
    r"""The score of a pixel is the highest price on coverage at which its image's best threshold still takes it.

    .. math:: \hat k(\lambda) = \arg\min_k\; E\big[\,|C_k - (1 - \alpha)|\;\big|\;X\big] - \mu\, E[P_k \mid X]
        + \lambda\, E[C_k \mid X]

    with :math:`C_k` and :math:`P_k` the coverage and the precision of cutting :func:`placed_logits` at the step k of a
    ladder. Expectations are kernel ridge regressions on :class:`MapSummaries` of the map, of curves that were observed
    on images to learn from, at most a thousand; fitting is a matter of seconds, in closed form, and draws nothing at
    random. What is calibrated is the price :math:`\lambda`, one for all images: it moves most those images that gain
    most, where one shift of all thresholds moves each by the same, and reaches the whole image one after the other.

    :math:`\mu` is the lowest price, up to 1, at which images left out are no less precise than with one threshold for
    all, and a little more (:func:`~monai_coat.functional.precision_to_ask_for`). A class of fewer than ten images, or
    one whose gap on images left out is not smaller than with one threshold by two standard errors, is not adapted: its
    scores are the placed log odds, and ``pays`` is False.

    An image that is less like the others than any of those learned from was, such as one of another organ, has the
    mean curves of all: where images are like that, thresholds are one for all.

    TorchScript and ``torch.export`` keep all of it; ONNX has no running minimum, and its exporter refuses.

    Args:
        num_classes: channels of the probability map.
        precision: mean precision to ask for in place of that; 0 for none, 1 for all that the highest price buys.
        objective: what is expected in place of the coverage gap, one of :class:`ThresholdObjective`.

    Raises:
        ValueError: if ``precision`` is outside [0, 1], or there is no such objective.
        RuntimeError: when called before it was fitted.

    Example:
        >>> probs = torch.rand(64, 1, 16, 16) ** 3
        >>> labels = torch.rand(64, 1, 16, 16) < probs
        >>> scorer = ExpectedGapScorer().fit(probs, labels, alpha=0.1)
        >>> scorer(image=probs, probs=probs).shape
        torch.Size([64, 1, 16, 16])
    """

    def __init__(
        self,
        num_classes: int = 1,
        precision: float | None = None,
        objective: ThresholdObjective | str = ThresholdObjective.COVERAGE_GAP,
    ) -> None:
        super().__init__()
        if precision is not None and not 0 <= precision <= 1:
            raise ValueError(f"precision must be in [0, 1], got {precision}; or None for that of one threshold.")
        self.num_classes, self.precision = num_classes, precision
        self.objective = str(ThresholdObjective(objective))
        self.summaries = MapSummaries(num_classes)
        features = self.summaries.num_features
        self.center = nn.Buffer(torch.zeros(features))
        self.spread = nn.Buffer(torch.ones(features))
        # Of a fixed size, so that weights of any fit can be loaded: an image that is not there is far from all.
        self.inputs = nn.Buffer(torch.full((MOST, features), FAR))
        self.observed = nn.Buffer(torch.full((MOST, num_classes, 2, KEPT), torch.nan))
        self.groups = nn.Buffer(torch.arange(MOST))
        self.ladder = nn.Buffer(torch.arange(1.0, STEPS + 1).repeat(num_classes, 1))
        self.kernel = nn.Buffer(torch.ones(num_classes, 2))
        self.least_alike = nn.Buffer(torch.zeros(num_classes))
        self.mean = nn.Buffer(torch.zeros(num_classes, 2, STEPS))
        self.weights = nn.Buffer(torch.zeros(num_classes, MOST, 2 * STEPS))
        self.pays = nn.Buffer(torch.zeros(num_classes, dtype=torch.bool))
        self.fitted = nn.Buffer(torch.tensor(False))

    def forward(self, image: Tensor, probs: Tensor) -> Tensor:
        """Scores ``(B, C, *spatial)``: prices within 100, or log odds of a class that is not adapted."""
        placed = placed_logits(probs.float())
        curves = self.curves(self.summaries(probs.float()))
        priced = price_scores(placed, self.ladder, price_levels(curves[:, :, 0], curves[:, :, 1]))
        return torch.where(self.pays.reshape([1, -1] + [1] * (probs.dim() - 2)), priced, placed)

    def curves(self, summaries: Tensor) -> Tensor:
        """Expected cost and coverage ``(B, C, 2, steps)``, without the price on coverage."""
        check_fitted(self.fitted, "scorer")
        inputs = (summaries.float() - self.center) / self.spread
        rows = []
        for index in range(self.num_classes):
            alike = gaussian_kernel(inputs, self.inputs, self.kernel[index, 0])
            alike = alike * (alike.amax(1, keepdim=True) >= self.least_alike[index])
            # Image by image: a product of larger matrices rounds differently for each size of a batch.
            sums = torch.bmm(alike.unsqueeze(1), self.weights[index].expand(alike.shape[0], -1, -1))
            rows.append(sums.reshape(-1, 2, self.ladder.shape[1]) + self.mean[index])
        return torch.stack(rows, 1)

    @torch.jit.unused
    @torch.no_grad()
    def is_like(self, probs: Tensor) -> Tensor:
        """Whether images ``(B, C, *spatial)`` are like those learned from, ``(B, C)``; all, of a class not adapted."""
        inputs = (self.summaries(probs.float()).float() - self.center) / self.spread
        nearest = [gaussian_kernel(inputs, self.inputs, width).amax(1) for width in self.kernel[:, 0]]
        return (torch.stack(nearest, 1) >= self.least_alike) | ~self.pays

    @staticmethod
    @torch.jit.unused
    @torch.no_grad()
    def observe(probs: Tensor, labels: Tensor) -> Tensor:
        """What is kept of images: log odds, and the precision there, ``(B, C, 2, 320)``; NaN without foreground."""
        return observed_curves(probs, labels)

    @torch.jit.unused
    def fit(
        self, probs: Tensor, labels: Tensor, alpha: float, groups: Sequence[str] | None = None
    ) -> ExpectedGapScorer:
        """Fit to images that no calibration will use.

        Args:
            probs: probability maps ``(N, C, *spatial)``.
            labels: reference masks of the same shape, bool or {0, 1}.
            alpha: tolerated mean false negative rate, in (0, 1).
            groups: of each image the name of what it belongs to, such as its video or patient; by default each image
                stands alone. Frames of a video say little about the next video: with groups, images are left out
                together where it is asked what unseen ones would get.

        Raises:
            ValueError: as :meth:`fit_curves`; or if shapes differ, or values are out of range.
        """
        return self.fit_batches([(probs, labels)], alpha, groups)

    @torch.jit.unused
    @torch.no_grad()
    def fit_batches(
        self, batches: Iterable[tuple[Tensor, Tensor]], alpha: float, groups: Sequence[str] | None = None
    ) -> ExpectedGapScorer:
        """:meth:`fit` for a stream of ``(probs, labels)``, of which no more than one is held at a time.

        Maps of several sizes can be mixed from batch to batch.

        Raises:
            ValueError: as :meth:`fit`; or if there is no batch.
        """
        pairs = [(self.summaries(plain(p).float()), self.observe(p, y)) for p, y in batches]
        if not pairs:
            raise ValueError("batches must hold at least one batch of maps, got none.")
        summaries, observed = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        return self.fit_curves(summaries, observed, alpha, groups)

    @torch.jit.unused
    @torch.no_grad()
    def fit_curves(
        self, summaries: Tensor, observed: Tensor, alpha: float, groups: Sequence[str] | None = None
    ) -> ExpectedGapScorer:
        """:meth:`fit` for images whose maps are not at hand.

        Args:
            summaries: ``(N, F)``, from :attr:`summaries`.
            observed: ``(N, C, 2, 320)``, from :meth:`observe`.
            alpha: tolerated mean false negative rate, in (0, 1).
            groups: as in :meth:`fit`.

        Raises:
            ValueError: if there are fewer than ten images, not as many groups' names, or ``alpha`` is outside (0, 1).
        """
        if len(summaries) < LEAST:
            raise ValueError(
                f"summaries must be of at least {LEAST} images, got {len(summaries)}; add images to learn from."
            )
        belongs = group_numbers(groups, len(summaries))
        device = self.center.device
        self.cpu()
        summaries, observed = summaries.cpu(), observed.cpu()
        count = min(len(summaries), MOST)
        kept = torch.linspace(0, len(summaries) - 1, count).round().long()
        self.center.copy_(summaries.mean(0))
        self.spread.copy_(summaries.std(0) + 1e-3)
        self.inputs.fill_(FAR)[:count] = (summaries[kept] - self.center) / self.spread
        self.observed.fill_(torch.nan)[:count] = observed[kept]
        self.groups.copy_(torch.arange(MOST))[:count] = belongs[kept]
        self.least_alike.zero_()
        for index in range(self.num_classes):
            has = self._has(index)
            if int(has.sum()) >= LEAST:
                self.ladder[index] = ladder_of(self.observed[has, index])
                coverage, _ = curves_on(self.observed[has, index], self.ladder[index])
                drop = (coverage - coverage.roll(-1, 1)).mean(0).clamp(min=0)
                ridge = KernelRidge.fit(self.inputs[has], coverage * drop.sqrt(), self.groups[has])
                self.kernel[index] = torch.stack([ridge.width, torch.tensor(ridge.ridge)])
                self.least_alike[index] = ridge.least_alike(self.groups[has])
        return self.set_level(alpha).to(device)

    @torch.jit.unused
    @torch.no_grad()
    def set_level(self, alpha: float) -> ExpectedGapScorer:
        """Take another level, on the curves that it was fitted to.

        Raises:
            ValueError: if ``alpha`` is outside (0, 1).
        """
        exact_level(alpha)
        device = self.center.device
        self.cpu()
        self.weights.zero_()
        for index in range(self.num_classes):
            self.pays[index] = int(self._has(index).sum()) >= LEAST and self._set_class(index, alpha)
        self.fitted.fill_(True)
        return self.eval().to(device)

    def _has(self, index: int) -> Tensor:
        return ~torch.isnan(self.observed[:, index, 0, 0])

    @torch.jit.unused
    @torch.no_grad()
    def frontier(self, alpha: float, index: int = 0, prices: Sequence[float] = FRONTIER) -> tuple[Tensor, Tensor]:
        """What precision costs: mean coverage gap and precision of images left out, of one of the classes.

        Args:
            alpha: tolerated mean false negative rate, in (0, 1).
            index: the class.
            prices: on precision, at each of which coverage is on target on average.

        Returns:
            Gap and precision ``(P, 2)`` at each price; and those of one threshold for all images, ``(2,)``.

        Raises:
            ValueError: if ``alpha`` is outside (0, 1), or fewer than ten images have the class.
        """
        exact_level(alpha)
        if int(self._has(index).sum()) < LEAST:
            raise ValueError(f"index must be a class that {LEAST} images have, got {index}; there is nothing to draw.")
        true, _, unseen = self._left_out(index, alpha)[:3]
        return gap_frontier(unseen, true, alpha, prices), curves_of_one_threshold(true, alpha)[[0, 2]]

    def _left_out(self, index: int, alpha: float) -> tuple[Tensor, Tensor, Tensor, KernelRidge]:
        """True curves of a class, those learned, those expected of images left out, and the regression."""
        has = self._has(index)
        ridge = KernelRidge(self.inputs[has].cpu(), self.kernel[index, 0].cpu(), float(self.kernel[index, 1]))
        parts = [each.cpu() for each in (self.observed[has, index], self.ladder[index], self.groups[has])]
        return *curves_left_out(parts[0], parts[1], parts[2], ridge, alpha, self.objective), ridge

    def _set_class(self, index: int, alpha: float) -> bool:
        """Weights of a class; whether its gap on images left out is surely smaller than with one threshold."""
        has = self._has(index)
        true, learned, unseen, ridge = self._left_out(index, alpha)
        floor = self.precision
        if floor is None:
            floor = precision_to_ask_for(unseen, true, alpha, self.groups[has])
        prices = gap_prices(unseen, true, alpha, floor, HIGHEST)
        targets = torch.stack([learned[:, 0] - prices.precision * learned[:, 2], learned[:, 1]], 1).flatten(1)
        self.mean[index] = targets.mean(0).reshape(2, -1)
        self.weights[index, has] = ridge.weights(targets)
        saved, error = saved_gap(unseen, true, alpha, prices, self.groups[has])
        return saved > max(CERTAIN * error, WORTH)
