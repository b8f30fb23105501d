# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Try every promise, and write ``docs/results/validity.md``: what is promised, and what was realised."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from benchmarks.validity import running
from benchmarks.validity.figure import draw
from benchmarks.validity.inputs import QUICK, Inputs, Scale
from benchmarks.validity.promises import picture
from benchmarks.validity.sections import Content, paragraphs, table
from monai_coat.data import data_directory

DOCS = Path(__file__).resolve().parents[2] / "docs" / "results"
HEAD = """# What is promised, and what was realised

Made by `python -m benchmarks.validity`{data}. A promise stands here in the words that the result of a calibration
carries. Everything is done through the public interface, by calibrating and testing on different images; the sections
took {minutes:.0f} minutes together.

"""
REAL = """ with `COAT_DATA_DIR` set: maps of polyps that PraNet's authors published (Kvasir-SEG, CVC-ClinicDB,
CVC-ColonDB, ETIS-Larib), and hippocampus volumes of the Medical Segmentation Decathlon (Antonelli et al. 2022, CC BY-SA
4.0). Frames of one video and both sides of one person are alike, so that the images are fewer than they count; random
divisions are fair all the same, since calibration and test images are drawn alike"""
GENERATED = """ **on generated maps and volumes**, since `COAT_DATA_DIR` is not set: these are not the numbers of real
images"""
QUICKLY = ", at a small scale that shows only that everything runs"


def page(inputs: Inputs, contents: Mapping[str, Content]) -> str:
    """The whole page."""
    data = (REAL if inputs.root else GENERATED) + ("" if inputs.scale == Scale() else QUICKLY)
    minutes = sum(content["seconds"] for content in contents.values()) / 60
    title, text = HEAD.format(data=data, minutes=minutes).split("\n\n", 1)
    parts = ["\n".join([title, "", *paragraphs(text.strip())]) + "\n"]
    sections = running.SECTIONS
    verdicts = [[sections[name].title, sections[name].verdict(content)] for name, content in contents.items()]
    parts += ["\n".join(table(["promise", "what came out"], verdicts)), "\n![In pictures](validity.png)\n\n"]
    for name, content in contents.items():
        parts.append("\n".join([f"## {sections[name].title}", "", *sections[name].lines(content), ""]))
    return "".join(parts).rstrip() + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Run what is not done yet, and write the page: beside the results, or into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("benchmark_output/validity"), help="folder of results")
    parser.add_argument("--quick", action="store_true", help="small numbers, to see whether everything runs")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="sections at a time; all cores")
    options = parser.parse_args(arguments)
    inputs = Inputs(data_directory(), options.output, QUICK if options.quick else Scale())
    contents = running.all_contents(inputs, options.processes)
    target = DOCS if inputs.root and not options.quick else options.output
    target.mkdir(parents=True, exist_ok=True)
    (target / "validity.md").write_text(page(inputs, contents), encoding="utf-8")
    draw(contents, target / "validity.png")
    if "promises" in contents:
        picture.draw(contents["promises"], target / "promises.png")
    print(f"wrote {target / 'validity.md'}")


if __name__ == "__main__":
    main()
