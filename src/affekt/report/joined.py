"""Two runs side by side: whether an encoder does better in one than in the other, and what differs between the two.

Conventions: `first` and `second` are the runs in the order in which they were joined; a difference is the R2 of an
encoder in the first run minus that of the same encoder in the second, on the songs that both predicted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from affekt.evaluation.statistics import LEVEL, verdict_words
from affekt.evaluation.words import capitalised, doubt, listed, with_interval, with_sign
from affekt.report import provenance, tables, words
from affekt.report.figures import Picture
from affekt.report.figures.ladder import Difference, differences, ladder, shared_limits
from affekt.report.view import View
from affekt.report.words import Verdict

#: What of `dataset` a reader compares; the rest is told by notes.
_DATASET_KEYS = ("name", "labels", "ceiling", "ceiling_method", "fingerprint", "n_songs", "n_scored", "synthetic")


class Pair(NamedTuple):
    """The same encoder in both runs."""

    name: str
    first: str  # its label among the joined encoders
    second: str


def is_joined(view: View) -> bool:
    """Whether the comparison is made of two runs."""
    return "joined" in view.scores.results.run


def page_data(view: View) -> dict[str, Any]:
    """Everything the page of two joined runs says, in the order in which it says it."""
    results = view.scores.results
    first, second = results.run["names"]
    answers = _answers(view)
    data = {
        "name": view.name,
        "heading": heading(view),
        "synthetic": view.synthetic,
        "facts": [
            provenance.counted(len(view.scores.song_ids), "common song"),
            provenance.counted(len(pairs(view)), "common encoder"),
            "targets: " + ", ".join(view.targets),
        ],
        "runs": [first, second],
        "answers": answers,
        "caveats": words.caveats(view)[view.synthetic :],
        "comparison": tables.comparison(view),
        "settings": experiment_differences(view),
        "datasets": _dataset_differences(view),
        "versions": _version_differences(view),
        "dataset_notes": [str(note) for note in results.dataset.get("notes") or []],
        "left_out": tables.table(["song", "file", "reason"], provenance.left_out(results), "lll"),
        "colours": view.colours,
        "weights": {label: tables.plain(view.described[label].get("weights")) for label in view.order},
        "song_names": [],
        "excerpts": {},
    }
    return {**data, "drawings": {picture["id"]: picture["figure"] for picture in pictures_of(data)}}


def pictures_of(data: Mapping[str, Any]) -> list[Picture]:
    """All pictures of the page, in the order in which they stand on it."""
    return [picture for answer in data["answers"] for picture in answer["pictures"]]


def heading(view: View) -> str:
    """The question that the page answers."""
    return f"{' against '.join(view.scores.results.run['names'])}: does it make a difference?"


def further(view: View) -> list[str]:
    """What else was found: nothing beside the verdicts."""
    return []


def pairs(view: View) -> list[Pair]:
    """Encoders that both runs scored, without twins, in the order of the first."""
    first, second = (View(view.scores, run) for run in view.scores.results.run["names"])
    others = {second.title(label): label for label in second.contenders}
    return [Pair(name, own, others[name]) for own in first.contenders if (name := first.title(own)) in others]


def verdicts(view: View) -> list[Verdict]:
    """For each target, which encoders differ between the runs."""
    return [_verdict(view, target) for target in view.targets]


def experiment_differences(view: View) -> dict[str, Any]:
    """Settings that differ between the two experiments, a row each."""
    experiments = [run.get("experiment") or {} for run in view.scores.results.run["joined"]]
    return _differing(view, [_flat(experiment) for experiment in experiments])


def _answers(view: View) -> list[dict[str, Any]]:
    runs = [View(view.scores, run) for run in view.scores.results.run["names"]]
    limits = shared_limits(runs)
    found = []
    for verdict in verdicts(view):
        ladders = [_run_ladder(run, number, verdict.target, limits) for number, run in enumerate(runs)]
        between = _difference_picture(view, verdict.target)
        drawn = [*ladders, *([between] if between else [])]
        found.append({**verdict._asdict(), "pictures": drawn, "numbers": _numbers(view, verdict.target)})
    return found


def _run_ladder(run: View, number: int, target: str, limits: tuple[float, float]) -> Picture:
    drawn = ladder(run, target, limits, key=f"run{number + 1}")
    return {**drawn, "title": f"{run.run}: {drawn['title']}", "alt": f"Run {run.run}. {drawn['alt']}"}


def _difference_picture(view: View, target: str) -> Picture | None:
    rows = [
        Difference(pair.name, "", view.colours[pair.first], *view.scores.difference(pair.first, pair.second, target))
        for pair in pairs(view)
    ]
    if not rows:
        return None
    first, second = view.scores.results.run["names"]
    return differences(
        view,
        f"between-{view.targets.index(target)}",
        f"{first} minus {second}, {target}",
        f"Dot plot of the R² in {first} minus the R² in {second} for {len(rows)} encoders on {target}.",
        rows,
        subject=target,
        labels=[pair.first for pair in pairs(view)],
    )


def _verdict(view: View, target: str) -> Verdict:
    first, second = view.scores.results.run["names"]
    found = {
        pair: Difference(pair.name, "", "", *view.scores.difference(pair.first, pair.second, target))
        for pair in pairs(view)
        if not view.scores.is_reference(pair.first)
    }
    sentences = [_sentence(view, pair, row, target) for pair, row in found.items()]
    better = [pair for pair, row in found.items() if row.verdict == "better"]
    worse = [pair for pair, row in found.items() if row.verdict == "worse"]
    doubtful = [pair.name for pair in (*better, *worse) if _between(view, pair, target)["p_folds"] > LEVEL]
    claims = [
        *([f"Better in {first}: {listed([pair.name for pair in better])}."] if better else []),
        *([f"Better in {second}: {listed([pair.name for pair in worse])}."] if worse else []),
        *([f"Over folds not confirmed: {listed(doubtful)}."] if doubtful else []),
    ]
    if not found:
        claims = ["The two runs have no encoder in common."]
    return Verdict(target, " ".join(claims) or "No difference shown between the runs.", "", " ".join(sentences))


def _sentence(view: View, pair: Pair, row: Difference, target: str) -> str:
    first, second = view.scores.results.run["names"]
    values = [with_interval(*view.scores.r2(label, target)) for label in pair[1:]]
    said = "no difference shown" if row.verdict == "no difference shown" else f"{row.verdict} in {first}"
    return (
        f"{capitalised(pair.name)}: R² {values[0]} in {first}, {values[1]} in {second}; {said} "
        f"({with_sign(row.value, row.low, row.high)}){doubt(row.verdict, _between(view, pair, target)['p_folds'])}."
    )


def _between(view: View, pair: Pair, target: str) -> dict[str, Any]:
    """Both tests of an encoder in one run against itself in the other; NaN where there is none."""
    return {"p_songs": np.nan, "p_folds": np.nan} | view.scores.pair(pair.first, pair.second, target)


def _numbers(view: View, target: str) -> dict[str, Any]:
    """R2 of each common encoder in both runs, and the difference."""
    rows = []
    for pair in pairs(view):
        between = view.scores.difference(pair.first, pair.second, target)
        values = [tables.interval_text(*view.scores.r2(label, target)) for label in pair[1:]]
        tests = [tables.decimals(_between(view, pair, target)[name], 4) for name in ("p_songs", "p_folds")]
        between_text = tables.interval_text(*between, places=3)
        rows.append([pair.name, *values, between_text, verdict_words(between[1:]), *tests])
    first, second = view.scores.results.run["names"]
    columns = [
        "encoder",
        f"R² in {first}",
        f"R² in {second}",
        "difference",
        f"verdict on {first}",
        "p songs",
        "p folds",
    ]
    return tables.table(columns, rows, "lrrrlrr")


def _dataset_differences(view: View) -> dict[str, Any]:
    datasets = view.scores.results.dataset["runs"].values()
    return _differing(view, [{key: tables.plain(dataset.get(key)) for key in _DATASET_KEYS} for dataset in datasets])


def _version_differences(view: View) -> dict[str, Any]:
    kept = ("versions", "machine", "splits")
    runs = [{key: run.get(key) or {} for key in kept} for run in view.scores.results.run["joined"]]
    return _differing(view, [_flat(run) for run in runs])


def _differing(view: View, sides: list[dict[str, str]]) -> dict[str, Any]:
    first, second = sides
    rows = [
        [key, first.get(key, tables.MISSING), second.get(key, tables.MISSING)]
        for key in dict.fromkeys([*first, *second])
        if first.get(key) != second.get(key)
    ]
    return tables.table(["", *view.scores.results.run["names"]], rows, "lll")


def _flat(value: Mapping[str, Any]) -> dict[str, str]:
    """A nested mapping as dotted keys and texts; encoders go by their names, not by their place in the list."""
    encoders = value.get("encoders")
    if not isinstance(encoders, list):
        return {key: tables.plain(leaf) for key, leaf in tables.leaves(value)}
    others = {key: leaf for key, leaf in value.items() if key != "encoders"}
    named = {str(row.get("label") or row.get("name")): row for row in encoders}
    parts = {**others, "encoders": named}
    return {key: tables.plain(leaf) for key, leaf in tables.leaves(parts)}
