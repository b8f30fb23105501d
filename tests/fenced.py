# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The code that a page of ``docs`` shows, to be run as it stands."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def code_of(page: str, language: str = "python") -> list[str]:
    """The fenced blocks of a page, first to last.

    Args:
        page: name of a file in ``docs``.
        language: what is written after the fence.
    """
    return list(sections_of(page, language)["all"])


def sections_of(page: str, language: str = "python") -> dict[str, list[str]]:
    """The fenced blocks under each heading of a page, by the heading's words; under "all" every one."""
    found: dict[str, list[str]] = {"all": []}
    for section in re.split(r"^(?=#+ )", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE):
        heading = section.partition("\n")[0].lstrip("# ")
        blocks = re.findall(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        found[heading] = blocks
        found["all"] += blocks
    return found
