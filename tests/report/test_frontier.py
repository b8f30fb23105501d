# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The frontier as it is computed, drawn, and asked for on the command line."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from monai_coat.cli import main
from monai_coat.report import _sheet, draw_frontier
from monai_coat.scorers import ExpectedGapScorer
from tests.scorers.test_expected_gap import generated

ALPHA = 0.2


@pytest.fixture(scope="module")
def scorer():
    return ExpectedGapScorer(num_classes=2).fit(*generated(0, 60, classes=2), ALPHA)


def test_precision_is_bought_with_gap(scorer):
    points, one = scorer.frontier(ALPHA)
    gap, precision = points.unbind(1)
    assert precision[-1] > precision[0]
    assert gap.max() < one[0]  # of one threshold for all images
    assert torch.equal(scorer.frontier(ALPHA, prices=[0.0])[0], points[:1])


def test_a_class_of_few_images_has_none(scorer):
    probs, labels = generated(0, 60, classes=2)
    labels = labels.clone()
    labels[9:, 1] = False
    rare = ExpectedGapScorer(num_classes=2).fit(probs, labels, ALPHA)
    with pytest.raises(ValueError, match="index must be a class that 10 images have, got 1"):
        rare.frontier(ALPHA, 1)


def test_each_class_has_a_line_and_a_cross(scorer, tmp_path, monkeypatch):
    sheets = []
    original = _sheet.Sheet.save
    monkeypatch.setattr(_sheet.Sheet, "save", lambda sheet, path: (sheets.append(sheet), original(sheet, path)))
    draw_frontier(scorer, ALPHA, tmp_path / "a/frontier.png", ["liver", "tumour"])
    (axes,) = sheets[0].figure.axes
    labels = axes.get_legend_handles_labels()[1]
    assert set(labels) == {
        f"{kind}, {name}" for kind in ("threshold per image", "one threshold for all") for name in ("liver", "tumour")
    }
    points, one = scorer.frontier(ALPHA, 1)
    assert torch.allclose(torch.as_tensor(axes.lines[1].get_xydata()).float(), points.flip(1))
    assert torch.allclose(torch.as_tensor(axes.collections[1].get_offsets()).float(), one.flip(0)[None])


def test_fit_draws_it_and_refuses_it_of_other_methods(tmp_path, capsys):
    for kind, values in zip(("maps", "masks"), generated(0, 12), strict=True):
        (tmp_path / kind).mkdir()
        for number, value in enumerate(values[:, 0]):
            Image.fromarray((255 * value.float()).byte().numpy()).save(tmp_path / kind / f"{number}.png")
    rest = ["fit", "--probs", str(tmp_path / "maps"), "--labels", str(tmp_path / "masks")]
    rest += ["--frontier", str(tmp_path / "frontier.png"), "--output", str(tmp_path / "scorer.pt")]
    assert main([*rest, "--method", "meg2", "--precision", "0.8"]) == 0
    assert (tmp_path / "frontier.png").is_file()
    with pytest.raises(SystemExit):
        main([*rest, "--method", "meg"])
    assert "frontier must go with method meg2, got meg; add --method meg2." in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*rest, "--method", "meg2", "--group", "video"])
    assert "group must go with a table, and a table with it" in capsys.readouterr().err
