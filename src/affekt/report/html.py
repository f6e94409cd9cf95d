"""The report: one HTML file that holds everything it shows and opens without a network.

Conventions: what a page says is first prepared as plain data (`report_data`: text, numbers, None, nothing else), then
printed by a template that decides nothing. Titles of songs and names of encoders come from outside and are escaped by
the template; a content security policy in the page forbids any request to a host. plotly.js stands in the file once.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from affekt.evaluation.metrics import valence_arousal_columns
from affekt.evaluation.results import Results
from affekt.evaluation.scores import Scores, score
from affekt.evaluation.statistics import SCORES
from affekt.files import write_text
from affekt.report import figures, tables

RESULTS_NAME = "results.json"


def write_report(results: Results | Path | str, out_path: Path) -> Path:
    """Write the report of a comparison.

    Args:
        results: a comparison, its `results.json`, or the run folder that holds one.
        out_path: the file to write.

    Returns:
        `out_path`.

    Raises:
        DataError: the results cannot be read or scored.
        StorageError: the file cannot be written.
    """
    if not isinstance(results, Results):
        path = Path(results)
        results = Results.load(path / RESULTS_NAME if path.is_dir() else path)
    out_path = Path(out_path)
    write_text(out_path, render(report_data(results)))
    return out_path


def render(data: dict[str, Any]) -> str:
    """The page, from what `report_data` prepared."""
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("affekt.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(**data, plotly_js=Markup(get_plotlyjs()))


def report_data(results: Results) -> dict[str, Any]:
    """Everything the page says, in the order in which it says it.

    Raises:
        DataError: the results cannot be scored.
    """
    scores = score(results)
    order = _best_first(scores)
    ceiling = _ceiling(results)
    sections = [_encoder_section(scores, label) for label in order]
    overview = [figures.r2_picture(scores, target, order, ceiling.get(target)) for target in results.targets]
    seconds = {row["encoder"]: row.get("extraction_s_per_song") for row in results.cost}
    cost = figures.cost_picture(scores, order, seconds)
    pictures = [*overview, *([cost] if cost else []), *(p for section in sections for p in section["pictures"])]
    return {
        **_heading(scores),
        "verdicts": [dict(zip(("target", "text"), s.split(": ", 1), strict=True)) for s in scores.headline()],
        "score_notes": [*_control(results), *scores.notes],
        "comparison": tables.comparison(scores, order),
        "overview": overview,
        "pairs": tables.pairs(scores) if len(order) > 1 else None,
        "folds": tables.fold_scores(scores, order),
        "ceilings": tables.ceilings(scores, ceiling),
        "costs": tables.costs(scores, order),
        "cost_picture": cost,
        "errors": tables.errors_by_group(scores, order, figures.scale_centre(scores)),
        "sections": sections,
        "colours": figures.colours(results.labels),
        "weights": {encoder["label"]: tables.plain(encoder.get("weights")) for encoder in results.encoders},
        "run": _run(results),
        "drawings": {picture["id"]: picture["figure"] for picture in pictures},
        "song_names": figures.song_names(scores),
    }


def _heading(scores: Scores) -> dict[str, Any]:
    dataset = scores.results.dataset
    n_encoders, n_seeds = len(scores.encoders), len(scores.results.seeds)
    n_folds = max(len(np.unique(folds[folds >= 0])) for folds in scores.folds.values())
    facts = [
        _counted(len(scores.song_ids), "song"),
        _counted(n_encoders, "encoder"),
        _counted(n_folds, "fold"),
        _counted(n_seeds, "seed"),
        "targets: " + ", ".join(scores.results.targets),
    ]
    name = tables.plain((scores.results.run.get("experiment") or {}).get("name", dataset.get("name")))
    # "folder" is how the songs were read and says nothing about them; the experiment's name does.
    about = name if dataset.get("name") == "folder" else tables.plain(dataset.get("name"))
    return {
        "dataset": about,
        "name": name,
        "synthetic": bool(dataset.get("synthetic")),
        "facts": facts,
        "dataset_notes": list(dataset.get("notes") or []),
    }


def _control(results: Results) -> list[str]:
    if not (results.run.get("experiment") or {}).get("permute_labels"):
        return []
    return ["Control run: the labels were shuffled among the songs. No encoder should reach an R² above 0."]


def _best_first(scores: Scores) -> list[str]:
    """Encoders by R2 averaged over targets; those without a defined one last, in the experiment's order."""
    mean_r2 = scores.averaged.value[:, SCORES.index("r2")]
    return [scores.encoders[i] for i in np.argsort(np.where(np.isnan(mean_r2), np.inf, -mean_r2), kind="stable")]


def _ceiling(results: Results) -> dict[str, float | None]:
    """The highest possible R2 of each target, as far as the data set records it: a list, or a mapping by target."""
    recorded = results.dataset.get("ceiling")
    if not recorded:
        return {}
    return dict(recorded) if isinstance(recorded, dict) else dict(zip(results.targets, recorded, strict=False))


def _encoder_section(scores: Scores, label: str) -> dict[str, Any]:
    columns = valence_arousal_columns(scores.results.targets)
    loss = figures.loss_picture(scores, label)
    pictures = [loss] if loss else []
    if columns:
        pictures.append(figures.scatter_picture(scores, label, columns))
        pictures.append(figures.confusion_picture(scores, label, columns))
    others = [c for c in range(len(scores.results.targets)) if columns is None or c not in columns]
    pictures += [figures.target_picture(scores, label, column) for column in others]
    encoder = next(encoder for encoder in scores.results.encoders if encoder["label"] == label)
    shown = ("input", "weights", "freeze", "head", "embedding_dim")
    facts = [(key.replace("_", " "), tables.plain(encoder[key])) for key in shown if encoder.get(key) is not None]
    head = tables.plain(encoder.get("head"))
    no_epochs = (
        None if loss else f"There are no epochs to show: the head ({head}) is fitted in one step, in closed form."
    )
    return {"label": label, "facts": facts, "pictures": pictures, "no_epochs": no_epochs}


def _run(results: Results) -> dict[str, Any]:
    dataset = {key: value for key, value in results.dataset.items() if key not in ("notes", "left_out")}
    run = {key: value for key, value in results.run.items() if key != "experiment"}
    experiment = results.run.get("experiment")
    skipped = _left_out(results)
    reasons = Counter(row[2] for row in skipped).most_common()
    return {
        "dataset": tables.properties(dataset),
        "encoders": tables.encoders(results.encoders),
        "experiment": yaml.safe_dump(experiment, sort_keys=False, allow_unicode=True) if experiment else None,
        "machine": tables.properties({"seeds": results.seeds, **run}),
        "reasons": [f"{_counted(n, 'song')}: {reason}" for reason, n in reasons],
        "n_skipped": len(skipped),
        "skipped": tables.table(["song", "file", "reason"], skipped, "lll"),
    }


def _left_out(results: Results) -> list[list[str]]:
    """Id, file and reason of every song without a score: skipped in the run, or left out by the data set as a group."""
    skipped = [[tables.plain(row.get(key)) for key in ("song_id", "path", "reason")] for row in results.skipped]
    groups = results.dataset.get("left_out") or []
    absent = [[str(song), tables.MISSING, str(group["reason"])] for group in groups for song in group["song_ids"]]
    return skipped + absent


def _counted(n: int, noun: str) -> str:
    return f"{tables.count(n)} {noun}" + ("" if n == 1 else "s")
