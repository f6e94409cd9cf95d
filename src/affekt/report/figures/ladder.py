"""The picture that answers first: every encoder's R2 on one target with its interval, best on top, under the ceiling.

Also differences on a ladder of their own, around zero: what pretraining adds, main effects, one run against another.
Filled marks are encoders that compete; hollow ones are there to compare with, baselines as diamonds, untrained twins as
circles in their parent's colour on a step of their own below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from affekt.evaluation.statistics import verdict_words
from affekt.report.figures.style import (
    GREY,
    Picture,
    Trace,
    error_bar,
    escaped,
    line,
    marked,
    note,
    picture,
    rounded,
    shortened,
    small,
)
from affekt.report.tables import decimals, interval_text, signed, table
from affekt.report.view import View

Triple = tuple[float, float, float]

# Beyond this, R2 is drawn at the edge: one hopeless encoder must not squeeze all others into a line.
_LOWEST_R2 = -1.0
_STEP_PX, _TWIN_STEP = 50, 0.75


class Difference(NamedTuple):
    """One step of a ladder of differences, with the ends of its interval."""

    name: str
    about: str  # below the name, in small
    colour: str
    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """In the words of every verdict."""
        return verdict_words((self.low, self.high))


def ladder(view: View, target: str, limits: tuple[float, float] | None = None, key: str = "ladder") -> Picture:
    """R2 of every encoder on one target, best first, with its interval and the ceiling.

    Args:
        view: the comparison.
        target: one of its targets.
        limits: of the axis, where several ladders share one; its own by default.
        key: begins the picture's id.
    """
    steps = _steps(view, target)
    values = {label: view.scores.r2(label, target) for label in steps}
    ceiling = view.ceiling.get(target)
    low, high = limits or r2_limits(values.values(), ceiling)
    bottom = max(steps.values(), default=0.0)
    layout = {
        "xaxis": {"title": {"text": "R², 95 % interval"}, "range": [low, high], "zeroline": True},
        "yaxis": {
            "tickvals": list(steps.values()),
            "ticktext": [_step_name(view, target, label) for label in steps],
            "range": [bottom + 0.6, -0.75],
            "showgrid": False,
            "zeroline": False,
        },
        "showlegend": False,
        "shapes": [] if ceiling is None else [line(x=(ceiling, ceiling), y=(0, 1), yref="paper", dash="dash")],
        "annotations": []
        if ceiling is None
        else [note(f"ceiling {ceiling:.2f}", ceiling, _anchor(ceiling, low, high))],
    }
    traces = [score_trace(view, label, at, values[label], low) for label, at in steps.items()]
    best = next(iter(view.ranking(target)), None)
    said = f" The highest is {view.title(best)} with {interval_text(*values[best])}." if best else ""
    limit = "" if ceiling is None else f" The ceiling is {ceiling:.2f}."
    rows = [[view.title(label), ", ".join(view.roles(label)), *map(decimals, values[label])] for label in steps]
    return picture(
        f"{key}-{view.targets.index(target)}",
        f"R² for {target}",
        f"Dot plot of R² with 95 % intervals for {len(steps)} encoders on {target}, best first.{said}{limit}",
        {"data": traces, "layout": marked(view, layout)},
        table(["encoder", "role", "R²", "low", "high"], rows, "llrrr"),
        subject=target,
        height_px=round(118 + _STEP_PX * (bottom + 1)),
    )


def differences(
    view: View,
    key: str,
    title: str,
    alt: str,
    rows: Sequence[Difference],
    *,
    subject: str = "",
    labels: Iterable[str] = (),
) -> Picture:
    """Differences of R2 with their intervals around zero; filled where the interval leaves zero out."""
    ends = [0.0, *(end for row in rows for end in row[3:] if np.isfinite(end))]
    room = max(0.02, 0.1 * (max(ends) - min(ends)))
    layout = {
        "xaxis": {
            "title": {"text": "difference of R²,<br>95 % interval"},
            "range": [rounded(min(ends) - room), rounded(max(ends) + room)],
            "zeroline": True,
        },
        "yaxis": {
            "tickvals": list(range(len(rows))),
            "ticktext": [_lines(row.name, [row.about] if row.about else []) for row in rows],
            "range": [len(rows) - 0.4, -0.75],
            "showgrid": False,
            "zeroline": False,
        },
        "showlegend": False,
    }
    cells = [[f"{row.name}, {row.about}" if row.about else row.name, *_numbers(row), row.verdict] for row in rows]
    return picture(
        key,
        title,
        alt,
        {"data": [_difference_trace(row, at) for at, row in enumerate(rows)], "layout": marked(view, layout, labels)},
        table(["", "difference", "low", "high", "verdict"], cells, "lrrrl"),
        subject=subject,
        caption="Filled: the interval leaves zero out. Hollow: no difference shown.",
        height_px=116 + _STEP_PX * len(rows),
    )


def shared_limits(views: Sequence[View]) -> tuple[float, float]:
    """An axis on which the ladders of all targets can be read side by side."""
    pairs = [(view, target) for view in views for target in view.targets]
    triples = [view.scores.r2(label, target) for view, target in pairs for label in view.order]
    ceilings = [view.ceiling[target] for view, target in pairs if target in view.ceiling]
    return r2_limits(triples, max(ceilings, default=None))


def r2_limits(values: Iterable[Triple], ceiling: float | None) -> tuple[float, float]:
    """An axis that shows zero, all intervals down to the lowest R2 that is drawn, and the ceiling."""
    ends = [end for triple in values for end in triple if np.isfinite(end)]
    return max(min([0.0, *ends]), _LOWEST_R2) - 0.04, max([0.1, *ends, ceiling or 0.0]) + 0.06


def _steps(view: View, target: str) -> dict[str, float]:
    """Where each encoder stands, counted from the top: twins right below their parents, undefined ones last."""
    ranking = view.ranking(target)
    defined = [label for label in ranking if view.parent(label) not in ranking]
    steps: dict[str, float] = {}
    at = -1.0
    for label in [*defined, *(label for label in view.order if label not in ranking)]:
        at += 1
        steps[label] = at
        twin = view.twin(label)
        if twin in ranking and label in ranking:
            at += _TWIN_STEP
            steps[twin] = at
    return steps


def _step_name(view: View, target: str, label: str) -> str:
    """The encoder's name; below it in small what it is and whether it is told from the best."""
    if view.parent(label) in view.ranking(target):
        return small("untrained twin")
    best = next(iter(view.ranking(target)), label)
    tied = label != best and verdict_words(view.scores.difference(best, label, target)[1:]) == "no difference shown"
    words = [*view.roles(label), *(["no difference to best"] if tied else [])]
    return _lines(view.title(label), words)


