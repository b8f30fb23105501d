# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A section of the page: an experiment whose result is kept until something that it depends on changes."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import monai_coat
from benchmarks.validity.inputs import Inputs
from monai_coat.files import read_json, write_json

Content = dict[str, Any]
Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True)
class Section:
    """A promise, the experiment that tries it, and how the page shows what came out.

    Attributes:
        title: heading on the page.
        run: makes the numbers; what it gives must be JSON.
        lines: lines of Markdown that show them.
        verdict: what came out, in a sentence.
        uses_data: whether the numbers depend on the images.
    """

    title: str
    run: Callable[[Inputs], Content]
    lines: Callable[[Content], list[str]]
    verdict: Callable[[Content], str]
    uses_data: bool = True

    def content(self, name: str, inputs: Inputs) -> Content:
        """The numbers, from the output folder if they are there and nothing has changed since."""
        path, key = inputs.folder / f"{name}.json", self.key(inputs)
        if path.is_file():
            kept = read_json(path, "a section", "delete it")
            if kept.get("key") == key:
                print(f"{name}: done before, in {kept['seconds']:.0f} s", flush=True)
                return kept
        start = time.monotonic()
        content = self.run(inputs)
        content |= {"key": key, "seconds": time.monotonic() - start}
        write_json(path, content)
        print(f"{name}: done in {content['seconds']:.0f} s", flush=True)
        return content

    def key(self, inputs: Inputs) -> str:
        """A digest of version, settings, data and code."""
        facts = [monai_coat.__version__, asdict(inputs.scale), inputs.data_digest if self.uses_data else ""]
        digest = hashlib.sha256(json.dumps(facts).encode())
        package = Path(monai_coat.__file__).parent
        for path in [*sorted(package.rglob("*.py")), *sorted(sources(Path(sys.modules[self.run.__module__].__file__)))]:
            digest.update(path.read_bytes())
        return digest.hexdigest()


def sources(path: Path, seen: frozenset[Path] = frozenset()) -> frozenset[Path]:
    """A module of this folder, or of one in it, with those that it imports from here, and so on."""
    if path in seen or not path.is_file():
        return seen
    seen |= {path}
    here = Path(__file__).parent
    for dotted, name in re.findall(
        r"benchmarks\.validity((?:\.\w+)*)(?: import (\w+))?", path.read_text(encoding="utf-8")
    ):
        folder = here.joinpath(*dotted.split(".")[1:])
        for found in (folder.with_suffix(".py"), folder / f"{name}.py"):
            seen = sources(found, seen)
    return seen


def progress(name: str, items: Sequence[Item]) -> Iterator[Item]:
    """The items, with a line now and then about how many are done and how long the rest will take."""
    start = said = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - said >= SECONDS_BETWEEN_LINES and done < len(items):
            left = (now - start) / done * (len(items) - done)
            print(f"{name}: {done} of {len(items)}, about {left:.0f} s left", flush=True)
            said = now


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table and the empty line after it."""
    body = [f"| {' | '.join(cells)} |" for cells in rows]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *body, ""]


def paragraphs(text: str) -> list[str]:
    """Text with filled lines, paragraph by paragraph and item by item, and the empty line after it."""
    filled = []
    for block in text.split("\n\n"):
        for item in re.split(r"\n(?=- )", block):
            hanging = "  " if item.startswith("- ") else ""
            filled.append(textwrap.fill(" ".join(item.split()), 120, subsequent_indent=hanging, break_on_hyphens=False))
        filled.append("")
    return filled


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error, of independent values."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()), float(array.std(ddof=1) / np.sqrt(array.size)) if array.size > 1 else 0.0
