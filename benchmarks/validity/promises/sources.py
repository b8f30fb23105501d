# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Calibrated on one hospital's images and used on another's: by how much the promise breaks, and what mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.validity.attempts import readable
from benchmarks.validity.inputs import Inputs, LabelledMap
from benchmarks.validity.sections import Content, Section, mean_and_error, paragraphs, progress, table
from monai_coat.calibration import (
    ExpectedRisk,
    FalseNegativeRate,
    Guarantee,
    PerGroup,
    Statistic,
    Weighted,
    update_with,
)
from monai_coat.data import load_datalist

HERE, THERE, ALPHAS, CUTS, SPLITS = "clinicdb", "colondb", (0.1, 0.2), (10.0, 5.0, 2.0), 5
MOST = 0.9
"""A larger share of the image than this is everything."""
NAMES = {"clinicdb": "CVC-ClinicDB", "colondb": "CVC-ColonDB", "kvasir": "Kvasir-SEG", "etis": "ETIS-Larib"}
TEXT = """Maps of PraNet, which was trained on other images of Kvasir-SEG and CVC-ClinicDB. Calibrated on the {here} of
CVC-ClinicDB and tested on the {there} of CVC-ColonDB, the images are not exchangeable, and nothing is promised. Then
with half of the images of each source, promises for each source (*per_group*); and with the images of CVC-ClinicDB
weighted by how much more likely images like them are in the other half of CVC-ColonDB (*weighted*): odds of a logistic
regression on five features of a map, whose masks are not needed, cut at a largest weight. Mean over {splits} random
divisions with its standard error, of the half of a source that no one has seen; a division that is refused is left out.
*Marked* is the mean share of an image in its set; where that is nearly 1, the promise is kept by marking everything."""


@dataclass(frozen=True)
class Sources:
    """Maps and the source of each.

    Attributes:
        maps: of all sources.
        names: the source of each.
    """

    maps: Sequence[LabelledMap]
    names: NDArray[np.str_]

    @classmethod
    def of(cls, inputs: Inputs) -> Sources:
        """The polyp maps; of generated ones, the last half is another source, whose scores are lower."""
        if inputs.root is None:
            half = len(inputs.maps) // 3
            later = [LabelledMap(image.scores**2, image.label) for image in inputs.maps[half:]]
            return cls([*inputs.maps[:half], *later], np.array([HERE] * half + [THERE] * len(later)))
        listed = load_datalist(inputs.root, "polyp", model="pranet")[: inputs.scale.maps]
        names = [Path(str(sample["probs"])).name.split("_")[0] for sample in listed]
        if len(names) != len(inputs.maps):
            raise RuntimeError(f"maps must all have foreground, got {len(inputs.maps)} of {len(names)} that do.")
        return cls(inputs.maps, np.array(names))

    def places(self, source: str) -> NDArray[np.int64]:
        """Of the maps of a source."""
        return np.flatnonzero(self.names == source)

    @cached_property
    def foreground(self) -> list[NDArray[np.float32]]:
        """Ascending scores of each image's foreground."""
        return [np.sort(image.scores[image.label].numpy()) for image in self.maps]

    @cached_property
    def features(self) -> NDArray[np.float64]:
        """Mean, largest score, and shares above 0.1, 0.5 and 0.9, of each map."""
        rows = []
        for image in self.maps:
            scores = image.scores.numpy().ravel()
            shares = [float(np.log((scores >= level).mean() + 1e-4)) for level in (0.1, 0.5, 0.9)]
            rows.append([float(scores.mean()), float(scores.max()), *shares])
        return np.array(rows)

    def collected(self, guarantee: Guarantee, places: Sequence[int], weights: Sequence[float] = ()) -> Statistic:
        """The statistic of some images."""
        statistic = guarantee.statistic()
        for index, place in enumerate(places):
            meta = {"source": str(self.names[place]), "weight": weights[index] if len(weights) else 1.0}
            update_with(statistic, *self.maps[place].pair, [meta])
        return statistic

    def realised(self, places: Sequence[int], cutoff: float) -> tuple[float, float]:
        """Mean FNR of some images, and the mean share of them that is marked."""
        cut = np.float32(cutoff)
        rates = [np.searchsorted(self.foreground[place], cut) / self.foreground[place].size for place in places]
        marked = [float((self.maps[place].scores >= cutoff).double().mean()) for place in places]
        return float(np.mean(rates)), float(np.mean(marked))

    def weights(
        self, labelled: NDArray[np.int64], unlabelled: NDArray[np.int64], largest: float
    ) -> NDArray[np.float64]:
        """How many times more likely images like the labelled ones are among the others, at most ``largest``."""
        rows = np.concatenate([labelled, unlabelled])
        is_new = np.repeat([0, 1], [len(labelled), len(unlabelled)])
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(self.features[rows], is_new)
        new = model.predict_proba(self.features[labelled])[:, 1]
        return np.clip(new / (1 - new) * len(labelled) / len(unlabelled), 1e-3, largest)


