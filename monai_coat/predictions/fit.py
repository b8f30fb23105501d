# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Thresholds learned from saved maps.

Tested by tests/predictions/test_folders.py.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from monai_coat.calibration.grouping import text_of, value_of
from monai_coat.data import PredictionFolder
from monai_coat.files.progress import followed
from monai_coat.functional import exact_level
from monai_coat.predictions.fitted_scorer import FittedScorer, token_of
from monai_coat.scorers import METHODS, ExpectedGapScorer, SketchedMaps

__all__ = ["FITTED", "FOR_MAPS", "check_method", "fit_folder", "fit_scorer", "fit_sketches"]

logger = logging.getLogger(__name__)

FOR_MAPS = tuple(name for name, row in METHODS.items() if row.for_maps)
"""Methods that need a map alone, of any size."""

FITTED = "fitted to"


def fit_scorer(
    pairs: Iterable[tuple[Tensor, Tensor]],
    alpha: float,
    method: str = "meg",
    seed: int = 0,
    groups: Sequence[str] | None = None,
    **settings: Any,
) -> FittedScorer:
    """Learn thresholds from maps and masks, of which one at a time is in memory.

    The images must be others than those of the calibration, and the network must not have seen them.

    Args:
        pairs: of each image its probability maps and its masks, both ``(C, *spatial)``; sizes may differ.
        alpha: tolerated mean false negative rate, in (0, 1).
        method: one of the names in ``FOR_MAPS``.
        seed: of what is drawn at random.
        groups: of each image the name of what it belongs to, such as its video or patient; None if each stands alone.
            Of use to ``meg2``, see :meth:`~monai_coat.scorers.ExpectedGapScorer.fit`.
        **settings: the method's own. Of ``crc``, ``by_place=False`` leaves pixels of probability 0 and 1 tied, which
            :class:`~monai_coat.scorers.PlacedScorer` orders otherwise.

    Returns:
        The scorer, to be calibrated on other images.

    Raises:
        ValueError: if ``alpha`` is outside (0, 1), the method is another one, there are too few images, or maps, masks
            and groups do not fit.

    Example:
        >>> maps = [torch.rand(1, 12, 10) ** 3 for _ in range(40)]
        >>> masks = [torch.rand(1, 12, 10) < probs for probs in maps]
        >>> fitted = fit_scorer(zip(maps[:20], masks[:20]), alpha=0.2, method="meg", members=2)
        >>> from monai_coat.calibration import calibrate_maps
        >>> calibrate_maps([fitted.score(probs) for probs in maps[20:]], masks[20:], alpha=0.2).n
        (20,)
    """
    check_method(alpha, method)
    if method == "crc":
        settings = {"by_place": True, **settings}
    seen: dict[str, str] = {}
    sketched = SketchedMaps.collect(_remembered(pairs, seen), groups)
    return replace(fit_sketches(sketched, alpha, method, seed, **settings), seen=seen)


def fit_sketches(
    sketched: SketchedMaps, alpha: float, method: str = "meg", seed: int = 0, **settings: Any
) -> FittedScorer:
    """:func:`fit_scorer` for images that were sketched before; it does not know which."""
    check_method(alpha, method)
    _check_foreground(sketched)
    with torch.random.fork_rng(devices=[]):
        made = METHODS[method].fit(sketched, alpha, seed, **settings)
    if made.scorer is None or made.config is None:
        raise ValueError(f"method must be one that gives scores, got {method!r} with {settings}; choose another.")
    if isinstance(made.scorer, ExpectedGapScorer):
        _say_where_it_does_not_pay(made.scorer)
    return FittedScorer(method, made.scorer.eval(), made.config, alpha)


def _say_where_it_does_not_pay(scorer: ExpectedGapScorer) -> None:
    """Tell the classes that have one threshold for all images after all."""
    classes = [str(index) for index, pays in enumerate(scorer.pays.tolist()) if not pays]
    if classes:
        logger.warning(
            "Adaptivity does not pay here, class %s: on images left out, thresholds of their own are not surely nearer "
            "to the target than one threshold for all, which is used.",
            ", ".join(classes),
        )


def check_method(alpha: float, method: str) -> None:
    """Refuse a level or a method before any image is read.

    Raises:
        ValueError: if one is none.
    """
    exact_level(alpha)
    if method not in FOR_MAPS:
        raise ValueError(f"method must be one of {', '.join(FOR_MAPS)}, got {method!r}; correct the name.")


def fit_folder(
    folder: PredictionFolder, alpha: float, method: str = "meg", seed: int = 0, group: str = "", **settings: Any
) -> FittedScorer:
    """:func:`fit_scorer` for a folder of predictions with masks.

    ``group`` names the entry of the images' metadata, or the column of their table, that says what belongs together.
    """
    groups = [text_of(value_of(sample.get("meta"), group)) for sample in folder.samples] if group else None
    pairs = ((maps.as_tensor(), masks) for _, maps, masks in followed(folder.pairs(), len(folder), logger, "fit"))
    if method == "crc" and folder.options.are_masks:  # distances have no ties at 0 and 1
        settings = {"by_place": False, **settings}
    fitted = fit_scorer(pairs, alpha, method, seed, groups, **settings)
    return FittedScorer(method, fitted.scorer, fitted.config, alpha, folder.format, fitted.seen)


def _check_foreground(sketched: SketchedMaps) -> None:
    counts = (~torch.isnan(sketched.sketches[..., 0])).sum(0).tolist()
    if min(counts) < 1:
        raise ValueError(
            f"images to learn from must have foreground of each class, got {len(sketched)} of which none has class "
            f"{counts.index(min(counts))}; add images that have it, or leave the class out."
        )


def _remembered(pairs: Iterable[tuple[Tensor, Tensor]], seen: dict[str, str]) -> Iterator[tuple[Tensor, Tensor]]:
    for pair in pairs:
        maps, masks = (torch.as_tensor(each) for each in pair)
        token = token_of(maps, masks)
        if token is not None:
            seen[token] = FITTED
        yield maps, masks
