# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A statistic with what it is of: the pipeline that made the scores, and which images."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

import numpy as np
from torch import Tensor

from monai_coat.calibration.identity import PipelineIdentity
from monai_coat.calibration.statistics.base import Statistic
from monai_coat.calibration.statistics.entries import check_names, check_tokens
from monai_coat.functional import float32_below
from monai_coat.functional.checks import check_maps
from monai_coat.functional.foreground import plain

__all__ = ["CollectedStatistic"]


class CollectedStatistic:
    """A statistic of one site, ready to be written and merged with those of others.

    Beside the statistic it keeps a token of each image: 64 bits of a digest of its score map, its mask and the network.
    Tokens find an image that is in two files, and tell nothing to somebody who has not the very image and the network.
    Names would not do: two hospitals both have an "image_001". Nor would foreground scores alone: of a sure network
    they are all 1, which two objects of one size share, and who tries all sizes learns the size.

    Args:
        statistic: the statistic.
        identity: network and pipeline that made the scores; empty if not said.
        method: name of the scorer; empty if not said.
        images: tokens of the images in it.

    Raises:
        ValueError: if tokens are none, or one is there twice.

    Example:
        >>> import torch
        >>> from monai_coat.calibration import BinnedStatistic
        >>> collected = CollectedStatistic(BinnedStatistic(0.0, 1.0))
        >>> collected.update(torch.rand(12, 1, 8), torch.ones(12, 1, 8))
        >>> collected.statistic.n, len(collected.images)
        ((12,), 12)
    """

    def __init__(
        self,
        statistic: Statistic,
        identity: PipelineIdentity | None = None,
        method: str = "",
        images: Collection[str] = (),
    ) -> None:
        self.statistic, self.identity, self.method = statistic, identity or PipelineIdentity(), method
        self.images = check_tokens(images)

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add a batch of images; see :meth:`~monai_coat.calibration.Statistic.update`.

        Raises:
            ValueError: if an image is in it already; nothing is added then.
        """
        maps = plain(scores.detach())
        if labels.dim() > maps.dim():
            raise ValueError(
                f"labels must be one mask of each image, got {tuple(labels.shape)} of several raters, who have no form "
                "in files; calibrate at one place, by guarantee.statistic()."
            )
        masks = check_maps(maps, plain(labels))
        # An image that does not count adds nothing.
        rows = zip(maps.cpu(), masks.cpu(), self.statistic.counted(maps, masks), strict=True)
        tokens = [self._token(score, mask) for score, mask, counts in rows if counts]
        self._check_new(tokens)
        self.statistic.update(scores, labels)
        self.images |= set(tokens)

    def _check_new(self, tokens: Collection[str]) -> None:
        twice = sum(token in self.images for token in tokens) + len(tokens) - len(set(tokens))
        if twice:
            raise ValueError(
                f"scores must be of images that are not yet in the statistic, got {twice} that are; collect each "
                "image once, also with several workers."
            )

    def _token(self, scores: Tensor, mask: Tensor) -> str:
        digest = hashlib.sha256(f"{self.identity.digest} {tuple(scores.shape)}\n".encode())
        digest.update(np.packbits(mask.numpy()).tobytes())
        digest.update(float32_below(scores).numpy().tobytes())
        return digest.hexdigest()[:16]

    def merge(self, other: CollectedStatistic) -> None:
        """Add the images of another one.

        Raises:
            TypeError: if the statistics are of different kinds.
            ValueError: if they do not belong together, or share an image.
        """
        self._check_new(other.images)
        self.statistic.merge(other.statistic)
        self.images |= other.images

    def state_dict(self) -> dict[str, Any]:
        """The statistic's state and the tokens, for other processes."""
        return {"statistic": self.statistic.state_dict(), "images": sorted(self.images)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the contents by those of :meth:`state_dict`.

        Raises:
            ValueError: if the contents contradict themselves, or tokens are none.
        """
        check_names(state, ("statistic", "images"))
        images = check_tokens(state["images"])
        self.statistic.load_state_dict(state["statistic"])
        self.images = images
