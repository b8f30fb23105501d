# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Results of cells: what they hold, and what must come out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_coat.comparison import ComparisonData, run_comparison
from monai_coat.comparison.cell_result import fit_cell, repeats_of, result_of_cell, scores_of
from monai_coat.comparison.cells import cells_of
from monai_coat.comparison.results.rows import in_whole_groups
from monai_coat.comparison.results.tables import read_results, write_results


@pytest.fixture
def results(tiny, tmp_path):
    return run_comparison(ComparisonData(tiny(), tmp_path / "out"))


def test_a_cell_holds_its_splits_and_what_made_them(results):
    for result in results:
        assert len(result["splits"]) == 4
        assert [split["split"] for split in result["splits"]] == [0, 1, 2, 3]
        assert {"torch", "monai", "monai_coat", "numpy", "python"} == set(result["versions"])
        assert result["n_pool"][0] == result["splits"][0]["n_calibration"] + result["splits"][0]["n_test"]
        assert len(result["coverage_of_first_split"]) == result["splits"][0]["n_test"]
        assert set(result["seconds"]) == {"fit", "score", "splits"}
    hashes = [[split["hash"] for split in result["splits"]] for result in results]
    assert hashes[0] == hashes[1] == hashes[2]
    assert len(set(hashes[0])) == 4


def test_the_ends_of_the_scale_are_where_they_must_be(results):
    methods = {result["method"]: result["splits"] for result in results}
    assert all(
        split["coverage"] == 1 and split["coverage_gap"] == pytest.approx(0.2) for split in methods["predict-all"]
    )
    assert all(split["coverage"] >= 0.8 and split["shortfall"] == 0 for split in methods["oracle"])
    assert all(split["coverage_gap"] < 0.02 for split in methods["oracle"])


def test_over_all_splits_of_a_pool_the_promise_is_a_theorem(tiny, tmp_path):
    """Random splits of a fixed pool are exchangeable: the mean over many of them meets the target."""
    protocol = tiny(splits=400, methods={"CRC": {"fit": "crc"}}, default="CRC")
    (result,) = run_comparison(ComparisonData(protocol, tmp_path / "out"))
    coverage = np.array([split["coverage"] for split in result["splits"]])
    error = coverage.std(ddof=1) / 20
    n = result["splits"][0]["n_calibration"]
    assert 0.8 - 3 * error <= coverage.mean() <= 0.8 + 2 / (n + 1) + 3 * error


def test_splits_are_dealt_out_to_the_repeats_in_turn(tiny, tmp_path):
    protocol = tiny(study=True, repeats=3, splits=7, methods={"CRC": {"fit": "crc"}}, default="CRC")
    data = ComparisonData(protocol, tmp_path / "out")
    (cell,) = cells_of(protocol)
    result, repeats = result_of_cell(cell, data), repeats_of(cell, data)
    assert result["n_pool"] == [len(repeat.pool) for repeat in repeats]
    assert result["n_train"] == [len(repeat.train) for repeat in repeats]
    assert [split["split"] for split in result["splits"]] == list(range(7))
    images = [split["n_calibration"] + split["n_test"] for split in result["splits"]]
    assert images == [result["n_pool"][number % 3] for number in range(7)]


def test_splits_in_whole_groups_stand_beside_the_others(tiny, tmp_path):
    data = ComparisonData(tiny(group_splits=4), tmp_path)
    cell = cells_of(data.protocol)[0]
    result = result_of_cell(cell, data)
    assert [split["split"] for split in result["group_splits"]] == [0, 1, 2, 3]
    assert len({split["hash"] for split in [*result["splits"], *result["group_splits"]]}) == len(result["splits"]) + 4
    write_results([result], tmp_path / "results.json")
    (kept,) = in_whole_groups(read_results(tmp_path / "results.json"))
    assert kept["splits"][3]["coverage_gap"] == pytest.approx(result["group_splits"][3]["coverage_gap"], abs=1e-4)
    assert in_whole_groups([{**result, "group_splits": []}]) == []


def test_one_repeat_has_all_splits_whatever_the_protocol_allows(tiny, tmp_path):
    """A segmenter is trained once, also where saved maps of the same protocol would be drawn anew."""
    protocol = tiny(repeats=3, methods={"CRC": {"fit": "crc"}}, default="CRC")
    (result,) = run_comparison(ComparisonData(protocol, tmp_path / "out"))
    assert len(result["splits"]) == 4


def test_a_cross_fitted_method_learns_from_more_images_than_the_others(tiny, tmp_path):
    methods = {"CRC": {"fit": "crc"}, "more": {"fit": "crc", "cross_fit": True}}
    plain, crossed = run_comparison(ComparisonData(tiny(methods=methods, default="CRC"), tmp_path / "out"))
    assert crossed["n_train"][0] > plain["n_train"][0]
    assert crossed["n_pool"] == plain["n_pool"]
    assert [split["hash"] for split in crossed["splits"]] == [split["hash"] for split in plain["splits"]]


def test_a_method_is_fitted_to_the_training_images_alone_with_its_arguments(tiny, tmp_path):
    data = ComparisonData(tiny(), tmp_path / "out")
    cell = next(cell for cell in cells_of(data.protocol) if cell.method == "MEG")
    (repeat,) = repeats_of(cell, data)
    fitted = fit_cell(cell, repeat.train, data.protocol)
    assert len(fitted.scorer.predictor.members) == 2
    scores = scores_of(fitted, repeat.pool)
    assert scores.shape == repeat.pool.probs.shape
    again = scores_of(fit_cell(cell, repeat.train, data.protocol), repeat.pool)
    assert torch.equal(scores, again)
