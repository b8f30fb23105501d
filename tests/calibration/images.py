# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Small images that hypothesis draws: lists of classes, which are lists of pixels ``(score, inside)``."""

from __future__ import annotations

from fractions import Fraction

import torch
from hypothesis import strategies as st

# Few values, so that ties within and between images and classes are the rule.
VALUES = (-0.5, 0.0, 0.25, 0.5, 0.75, 1.0)


def images(least, most, classes=1, pixels=7, values=VALUES):
    """Lists of ``least`` to ``most`` images."""
    pixel = st.tuples(st.sampled_from(values), st.booleans())
    one_class = st.lists(pixel, min_size=pixels, max_size=pixels)
    image = st.lists(one_class, min_size=classes, max_size=classes)
    return st.lists(image, min_size=least, max_size=most)


def tensors(image):
    """Scores and labels of one image as a batch of one."""
    scores = torch.tensor([[[score for score, _ in pixels] for pixels in image]])
    return scores, torch.tensor([[[inside for _, inside in pixels] for pixels in image]])


def filled(statistic, maps):
    """The statistic after these images."""
    for image in maps:
        statistic.update(*tensors(image))
    return statistic


def miss_rate(pixels, cutoff):
    """Share of the foreground of one class that lies below the cutoff; None without foreground."""
    scores = [score for score, inside in pixels if inside]
    return Fraction(sum(score < cutoff for score in scores), len(scores)) if scores else None


def worst_miss_rate(image, cutoff):
    """Of the class that is missed most; None without any."""
    rates = [miss_rate(pixels, cutoff) for pixels in image]
    return max((rate for rate in rates if rate is not None), default=None)


def false_positive_ratio(pixels, cutoff):
    """Background at or above the cutoff in sizes of the foreground, or of the background if that is less; at most 1."""
    background = [score for score, inside in pixels if not inside]
    size = min(sum(inside for _, inside in pixels), len(background))
    return min(Fraction(1), Fraction(sum(score >= cutoff for score in background), size)) if size else None
