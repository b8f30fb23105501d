# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A fitted scorer as a file: its description, its weights, and which images it has seen.

Tested by tests/predictions/test_refusals.py.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_coat.calibration import CRITICAL, FEATURES, map_features
from monai_coat.calibration.statistics.base import LARGEST
from monai_coat.data import MapFormat
from monai_coat.files import replacing
from monai_coat.files.names import kind_of
from monai_coat.functional.foreground import plain
from monai_coat.functional.places import SATURATED
from monai_coat.scorers import ExpectedGapScorer, PlacedScorer, ProbabilityScorer, Scorer, scorer_of_config

__all__ = ["FittedScorer", "image_features", "load_scorer", "token_of"]

FORMAT, VERSION = "monai_coat scorer", 1


@dataclass(frozen=True)
class FittedScorer:
    """A scorer of maps, with what was learned and from which images.

    Attributes:
        method: name of the method, such as "meg".
        scorer: from maps to scores.
        config: how the scorer is made, see :func:`~monai_coat.scorers.scorer_of_config`.
        alpha: level that it was fitted to; None if nothing was learned.
        format: how the maps are read that it is for; None if it was fitted to arrays.
        seen: digests of the images that were learned from, and of those that it was calibrated on, by which.
        features: of each calibration image and class, 1 if the class is there and 0 if not, and its
            :func:`~monai_coat.calibration.map_features`, float32 ``(n, C, 7)``; None if they were not kept.
        critical: of each calibration image its :func:`~monai_coat.calibration.critical_sketch`, ``(n, C, 64)``; None if
            they were not kept.
    """

    method: str
    scorer: Scorer
    config: Mapping[str, Any]
    alpha: float | None = None
    format: MapFormat | None = None
    seen: Mapping[str, str] = field(default_factory=dict)
    features: Tensor | None = field(default=None, repr=False, compare=False)
    critical: Tensor | None = field(default=None, repr=False, compare=False)

    @torch.no_grad()
    def score(self, maps: Tensor) -> Tensor:
        """Scores ``(C, *spatial)`` in float32 of maps of the same shape, in [0, 1]."""
        probs = plain(torch.as_tensor(maps))[None].float()
        scores: Tensor = self.scorer(probs, probs)[0]
        return scores

    @property
    def saturated(self) -> float | None:
        """Highest score of a pixel that place alone orders; None if scores are not probabilities with ties broken."""
        is_placed = isinstance(self.scorer, PlacedScorer) and isinstance(self.scorer.scorer, ProbabilityScorer)
        return SATURATED if is_placed else None

    @torch.no_grad()
    def is_like(self, maps: Tensor) -> bool:
        """Whether the maps are like those that were learned from, as far as the scorer tells."""
        probs = plain(torch.as_tensor(maps))[None].float()
        return not isinstance(self.scorer, ExpectedGapScorer) or bool(self.scorer.is_like(probs).all())

    @torch.no_grad()
    def thresholds(self, maps: Tensor, cutoff: tuple[float, ...]) -> list[float | None] | None:
        """Threshold of each class in the maps; None if sets are no cuts of them, or the set of a class is none."""
        low = self.saturated
        if low is not None:
            # A class without a promise has everything.
            return [0.0 if c == -LARGEST else c if low < c <= 1 - low else None for c in cutoff]
        probs = plain(torch.as_tensor(maps))[None].float()
        found = self.scorer.calibrated_threshold(probs, probs, torch.tensor(cutoff))
        return None if found is None else [float(value) for value in found[0]]

    def refuse_seen(self, token: str | None, source: object) -> None:
        """Refuse an image that was learned from or calibrated on.

        Args:
            token: of :func:`token_of`.
            source: its file.

        Raises:
            ValueError: naming it.
        """
        if token is not None and token in self.seen:
            raise ValueError(
                f"images must be others than those that the scorer was {self.seen[token]}, got {source} again; keep "
                "the images of fit, calibrate and evaluate apart."
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the scorer to a file, whole or not at all."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            "method": self.method,
            "config": dict(self.config),
            "alpha": self.alpha,
            "maps": None if self.format is None else self.format.to_entries(),
            "seen": dict(self.seen),
            "features": self.features,
            "critical": self.critical,
            "weights": self.scorer.state_dict(),
        }
        with replacing(path) as temporary, temporary.open("wb") as file:
            torch.save(content, file)


def load_scorer(path: str | os.PathLike[str]) -> FittedScorer:
    """Read a scorer that :meth:`FittedScorer.save` wrote; nothing in the file is run.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no scorer, is damaged, or is of another version.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"scorer must be a file, got {path}, which {kind_of(path)}; write it by 'fit'.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.get("format") != FORMAT or content.get("version") != VERSION:
            raise ValueError(f"it is no {FORMAT!r} of version {VERSION}")
        scorer = scorer_of_config(content["config"])
        scorer.load_state_dict(content["weights"])
        maps = content["maps"]
        return FittedScorer(
            method=str(content["method"]),
            scorer=scorer.eval(),
            config=content["config"],
            alpha=None if content["alpha"] is None else float(content["alpha"]),
            format=None if maps is None else MapFormat.from_entries(maps),
            seen=dict(content["seen"]),
            features=_checked(content.get("features"), 1 + len(FEATURES)),
            critical=_checked(content.get("critical"), CRITICAL, lacking=True),
        )
    except Exception as error:  # pickle, zip and torch raise a dozen kinds about damaged files
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"scorer must be a file that 'fit' wrote, got {path} ({said}); fit it again.") from None


def image_features(maps: Tensor, masks: Tensor) -> Tensor:
    """What :attr:`FittedScorer.features` keeps of an image's maps and masks ``(C, *spatial)``: float32 ``(C, 7)``."""
    present = plain(masks).bool().flatten(1).any(1, keepdim=True).float()
    return torch.cat([present, map_features(plain(maps))], 1)


def _checked(features: Any, columns: int, lacking: bool = False) -> Tensor | None:
    """Numbers about each image and class of a file; older ones have none."""
    if features is None:
        return None
    fits = isinstance(features, Tensor) and features.dtype == torch.float32 and features.dim() == 3
    if not fits or features.shape[2] != columns or not bool((features.isfinite() | (features.isnan() & lacking)).all()):
        raise ValueError("its features are damaged")
    return features  # type: ignore[no-any-return]


def token_of(maps: Tensor, masks: Tensor) -> str | None:
    """A digest of an image's maps and masks ``(C, *spatial)``; None without foreground, as blank images are alike."""
    if not bool(plain(masks).any()):
        return None
    digest = hashlib.sha256(repr(tuple(maps.shape)).encode())
    digest.update(np.ascontiguousarray(plain(maps).float().numpy()).view(np.uint8).data)
    digest.update(np.packbits(plain(masks).bool().numpy()).tobytes())
    return digest.hexdigest()[:32]
