# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A calibration in a pipeline that it is not of: each change is tried through the public interface."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from monai.inferers import SlidingWindowInferer

from benchmarks.validity.attempts import HARMLESS, REFUSED, TAKEN, attempted
from benchmarks.validity.inputs import Inputs
from benchmarks.validity.pipeline import ALPHA, SIDE, Pipeline, copied, generated, pipeline_of
from benchmarks.validity.sections import Content, Section, paragraphs, progress, table
from monai_coat.calibration import (
    BinnedStatistic,
    CollectedStatistic,
    ExpectedRisk,
    FalsePositiveRatio,
    identity_of,
    load_calibration,
    merge_statistics,
    save_statistic,
)
from monai_coat.inferers import AdaptiveInferer, load_calibrated
from monai_coat.networks import CalibratedMask, save_weights
from monai_coat.scorers import ExpectedCoverageScorer, MarginScorer, ProbabilityScorer

TEXT = """A small network is trained, calibrated at alpha {alpha} on {count} generated images, and used on {test}
others, with probabilities ("crc"), margins over regressed thresholds ("at") or thresholds of minimum expected gap
("meg"). Then one thing is changed, and the calibration is used all the same: from files by `load_calibrated`, or in
memory by `prediction_set`. The last columns are the mean FNR of the changed pipeline at the old cutoff, which is what
would have come of it, and that of the unchanged one. Some changes do no harm on these images; on others they may."""

AFTER = """What was taken:

- *`.data`*: a network in memory looks at torch's counters of writes, which `.data` goes past. Saved and loaded, it is
refused."""
Change = Callable[[Pipeline, Path], Pipeline]
"""Makes a changed pipeline of a calibrated one, and may change its files too."""


@dataclass(frozen=True)
class Attempt:
    """One change, and how the calibration is used after it.

    Attributes:
        name: what is changed.
        scorer: method of the pipeline that was calibrated.
        change: makes the change.
        use: raises if the calibration is refused.
    """

    name: str
    scorer: str
    change: Change
    use: Callable[[Pipeline, Path], object]


def from_files(pipeline: Pipeline, folder: Path) -> None:
    """Load weights and artifact into the pipeline, whose parts are named."""
    load_calibrated({"it": pipeline.network}, folder, ALPHA, pipeline.parts)


def from_files_unnamed(pipeline: Pipeline, folder: Path) -> None:
    """As :func:`from_files`, in a script that does not say what stands around the network."""
    load_calibrated({"it": pipeline.network}, folder, ALPHA)


def in_memory(pipeline: Pipeline, folder: Path) -> None:
    """Ask the network for a prediction set."""
    pipeline.network.prediction_set(generated(1, 4)[0]["image"][None])


def exported(pipeline: Pipeline, folder: Path) -> None:
    """Make the module that is exported."""
    CalibratedMask(pipeline.network)


def inferred(pipeline: Pipeline, folder: Path) -> None:
    """Run the pipeline's inferer."""
    pipeline.scored(generated(1, 4)[0])


def merged_with_changed(pipeline: Pipeline, folder: Path) -> None:
    """Merge statistics of two sites, one of which has the pipeline of the artifact."""
    sites = (load_calibration(folder / "calibration_it.json").identity, identity_of(pipeline.network, pipeline.parts))
    for seed, identity in enumerate(sites):
        collected = CollectedStatistic(BinnedStatistic(0.0, 1.0), identity, "it")
        for sample in generated(12, 5 + seed):
            collected.update(*pipeline.scored(sample).pair)
        save_statistic(collected, folder / f"{seed}.npz")
    merge_statistics([folder / "0.npz", folder / "1.npz"])


def with_scorer(make: Callable[[Pipeline], torch.nn.Module]) -> Change:
    """Another scorer."""

    def change(pipeline: Pipeline, folder: Path) -> Pipeline:
        changed = copied(pipeline)
        changed.network.scorer = make(changed)
        return changed

    return change


def with_setting(name: str, value: object) -> Change:
    """Another setting of the network."""

    def change(pipeline: Pipeline, folder: Path) -> Pipeline:
        changed = copied(pipeline)
        setattr(changed.network, name, value)
        return changed

    return change


def around(**parts: object) -> Change:
    """Something else around the network."""
    return lambda pipeline, folder: replace(copied(pipeline), **parts)


def hotter(pipeline: Pipeline, folder: Path) -> Pipeline:
    """Logits divided by 8, in a buffer."""
    changed = copied(pipeline)
    changed.network.logit_temperature.fill_(8.0)
    return changed


