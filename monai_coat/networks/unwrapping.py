# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The network inside what data parallelism and compilation wrap it in.

Tested by tests/networks/test_adaptive_segmenter.py.
"""

from __future__ import annotations

from torch import nn

from monai_coat.networks.adaptive_segmenter import AdaptiveSegmenter

__all__ = ["unwrap_adaptive_segmenter"]


def unwrap_adaptive_segmenter(network: nn.Module) -> AdaptiveSegmenter:
    """The network itself, taken out of what data parallelism and compilation wrap it in."""
    for wrapper in ("module", "_orig_mod"):
        network = getattr(network, wrapper, network)
    if not isinstance(network, AdaptiveSegmenter):
        raise TypeError(
            f"network must be an AdaptiveSegmenter, got {type(network).__name__}; wrap the segmenter in one."
        )
    return network
