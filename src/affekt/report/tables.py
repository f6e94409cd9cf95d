"""The tables of a report, prepared as plain text so that the page only has to print them.

Conventions: a table is a mapping of `columns`, `align` (a letter l or r for each column) and `rows` of texts; what is
missing is an en dash. Scores are on the data set's own scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from affekt.evaluation import metrics
from affekt.evaluation.over_time import MEASURES, OverTime
from affekt.evaluation.scores import with_ends
from affekt.report.view import View, song_name

MISSING = "–"
#: Songs that a page lists one by one.
MOST_SONGS = 100
#: With a true minus sign.
QUADRANTS = tuple(name.replace("-", "−") for name in metrics.QUADRANTS)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> dict[str, Any]:
    """A table as the page prints it."""
    return {"columns": list(columns), "rows": [list(row) for row in rows], "align": align}


def decimals(value: float | None, places: int = 2) -> str:
    """A number with fixed decimals, a dash where it is missing or not finite."""
    return MISSING if value is None or not np.isfinite(value) else f"{value:z.{places}f}"


def signed(value: float | None, places: int = 2) -> str:
    """A difference with its sign: '+0.05', '-0.05'."""
    return MISSING if value is None or not np.isfinite(value) else f"{value:+z.{places}f}"


def interval_text(value: float, low: float, high: float, places: int = 2) -> str:
    """A value with its interval, or alone where there is none: '0.52 [0.47, 0.57]'."""
    middle, *ends = (decimals(number, places) for number in (value, low, high))
    return middle if not np.isfinite(low) else f"{middle} [{', '.join(ends)}]"


def percent(share: float) -> str:
    """A share of 1 as whole per cent; a dash where it is not finite."""
    return f"{100 * share:.0f} %" if np.isfinite(share) else MISSING


def count(value: float | None) -> str:
    """A whole number with thin spaces between thousands."""
    return MISSING if value is None else f"{value:,.0f}".replace(",", "\u202f")


def duration(seconds: float | None) -> str:
    """Seconds in the unit that a reader expects."""
    if seconds is None or not np.isfinite(seconds):
        return MISSING
    if 0 < seconds < 0.002:
        return f"{1000 * seconds:.2g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def comparison(view: View) -> dict[str, Any]:
    """All scores with intervals: a group of rows for each target, and one for their mean."""
    order = view.order
    by_name = {(row["encoder"], row["target"]): row for row in view.rows}
    groups: list[dict[str, Any]] = []
    for target in view.targets:
        best = view.best(target)
        rows = [_comparison_row(label, by_name[label, target]) for label in order]
        groups.append({"name": target, "rows": rows, "best": None if best is None else order.index(best)})
    if len(groups) > 1:
        averages = [view.averaged_row(label) for label in order]
        rows = [_comparison_row(*pair) for pair in zip(order, averages, strict=True)]
        groups.append({"name": "mean of the targets", "rows": rows, "best": None if groups[0]["best"] is None else 0})
    columns = ["encoder", "R²", "R² over mean", "RMSE", "MAE", "Pearson r", "Spearman ρ", "CCC"]
    return {"columns": columns, "align": "lrrrrrrr", "groups": groups}


def over_time(view: View, found: OverTime, pooled: bool = False) -> dict[str, Any]:
    """RMSE, r and CCC within songs and averaged, or of all moments together; each with its interval."""
    rows = [
        [
            target,
            label,
            *(interval_text(*found.value(label, m, target, pooled), 3 if m == "rmse" else 2) for m in MEASURES),
        ]
        for target in view.targets
        for label in [*found.ranking(target), *(e for e in found.encoders if e not in found.ranking(target))]
    ]
    return table(["target", "encoder", "RMSE", "Pearson r", "CCC"], rows, "llrrr")


def songs_over_time(view: View, found: OverTime, at_most: int = MOST_SONGS) -> dict[str, Any]:
    """Pearson's r and CCC within each of the first songs, target by target, seeds averaged."""
    values = {label: metrics.mean_over_seeds(found.per_song[label]) for label in found.encoders}
    at = [MEASURES.index(measure) for measure in ("pearson", "ccc")]
    rows = [
        [song_name(song), target, *(" / ".join(decimals(values[e][i, k, c]) for k in at) for e in found.encoders)]
        for i, song in enumerate(view.songs[:at_most])
        for c, target in enumerate(view.targets)
    ]
    return table(["song", "target", *found.encoders], rows, "ll" + "r" * len(found.encoders))


