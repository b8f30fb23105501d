# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Global weights of a segmenter for an evaluator whose network carries that segmenter and a scorer."""

from __future__ import annotations

from monai.fl.utils.exchange_object import ExchangeObject
from monai.fl.utils.filters import Filter

__all__ = ["SegmenterWeights"]


class SegmenterWeights(Filter):
    """Give each global weight also under the name that it has in an :class:`~monai_coat.networks.AdaptiveSegmenter`.

    A federation trains the segmenter, whose weights have names such as ``model.0.conv.weight``; in the network that is
    evaluated they begin with ``segmenter.``. As one of the ``pre_filters`` of MONAI's ``MonaiAlgo`` it lets both share
    one bundle: its trainer takes the plain names, its evaluator the others. A network whose weights changed is no
    longer calibrated, and says so.

    Example:
        >>> import torch
        >>> data = SegmenterWeights()(ExchangeObject(weights={"conv.weight": torch.ones(1)}))
        >>> sorted(data.weights)
        ['conv.weight', 'segmenter.conv.weight']
    """

    def __call__(self, data: ExchangeObject, extra: dict[str, object] | None = None) -> ExchangeObject:
        """The exchange object with further names for the same weights; the given one stays as it is."""
        weights = dict(data.weights or {})
        named = {f"segmenter.{name}": value for name, value in weights.items() if not name.startswith("segmenter.")}
        result = ExchangeObject({**named, **weights}, data.optim, data.metrics, data.weight_type, data.statistics)
        result.update(data)
        return result
