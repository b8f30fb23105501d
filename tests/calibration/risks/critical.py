# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What critical scores claim: the risk of an image is the share of them on the wrong side of the cutoff."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

# Few values, so that ties are the rule; the last rounds up to 1 in float32.
VALUES = (-0.5, 0.0, 0.25, 0.5, 1.0, 1 - 1e-9)
SHAPES = ((7,), (1,), (3, 3), (2, 2, 3))


@st.composite
def batches(draw):
    """Two images of one or two classes in one to three dimensions, of which some lack a class and some are full."""
    shape = (2, draw(st.integers(1, 2)), *draw(st.sampled_from(SHAPES)))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    count = int(torch.tensor(shape).prod())
    scores = draw(st.lists(st.sampled_from(VALUES), min_size=count, max_size=count))
    labels = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    masks = torch.tensor(labels).reshape(shape)
    kinds = draw(st.lists(st.sampled_from(["drawn", "empty", "full"]), min_size=2, max_size=2))
    for mask, kind in zip(masks, kinds, strict=True):
        if kind != "drawn":
            mask[0] = kind == "full"
    return torch.tensor(scores, dtype=dtype).reshape(shape), masks


def interesting_cutoffs(scores):
    """Every score as a float32 number, those just above and below, and what is beyond all."""
    at = scores.float().unique()
    beyond = torch.tensor([-9.0, 9.0])
    return torch.cat([at, at.nextafter(beyond[:1]), at.nextafter(beyond[1:]), beyond]).unique()


def share_lost(risk, numbers, cutoff):
    """The share of critical scores at which the image loses; NaN of an image that does not count."""
    return float(((numbers < cutoff) if risk.rises else (-numbers >= cutoff)).double().mean())


def check_critical_scores(risk, scores, labels):
    """At every cutoff, the risk is the share of critical scores on its wrong side."""
    values, shape = risk.critical_scores(scores, labels)
    assert len(values) == shape[0] * shape[1]
    assert all(numbers.dim() == 1 for numbers in values)
    for cutoff in interesting_cutoffs(scores):
        expected = torch.tensor([share_lost(risk, numbers, cutoff) for numbers in values], dtype=torch.float64)
        found = risk.image_risk(scores, labels, float(cutoff))
        torch.testing.assert_close(found, expected.reshape(shape), rtol=0, atol=1e-12, equal_nan=True)
