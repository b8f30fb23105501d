# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Overlays for a bundle that somebody else wrote: what is inferred, written, and said.

Tested by tests/bundles/foreign/test_overlays.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_coat.bundles.config_file import write_config
from monai_coat.bundles.foreign.facts import Given, facts_of
from monai_coat.bundles.foreign.items import RISKS, STEP_ITEMS, Plan
from monai_coat.bundles.foreign.labels import label_transforms
from monai_coat.bundles.foreign.methods import overlay_method
from monai_coat.bundles.foreign.metrics import kept_metrics
from monai_coat.bundles.foreign.refusals import check_one_image_in, crops
from monai_coat.bundles.foreign.source import BundleIds, Entry, Source
from monai_coat.calibration import ExpectedRisk
from monai_coat.calibration import risks as all_risks
from monai_coat.functional import exact_level

__all__ = ["OverlayOptions", "Overlays", "write_overlays"]

VALIDATION, TRAINING = "@validate::dataset::data", "@train::dataset::data"
SHARES = {False: (0.0, 0.5, 0.5), True: (0.3, 0.35, 0.35)}


@dataclass(frozen=True)
class OverlayOptions:
    """What overlays are to do.

    Attributes:
        method: one of :data:`~monai_coat.bundles.foreign.methods.OVERLAY_METHODS`.
        alpha: tolerated mean false negative rate, in (0, 1).
        promise: "each" class by itself, or the "worst" class of each image.
        data: images that the network was not trained on, to fit, calibrate and test: an id or expression of the
            bundle's config (``"@val_datalist"``), or two folders, of images and labels. Empty: the bundle's validation
            images.
        trained_on: id or expression of the images that the network was trained on. None: the bundle's training images.
        shares: of the images, to fit, to calibrate and to test. Empty: half and half, with a third to fit if the method
            learns.
        labels: transforms from a label map that was read to masks. None: inferred.
        given: what is said of the network.
    """

    method: str = "crc"
    alpha: float = 0.1
    promise: str = "each"
    data: Sequence[str] = ()
    trained_on: str | None = None
    shares: Sequence[float] = ()
    labels: Sequence[Any] | None = None
    given: Given = field(default_factory=Given)


@dataclass(frozen=True)
class Overlays:
    """What was written.

    Attributes:
        files: the overlays.
        notes: what was inferred, promised and left out, a sentence each.
        commands: what to type, from the bundle's folder.
    """

    files: tuple[Path, ...]
    notes: tuple[str, ...]
    commands: tuple[str, ...]


def write_overlays(bundle: Path, options: OverlayOptions | None = None, ids: BundleIds | None = None) -> Overlays:
    """Write configs beside a bundle's own that fit, calibrate, evaluate and run it with a promise.

    The bundle's files stay as they are and are not copied: overlays refer to them. What a calibration belongs to is the
    bundle's ``configs/inference.json``, since that is what users run; the images and labels come from its
    ``configs/train.json``.

    Args:
        bundle: folder of the bundle.
        options: what overlays are to do; by default CRC at 0.1 for each class.
        ids: what is called how in the bundle; by default as in MONAI's model zoo.

    Returns:
        The files, what they say, and the commands.

    Raises:
        FileNotFoundError: if there is no config for inference.
        ValueError: if something cannot be told, naming the option that says it, or if the network is handed more than
            an image.

    Example:
        >>> write_overlays(Path("none"))
        Traceback (most recent call last):
        FileNotFoundError: bundle must hold configs/inference.json or .yaml, got none; a calibration is of ...
    """
    options, source = options or OverlayOptions(), Source.read(bundle, ids or BundleIds())
    exact_level(options.alpha)
    if options.promise not in RISKS:
        raise ValueError(f"promise must be one of {', '.join(RISKS)}, got {options.promise!r}; take one of these.")
    check_one_image_in(source)
    for name in ("preprocessing", "postprocessing", "dataset"):
        source.required(name)
    plan = _planned(source, options)
    steps = [step for step in STEP_ITEMS if step != "fit" or plan.row.fit]
    notes = _notes(plan, options)
    contents = {step: {**_imports(source, step), "coat_notes": notes, **STEP_ITEMS[step](plan)} for step in steps}
    (bundle / "configs" / "coat_fit.json").unlink(missing_ok=True)  # of another method
    files = tuple(write_config(bundle / "configs" / f"coat_{step}.json", contents[step]) for step in steps)
    return Overlays(files, tuple(notes), tuple(_command(source, step) for step in steps))


def _planned(source: Source, options: OverlayOptions) -> Plan:
    row, facts = overlay_method(options.method), facts_of(source, options.given)
    if row.is_margin and (lost := crops(source)):
        raise ValueError(
            f"method must be crc where preprocessing crops images, got {options.method!r} with {', '.join(lost)}: what "
            "was cut off comes back as 0, which is no low margin; take --method crc, or another preprocessing."
        )
    labels = [_read(source), *options.labels] if options.labels is not None else label_transforms(source, facts)
    return Plan(
        source=source,
        facts=facts,
        loader=_loader(source),
        method=options.method,
        row=row,
        labels=labels,
        metrics=kept_metrics(source),
        promise=options.promise,
        settings=_settings(source, options, bool(row.fit)),
    )


