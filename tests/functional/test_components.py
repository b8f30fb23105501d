# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Components against a flood of neighbours, and lesions that are hit against drawings."""

from __future__ import annotations

import sys
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_coat.functional import connected_components, false_lesions, lesions_hit
from monai_coat.functional.components import voxels_needed


def flooded(mask):
    """The components as sets of places, by visiting neighbours, corners included."""
    left, found = set(map(tuple, mask.nonzero().tolist())), []
    while left:
        edge = component = {left.pop()}
        while edge:
            steps = product((-1, 0, 1), repeat=mask.dim())
            near = {tuple(p + d for p, d in zip(place, step, strict=True)) for step in steps for place in edge}
            edge = near & left
            left, component = left - edge, component | edge
        found.append(frozenset(component))
    return set(found)


@settings(max_examples=60)
@given(st.sampled_from([(9,), (4, 5), (3, 3, 3)]), st.lists(st.booleans(), min_size=27, max_size=27))
def test_components_are_those_of_a_flood(shape, values):
    mask = torch.tensor(values)[: torch.Size(shape).numel()].reshape(shape)
    numbers, count = connected_components(mask)
    assert torch.equal(numbers > 0, mask)
    parts = {frozenset(map(tuple, (numbers == k).nonzero().tolist())) for k in range(1, count + 1)}
    assert parts == flooded(mask)
    assert len(parts) == count


def test_voxels_that_share_a_corner_are_one_component():
    assert connected_components(torch.eye(4))[1] == 1
    corner = torch.zeros(2, 2, 2)
    corner[0, 0, 0] = corner[1, 1, 1] = 1
    assert connected_components(corner)[1] == 1
    assert connected_components(torch.tensor([[1, 0, 1], [1, 0, 1]]))[1] == 2
    assert connected_components(torch.zeros(3, 3))[1] == 0


def drawn(*rows):
    return torch.tensor([[[[int(sign == "#") for sign in row] for row in rows]]])


LESIONS = drawn("##..#", "##...", "..###")  # the square touches the bar at a corner: 7 voxels; and one alone


@pytest.mark.parametrize(
    ("marked", "overlap", "hit"),
    [
        (drawn(".....", ".#...", "....."), 0, 1),
        (drawn("....#", ".....", "....."), 1, 1),
        (drawn("#...#", ".....", "....."), 0, 2),
        (drawn("##..#", "##...", "....."), 0.5, 2),  # 4 of 7
        (drawn("##..#", ".#...", "....."), 0.5, 1),  # 3 of 7, less than 3.5
        (drawn(".....", ".....", "....."), 0, 0),
        (LESIONS, 1, 2),
    ],
)
def test_a_lesion_is_hit_by_enough_of_its_voxels(marked, overlap, hit):
    assert lesions_hit(marked, LESIONS, overlap)[0].tolist() == [[hit]]


def test_two_lesions_are_one_if_a_voxel_joins_them_by_its_corners():
    assert lesions_hit(LESIONS, LESIONS)[1].tolist() == [[2]]
    assert lesions_hit(LESIONS, drawn("##..#", "##.#.", "..###"))[1].tolist() == [[1]]


@pytest.mark.parametrize(
    ("size", "overlap", "needed"), [(7, 0, 1), (10, 0.3, 3), (10, 0.31, 4), (1, 0.1, 1), (5, 1, 5), (30, 0.1, 3)]
)
def test_the_share_is_counted_exactly(size, overlap, needed):
    # The double 0.1 is above a tenth, and thirty of it above three; of the decimal they are three.
    assert voxels_needed(size, overlap) == needed


def test_false_lesions_are_components_of_the_set_that_touch_none():
    marked = drawn("#....", "..#.#", "#.#.#")  # top left and the middle touch a lesion
    labels = drawn("##...", ".....", "..#..")
    assert false_lesions(marked, labels).tolist() == [[2]]
    assert false_lesions(marked, torch.zeros_like(labels)).tolist() == [[4]]
    assert false_lesions(torch.zeros_like(marked), labels).tolist() == [[0]]


def test_images_and_classes_are_on_their_own():
    lesions = torch.zeros(2, 2, 4)
    lesions[0, 0, 0] = lesions[1, 1, 0] = lesions[1, 1, 2] = 1
    hit, every = lesions_hit(torch.ones(2, 2, 4), lesions)
    assert hit.tolist() == every.tolist() == [[1, 0], [0, 2]]
    assert false_lesions(torch.ones(2, 2, 4), lesions).tolist() == [[0, 1], [1, 0]]


def test_shapes_and_values_are_checked():
    with pytest.raises(ValueError, match=r"prediction_set and labels must have the same shape .*got \(1, 1, 3\) and"):
        lesions_hit(torch.ones(1, 1, 3), torch.ones(1, 1, 4))
    with pytest.raises(ValueError, match="must hold only 0 and 1, got 2"):
        false_lesions(torch.ones(1, 1, 3), torch.full((1, 1, 3), 2))
    with pytest.raises(ValueError, match=r"overlap must be in \[0, 1\], got 2"):
        lesions_hit(torch.ones(1, 1, 3), torch.ones(1, 1, 3), 2)


def test_whoever_lacks_scipy_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r"SciPy must be installed .*pip install 'monai_coat\[methods\]'"):
        connected_components(torch.ones(2, 2))