def pairs(view: View) -> dict[str, Any]:
    """Every two encoders on every target: difference, verdict and tests."""
    rows = [
        [
            row["target"],
            f"{row['first']} against {row['second']}",
            interval_text(row["difference"], row["low"], row["high"]),
            row["verdict"],
            *(decimals(row[name], 4) for name in ("p_songs", "p_songs_holm", "p_folds", "p_folds_holm")),
        ]
        for row in view.pairs
    ]
    columns = ["target", "encoders", "difference of R²", "verdict", "p songs", "Holm", "p folds", "Holm"]
    return table(columns, rows, "llrlrrrr")


def quadrants(view: View) -> dict[str, Any] | None:
    """How often the quadrant is right; None where valence and arousal are not both among the targets."""
    if view.scores.quadrants is None:
        return None
    rows = [
        [label, *(_percent_interval(*view.scores.quadrant_score(label, name)) for name in metrics.QUADRANT_SCORES)]
        for label in view.order
    ]
    return table(["encoder", "accuracy", "balanced accuracy", "macro F1"], rows, "lrrr")


def ceilings(view: View) -> dict[str, Any] | None:
    """How much of what raters agree on the best encoder reaches; None where no ceiling is known."""
    rows = []
    for target in view.targets:
        highest, ranking = view.ceiling.get(target), view.ranking(target)
        if highest is None or not ranking:
            continue
        value, low, high = view.scores.r2(ranking[0], target)
        share = percent(value / highest) if highest > 0 else MISSING
        rows.append(
            [target, decimals(highest), ranking[0], interval_text(value, low, high), share, decimals(highest - value)]
        )
    columns = ["target", "ceiling R²", "best encoder", "its R²", "reached", "still open"]
    return table(columns, rows, "lrlrrr") if rows else None


def costs(view: View) -> dict[str, Any]:
    """What each encoder costs."""
    rows = []
    for label in view.order:
        cost = view.cost(label)
        rows.append(
            [
                label,
                duration(view.seconds_per_song(label)),
                duration(cost.get("extraction_s_per_song")),
                duration(cost.get("prediction_s_per_song")),
                count(view.n_parameters(label)),
                count(cost.get("n_trainable", view.described[label].get("n_trainable"))),
                duration(cost.get("training_s")),
                count(cost.get("n_extracted")),
                count(cost.get("n_reused")),
            ]
        )
    columns = [
        *("encoder", "per song", "extraction", "prediction", "parameters", "trained", "training in all"),
        *("extracted", "reused"),
    ]
    return table(columns, rows, "l" + "r" * 8)


def fold_scores(view: View) -> dict[str, Any] | None:
    """R2 of each fold, a row for each seed because each may have drawn its own folds; None with a single run."""
    by_encoder = {label: view.scores.fold_r2(label) for label in view.order}
    keys = {key for found in by_encoder.values() for key in found}
    folds = sorted({fold for _, fold in keys})
    if len(keys) < 2:
        return None
    undefined = np.full(len(view.targets), np.nan)
    rows = [
        [label, target, str(run), *(decimals(by_encoder[label].get((run, fold), undefined)[column]) for fold in folds)]
        for label in view.order
        for column, target in enumerate(view.targets)
        for run in view.scores.seeds[label]
    ]
    return table(["encoder", "target", "seed", *(f"fold {fold}" for fold in folds)], rows, "llr" + "r" * len(folds))


def encoders(described: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What each encoder is: a row for each property that any of them has."""
    keys = [key for key in dict.fromkeys(key for encoder in described for key in encoder) if key != "label"]
    rows = [[key, *(plain(encoder.get(key)) for encoder in described)] for key in keys]
    return table(["", *(encoder["label"] for encoder in described)], rows, "l" * (len(described) + 1))


def properties(value: Mapping[str, Any]) -> dict[str, Any]:
    """A nested mapping as rows of dotted key and value."""
    return table(["", ""], [[key, plain(leaf)] for key, leaf in leaves(value)], "ll")


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


def leaves(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """A nested mapping as pairs of dotted key and value."""
    found: list[tuple[str, Any]] = []
    for key, leaf in value.items():
        nested = isinstance(leaf, Mapping) and leaf
        found += leaves(leaf, f"{prefix}{key}.") if nested else [(f"{prefix}{key}", leaf)]
    return found


def _percent_interval(value: float, low: float, high: float) -> str:
    return f"{percent(value)} [{percent(low)}, {percent(high)}]" if np.isfinite(low) else percent(value)


def _comparison_row(label: str, row: Mapping[Any, Any]) -> list[str]:
    def with_interval(name: str) -> str:
        return interval_text(*(row.get(key, np.nan) for key in with_ends(name)))

    return [label, *map(with_interval, ("r2", "r2_minus_mean", "rmse", "mae", "pearson", "spearman", "ccc"))]
