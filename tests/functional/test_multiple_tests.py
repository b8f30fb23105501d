# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Many tests at once: Holm's procedure and sequences as special graphs, and no false rejection but by chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.functional import graphical_test, holm_graph, sequence_graph

P_VALUES = st.lists(st.floats(0, 0.3), min_size=1, max_size=12)


def holm(p_values, delta):
    """Step down: the k-th smallest of m is rejected if it and all before it are at most delta / (m - k + 1)."""
    rejected = np.zeros(len(p_values), bool)
    for k, place in enumerate(np.argsort(p_values, kind="stable")):
        if p_values[place] > delta / (len(p_values) - k):
            break
        rejected[place] = True
    return rejected


def sequences(p_values, delta, starts):
    """Each start has a share of delta, which goes on to the next that is not rejected, and adds to what is there."""
    count, shares = len(p_values), np.zeros(len(p_values))
    for index in range(starts):
        shares[index * count // starts] += delta / starts
    rejected = np.zeros(count, bool)
    while True:
        place = next((k for k in range(count) if not rejected[k] and p_values[k] <= shares[k] > 0), None)
        if place is None:
            return rejected
        rejected[place] = True
        after = next((k for k in range(place + 1, count) if not rejected[k]), None)
        if after is not None:
            shares[after] += shares[place]
        shares[place] = 0


@given(P_VALUES, st.sampled_from([0.05, 0.1, 0.25]))
def test_the_complete_graph_is_holms_procedure(p_values, delta):
    # Shares are sums of fractions: what is this close to one of them is another matter.
    if all(abs(p * k - delta) > 1e-9 for p in p_values for k in range(1, len(p_values) + 1)):
        assert graphical_test(p_values, holm_graph(len(p_values)), delta).tolist() == holm(p_values, delta).tolist()


def test_holm_by_hand():
    # 0.01 <= 0.05 / 4, 0.015 <= 0.05 / 3, 0.03 > 0.05 / 2.
    assert graphical_test([0.03, 0.01, 0.04, 0.015], holm_graph(4), 0.05).tolist() == [False, True, False, True]


@given(P_VALUES, st.booleans())
def test_a_chain_is_a_fixed_sequence(p_values, downwards):
    delta = 0.1
    found = graphical_test(p_values, sequence_graph(len(p_values), downwards=downwards), delta)
    order = p_values[::-1] if downwards else p_values
    kept = next((k for k, p in enumerate(order) if p > delta), len(order))
    assert found.tolist() == ([k < kept for k in range(len(order))][:: -1 if downwards else 1])


@given(P_VALUES, st.data(), st.booleans())
def test_several_sequences_pass_on_what_they_have_won(p_values, data, downwards):
    starts = data.draw(st.integers(1, len(p_values)))
    delta = 0.3
    if any(abs(p * starts - delta * k) < 1e-9 for p in p_values for k in range(starts + 1)):
        return
    found = graphical_test(p_values, sequence_graph(len(p_values), starts, downwards), delta)
    turn = -1 if downwards else 1
    assert found.tolist()[::turn] == sequences(p_values[::turn], delta, starts).tolist()


def test_two_endpoints_with_a_second_each_by_hand():
    # Two hypotheses with half of delta each pass it to a second of their own, and these to the other first one.
    shares = np.array([0.5, 0.5, 0, 0])
    edges = np.zeros((4, 4))
    edges[0, 2] = edges[1, 3] = edges[2, 1] = edges[3, 0] = 1
    # 0.02 <= 0.025; its share goes to the third, 0.01 <= 0.025, and on to the second: 0.04 <= 0.05; then 0.06 is not.
    assert graphical_test([0.02, 0.04, 0.01, 0.06], (shares, edges), 0.05).tolist() == [True, True, True, False]
    assert graphical_test([0.02, 0.04, 0.03, 0.01], (shares, edges), 0.05).tolist() == [True, False, False, False]


@st.composite
def graphs(draw):
    count = draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    edges = rng.random((count, count)) * (rng.random((count, count)) < 0.6)
    np.fill_diagonal(edges, 0)
    edges /= np.maximum(edges.sum(1, keepdims=True), 1e-12) * rng.choice([1.0, 1.5], (count, 1))
    shares = rng.dirichlet(np.ones(count)) * rng.choice([1.0, 0.7])
    return (shares, edges), rng.random(count) * 0.2, rng.permutation(count)


@settings(max_examples=200)
@given(graphs(), st.integers(0, 5))
def test_the_order_of_hypotheses_is_no_matter_and_smaller_p_values_never_reject_fewer(example, which):
    (shares, edges), p_values, order = example
    found = graphical_test(p_values, (shares, edges), 0.2)
    turned = graphical_test(p_values[order], (shares[order], edges[np.ix_(order, order)]), 0.2)
    assert turned.tolist() == found[order].tolist()
    smaller = p_values.copy()
    smaller[which % len(p_values)] /= 2
    assert not (found & ~graphical_test(smaller, (shares, edges), 0.2)).any()


@pytest.mark.parametrize(
    "graph", [holm_graph(8), sequence_graph(8), sequence_graph(8, 3), sequence_graph(8, 8)], ids=["Holm", "1", "3", "8"]
)
@pytest.mark.parametrize("dependent", [False, True])
def test_any_false_rejection_has_at_most_the_probability_delta(graph, dependent):
    """Of eight hypotheses the odd ones are wrong, and rejected nearly always; the others are true."""
    rng, runs, delta = np.random.default_rng(9), 1500, 0.1
    p_values = rng.random((runs, 1)).repeat(8, 1) if dependent else rng.random((runs, 8))
    p_values[:, 1::2] *= 1e-3
    failed = sum(graphical_test(row, graph, delta)[::2].any() for row in p_values)
    assert failed <= delta * runs + 4 * (runs * delta * (1 - delta)) ** 0.5
    # It is used, where true ones are not all rejected together.
    assert dependent or failed > 0.4 * delta * runs


def test_what_is_no_graph_is_refused():
    shares, edges = holm_graph(3)
    for graph, message in (
        (
            (np.array([0.5, 0.6, 0]), edges),
            r"a share of each of the 3 hypotheses, of sum at most 1, got \(3,\) of sum 1\.1",
        ),
        ((np.array([-0.1, 0.6, 0]), edges), "graph must have a share of each of the 3"),
        ((shares[:2], edges), "graph must have a share of each of the 3"),
        ((shares, edges[:2]), "graph must have a share of each of the 3"),
        ((shares, 2 * edges), "graph must have edges of sum at most 1 from each hypothesis, and none to itself"),
        ((shares, -edges), "graph must have edges of sum at most 1"),
        ((shares, np.eye(3)), "none to itself"),
    ):
        with pytest.raises(ValueError, match=message):
            graphical_test([0.1, 0.2, 0.3], graph, 0.05)
    for starts in (0, 4):
        with pytest.raises(ValueError, match=f"starts must be from 1 to the 3 hypotheses, got {starts}"):
            sequence_graph(3, starts)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_graphs_spend_all_of_delta(count):
    for shares, edges in (holm_graph(count), *(sequence_graph(count, k) for k in range(1, count + 1))):
        assert shares.sum() == pytest.approx(1)
        assert (edges.sum(1) <= 1 + 1e-12).all()
        assert not np.diag(edges).any()
