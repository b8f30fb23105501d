# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The exact statistic of images that several raters have marked.

Tested by tests/calibration/risks/test_mean_over_raters.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from monai_coat.calibration.statistics.base import check_same_kind
from monai_coat.calibration.statistics.exact import CoverageStatistic
from monai_coat.calibration.statistics.shares import ShareRisk
from monai_coat.calibration.statistics.units import PatientStatistic

__all__ = ["RatersStatistic", "check_raters", "masks_of_raters"]


class RatersStatistic(PatientStatistic):
    r"""Critical scores of each rater's mask of each image: the risk of an image is the mean over its raters.

    .. math:: L_i(c) = \frac{1}{|R_i|} \sum_{r \in R_i} L_{ir}(c)

    Only raters whose mask counts are in the mean. It is the mean over a patient's images with the image in the place
    of the patient and its masks in that of the images: ``n`` and ``n_empty`` are numbers of images.

    Args:
        risk: the risk of one mask, a share of scores.
        measures: key of the mean of it.

    Example:
        >>> import torch
        >>> from monai_coat.calibration import FalseNegativeRate, MeanOverRaters
        >>> statistic = MeanOverRaters(FalseNegativeRate()).statistic()
        >>> statistic.update(torch.rand(2, 1, 4), torch.tensor([[[[1] * 4]] * 3, [[[0] * 4]] * 3]))
        >>> statistic.n, statistic.n_empty
        ((1,), (1,))
    """

    kind: ClassVar[str] = "critical scores of raters"
    asks_metadata: ClassVar[bool] = False

    def __init__(self, risk: ShareRisk, measures: str) -> None:
        super().__init__(risk, "image")
        self._measures = measures

    @property
    def measures(self) -> str:
        """Key of the mean over raters."""
        return self._measures

    def update(self, scores: Tensor, labels: Tensor) -> None:  # type: ignore[override]
        """Add a batch of images.

        Args:
            scores: score maps ``(B, C, *spatial)``.
            labels: reference masks of R raters ``(B, R, C, *spatial)``, or of one ``(B, C, *spatial)``.

        Raises:
            ValueError: as :meth:`Statistic.update`; nothing is added then.
        """
        batch = CoverageStatistic(self.risk)
        masks = masks_of_raters(scores, labels)
        for rater in masks.unbind(1):
            batch.update(scores, rater)
        self._open(len(batch.pools))
        seen = self._images_seen
        for mine, theirs in zip(self._pools, batch.pools, strict=True):
            mine.extend(theirs)
        self.entries += [str(seen + index) for index in range(len(scores))] * masks.shape[1]

    @property
    def _images_seen(self) -> int:
        return len({*self.entries})

    def merge(self, other: Any) -> None:
        """Add all images of another statistic; see :meth:`CoverageStatistic.merge`."""
        check_same_kind(self, other)
        seen, entries = self._images_seen, list(other.entries)
        CoverageStatistic.merge(self, other)
        self.entries += [str(seen + int(entry)) for entry in entries]

    @property
    def images(self) -> Sequence[Mapping[int, NDArray[np.float32]]]:
        """Critical scores of the first rater of each image whose mask counts, per class: raters may well agree."""
        first: list[dict[int, NDArray[np.float32]]] = []
        for pool in self.pools:
            first.append({})
            for place, scores in pool.images.items():
                first[-1].setdefault(int(self.entries[place]), scores)
        return first

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the contents by those of :meth:`state_dict`.

        Raises:
            ValueError: if the contents contradict themselves.
        """
        loaded = RatersStatistic(self.risk, self._measures)
        super(RatersStatistic, loaded).load_state_dict(state)
        if {*loaded.entries} != {str(number) for number in range(len({*loaded.entries}))}:
            raise ValueError("entries must number the images from 0 on")
        self._pools, self.entries = loaded._pools, loaded.entries


def masks_of_raters(scores: Tensor, labels: Tensor) -> Tensor:
    """Reference masks ``(B, R, C, *spatial)``; those of the scores' shape are of one rater.

    Raises:
        TypeError: if either is no tensor.
        ValueError: if they are of another shape, or of no rater.
    """
    check_raters(scores, labels)
    return labels[:, None] if labels.dim() == scores.dim() else labels


def check_raters(scores: Tensor, labels: Tensor) -> None:
    """Require masks of the scores' shape, with or without an axis of at least one rater behind that of the batch.

    Raises:
        TypeError: if either is no tensor.
        ValueError: if they are of another shape, or of no rater.
    """
    for name, value in (("scores", scores), ("labels", labels)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}.")
    of_one = labels.shape == scores.shape
    of_several = labels.dim() == scores.dim() + 1 and labels.shape[1] > 0
    if not of_one and not (of_several and labels[:, 0].shape == scores.shape):
        raise ValueError(
            "labels must be masks by R >= 1 raters of the same shape as the scores, (B, R, C, *spatial) for "
            f"(B, C, *spatial), got {tuple(labels.shape)} for {tuple(scores.shape)}; stack the masks of an image."
        )