def _read(source: Source) -> dict[str, Any]:
    return {"_target_": "monai_coat.transforms.ReadLabelMapd", "keys": "label"}


def _loader(source: Source) -> Entry:
    """The component that loads the checkpoint."""
    found = list(source.components("CheckpointLoader"))
    if len(found) != 1:
        raise ValueError(
            f"{source.files[-1]} must have one CheckpointLoader, got {len(found)}; load the network's weights by one, "
            "and by nothing else."
        )
    loaded = source.followed(found[0].config.get("load_dict"))
    if not isinstance(loaded, dict) or len(loaded) != 1:
        raise ValueError(
            f"{found[0].id} must load the network alone, got {loaded}; name it in load_dict, and nothing else."
        )
    return found[0]


def _settings(source: Source, options: OverlayOptions, learns: bool) -> dict[str, Any]:
    """Plain settings, which can be given on the command line too."""
    data = _data(source, options.data)
    trained_on = options.trained_on
    if trained_on is None:
        trained_on = TRAINING if source.get(TRAINING[1:]) is not None else "$[]"
    root = "@bundle_root" if "bundle_root" in source.inference else "'.'"
    return {
        "coat_alpha": options.alpha,
        "coat_seed": 0,
        "coat_model_dir": f"$monai_coat.bundles.as_path({root}, 'models')",
        "coat_results_dir": f"$monai_coat.bundles.as_path({root}, 'eval', 'coat_{options.method}')",
        "coat_data": data,
        "coat_trained_on": trained_on,
        "coat_shares": list(options.shares or SHARES[learns]),
    }


def _data(source: Source, data: Sequence[str]) -> str:
    """A config value for the images."""
    if not data:
        if source.get(VALIDATION[1:]) is None:
            raise ValueError(
                f"bundle must have validation images at {VALIDATION[1:]} of configs/train.json, got none; give images "
                "that the network was not trained on with --calibration-data."
            )
        return VALIDATION
    if len(data) == 1 and data[0].startswith(("@", "$")):
        return data[0]
    if len(data) == 2:
        return f"$monai_coat.data.folder_datalist({data[0]!r}, {data[1]!r})"
    raise ValueError(
        f"calibration data must be an id or expression such as @val_datalist, or two folders, of images and of labels, "
        f"got {' '.join(data)}; write it so."
    )


def _imports(source: Source, step: str) -> dict[str, Any]:
    """Imports that MONAI's merging of configs loses, and ours."""
    own = source.inference.get("imports")
    lost = source.training.get("imports", []) if step != "inference" else []
    added = [*(line for line in lost if line not in (own or [])), "$import monai_coat"]
    return {"+imports": added} if isinstance(own, list) else {"imports": added}


def _notes(plan: Plan, options: OverlayOptions) -> list[str]:
    """What was inferred, what is promised, on which images, and what was left out."""
    facts, settings = plan.facts, plan.settings
    risk: Any = getattr(all_risks, RISKS[options.promise])()
    fit, calibrate, test = (f"{share:.0%}" for share in settings["coat_shares"])
    parts = f"{calibrate} to calibrate and {test} to test" + (f", {fit} to fit" if plan.row.fit else "")
    notes = [
        f"network: {facts.activation} ({facts.reason}); classes {', '.join(facts.classes)}",
        f"promise: {ExpectedRisk(risk, options.alpha).promise} on average over new {risk.counted}, exchangeable with "
        "those that calibrate",
        f"images: {str(settings['coat_data']).lstrip('@$')}, drawn at random: {parts}, none in two parts",
    ]
    if settings["coat_data"] == VALIDATION:
        notes.append(
            "validation images chose the checkpoint if training kept the best one, and look a little too good; images "
            "that played no part are better, by --calibration-data"
        )
    trained_on = str(settings["coat_trained_on"])
    notes.append(
        "training images are not named in the bundle: see to it that none of them is among these"
        if trained_on == "$[]"
        else f"refused if one of them is in {trained_on.lstrip('@$')}, which the network was trained on"
    )
    dropped = [entry.target for entry in plan.source.transforms(plan.source.ids.postprocessing)]
    notes.append(
        f"postprocessing: {', '.join(dropped)} of the bundle give way to scores on the image's own grid, cut there; "
        f"files end in _{plan.method}, with one channel per class"
    )
    notes += [
        f"metric left out: {name}, of something else than predictions and labels" for name in plan.metrics.left_out
    ]
    return notes


def _command(source: Source, step: str) -> str:
    """What to type for a step, from the bundle's folder."""
    names = [*(source.files if step != "inference" else source.files[-1:]), f"coat_{step}.json"]
    files = ",".join(f"'configs/{name}'" for name in names)
    return f"python -m monai.bundle run --config_file {json.dumps(f'[{files}]')}"
