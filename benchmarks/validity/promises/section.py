# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The section of the page: every promise and what was realised, wrong rules, and what is refused."""

from __future__ import annotations

from benchmarks.validity.promises.everything import run
from benchmarks.validity.promises.judging import ERROR
from benchmarks.validity.promises.trials import GROWING, SHARE_OF_DRAWS, SIZES
from benchmarks.validity.sections import Content, Section, paragraphs, table

TEXT = """Simulated: {images} images of 48 pixels and two classes are the population. Drawing from it with replacement
gives independent images, and the true risk at each cutoff is the mean over all of them, counted without the package.
Scores take 200 values, so that ties abound; hardness differs; there are up to three lesions, two in five of one or two
pixels; one image in ten lacks a class, and of false alarms nine in ten. Patients have one to six nearly equal images;
the hard one of two groups has fewer of each patient, and comes more often where the population has shifted.

Each row is calibrated again and again through the package, of {draws} draws of 20 and of 50 images or patients, {many}
of 200 and {most} of 1000, and {runs} or more sets that grow. *Realised* is the mean over draws of the true risk, or of
the share of images referred; of a promise P(...) >= 0.9, the share of draws whose true mean is above its level, which
may be 0.1; of a growing set, that of sets in which this happens at any size from {first} to {last}, asked at every
{step}th. In brackets is a lower confidence bound of it, exact by Clopper and Pearson for shares and by bets for means,
at a level at which a right implementation fails any row of the table with a probability below {error:.0%}; a promise is
*kept* if the bound is not above what may be. A draw that is refused, as for too few images that count, loses nothing;
where a tenth or more are, there is a star."""
WRONG = """The same trials of rules that are wrong, each in a way that is seen in practice. The run fails if one of them
is not caught."""
NOISE = """Masks with three of ten pixels wrong on either side of each boundary: the promise is about such masks, and it
is in the table. Of the right masks nothing is promised; they lose:"""
REFUSED = """What is refused, by a sentence that says why."""


def lines(content: Content) -> list[str]:
    """The tables."""
    many, most = (max(round(content["draws"] * SHARE_OF_DRAWS[n]), 4) for n in (200, 1000))
    first, last, step = GROWING
    facts = {"images": content["images"], "draws": content["draws"], "many": many, "most": most}
    facts["runs"] = min(row["draws"] for row in content["rows"] if row["by"] == "growing_set")
    text = TEXT.format(**facts, first=first, last=last, step=step, error=ERROR)
    clean = [f"{row['by'].split(',')[0]} of {row['n']} images: {row['mean']:.4f}" for row in content["clean"]]
    found = [*paragraphs(text), "![Realised against promised](promises.png)", "", *_table(content["rows"])]
    found += [*paragraphs(WRONG), *_wrong(content["wrong"]), *paragraphs(f"{NOISE} {'; '.join(clean)}.")]
    refused = [
        [sentence, "; ".join(sorted({key for key, _ in pairs})), "; ".join(dict.fromkeys(name for _, name in pairs))]
        for sentence, pairs in content["refused"].items()
    ]
    return [*found, *paragraphs(REFUSED), *table(["sentence", "risks", "guarantees"], refused)]


def _table(rows: list[dict]) -> list[str]:
    """A row per promise, the numbers of images side by side."""
    by_promise: dict[tuple[str, str, float], dict[int, dict]] = {}
    for row in rows:
        by_promise.setdefault((row["promise"], row["by"], row["level"]), {})[row["n"]] = row
    body = []
    for (promise, by, level), found in by_promise.items():
        kept = "yes" if all(row["kept"] for row in found.values()) else "**no**"
        cells = [_cell(found[n]) if n in found else "" for n in SIZES]
        body.append([promise, by, f"{level:g}", *cells, kept])
    return table(["promised", "by", "may be", *(f"n = {n}" for n in SIZES), "kept"], body)


def _cell(row: dict) -> str:
    star = "\\*" if row["refused"] >= 0.1 * row["draws"] else ""
    return f"{row['mean']:.3f} [{row['least']:.3f}]{star}"


def _wrong(rows: list[dict]) -> list[str]:
    body = [
        [row["by"], row["promise"], str(row["n"]), f"{row['level']:g}", _cell(row), "**no**" if row["kept"] else "yes"]
        for row in rows
    ]
    return table(["what is wrong", "promised", "n", "may be", "realised", "caught"], body)


def verdict(content: Content) -> str:
    """How many rows are kept, and how many wrong rules are caught."""
    rows, wrong = content["rows"], content["wrong"]
    kept, caught = sum(row["kept"] for row in rows), sum(not row["kept"] for row in wrong)
    return (
        f"{kept} of {len(rows)} rows, of every risk with every guarantee that admits it, are kept; {caught} of "
        f"{len(wrong)} wrong rules are caught by the same trials."
    )


SECTION = Section("Every promise: risks and guarantees", run, lines, verdict, uses_data=False)
