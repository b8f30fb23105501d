# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""All sections of the page, and how several of them run at a time."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from benchmarks.validity import (
    brackets,
    certain,
    core,
    drift_watch,
    label_maps,
    pipelines,
    resolution_cost,
    statistic_files,
)
from benchmarks.validity.inputs import Inputs
from benchmarks.validity.promises import again, references, sources
from benchmarks.validity.promises import section as promises
from benchmarks.validity.sections import Content, Section

SECTIONS: Mapping[str, Section] = {
    "core": core.SECTION,
    "promises": promises.SECTION,
    "again": again.SECTION,
    "references": references.SECTION,
    "sources": sources.SECTION,
    "certain": certain.SECTION,
    "label_maps": label_maps.SECTION,
    "pipelines": pipelines.SECTION,
    "brackets": brackets.SECTION,
    "statistic_files": statistic_files.SECTION,
    "resolution_cost": resolution_cost.SECTION,
    "drift": drift_watch.SECTION,
}
LONGEST = "promises"


def section_content(name: str, inputs: Inputs) -> Content:
    """The numbers of a section, on one core."""
    torch.set_num_threads(1)
    return SECTIONS[name].content(name, inputs)


def all_contents(inputs: Inputs, processes: int) -> dict[str, Content]:
    """The numbers of all sections, of several at a time; one that fails takes none of the others with it."""
    if processes == 1 or len(SECTIONS) == 1:
        return {name: section_content(name, inputs) for name in SECTIONS}
    first = sorted(SECTIONS, key=lambda name: name != LONGEST)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        started = {name: pool.submit(section_content, name, inputs) for name in first}
    return {name: started[name].result() for name in SECTIONS}
