# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The report of an audit: for people a page and a figure, for machines one JSON file.

Tested by tests/predictions/test_audit.py.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monai_coat.calibration import GroupAudit
from monai_coat.files import replacing
from monai_coat.files.json import write_json
from monai_coat.predictions.audit import FolderAudit, PromiseAudit
from monai_coat.report import AuditPlot, IntervalRow, draw_audit

__all__ = ["audit_data", "write_audit"]

MOST_PLOTS = 8


def write_audit(audit: FolderAudit, output: str | os.PathLike[str]) -> list[Path]:
    """Write ``audit.json``, ``audit.md`` and ``audit.png`` to a folder; returns the files.

    Of more than eight promises, the figure shows the eight with the smallest p-values.

    Raises:
        ImportError: if matplotlib is not installed; then nothing is written.
    """
    output = Path(output)
    figure, page, data = output / "audit.png", output / "audit.md", output / "audit.json"
    shown = sorted(audit.promises, key=lambda each: each.found.p_value)[:MOST_PLOTS]
    draw_audit([_plot(each) for each in audit.promises if each in shown], figure)
    with replacing(page) as temporary:
        temporary.write_text("\n".join(_page(audit)) + "\n", encoding="utf-8")
    write_json(data, audit_data(audit))
    return [data, page, figure]


def audit_data(audit: FolderAudit) -> dict[str, Any]:
    """The audit as plain values, in which None stands for what is not known."""
    data: dict[str, Any] = _plain(
        {
            "verdict": audit.verdict,
            "sentence": audit.sentence,
            "guarantee": audit.guarantee,
            "level": audit.level,
            "seed": audit.seed,
            "identity": audit.identity,
            "promises": [_promise_data(each, audit) for each in audit.promises],
        }
    )
    return data


def _promise_data(each: PromiseAudit, audit: FolderAudit) -> dict[str, Any]:
    found = asdict(each.found)
    del found["promise"]
    slab = None if each.slab is None else {**asdict(each.slab), "direction": each.directions}
    return {
        "promise": each.promise.words,
        "alpha": each.promise.alpha,
        "calibration_images": each.promise.n,
        "verdict": each.found.verdict,
        **found,
        "exchangeability_p_value": each.exchangeability,
        "groups": [asdict(group) for group in each.groups],
        "worst_slab": slab,
        "risks": dict(zip(audit.ids, each.risks, strict=True)),
    }


def _page(audit: FolderAudit) -> list[str]:
    """The lines of the Markdown page."""
    lines = [f"# Audit: {audit.verdict}", "", f"Promised: {audit.guarantee}.", "", f"Identity: {audit.identity}.", ""]
    for each in audit.promises:
        lines += [f"## {each.promise.words}", "", f"{each.sentence}.", "", *_counts(each), "", *_table(each), ""]
        lines += [*_slab(each), f"{_looks(each)}", ""]
    return [
        *lines,
        "Images are taken as independent draws. Frames of one video, or images of one patient, are not: they make a "
        "verdict surer than it should be. A group above the level does not break a promise that is about the average "
        "over all images; it shows where the risk is, with this one cutoff.",
        "",
        "![risks and intervals](audit.png)",
    ]


def _counts(each: PromiseAudit) -> list[str]:
    found, risk = each.found, each.promise.risk
    return [
        f"- images: {found.n}, and {found.n_left_out} {risk.left_out} were left out",
        f"- largest mean risk that does not speak against the promise: {found.limit:.4g}",
        f"- p-value of the promise: {found.p_value:.3g}, broken at {found.level:.3g} or below",
        f"- upper confidence bound of the mean risk, at {1 - found.level:.3g}: {found.upper:.4g}",
    ]


def _table(each: PromiseAudit) -> list[str]:
    """Groups and strata, after all images."""
    found = each.found
    rows = [f"| all | {found.n} | {found.mean:.3f} | {_ends(found.interval)} | | |"]
    rows += [_row(group) for group in each.groups]
    rule = f"(together at {found.level:.3g}, Holm)"
    return [
        f"| images | n | mean risk | 95 % interval | p | above {each.promise.alpha} {rule} |",
        "|" + "---|" * 6,
        *rows,
    ]


def _row(group: GroupAudit) -> str:
    mean = "" if math.isnan(group.mean) else f"{group.mean:.3f}"
    name = group.name.replace("|", "\\|")
    return f"| {name} | {group.n} | {mean} | {_ends(group.interval)} | {group.p_value:.2g} | {_yes(group.above)} |"


def _slab(each: PromiseAudit) -> list[str]:
    if each.slab is None:
        return ["Worst slab: too few images that count, or all alike.", ""]
    measured = each.slab.measured
    weights = sorted(each.directions.items(), key=lambda item: -abs(item[1]))[:3]
    direction = ", ".join(f"{name} {weight:+.2f}" for name, weight in weights)
    return [
        f"Worst slab, found on one half of the images and measured on the other: {each.slab.share:.0%} of them, "
        f"{measured.n} images, with a mean risk of {measured.mean:.3f} (95 % interval {_ends(measured.interval)}, "
        f"p = {measured.p_value:.2g} of at most {each.promise.alpha}); largest weights: {direction}.",
        "",
    ]


def _looks(each: PromiseAudit) -> str:
    p_value = each.exchangeability
    if p_value is None:
        return (
            "Exchangeability: it is not known what the maps of the calibration's images looked like; calibrate again, "
            "with this version, to have it tested."
            if each.promise.group is None
            else "Exchangeability: not tested, as the calibration's images are not known by group."
        )
    what = "look unlike" if p_value <= each.found.level else "cannot be told from"
    return f"Exchangeability: these maps {what} those of the calibration (permutation test, p = {p_value:.2g})."


def _plot(each: PromiseAudit) -> AuditPlot:
    found = each.found
    above = found.interval[0] > each.promise.alpha
    rows = [IntervalRow("all", found.n, found.mean, found.interval, above), *map(_interval_row, each.groups)]
    if each.slab is not None:
        slab = each.slab.measured
        rows.append(IntervalRow(slab.name, slab.n, slab.mean, slab.interval, slab.p_value <= found.level))
    risks = [risk for risk in each.risks if not math.isnan(risk)]
    return AuditPlot(each.sentence, risks, each.promise.alpha, found.limit, rows)


def _interval_row(group: GroupAudit) -> IntervalRow:
    return IntervalRow(group.name, group.n, group.mean, group.interval, group.above)


def _ends(interval: Sequence[float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _plain(value: Any) -> Any:
    """Lists and mappings without NaN, which JSON has not."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
