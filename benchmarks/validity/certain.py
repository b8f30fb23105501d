# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What is called certain: the capped ratio that is promised, and the uncapped one that is not."""

from __future__ import annotations

import torch

from benchmarks.validity.inputs import Inputs, halves, merged, statistics_of
from benchmarks.validity.sections import Content, Section, mean_and_error, paragraphs, progress, table
from monai_coat.calibration import ExpectedRisk, FalsePositiveRatio
from monai_coat.functional import false_positive_ratio

ALPHAS = (0.05, 0.1, 0.2)
TEXT = """Half of the {count} maps calibrate, the other half tests; mean over {splits} random divisions, with the
standard error of that mean. The promise is about the capped ratio. The uncapped ratio is reported by evaluation, and
nothing is promised about it: a false blob beside a tiny object can be many times its size."""


def run(inputs: Inputs) -> Content:
    """Both ratios on the half that did not calibrate, for each level and division."""
    risk = FalsePositiveRatio()
    statistics = statistics_of(risk, inputs.maps)
    rows: dict[str, dict[str, list[float]]] = {}
    words: dict[str, str] = {}
    for split in progress("certain", range(5 * inputs.scale.splits)):
        calibration, test = halves(len(inputs.maps), split)
        statistic = merged(risk.statistic(), [statistics[place] for place in calibration])
        for alpha in ALPHAS:
            result = ExpectedRisk(risk, alpha).calibrate(statistic)
            words[str(alpha)] = result.guarantee
            pairs = [inputs.maps[place].pair for place in test]
            capped = torch.cat([risk.image_risk(*pair, result.cutoff[0]) for pair in pairs])
            uncapped = torch.cat([false_positive_ratio(*pair, result.cutoff[0]) for pair in pairs])
            row = rows.setdefault(str(alpha), {"capped": [], "uncapped": [], "largest": [], "above": []})
            row["capped"].append(float(capped.nanmean()))
            row["uncapped"].append(float(uncapped.nanmean()))
            row["largest"].append(float(uncapped.nan_to_num(0).max()))
            row["above"].append(float((uncapped > 1).double().mean()))
    return {"count": len(inputs.maps), "splits": 5 * inputs.scale.splits, "rows": rows, "words": words}


def lines(content: Content) -> list[str]:
    """A row per level."""
    head = ["promised", "realised, of what is promised", "uncapped mean", "largest in an image", "images above 1"]
    rows = []
    for alpha, row in content["rows"].items():
        mean, error = mean_and_error(row["capped"])
        uncapped, above = (mean_and_error(row[name])[0] for name in ("uncapped", "above"))
        cells = [f"{mean:.3f} ± {error:.3f}", f"{uncapped:.3f}", f"{max(row['largest']):.1f}", f"{100 * above:.1f} %"]
        rows.append([content["words"][alpha], *cells])
    return [*paragraphs(TEXT.format(count=content["count"], splits=content["splits"])), *table(head, rows)]


def verdict(content: Content) -> str:
    """What is promised, against what is not."""
    rows = content["rows"]
    capped, uncapped = (
        ", ".join(f"{mean_and_error(row[ratio])[0]:.3f}" for row in rows.values()) for ratio in ("capped", "uncapped")
    )
    return f"Promised {', '.join(rows)}: realised {capped} of the capped ratio. Uncapped, not promised: {uncapped}."


SECTION = Section("Certain: what is falsely included", run, lines, verdict)