def smaller_input(pipeline: Pipeline, folder: Path) -> Pipeline:
    """A threshold predictor that resizes to half of what it did."""
    changed = copied(pipeline)
    changed.network.scorer.predictor.input_size = [SIDE // 4] * 2
    return changed


def trained_on(pipeline: Pipeline, folder: Path) -> Pipeline:
    """Ten steps of training towards higher thresholds."""
    changed = copied(pipeline)
    images = torch.stack([sample["image"] for sample in generated(8, 6)])
    probs = changed.network.probabilities(images)
    optimizer = torch.optim.SGD(changed.network.scorer.parameters(), 0.1)
    for _ in range(10):
        optimizer.zero_grad()
        (1 - changed.network.scorer.predictor(images, probs)).square().mean().backward()
        optimizer.step()
    return changed


def written_past_autograd(pipeline: Pipeline, folder: Path) -> Pipeline:
    """A weight written to through ``.data``, as some averaging of weights does."""
    changed = copied(pipeline)
    changed.network.require_calibration()
    *_, last = changed.network.segmenter.parameters()
    last.data.sub_(1.0)
    return changed


def in_training_mode(pipeline: Pipeline, folder: Path) -> Pipeline:
    """Dropout on."""
    changed = copied(pipeline)
    changed.network.train()
    return changed


def other_weights(pipeline: Pipeline, folder: Path) -> Pipeline:
    """A file of weights of a network that was trained on."""
    changed = trained_on(pipeline, folder)
    save_weights(changed.network, folder / "model_it.pt")
    return changed


def edited(name: str, value: object) -> Change:
    """An entry of the artifact changed by hand."""

    def change(pipeline: Pipeline, folder: Path) -> Pipeline:
        path = folder / "calibration_it.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {name: value}))
        return copied(pipeline)

    return change


def of_false_positives(pipeline: Pipeline, folder: Path) -> Pipeline:
    """The artifact of what is certain in the place of the other."""
    changed = copied(pipeline)
    changed.calibrated(generated(30, 3), folder, ExpectedRisk(FalsePositiveRatio(), ALPHA))
    return changed


def windows(side: int) -> SlidingWindowInferer:
    """Sliding windows of that side."""
    return SlidingWindowInferer((side, side), overlap=0.25)


def other_space(pipeline: Pipeline) -> MarginScorer:
    """The same predictor, read along another ruler."""
    return MarginScorer(copy.deepcopy(pipeline.network.scorer.predictor), "expected_coverage")


ATTEMPTS = (
    Attempt("scorer: expected coverage", "crc", with_scorer(lambda _: ExpectedCoverageScorer()), from_files),
    Attempt("scorer: probabilities", "meg", with_scorer(lambda _: ProbabilityScorer()), from_files),
    Attempt("space: expected coverage for logit", "meg", with_scorer(other_space), from_files),
    Attempt("activation: identity for sigmoid", "crc", with_setting("activation", "identity"), from_files),
    Attempt("temperature 8, then loaded", "meg", hotter, from_files),
    Attempt("temperature 8 in memory", "meg", hotter, in_memory),
    Attempt("input size of the threshold predictor", "at", smaller_input, from_files),
    Attempt("image size in the preprocessing: 96 for 64", "crc", around(side=3 * SIDE // 2), from_files),
    Attempt("intensities in the preprocessing", "crc", around(darkest=-2.0), from_files),
    Attempt("intensities, pipeline not named", "crc", around(darkest=-2.0), from_files_unnamed),
    Attempt("inferer: windows for the whole", "crc", around(inferer=AdaptiveInferer(windows(32))), from_files),
    Attempt("plain windows around the network", "meg", around(inferer=windows(32)), inferred),
    Attempt("trained on, then asked for a set", "at", trained_on, in_memory),
    Attempt("trained on, then exported", "at", trained_on, exported),
    Attempt("weights written to through `.data`", "crc", written_past_autograd, in_memory),
    Attempt("in training mode", "meg", in_training_mode, in_memory),
    Attempt("weights of a network trained on", "at", other_weights, from_files),
    Attempt("artifact: another alpha", "crc", edited("alpha", 0.05), from_files),
    Attempt("artifact: another cutoff", "crc", edited("cutoff", [0.5]), from_files),
    Attempt("artifact: that of false positives", "crc", of_false_positives, from_files),
    Attempt("statistics of two sites, image size 64 and 96", "crc", around(side=3 * SIDE // 2), merged_with_changed),
)


def run(inputs: Inputs) -> Content:
    """What came of each attempt, with the FNR that it would have meant."""
    count, rows = inputs.scale.images, []
    calibration, test = generated(count, 3), generated(2 * count, 4)
    pipelines = {name: pipeline_of(name, count) for name in ("crc", "at", "meg")}
    right = {}
    for attempt in progress("pipelines", ATTEMPTS):
        with tempfile.TemporaryDirectory() as folder:
            pipeline = pipelines[attempt.scorer]
            result = pipeline.calibrated(calibration, Path(folder))
            right[attempt.scorer] = right.get(attempt.scorer) or pipeline.risk(test, result)
            changed = attempt.change(pipeline, Path(folder))
            before = copied(changed)
            outcome = attempted(attempt.use, changed, Path(folder))
            cutoff = json.loads((Path(folder) / "calibration_it.json").read_text())["cutoff"]
            used = before if outcome.startswith(REFUSED) else changed  # using it may have changed it again
            used.network.scorer.adapts = False  # so that windows are not refused once more: what would have come of it
            risk = used.risk(test, replace(result, cutoff=tuple(cutoff)))
            if outcome == TAKEN and risk == right[attempt.scorer]:
                outcome = HARMLESS
            rows.append([attempt.name, attempt.scorer, outcome, risk, right[attempt.scorer]])
    return {"alpha": ALPHA, "count": count, "test": len(test), "rows": rows}


def lines(content: Content) -> list[str]:
    """A row per attempt."""
    head = ["changed", "scorer", "what happened", "FNR then", "unchanged"]
    rows = [[*texts, f"{risk:.3f}", f"{right:.3f}"] for *texts, risk, right in content["rows"]]
    text = TEXT.format(alpha=content["alpha"], count=content["count"], test=content["test"])
    return [*paragraphs(text), *table(head, rows), *paragraphs(AFTER)]


def verdict(content: Content) -> str:
    """How many were refused, and which were not."""
    by_outcome = {outcome: [row[0] for row in content["rows"] if row[2] == outcome] for outcome in (TAKEN, HARMLESS)}
    taken, harmless = by_outcome.values()
    count = len(content["rows"])
    return (
        f"{count - len(taken) - len(harmless)} of {count} changes are refused, {len(harmless)} without effect. "
        f"Taken: {'; '.join(taken) or 'none'}."
    )


SECTION = Section("Pipelines: a calibration used elsewhere", run, lines, verdict, uses_data=False)
