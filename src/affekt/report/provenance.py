"""What exactly was run, and how to run it again: experiment, splits, budgets, what was chosen, versions."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from affekt.evaluation.results import Results
from affekt.report import tables
from affekt.report.view import View


def provenance(view: View) -> dict[str, Any]:
    """Everything that the section "Exactly what was run" shows, as text and tables."""
    results = view.scores.results
    dataset = {key: value for key, value in results.dataset.items() if key not in ("notes", "left_out")}
    run = {key: value for key, value in results.run.items() if key not in ("experiment", "splits")}
    skipped = left_out(results)
    reasons = Counter(row[2] for row in skipped).most_common()
    return {
        "again": run_again(view),
        "dataset": tables.properties(dataset),
        "dataset_notes": [str(note) for note in results.dataset.get("notes") or []],
        "splits": _splits(results),
        "budget": budget(view),
        "chosen": chosen(view),
        "encoders": tables.encoders([view.described[label] for label in results.labels]),
        "machine": tables.properties({"seeds": results.seeds, **run}),
        "reasons": [f"{counted(n, 'song')}: {reason}" for reason, n in reasons],
        "n_skipped": len(skipped),
        "skipped": tables.table(["song", "file", "reason"], skipped, "lll"),
    }


def run_again(view: View) -> dict[str, Any]:
    """The resolved experiment and the commands that run it; without commands where songs came from a program."""
    experiment = view.experiment
    if not experiment:
        return {"file_name": None, "experiment": None, "commands": []}
    file_name = f"{view.name}.yaml"
    loaded = bool((experiment.get("dataset") or {}).get("loaded"))
    folder = f"runs/{view.name}-again"
    commands = [
        shlex.join(["affekt", "compare", file_name, "--out", folder]),
        shlex.join(["affekt", "report", folder]),
    ]
    return {
        "file_name": file_name,
        "experiment": yaml.safe_dump(experiment, sort_keys=False, allow_unicode=True, width=100),
        "commands": [] if loaded else commands,
    }


def budget(view: View) -> list[str]:
    """How much each encoder was given, in sentences."""
    results, experiment = view.scores.results, view.experiment
    folds = Counter((row["encoder"], row["seed"]) for row in results.fits)
    found = []
    if folds:
        sizes = sorted(set(folds.values()))
        n_folds = " or ".join(map(str, sizes))
        found.append(f"Every encoder was fitted {n_folds} times for each of {counted(len(results.seeds), 'seed')}.")
    search = experiment.get("search") or {}
    if search.get("trials"):
        space = "; ".join(f"{key} in {tables.plain(values)}" for key, values in search.get("space", {}).items())
        found.append(
            f"Search: up to {search['trials']} settings tried in each fold by every trained encoder, the same for all, "
            f"chosen by validation error. Space: {space}."
        )
    elif experiment:
        found.append("No search: trained encoders use the settings of the experiment; ridge chooses its own strength.")
    return found


def chosen(view: View) -> dict[str, Any] | None:
    """What validation songs decided in each fit; None where nothing is recorded."""
    fits = [row for row in view.scores.results.fits if row.get("chosen")]
    if not fits:
        return None
    rows = [
        [
            row["encoder"],
            str(row["seed"]),
            str(row["fold"]),
            *(tables.count(row.get(key)) for key in ("n_train", "n_validation", "n_test")),
            tables.duration(row.get("training_s")),
            tables.plain(row["chosen"]),
        ]
        for row in fits
    ]
    columns = ["encoder", "seed", "fold", "songs trained on", "for validation", "tested", "training", "chosen"]
    return tables.table(columns, rows, "lrrrrrrl")


def left_out(results: Results) -> list[list[str]]:
    """Id, file and reason of every song without a score: skipped in the run, or left out by the data set as a group."""
    skipped = [[tables.plain(row.get(key)) for key in ("song_id", "path", "reason")] for row in results.skipped]
    groups: Sequence[Mapping[str, Any]] = results.dataset.get("left_out") or []
    absent = [[str(song), tables.MISSING, str(group["reason"])] for group in groups for song in group["song_ids"]]
    return skipped + absent


def counted(n: int, noun: str) -> str:
    """A number of things."""
    return f"{tables.count(n)} {noun}" + ("" if n == 1 else "s")


def _splits(results: Results) -> list[str]:
    rules = results.run.get("splits") or {}
    return [f"Seed {seed}: {rule}." for seed, rule in rules.items()]
