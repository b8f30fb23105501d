# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The guarantee: torch, NumPy and JSON only, to be read and audited alone."""

from __future__ import annotations

from monai_coat.calibration.artifact import (
    check_calibration_fits,
    load_calibration,
    pack_calibration,
    save_calibration,
    unpack_calibration,
)
from monai_coat.calibration.auditing import AuditedPromise, MeanAudit, audit_mean
from monai_coat.calibration.drift import DriftWatch, risk_bound, share_of_level
from monai_coat.calibration.exchangeability import exchangeability_p_value
from monai_coat.calibration.features import FEATURES, counted_presence, map_features
from monai_coat.calibration.grouping import Grouping, MetadataKey, SizeStrata, as_grouping
from monai_coat.calibration.guarantees import (
    GUARANTEES,
    ConfidentRisk,
    CrossRisk,
    ExpectedRisk,
    GrowingSet,
    Guarantee,
    LearnThenTest,
    MeanGuarantee,
    PerGroup,
    PerPatient,
    Referring,
    Weighted,
    as_guarantee,
    calibrate,
    calibrate_maps,
    guarantee_named,
    promise_in_words,
)
from monai_coat.calibration.identity import PipelineIdentity, identity_of
from monai_coat.calibration.mean_tests import excess_p_value, mean_interval
from monai_coat.calibration.pilot import Pilot, pilots_of
from monai_coat.calibration.planning import PilotPlan, Plan, images_needed_for, plan_calibration, size_wanted
from monai_coat.calibration.reach import OUT_OF_REACH, smallest_useful_level, with_reach
from monai_coat.calibration.redrawing import CRITICAL, critical_sketch, redrawing_p_value
from monai_coat.calibration.referral import Referral
from monai_coat.calibration.result import CalibrationResult
from monai_coat.calibration.risks import (
    RISKS,
    Exceeds,
    FalseAlarm,
    FalseDiscoveryRate,
    FalseNegativeRate,
    FalsePositiveRatio,
    Ignoring,
    LesionsMissed,
    MarkedShare,
    MeanOverRaters,
    Risk,
    VolumeOverestimated,
    VolumeUnderestimated,
    WorstClassFalseNegativeRate,
    rater_risks,
    risk_named,
)
from monai_coat.calibration.scatter import Scatter, misses_among, scatter
from monai_coat.calibration.score_forms import ScoreForms
from monai_coat.calibration.statistics import (
    BinnedStatistic,
    Brackets,
    BracketStatistic,
    CoverageStatistic,
    FalsePositiveStatistic,
    GriddedStatistic,
    GroupedStatistic,
    MapStatistic,
    PatientStatistic,
    RatersStatistic,
    Statistic,
    WeightedStatistic,
    WorstClassStatistic,
)
from monai_coat.calibration.statistics.base import update_with
from monai_coat.calibration.statistics.collected import CollectedStatistic
from monai_coat.calibration.statistics.distributed import gather_objects, gather_statistic
from monai_coat.calibration.statistics.file import (
    load_statistic,
    pack_statistic,
    save_statistic,
    unpack_statistic,
)
from monai_coat.calibration.statistics.merging import merge_sites
from monai_coat.calibration.statistics.site_files import merge_groups, merge_statistics
from monai_coat.calibration.subgroups import GroupAudit, SlabAudit, audit_groups, audit_worst_slab, size_strata
from monai_coat.calibration.summary import printed_cutoffs, printed_number, summary_of

__all__ = [
    "CRITICAL",
    "FEATURES",
    "GUARANTEES",
    "OUT_OF_REACH",
    "RISKS",
    "AuditedPromise",
    "BinnedStatistic",
    "BracketStatistic",
    "Brackets",
    "CalibrationResult",
    "CollectedStatistic",
    "ConfidentRisk",
    "CoverageStatistic",
    "CrossRisk",
    "DriftWatch",
    "Exceeds",
    "ExpectedRisk",
    "FalseAlarm",
    "FalseDiscoveryRate",
    "FalseNegativeRate",
    "FalsePositiveRatio",
    "FalsePositiveStatistic",
    "GriddedStatistic",
    "GroupAudit",
    "GroupedStatistic",
    "Grouping",
    "GrowingSet",
    "Guarantee",
    "Ignoring",
    "LearnThenTest",
    "LesionsMissed",
    "MapStatistic",
    "MarkedShare",
    "MeanAudit",
    "MeanGuarantee",
    "MeanOverRaters",
    "MetadataKey",
    "PatientStatistic",
    "PerGroup",
    "PerPatient",
    "Pilot",
    "PilotPlan",
    "PipelineIdentity",
    "Plan",
    "RatersStatistic",
    "Referral",
    "Referring",
    "Risk",
    "Scatter",
    "ScoreForms",
    "SizeStrata",
    "SlabAudit",
    "Statistic",
    "VolumeOverestimated",
    "VolumeUnderestimated",
    "Weighted",
    "WeightedStatistic",
    "WorstClassFalseNegativeRate",
    "WorstClassStatistic",
    "as_grouping",
    "as_guarantee",
    "audit_groups",
    "audit_mean",
    "audit_worst_slab",
    "calibrate",
    "calibrate_maps",
    "check_calibration_fits",
    "counted_presence",
    "critical_sketch",
    "excess_p_value",
    "exchangeability_p_value",
    "gather_objects",
    "gather_statistic",
    "guarantee_named",
    "identity_of",
    "images_needed_for",
    "load_calibration",
    "load_statistic",
    "map_features",
    "mean_interval",
    "merge_groups",
    "merge_sites",
    "merge_statistics",
    "misses_among",
    "pack_calibration",
    "pack_statistic",
    "pilots_of",
    "plan_calibration",
    "printed_cutoffs",
    "printed_number",
    "promise_in_words",
    "rater_risks",
    "redrawing_p_value",
    "risk_bound",
    "risk_named",
    "save_calibration",
    "save_statistic",
    "scatter",
    "share_of_level",
    "size_strata",
    "size_wanted",
    "smallest_useful_level",
    "summary_of",
    "unpack_calibration",
    "unpack_statistic",
    "update_with",
    "with_reach",
]
