# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The code that a page of ``docs`` shows, to be run as it stands."""

from __future__ import annotations

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
    heading, is_wanted = "", False
    block: list[str] | None = None
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines(keepends=True):
        if block is None and line.startswith("#"):
            heading = line.lstrip("# ").rstrip()
        elif line.startswith("```"):
            if block is not None and is_wanted:
                found.setdefault(heading, []).append("".join(block))
                found["all"].append("".join(block))
            is_wanted = block is None and line[3:].strip() == language
            block = [] if block is None else None
        elif block is not None:
            block.append(line)
    return found
