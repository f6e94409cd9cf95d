"""Loss against epochs: the first of the three founding pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from affekt.report.figures.style import GREY, LEGEND_ABOVE, SILENT, Picture, Trace, marked, picture, rounded
from affekt.report.tables import MISSING, decimals, table
from affekt.report.view import View

Curve = list[float | None]


def loss_picture(view: View, label: str) -> Picture | None:
    """Training and validation error against epochs; None for an encoder without epochs."""
    runs = _runs(view.scores.results.history, label)
    if not runs:
        return None
    traces, means = [], {}
    for part, name, shade in (("train_mse", "training", GREY), ("validation_mse", "validation", view.colours[label])):
        curves = [[row.get(part) for row in run] for run in runs]
        means[name] = _mean_curve(curves)
        traces += [_thin_lines(curves, shade), _mean_line(means[name], name, shade)]
    best = [row["epoch"] for run in runs for row in run if row.get("best")]
    kept = f" Kept epoch: median {np.median(best):.0f}, {min(best)} to {max(best)}." if best else ""
    n_epochs = max(map(len, means.values()))
    layout = {
        "xaxis": {"title": {"text": "epoch"}, "rangemode": "tozero", "nticks": 8},
        "yaxis": {"title": {"text": "MSE, standardised labels"}, "rangemode": "tozero"},
        "legend": LEGEND_ABOVE,
    }
    return picture(
        f"loss-{view.scores.results.labels.index(label)}",
        "Loss against epochs",
        f"Line chart of the mean squared error of {label} over {n_epochs} epochs.{kept}",
        {"data": traces, "layout": marked(view, layout, [label], named=True)},
        table(["epoch", *means], _rows(means, n_epochs), "rrr"),
        subject=label,
        caption=f"Thick: mean of {len(runs)} runs (folds and seeds). Thin: each run.{kept}",
    )


def _runs(history: list[dict[str, Any]], label: str) -> list[list[dict[str, Any]]]:
    """The epochs of each seed and fold of one encoder, in order."""
    runs: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for row in history:
        if row["encoder"] == label:
            runs.setdefault((row.get("seed"), row.get("fold")), []).append(row)
    return [sorted(run, key=lambda row: row["epoch"]) for run in runs.values()]


def _mean_curve(curves: list[Curve]) -> list[float]:
    # Where most runs have stopped early, the mean of the few that went on would show a jump that no run made.
    by_epoch = [[c[e] for c in curves if e < len(c)] for e in range(max(map(len, curves)))]
    known = [[value for value in values if value is not None] for values in by_epoch]
    return [float(np.mean(values)) for values in known if values and 2 * len(values) >= len(curves)]


def _thin_lines(curves: list[Curve], colour: str) -> Trace:
    # One trace for all runs, broken by a gap after each: a hundred traces would make the page slow.
    x = [e for curve in curves for e in [*range(1, len(curve) + 1), None]]
    y = [rounded(v, 4) for curve in curves for v in [*curve, None]]
    style = {"color": colour, "width": 1}
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": style, "opacity": 0.25} | SILENT


def _mean_line(mean: list[float], name: str, colour: str) -> Trace:
    dash = "dot" if name == "training" else "solid"
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(mean) < 2 else "lines",
        "name": name,
        "x": list(range(1, len(mean) + 1)),
        "y": [rounded(value, 4) for value in mean],
        "line": {"color": colour, "width": 3, "dash": dash},
        "hovertemplate": f"epoch %{{x}}: {name} %{{y}}<extra></extra>",
    }


def _rows(means: dict[str, list[float]], n_epochs: int) -> list[list[str]]:
    return [
        [str(e + 1), *(decimals(curve[e]) if e < len(curve) else MISSING for curve in means.values())]
        for e in range(n_epochs)
    ]
