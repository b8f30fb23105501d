# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Quantities of score maps and labels, as pure functions of tensors ``(B, C, *spatial)``."""

from __future__ import annotations

from monai_coat.functional.betting import betting_evidence, betting_lower_bound, betting_p_value, betting_upper_bound
from monai_coat.functional.binomial_tails import binomial_budget, binomial_p_value, clopper_pearson
from monai_coat.functional.components import connected_components, false_lesions, lesions_hit
from monai_coat.functional.coverage import coverage_gap, false_negative_rate, true_positive_rate
from monai_coat.functional.coverage_prices import price_levels, price_scores
from monai_coat.functional.difficulty import uncertain_share
from monai_coat.functional.expected_gap import coverage_curves, least_expected_gap, precision_curves
from monai_coat.functional.false_positives import false_positive_ratio, highest_background
from monai_coat.functional.foreground import foreground_scores
from monai_coat.functional.gap_prices import (
    GapPrices,
    curves_of_one_threshold,
    gap_frontier,
    gap_prices,
    precision_of_one_threshold,
    precision_to_ask_for,
    saved_gap,
)
from monai_coat.functional.kernel_ridge import KernelRidge, gaussian_kernel
from monai_coat.functional.levels import allowed_misses, exact_level, exact_share, images_needed, target_coverage
from monai_coat.functional.mean_bounds import (
    hinge_budget,
    hinge_p_value,
    hoeffding_bentkus_budget,
    hoeffding_bentkus_p_value,
    least_shortfall,
)
from monai_coat.functional.measures import measures_of_test_set
from monai_coat.functional.multiple_tests import graphical_test, holm_graph, sequence_graph
from monai_coat.functional.places import depth_inside, place_order, placed_logits
from monai_coat.functional.scores import expected_coverage_scores, float32_below, logit_scores
from monai_coat.functional.set_size import precision, precision_of_counts, relative_set_size, set_fraction
from monai_coat.functional.sketches import foreground_sketch
from monai_coat.functional.soft_coverage import soft_true_positive_rate, temperature_of_spread
from monai_coat.functional.thresholds import ideal_threshold

__all__ = [
    "GapPrices",
    "KernelRidge",
    "allowed_misses",
    "betting_evidence",
    "betting_lower_bound",
    "betting_p_value",
    "betting_upper_bound",
    "binomial_budget",
    "binomial_p_value",
    "clopper_pearson",
    "connected_components",
    "coverage_curves",
    "coverage_gap",
    "curves_of_one_threshold",
    "depth_inside",
    "exact_level",
    "exact_share",
    "expected_coverage_scores",
    "false_lesions",
    "false_negative_rate",
    "false_positive_ratio",
    "float32_below",
    "foreground_scores",
    "foreground_sketch",
    "gap_frontier",
    "gap_prices",
    "gaussian_kernel",
    "graphical_test",
    "highest_background",
    "hinge_budget",
    "hinge_p_value",
    "hoeffding_bentkus_budget",
    "hoeffding_bentkus_p_value",
    "holm_graph",
    "ideal_threshold",
    "images_needed",
    "least_expected_gap",
    "least_shortfall",
    "lesions_hit",
    "logit_scores",
    "measures_of_test_set",
    "place_order",
    "placed_logits",
    "precision",
    "precision_curves",
    "precision_of_counts",
    "precision_of_one_threshold",
    "precision_to_ask_for",
    "price_levels",
    "price_scores",
    "relative_set_size",
    "saved_gap",
    "sequence_graph",
    "set_fraction",
    "soft_true_positive_rate",
    "target_coverage",
    "temperature_of_spread",
    "true_positive_rate",
    "uncertain_share",
]
