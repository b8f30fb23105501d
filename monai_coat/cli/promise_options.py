# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The options that say what is promised: a risk, a guarantee, and over what.

Tested by tests/cli/test_promise_options.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_coat.cli.level import level

if TYPE_CHECKING:
    from monai_coat.calibration import Guarantee

__all__ = ["add_promise", "add_table", "guarantee_of", "table_of"]

RISKS = (
    "false_negative_rate",
    "worst_class_false_negative_rate",
    "false_positive_ratio",
    "exceeds",
    "lesions_missed",
    "false_alarm",
    "false_alarm_size",
    "volume_underestimated",
    "volume_overestimated",
    "false_discovery_rate",
    "mean_over_raters",
    "ignoring",
)
GUARANTEES = ("expected_risk", "confident_risk", "growing_set", "learn_then_test", "cross_risk")
BOUNDS = ("hoeffding_bentkus", "hinge", "binomial", "betting")
PROCEDURES = ("fixed_sequence", "holm", "graphical")


def add_promise(command: argparse.ArgumentParser, risk: bool = True) -> None:
    """Add the options of a promise.

    Args:
        command: parser of the command.
        risk: whether the risk is said here, and not by files.
    """
    promise = command.add_argument_group("what is promised (docs/promises.md)")
    promise.add_argument(
        "--alpha", type=level, default=0.1, help="tolerated level of the risk, 0.1 for 10 %% (default)"
    )
    if risk:
        promise.add_argument(
            "--risk",
            default=RISKS[0],
            help=f"what is to be at most alpha: {', '.join(RISKS)}; with settings in brackets, such as "
            "'exceeds(false_negative_rate, 0.2)', of at most a share alpha of images more than a fifth is missed",
        )
    promise.add_argument(
        "--guarantee",
        choices=GUARANTEES,
        default=GUARANTEES[0],
        help="on average over calibrations (expected_risk), in all but a share delta of them (confident_risk), at "
        "every size of a set that grows (growing_set), of several risks at once (learn_then_test), or of images that "
        "are learned from, too (cross_risk, of 'calibrate --folds')",
    )
    _add_settings(promise)
    over = promise.add_mutually_exclusive_group()
    over.add_argument("--per-group", metavar="KEY", help="for each value of a column, or of size(level, edge, ...)")
    over.add_argument("--per-patient", metavar="KEY", help="over patients, whom a column names")
    over.add_argument("--weight", metavar="KEY", help="over images that come as much more often as a column says")
    promise.add_argument("--largest-weight", type=float, help="no new image weighs more (default 10)")
    if risk:
        promise.add_argument(
            "--refer", type=level, metavar="SHARE", help="say of each image whether to refer it, at most this share"
        )
        add_table(command)


def _add_settings(promise: argparse._ArgumentGroup) -> None:
    """Add what a guarantee is made with."""
    promise.add_argument(
        "--delta",
        type=level,
        help="tolerated share of calibrations that do not keep it (default 0.05, of learn_then_test 0.1)",
    )
    promise.add_argument("--bound", choices=BOUNDS, help="of confident_risk (default hoeffding_bentkus)")
    promise.add_argument(
        "--also",
        nargs="+",
        default=[],
        metavar="RISK<=LEVEL",
        help="such as 'false_discovery_rate<=0.2'",
    )
    promise.add_argument(
        "--grid",
        nargs=3,
        type=float,
        metavar=("LOW", "HIGH", "STEPS"),
        help="of learn_then_test: lowest cutoff, highest, steps between (default 0 1 200)",
    )
    promise.add_argument("--procedure", choices=PROCEDURES, help="of learn_then_test (default graphical)")


def add_table(command: argparse.ArgumentParser) -> None:
    """Add the option of a table about images."""
    command.add_argument("--table", type=Path, metavar="FILE", help="CSV with a column id and others, such as site")


def guarantee_of(options: argparse.Namespace, risk: str | None = None) -> Guarantee:
    """The guarantee that options speak of.

    Args:
        options: parsed.
        risk: key of the risk, where files say it.

    Raises:
        ValueError: if options do not go together.
    """
    from monai_coat.calibration import PerGroup, PerPatient, Referring, Weighted, guarantee_named, risk_named

    kind, settings = _of_images(options)
    _check_settings(kind, settings, options)
    inner: Any = guarantee_named(kind, risk_named(risk or options.risk), options.alpha, settings)
    if options.largest_weight is not None and not options.weight:
        raise ValueError("largest-weight must go with weight, got it alone; name the column of the weights.")
    if getattr(options, "refer", None) is not None:
        inner = Referring(inner, options.refer)
    if options.per_group:
        return PerGroup(inner, options.per_group)
    if options.per_patient:
        return PerPatient(inner, options.per_patient)
    if options.weight:
        return Weighted(inner, options.weight, 10.0 if options.largest_weight is None else options.largest_weight)
    return inner  # type: ignore[no-any-return]


def _of_images(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Name and settings of the guarantee about images."""
    own = {name: getattr(options, name, None) for name in ("delta", "bound", "procedure", "folds")}
    kind, settings = options.guarantee, {name: value for name, value in own.items() if value is not None}
    if "folds" in settings and kind == GUARANTEES[0]:
        kind = "cross_risk"
    if ("folds" in settings) != (kind == "cross_risk"):
        raise ValueError(
            f"folds must go with cross_risk, and it with them, got {kind}; say 'calibrate --folds K', and nothing of "
            "--guarantee."
        )
    if options.also:
        also = [_also(text) for text in options.also]
        settings["also"] = dict(also)
        if len(settings["also"]) < len(also):
            raise ValueError(f"also must name each risk once, got {', '.join(options.also)}; leave one out.")
    if options.grid or kind == "learn_then_test":
        low, high, steps = options.grid or (0.0, 1.0, 200)
        settings["grid"] = (low, high, int(steps) if float(steps).is_integer() else steps)
    return kind, settings


SETTINGS = {
    "confident_risk": {"delta", "bound"},
    "growing_set": {"delta", "bound"},
    "learn_then_test": {"delta", "also", "grid", "procedure"},
    "cross_risk": {"folds"},
}


def _check_settings(kind: str, settings: Mapping[str, Any], options: argparse.Namespace) -> None:
    """Refuse options that the guarantee does not have."""
    for name in settings:
        if name not in SETTINGS.get(kind, set()):
            having = " or ".join(each for each, names in SETTINGS.items() if name in names)
            raise ValueError(f"{name} must go with another guarantee than {kind}; add --guarantee {having}.")
    parts = options.per_group or options.per_patient or options.weight
    if getattr(options, "refer", None) is not None and parts and kind != "cross_risk":
        raise ValueError(
            "refer must go with a promise over all images, got groups, patients or weights; leave one out."
        )


def table_of(options: argparse.Namespace) -> Any:
    """The table about images; None if there is none."""
    from monai_coat.data import read_image_table

    return None if options.table is None else read_image_table(options.table)


def _also(text: str) -> tuple[str, float]:
    risk, found, number = text.partition("<=")
    try:
        return risk.strip(), float(number)
    except ValueError:
        what = "a number behind <=" if found else "<="
        raise ValueError(
            f"also must be RISK<=LEVEL, got {text!r} without {what}; such as 'false_discovery_rate<=0.2'."
        ) from None