def _lines(name: str, words: Sequence[str]) -> str:
    first = escaped(shortened(name))
    return "<br>".join([first, *(small(escaped(word)) for word in words)])


def _numbers(row: Difference) -> list[str]:
    return [decimals(number, 3) for number in row[3:]]


def _anchor(value: float, low: float, high: float) -> str:
    """Which end of the words stands at the line, so that they stay inside."""
    return "right" if value > (low + high) / 2 else "left"


def _marker(view: View, label: str, beyond: bool) -> dict[str, Any]:
    hollow = view.baseline(label) is not None or view.parent(label) is not None
    shape = "triangle-left" if beyond else "diamond" if view.baseline(label) else "circle"
    ring = {"line": {"width": 2}} if hollow else {}
    return {
        "color": view.colours[label],
        "size": 10 if view.parent(label) else 12,
        "symbol": f"{shape}-open" if hollow else shape,
        **ring,
    }


def score_trace(view: View, label: str, at: float, triple: Triple, lowest: float, name: str = "R²") -> Trace:
    """One encoder's score as a mark with its interval; below `lowest` a triangle at the edge."""
    value, low, high = triple
    beyond = bool(value < lowest)
    words = "".join(f", {role}" for role in view.roles(label))
    said = f"{name} {interval_text(value, low, high)}"
    trace: Trace = {
        "type": "scatter",
        "mode": "markers+text",
        "name": escaped(view.title(label)),
        "x": [lowest + 0.02 if beyond else rounded(value)],
        "y": [at],
        "text": [decimals(value, 1 if beyond else 2)],
        "textposition": "middle right" if beyond else "top center",
        "textfont": {"size": 12},
        "marker": _marker(view, label, beyond),
        "hovertemplate": f"{escaped(view.title(label))}{words}<br>{said}<extra></extra>",
    }
    bar = {} if beyond else error_bar(value, low, high, view.colours[label])
    return {**trace, "error_x": bar} if bar else trace


def _difference_trace(row: Difference, at: int) -> Trace:
    shown = row.verdict != "no difference shown"
    trace: Trace = {
        "type": "scatter",
        "mode": "markers+text",
        "name": escaped(row.name),
        "x": [rounded(row.value)],
        "y": [at],
        "text": [signed(row.value, 3)],
        "textposition": "top center",
        "textfont": {"size": 12},
        "marker": {
            "color": row.colour if shown else GREY,
            "size": 12,
            "symbol": "circle" if shown else "circle-open",
            "line": {"width": 0 if shown else 2},
        },
        "hovertemplate": f"{escaped(row.name)}<br>{interval_text(*row[3:], places=3)}: {row.verdict}<extra></extra>",
    }
    bar = error_bar(*row[3:], row.colour if shown else GREY)
    return {**trace, "error_x": bar} if bar else trace
