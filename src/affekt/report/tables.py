"""The tables of a report, prepared as plain text so that the page only has to print them.

Conventions: a table is a mapping of `columns`, `align` (a letter l or r for each column) and `rows` of texts; what is
missing is an en dash. Scores are on the data set's own scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from affekt.evaluation import metrics
from affekt.evaluation.scores import REFERENCE, Scores
from affekt.evaluation.statistics import SCORES

MISSING = "–"

_MOST_GROUPS = 15
_FEWEST_SONGS = 5


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> dict[str, Any]:
    """A table as the page prints it."""
    return {"columns": list(columns), "rows": [list(row) for row in rows], "align": align}


def decimals(value: float | None, places: int = 2) -> str:
    """A number with fixed decimals, a dash where it is missing or not finite."""
    return MISSING if value is None or not np.isfinite(value) else f"{value:z.{places}f}"


def interval_text(value: float, low: float, high: float) -> str:
    """A value with its interval, or alone where there is none: '0.52 [0.47, 0.57]'."""
    return decimals(value) if not np.isfinite(low) else f"{decimals(value)} [{decimals(low)}, {decimals(high)}]"


def percent(share: float) -> str:
    """A share of 1 as whole per cent."""
    return f"{100 * share:.0f} %"


def count(value: float | None) -> str:
    """A whole number with thin spaces between thousands."""
    return MISSING if value is None else f"{value:,.0f}".replace(",", "\u202f")


def duration(seconds: float | None) -> str:
    """Seconds in the unit that a reader expects."""
    if seconds is None or not np.isfinite(seconds):
        return MISSING
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def comparison(scores: Scores, order: Sequence[str]) -> dict[str, Any]:
    """All scores with intervals: a group of rows for each target, and one for their mean."""
    by_name = {(row["encoder"], row["target"]): row for row in scores.table().to_dict("records")}
    groups: list[dict[str, Any]] = []
    for target in scores.results.targets:
        best = next((order.index(label) for label in scores.ranking(target)), None)
        rows = [_comparison_row(label, by_name[label, target]) for label in order]
        groups.append({"name": target, "rows": rows, "best": best})
    if len(groups) > 1:
        averages = [_averaged(scores, e, [by_name[e, target] for target in scores.results.targets]) for e in order]
        rows = [_comparison_row(*pair) for pair in zip(order, averages, strict=True)]
        groups.append({"name": "mean of the targets", "rows": rows, "best": 0})
    columns = ["encoder", "R²", "R² over mean", "RMSE", "MAE", "Pearson r", "Spearman ρ", "CCC"]
    return {"columns": columns, "align": "lrrrrrrr", "groups": groups}


def pairs(scores: Scores) -> dict[str, Any]:
    """Every two encoders on every target: difference, verdict and tests."""
    rows = [
        [
            row["target"],
            f"{row['first']} against {row['second']}",
            interval_text(row["difference"], row["low"], row["high"]),
            row["verdict"],
            *(decimals(row[name], 4) for name in ("p_songs", "p_songs_holm", "p_folds", "p_folds_holm")),
        ]
        for row in scores.pairs().to_dict("records")
    ]
    columns = ["target", "encoders", "difference of R²", "verdict", "p songs", "Holm", "p folds", "Holm"]
    return table(columns, rows, "llrlrrrr")


def ceilings(scores: Scores, ceiling: Mapping[str, float | None]) -> dict[str, Any] | None:
    """How much of what raters agree on the best encoder reaches; None where no ceiling is known."""
    rows = []
    for target in scores.results.targets:
        highest, ranking = ceiling.get(target), scores.ranking(target)
        if highest is None or not ranking:
            continue
        value, low, high = scores.r2(ranking[0], target)
        share = percent(value / highest) if highest > 0 else MISSING
        rows.append(
            [target, decimals(highest), ranking[0], interval_text(value, low, high), share, decimals(highest - value)]
        )
    columns = ["target", "ceiling R²", "best encoder", "its R²", "reached", "still open"]
    return table(columns, rows, "lrlrrr") if rows else None


def costs(scores: Scores, order: Sequence[str]) -> dict[str, Any]:
    """What each encoder costs."""
    by_label = {row["encoder"]: row for row in scores.results.cost}
    described = {encoder["label"]: encoder for encoder in scores.results.encoders}
    rows = []
    for label in order:
        cost, encoder = by_label.get(label, {}), described[label]
        rows.append(
            [
                label,
                count(cost.get("n_parameters", encoder.get("n_parameters"))),
                count(cost.get("n_trainable", encoder.get("n_trainable"))),
                duration(cost.get("extraction_s_per_song")),
                count(cost.get("n_extracted")),
                count(cost.get("n_reused")),
                duration(cost.get("training_s")),
            ]
        )
    columns = ["encoder", "parameters", "trained", "extraction per song", "extracted", "reused", "training in all"]
    return table(columns, rows, "lrrrrrr")


def errors_by_group(scores: Scores, order: Sequence[str], centre: float) -> dict[str, Any] | None:
    """RMSE over all targets for the songs of each annotated quadrant, genre and part; None with nothing to split by."""
    rows = []
    for kind, names in _groupings(scores, centre).items():
        for name, chosen in _largest(names):
            squares = [metrics.mean_over_seeds((scores.y_pred[e] - scores.y_true) ** 2)[chosen] for e in order]
            error = [
                np.sqrt(np.mean(square[~np.isnan(square)])) if np.isfinite(square).any() else None for square in squares
            ]
            rows.append([kind, name, count(chosen.sum()), *map(decimals, error)])
    return table(["by", "group", "songs", *order], rows, "llr" + "r" * len(order)) if rows else None


def fold_scores(scores: Scores, order: Sequence[str]) -> dict[str, Any] | None:
    """R2 of each fold, a row for each seed because each may have drawn its own folds; None with a single run."""
    by_encoder = {label: scores.fold_r2(label) for label in order}
    keys = {key for found in by_encoder.values() for key in found}
    folds = sorted({fold for _, fold in keys})
    if len(keys) < 2:
        return None
    undefined = np.full(len(scores.results.targets), np.nan)
    rows = [
        [label, target, str(run), *(decimals(by_encoder[label].get((run, fold), undefined)[column]) for fold in folds)]
        for label in order
        for column, target in enumerate(scores.results.targets)
        for run in scores.seeds[label]
    ]
    return table(["encoder", "target", "seed", *(f"fold {fold}" for fold in folds)], rows, "llr" + "r" * len(folds))


def encoders(described: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What each encoder is: a row for each property that any of them has."""
    keys = [key for key in dict.fromkeys(key for encoder in described for key in encoder) if key != "label"]
    rows = [[key, *(plain(encoder.get(key)) for encoder in described)] for key in keys]
    return table(["", *(encoder["label"] for encoder in described)], rows, "l" * (len(described) + 1))


