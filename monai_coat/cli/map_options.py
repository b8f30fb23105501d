# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The options of commands that read folders of predictions.

Tested by tests/predictions/test_folders.py.
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_coat.data import MapFormat, MapOptions, PredictionFolder

__all__ = ["add_maps", "add_to_commands", "folder_of", "inputs_of", "maps_of", "said_of"]

FORMS = """PNG or TIFF of 8 bits, 16 bits or floats, NIfTI, NRRD, .npy, .npz, or what nnU-Net v2 leaves with
--save_probabilities, of which dataset.json says the classes"""


def add_to_commands(commands: Any, name: str, text: str, example: str, more: str = "") -> argparse.ArgumentParser:
    """Add a command with an example in its help.

    Args:
        commands: the program's commands.
        name: name of the command.
        text: what it does, in the list of commands too.
        example: what is typed.
        more: what else its help says of it.
    """
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description="\n\n".join([f"{text[0].upper()}{text[1:]}.", *([textwrap.fill(more, 100)] if more else [])]),
        epilog=f"example:\n  python -m monai_coat {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="print the result as one JSON object instead of names")
    return command


def add_maps(command: argparse.ArgumentParser, labels: bool = True, said: bool = True, required: bool = True) -> None:
    """Add the options that say where predictions are, and what their files do not say of themselves.

    Args:
        command: parser of the command.
        labels: whether there are reference masks.
        said: whether classes, and what masks are, is said here and not by a calibration.
        required: whether there must be predictions, and masks for them.
    """
    maps = command.add_mutually_exclusive_group(required=required)
    maps.add_argument(
        "--probs",
        nargs="+",
        metavar="FOLDER",
        help=f"folder of maps ({FORMS}); several folders, of different images; or NAME=FOLDER for each class",
    )
    maps.add_argument("--masks", type=Path, metavar="FOLDER", help="folder of predicted masks, if there are no maps")
    if labels:
        command.add_argument("--labels", type=Path, required=required, metavar="FOLDER", help="reference masks")
        command.add_argument(
            "--mask-threshold", type=float, help="masks are foreground from this value on, if not 0/1 or 0/255"
        )
    if said:
        command.add_argument("--classes", help="names and labels, such as liver=1,tumour=2; background=255 is no class")
        command.add_argument("--axes", default="", help="of .npy and .npz, such as cyx or czyx, if sizes do not tell")
    command.add_argument("--map-suffix", default="", help="what names of maps have at their end and masks have not")


def folder_of(
    options: argparse.Namespace, format: MapFormat | None = None, images: Path | None = None, table: Any = None
) -> PredictionFolder:
    """The folder of predictions that options speak of, with what a table says of its images."""
    from monai_coat.data import open_predictions, with_table

    folder = open_predictions(maps_of(options), getattr(options, "labels", None), images, said_of(options), format)
    return folder if table is None else with_table(folder, table)


def maps_of(options: argparse.Namespace) -> Any:
    """The folder of predictions, several, or one for each class."""
    return options.masks if options.masks is not None else _folders(options.probs or [])


def said_of(options: argparse.Namespace) -> MapOptions:
    """What options say of predictions."""
    from monai_coat.data import ClassLabels, MapOptions

    classes = getattr(options, "classes", None)
    return MapOptions(
        classes=ClassLabels.parse(classes) if classes else None,
        axes=getattr(options, "axes", ""),
        suffix=options.map_suffix,
        mask_threshold=getattr(options, "mask_threshold", None),
        are_masks=options.masks is not None,
    )


def inputs_of(options: argparse.Namespace) -> list[Path]:
    """Every file and folder that a command reads."""
    probs = _folders(options.probs or [])
    places = list(probs.values()) if isinstance(probs, dict) else [probs] if isinstance(probs, str) else probs
    more = [
        getattr(options, name, None)
        for name in ("masks", "labels", "images", "scorer", "calibration", "certain", "table")
    ]
    return [Path(place) for place in [*places, *more] if place is not None]


def _folders(given: list[str]) -> Any:
    """One folder, several, or one for each class."""
    named = [text.partition("=") for text in given]
    if given and all(equals and not Path(text).exists() for text, (_, equals, _) in zip(given, named, strict=True)):
        return {name: folder for name, _, folder in named}
    return given[0] if len(given) == 1 else given
