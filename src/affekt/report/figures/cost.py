"""Accuracy against cost, and who is on the Pareto front: the most accurate of all that cost no more.

Costs span decades, so they stand on a logarithmic axis; zero (no parameters at all) has a place of its own at its left
end. The axis is made here, with ticks of its own, so that page and files show the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from affekt.report.figures.style import (
    GREY,
    SILENT,
    Picture,
    Trace,
    error_bar,
    escaped,
    marked,
    picture,
    rounded,
    short_name,
)
from affekt.report.placing import name_places
from affekt.report.tables import count, duration, interval_text, table
from affekt.report.view import View


def cost_pictures(view: View) -> list[Picture]:
    """R2 against seconds per song and against parameters, as far as two encoders at least have a cost to show."""
    questions: list[tuple[str, str, str, Callable[[str], float | None], Callable[[float | None], str]]] = [
        ("seconds", "Accuracy against time", "seconds per song", view.seconds_per_song, duration),
        ("parameters", "Accuracy against size", "parameters", view.n_parameters, count),
    ]
    found = [_cost_picture(view, *question) for question in questions]
    return [one for one in found if one is not None]


def front(costs: Mapping[str, float], r2: Mapping[str, float]) -> list[str]:
    """Encoders that no other beats at the same or a lower cost, cheapest first.

    Of two with the same cost and the same R2, both are on the front.
    """

    def dominated(label: str) -> bool:
        return any(
            costs[other] <= costs[label]
            and r2[other] >= r2[label]
            and (costs[other] < costs[label] or r2[other] > r2[label])
            for other in costs
        )

    return sorted((label for label in costs if not dominated(label)), key=lambda label: (costs[label], r2[label]))


def _cost_picture(
    view: View,
    key: str,
    title: str,
    what: str,
    cost_of: Callable[[str], float | None],
    worded: Callable[[float | None], str],
) -> Picture | None:
    rivals = [label for label in view.contenders if not view.scores.is_reference(label)]
    labels = [label for label in rivals if np.isfinite(view.mean_r2(label)[0])]
    costs = {label: float(cost) for label in labels if (cost := cost_of(label)) is not None}
    if len(costs) < 2:
        return None
    r2 = {label: view.mean_r2(label) for label in costs}
    best = front(costs, {label: triple[0] for label, triple in r2.items()})
    at = _positions(costs)
    ticks, names = _ticks(costs, worded)
    low, high = _limits(list(r2.values()))
    traces = [_front_trace(best, at, r2), *_points(view, at, r2, best, (low, high), costs, worded)]
    layout = {
        "xaxis": {
            "title": {"text": f"{what} (logarithmic)"},
            "tickvals": ticks,
            "ticktext": names,
            "range": [min(at.values()) - 0.35, max(at.values()) + 0.35],
            "zeroline": False,
        },
        "yaxis": {"title": {"text": _r2_words(view)}, "range": [low, high]},
        "showlegend": False,
    }
    missing = [label for label in labels if label not in costs]
    named = ", ".join(best)
    rows = [
        [label, worded(costs[label]), interval_text(*r2[label]), "yes" if label in best else "no"]
        for label in sorted(costs, key=lambda label: costs[label])
    ]
    return picture(
        f"cost-{key}",
        title,
        f"Scatter of R² against {what} for {len(costs)} encoders. On the Pareto front: {named}.",
        {"data": traces, "layout": marked(view, layout, costs)},
        table(["encoder", what, _r2_words(view), "on the front"], rows, "lrrl"),
        subject=key,
        caption=f"Upper left is better. Pareto front, cheapest first (nothing as cheap is more accurate): {named}."
        + (f" Not measured: {', '.join(missing)}." if missing else ""),
        height_px=400,
    )


def _r2_words(view: View) -> str:
    return "R², mean of targets" if len(view.targets) > 1 else f"R² for {escaped(view.targets[0])}"


def _positions(costs: Mapping[str, float]) -> dict[str, float]:
    """Logarithms; zero stands two thirds of a decade left of the smallest other cost."""
    logs = {label: float(np.log10(cost)) for label, cost in costs.items() if cost > 0}
    zero = min(logs.values(), default=0.0) - 2 / 3
    return {label: round(logs.get(label, zero), 4) for label in costs}


def _ticks(costs: Mapping[str, float], worded: Callable[[float | None], str]) -> tuple[list[float], list[str]]:
    """Decades and, within fewer than two of them, their 2s and 5s; "0" where an encoder costs nothing."""
    positive = [cost for cost in costs.values() if cost > 0]
    ticks, names = [], []
    if positive:
        low, high = np.log10(min(positive)) - 0.3, np.log10(max(positive)) + 0.3
        steps = (1,) if high - low > 2 else (1, 2, 5)
        values = [step * 10.0**decade for decade in range(int(np.floor(low)), int(np.ceil(high)) + 1) for step in steps]
        inside = [value for value in values if low <= np.log10(value) <= high]
        ticks, names = (
            [round(float(np.log10(value)), 4) for value in inside],
            [_brief(value, worded) for value in inside],
        )
    if len(positive) < len(costs):
        ticks, names = [min(_positions(costs).values()), *ticks], ["0", *names]
    return ticks, names


def _brief(value: float, worded: Callable[[float | None], str]) -> str:
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if worded is count and value >= size:
            return f"{value / size:g} {unit}"
    return worded(value)


def _limits(triples: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    ends = [end for triple in triples for end in triple if np.isfinite(end)]
    low, high = max(min(ends), -1.0), max(ends)
    room = max(0.12 * (high - low), 0.02)
    return round(low - room, 3), round(high + room, 3)


def _front_trace(best: Sequence[str], at: Mapping[str, float], r2: Mapping[str, tuple[float, float, float]]) -> Trace:
    """A staircase: up to the next encoder's cost, nothing better is to be had."""
    x: list[float] = []
    y: list[float | None] = []
    for label in best:
        if y:
            x, y = [*x, at[label]], [*y, y[-1]]
        x, y = [*x, at[label]], [*y, rounded(r2[label][0])]
    style = {"color": GREY, "width": 2, "dash": "dot"}
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": style} | SILENT


def _points(
    view: View,
    at: Mapping[str, float],
    r2: Mapping[str, tuple[float, float, float]],
    best: Sequence[str],
    limits: tuple[float, float],
    costs: Mapping[str, float],
    worded: Callable[[float | None], str],
) -> list[Trace]:
    names = {label: short_name(view, label, 18) for label in at}
    places = name_places(names, at, r2, best, limits)
    return [
        {
            "type": "scatter",
            "mode": "markers+text",
            "name": escaped(label),
            "x": [at[label]],
            "y": [rounded(max(r2[label][0], limits[0]))],
            "text": [escaped(names[label])],
            "textposition": places[label],
            "textfont": {"size": 12},
            "cliponaxis": False,
            "marker": _marker(view, label, label in best),
            "error_y": {**error_bar(*r2[label], view.colours[label]), "thickness": 1, "width": 0},
            "hovertemplate": f"{escaped(label)}<br>{worded(costs[label])}<br>R² {interval_text(*r2[label])}"
            "<extra></extra>",
        }
        for label in at
    ]


def _marker(view: View, label: str, on_front: bool) -> dict[str, Any]:
    shape = "diamond" if view.baseline(label) else "circle"
    symbol = shape if on_front else f"{shape}-open"
    return {"color": view.colours[label], "size": 13, "symbol": symbol, "line": {"width": 0 if on_front else 2}}