def properties(value: Mapping[str, Any]) -> dict[str, Any]:
    """A nested mapping as rows of dotted key and value."""
    return table(["", ""], [[key, plain(leaf)] for key, leaf in _leaves(value)], "ll")


def plain(value: Any) -> str:
    """Any value of a results file as one line of text."""
    if value is None or value == "" or value == []:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(leaf)}" for key, leaf in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    if isinstance(value, int):
        return count(value) if abs(value) >= 100_000 else str(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _comparison_row(label: str, row: Mapping[Any, Any]) -> list[str]:
    def with_interval(name: str) -> str:
        return interval_text(*(row.get(f"{name}{end}", np.nan) for end in ("", "_low", "_high")))

    intervals = map(with_interval, ("r2", "r2_minus_mean"))
    errors = (decimals(row.get(name)) for name in ("rmse", "mae"))
    return [label, *intervals, *errors, with_interval("pearson"), decimals(row.get("spearman")), with_interval("ccc")]


def _averaged(scores: Scores, label: str, rows: Sequence[Mapping[Any, Any]]) -> dict[str, float]:
    """A row of the comparison for the mean over targets, from the rows of the targets."""
    k = scores.encoders.index(label)
    ends = list(zip(("", "_low", "_high"), scores.averaged, strict=True))
    row = {f"{name}{end}": float(values[k, s]) for end, values in ends for s, name in enumerate(SCORES)}
    if REFERENCE in scores.encoders and label != REFERENCE:
        difference = scores.difference(label, REFERENCE)
        row |= {f"r2_minus_mean{end}": value for (end, _), value in zip(ends, difference, strict=True)}
    return row | {"spearman": float(np.mean([row["spearman"] for row in rows]))}


def _groupings(scores: Scores, centre: float) -> dict[str, list[str | None]]:
    by_id = {song["id"]: song for song in scores.results.songs}
    groupings: dict[str, list[str | None]] = {}
    columns = metrics.valence_arousal_columns(scores.results.targets)
    if columns:
        quadrants = metrics.quadrants(scores.y_true[:, columns], centre=centre)
        groupings["quadrant"] = [metrics.QUADRANTS[q].replace("-", "−") for q in quadrants]
    for key in ("genre", "part"):
        groupings[key] = [by_id[i].get(key) for i in scores.song_ids]
    return groupings


def _largest(names: Sequence[str | None]) -> list[tuple[str, np.ndarray]]:
    values = np.array(["" if name is None else str(name) for name in names])
    unique, sizes = np.unique(values[values != ""], return_counts=True)
    by_size = sorted(zip(unique, sizes, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return [(str(name), values == name) for name, size in by_size[:_MOST_GROUPS] if size >= _FEWEST_SONGS]


def _leaves(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, leaf in value.items():
        nested = isinstance(leaf, Mapping) and leaf
        found += _leaves(leaf, f"{prefix}{key}.") if nested else [(f"{prefix}{key}", leaf)]
    return found
