# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Kernel ridge regression of many outputs at once, with what it says of each image without having seen it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["KernelRidge", "gaussian_kernel"]

WIDTHS = (2.0, 4.0, 8.0, 16.0)
"""Widths that are tried, in median squared distances."""
RIDGES = (1.0, 3.0, 10.0, 30.0)


def gaussian_kernel(queries: Tensor, inputs: Tensor, width: Tensor) -> Tensor:
    r"""How alike two images are.

    .. math:: K_{ij} = \exp(-\lVert x_i - z_j \rVert^2 / w)

    Args:
        queries: standardised features ``(Q, F)``.
        inputs: those of the images learned from ``(N, F)``.
        width: w, a positive number.

    Returns:
        ``(Q, N)`` in (0, 1].

    Example:
        >>> gaussian_kernel(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0]]), torch.tensor(1.0))
        tensor([[1.0000],
                [0.3679]])
    """
    return torch.exp(-_squares(queries, inputs) / width)


def _squares(queries: Tensor, inputs: Tensor) -> Tensor:
    """Squared distances ``(Q, N)``, exact: those by products of matrices are not the same for every batch size."""
    return torch.cdist(queries, inputs, compute_mode="donot_use_mm_for_euclid_dist").pow(2)


@dataclass(frozen=True)
class KernelRidge:
    r"""Kernel ridge regression with a free mean.

    .. math:: \hat y(x) = \bar y + k(x)^\top (K + r I)^{-1} (y - \bar y)

    Far from all images learned from it gives their mean. Width and ridge are those with the least squared error on
    images left out, one at a time or in whole groups, which is known in closed form.

    Attributes:
        inputs: standardised features ``(N, F)``.
        width: of the kernel.
        ridge: r, positive.

    Source:
        Saunders, Gammerman, Vovk (ICML 1998); the error of images left out: Allen (Technometrics 1974), PRESS;
        of groups: Cook and Weisberg, Residuals and Influence in Regression (1982).
    """

    inputs: Tensor
    width: Tensor
    ridge: float

    @cached_property
    def inverse(self) -> Tensor:
        """:math:`(K + r I)^{-1}`, ``(N, N)``."""
        kernel = gaussian_kernel(self.inputs, self.inputs, self.width)
        inverse: Tensor = torch.linalg.inv(kernel + self.ridge * torch.eye(len(kernel)))
        return inverse

    @classmethod
    def fit(cls, inputs: Tensor, targets: Tensor, groups: Tensor | None = None) -> KernelRidge:
        """Choose width and ridge for targets ``(N, outputs)`` of inputs ``(N, F)``; groups as in :meth:`left_out`.

        Example:
            >>> inputs = torch.linspace(0, 3, 30)[:, None]
            >>> ridge = KernelRidge.fit(inputs, inputs.sin())
            >>> bool((ridge.predict(inputs, inputs.sin()) - inputs.sin()).abs().max() < 0.3)
            True
        """
        median = _squares(inputs, inputs).median().clamp(min=1e-6)
        tried = [cls(inputs, factor * median, ridge) for factor in WIDTHS for ridge in RIDGES]
        return min(tried, key=lambda each: float((targets - each.left_out(targets, groups)).pow(2).mean()))

    def weights(self, targets: Tensor) -> Tensor:
        r"""What the kernel is multiplied with, ``(N, outputs)``: :math:`(K + r I)^{-1} (y - \bar y)`."""
        return self.inverse @ (targets - targets.mean(0))

    def predict(self, queries: Tensor, targets: Tensor) -> Tensor:
        """What is expected of new images ``(Q, outputs)``."""
        return targets.mean(0) + gaussian_kernel(queries, self.inputs, self.width) @ self.weights(targets)

    def left_out(self, targets: Tensor, groups: Tensor | None = None) -> Tensor:
        r"""What is expected of each image ``(N, outputs)`` by those of other groups, with the mean of all.

        .. math:: \hat y_B = y_B - \big([(K + r I)^{-1}]_{BB}\big)^{-1} \big[(K + r I)^{-1} (y - \bar y)\big]_B

        Args:
            targets: of the images learned from, ``(N, outputs)``.
            groups: whole numbers ``(N,)``, the same for images that belong together, such as the frames of a video;
                None if each is a group of its own.
        """
        weights = self.weights(targets)
        if groups is None or len(groups.unique()) == len(groups):
            return targets - weights / self.inverse.diagonal().unsqueeze(1)
        expected = torch.empty_like(targets)
        for group in groups.unique():
            rows = torch.nonzero(groups == group)[:, 0]
            expected[rows] = targets[rows] - torch.linalg.solve(self.inverse[rows][:, rows], weights[rows])
        return expected

    def least_alike(self, groups: Tensor | None = None) -> Tensor:
        """How alike the image that is least like the others is to the one that is most like it, of other groups."""
        kernel = gaussian_kernel(self.inputs, self.inputs, self.width)
        names = torch.arange(len(kernel)) if groups is None else groups
        return kernel.masked_fill(names.unsqueeze(0) == names.unsqueeze(1), 0.0).amax(1).min()
