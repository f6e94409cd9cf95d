"""Every song as a point: predictions over annotations. Hovering names the song, here and wherever a song is a point."""

from __future__ import annotations

from typing import Any

import numpy as np

from affekt.report.figures.style import (
    GREY,
    LEGEND_ABOVE,
    SONG_NAMES,
    Picture,
    Trace,
    escaped,
    line,
    marked,
    picture,
    rounded,
)
from affekt.report.tables import MISSING, decimals, table
from affekt.report.view import View, song_name


def scatter_picture(view: View, label: str, columns: tuple[int, int]) -> Picture:
    """Predicted over annotated valence and arousal, all songs; the page joins a song's two points on hover."""
    targets = [escaped(view.targets[c]) for c in columns]
    y_true, y_pred = view.y_true[:, columns], view.predictions[label][:, columns]
    hover = f"<b>%{{customdata}}</b><br>%{{fullData.name}}: {targets[0]} %{{x}}, {targets[1]} %{{y}}<extra></extra>"
    clouds = (("annotated", y_true, GREY, "circle-open"), ("predicted", y_pred, view.colours[label], "circle"))
    traces = [{**_cloud(points, name, shade, symbol), "hovertemplate": hover} for name, points, shade, symbol in clouds]
    low, high = _extent(view, np.concatenate([y_true, y_pred]))
    centre = view.centre
    axis = {"range": [low, high], "zeroline": False, "constrain": "domain"}
    layout = {
        "xaxis": {**axis, "title": {"text": targets[0]}},
        "yaxis": {**axis, "title": {"text": targets[1]}, "scaleanchor": "x"},
        "shapes": [line(x=(centre, centre), y=(low, high)), line(x=(low, high), y=(centre, centre))],
        "legend": LEGEND_ABOVE,
        "hovermode": "closest",
        "meta": {"join": True},
    }
    return picture(
        f"scatter-{view.scores.results.labels.index(label)}",
        "Predictions over annotations",
        f"Scatter of {len(y_true)} songs in the plane of {view.targets[columns[0]]} and {view.targets[columns[1]]}: "
        f"grey rings are annotations, filled dots are what {label} predicted.",
        {"data": traces, "layout": marked(view, layout, [label], named=True)},
        _furthest(view, label, columns),
        subject=label,
        caption=f"{len(y_true)} songs{_seed_words(view, label)}. Point at a song for its name and its two points.",
    )


def target_picture(view: View, label: str, column: int) -> Picture:
    """Predicted against annotated values of one target, all songs."""
    target = escaped(view.targets[column])
    y_true, y_pred = view.y_true[:, column], view.predictions[label][:, column]
    points = np.stack([y_true, y_pred], axis=1)
    hover = "<b>%{customdata}</b><br>annotated %{x}, predicted %{y}<extra></extra>"
    trace = {**_cloud(points, target, view.colours[label], "circle"), "hovertemplate": hover}
    low, high = _extent(view, points)
    axis = {"range": [low, high], "zeroline": False, "constrain": "domain"}
    layout = {
        "xaxis": {**axis, "title": {"text": f"annotated {target}"}},
        "yaxis": {**axis, "title": {"text": f"predicted {target}"}, "scaleanchor": "x"},
        "shapes": [line(x=(low, high), y=(low, high))],
        "showlegend": False,
        "hovermode": "closest",
    }
    return picture(
        f"scatter-{view.scores.results.labels.index(label)}-{column}",
        f"{view.targets[column]}: predicted against annotated",
        f"Scatter of {len(y_true)} songs: {view.targets[column]} as predicted by {label} against its annotation.",
        {"data": [trace], "layout": marked(view, layout, [label], named=True)},
        _furthest(view, label, (column,)),
        subject=f"{label} {view.targets[column]}",
        caption=f"{len(y_true)} songs{_seed_words(view, label)}. On the line, a prediction is right.",
    )


def song_names(view: View) -> list[str]:
    """What a hover says of each scored song, in the order of `Scores.song_ids`, escaped for plotly."""
    return [escaped(song_name(song)) for song in view.songs]


def _seed_words(view: View, label: str) -> str:
    n_seeds = len(view.scores.y_pred[label])
    return f", predictions averaged over {n_seeds} seeds" if n_seeds > 1 else ""


def _cloud(points: np.ndarray, name: str, colour: str, symbol: str) -> Trace:
    size = 9 if len(points) <= 100 else 6 if len(points) <= 600 else 4.5
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [rounded(value, 2) for value in points[:, 0]],
        "y": [rounded(value, 2) for value in points[:, 1]],
        "customdata": SONG_NAMES,
        "marker": {"color": colour, "size": size, "symbol": symbol, "opacity": 0.75 if len(points) <= 600 else 0.55},
    }


def _extent(view: View, values: np.ndarray) -> tuple[float, float]:
    low, high = view.scale or (np.nanmin(values), np.nanmax(values))
    low, high = min(low, float(np.nanmin(values))), max(high, float(np.nanmax(values)))
    return round(low - 0.02 * (high - low), 2), round(high + 0.02 * (high - low), 2)


def _furthest(view: View, label: str, columns: tuple[int, ...], at_most: int = 20) -> dict[str, Any]:
    """The songs whose prediction is furthest off, furthest first."""
    y_true, y_pred = view.y_true[:, columns], view.predictions[label][:, columns]
    distance = np.sqrt(((y_pred - y_true) ** 2).sum(axis=1))
    rows = []
    for i in [i for i in np.argsort(-distance, kind="stable")[:at_most] if np.isfinite(distance[i])]:
        pairs = [f"{t:.{view.places}f} → {p:.{view.places}f}" for t, p in zip(y_true[i], y_pred[i], strict=True)]
        song = view.songs[i]
        rows.append([song_name(song), str(song.get("genre") or MISSING), *pairs, decimals(distance[i])])
    names = [f"{view.targets[c]}, annotated → predicted" for c in columns]
    return table(["song, furthest off first", "genre", *names, "distance"], rows, "ll" + "r" * (len(columns) + 1))