def run(inputs: Inputs) -> Content:
    """The promise, and both ways to mend it, at each level."""
    sources = Sources.of(inputs)
    here, there = sources.places(HERE), sources.places(THERE)
    rows: list[list[object]] = []
    for alpha in ALPHAS:
        expected = ExpectedRisk(FalseNegativeRate(), alpha)
        result = expected.calibrate(sources.collected(expected, here.tolist()))
        both = [sources.realised(there.tolist(), result.cutoff[0])]
        rows.append([alpha, "as it is", both, len(here), 0, ""])
    splits = SPLITS * inputs.scale.splits
    found: dict[tuple[float, str], dict[str, list]] = {}
    for split in progress("sources", range(splits)):
        for alpha in ALPHAS:
            for name, told in _mended(sources, alpha, split).items():
                row = found.setdefault((alpha, name), {"realised": [], "n": [], "refused": []})
                for key, value in told.items():
                    row[key].append(value)
    for (alpha, name), row in found.items():
        refused = len(row["refused"])
        n = float(np.mean(row["n"])) if row["n"] else 0.0
        rows.append([alpha, name, row["realised"], n, refused, row["refused"][0] if refused else ""])
    return {"rows": rows, "splits": splits, "here": len(here), "there": len(there)}


def _mended(sources: Sources, alpha: float, split: int) -> dict[str, dict[str, object]]:
    """Of one division, mean FNR on unseen images of each source by groups, and of the other source by weights."""
    rng = np.random.default_rng([split, 17])
    halves = {name: np.array_split(rng.permutation(sources.places(name)), 2) for name in np.unique(sources.names)}
    expected = ExpectedRisk(FalseNegativeRate(), alpha)
    grouped = PerGroup(expected, "source")
    seen = np.concatenate([parts[0] for parts in halves.values()]).tolist()
    result = grouped.calibrate(sources.collected(grouped, seen))
    told: dict[str, dict[str, object]] = {}
    for name, group in result.groups.items():
        told[f"per_group, {NAMES[name]}"] = {
            "realised": sources.realised(halves[name][1].tolist(), group.cutoff[0]),
            "n": group.n[0],
        }
    here, (unlabelled, unseen) = sources.places(HERE), halves[THERE]
    for largest in CUTS:
        weights = sources.weights(here, unlabelled, largest)
        guarantee = Weighted(expected, largest=largest)
        statistic = sources.collected(guarantee, here.tolist(), weights.tolist())
        try:
            cutoff = guarantee.calibrate(statistic).cutoff[0]
            outcome = {"realised": sources.realised(unseen.tolist(), cutoff)}
        except ValueError as error:
            outcome = {"refused": readable(str(error))}
        told[f"weighted, at most {largest:g}"] = {**outcome, "n": float(weights.sum() ** 2 / (weights**2).sum())}
    return told


def lines(content: Content) -> list[str]:
    """A row per level and way."""
    rows = []
    for alpha, name, realised, n, refused, _ in content["rows"]:
        cells = _cells(alpha, realised) if realised else ["", "", ""]
        rows.append([f"E[FNR] <= {alpha}", name, f"{n:.0f}", *cells, str(refused) if refused else ""])
    text = TEXT.format(**{name: content[name] for name in ("here", "there", "splits")})
    head = ["wanted", "how", "images, or as many as they tell", "realised", "marked", "kept", "refused"]
    found = [*paragraphs(text), *table(head, rows)]
    said = dict.fromkeys(row[5] for row in content["rows"] if row[5])
    return [*found, *paragraphs("Refused, for example: " + " / ".join(said))] if said else found


def _cells(alpha: float, realised: list[list[float]]) -> list[str]:
    """What is missed and marked, and whether that is what was wanted."""
    missed, marked = zip(*realised, strict=True)
    mean, error = mean_and_error(missed)
    text = f"{mean:.3f} ± {error:.3f}" if len(missed) > 1 else f"{mean:.3f}"
    return [text, f"{np.mean(marked):.2f}", "yes" if mean <= alpha else f"**no**, by {mean - alpha:.3f}"]


def verdict(content: Content) -> str:
    """How much the promise is broken, and whether it is mended."""
    parts = []
    for alpha in ALPHAS:
        rows = {row[1]: row[2] for row in content["rows"] if row[0] == alpha and row[2]}
        means = {name: np.mean(values, axis=0) for name, values in rows.items()}
        weighted = [f"{means[name][0]:.3f}" for name in means if name.startswith("weighted") and means[name][1] < MOST]
        grouped = means[f"per_group, {NAMES[THERE]}"][0]
        parts.append(
            f"wanted {alpha}, realised {means['as it is'][0]:.3f}; by groups {grouped:.3f}, by estimated weights "
            f"{', '.join(weighted) or 'refused'}"
        )
    return f"From {NAMES[HERE]} to {NAMES[THERE]}: {'. '.join(parts)}."


SECTION = Section("Another hospital: broken, and mended", run, lines, verdict)
