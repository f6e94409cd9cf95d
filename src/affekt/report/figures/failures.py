"""Where encoders fail, as pictures: error by kind of song, and the hardest songs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from affekt.report.failing import Group, WorstSong
from affekt.report.figures.style import (
    LEGEND_ABOVE,
    Picture,
    cut,
    escaped,
    grid,
    grid_axes,
    marked,
    picture,
    rounded,
    short_name,
    shortened,
    wrapped,
)
from affekt.report.tables import count, decimals, table
from affekt.report.view import View, song_name

_LOW, _MIDDLE, _HIGH = "#f7f4ee", "#e5ab78", "#9c3d12"


def group_picture(view: View, number: int, groups: Sequence[Group]) -> Picture:
    """RMSE of each encoder on each group of songs of one kind; the darker, the worse."""
    kind = groups[0].kind
    labels = view.contenders
    errors = np.array([[group.rmse[label] for label in labels] for group in groups])  # (n_groups, n_encoders)
    low, high = float(np.nanmin(errors)), float(np.nanmax(errors))
    shade = (errors - low) / (high - low or 1.0)
    names = [f"{escaped(shortened(group.name, 20))} ({count(group.n_songs)})" for group in groups]
    notes = [
        [f"{escaped(label)}<br>{escaped(group.name)}: RMSE {decimals(group.rmse[label], 3)}" for label in labels]
        for group in groups
    ]
    columns = [wrapped(short_name(view, label, 24)) for label in labels]
    text = [[decimals(value) for value in row] for row in errors]
    trace = grid(shade.tolist(), columns, names, text, [[0, _LOW], [0.5, _MIDDLE], [1, _HIGH]], "%{customdata}", notes)
    worst = max(groups, key=lambda group: np.nanmean([group.rmse[label] for label in labels]))
    rows = [[g.name, count(g.n_songs), *(decimals(g.rmse[label], 3) for label in view.order)] for g in groups]
    return picture(
        f"groups-{number}",
        f"Error by {kind}",
        f"Heatmap of the RMSE of {len(labels)} encoders on the songs of each {kind}; hardest is {worst.name}.",
        {"data": [trace], "layout": marked(view, grid_axes(columns, names, "", ""), labels)},
        table([kind, "songs", *view.order], rows, "lr" + "r" * len(view.order)),
        subject=kind,
        caption=f"RMSE over all targets; in brackets the number of songs. Darker is worse. Hardest: {worst.name}.",
        height_px=150 + 34 * len(groups),
        min_width_px=150 + 74 * len(labels),
    )


def worst_picture(view: View, worst: Sequence[WorstSong]) -> Picture:
    """The hardest songs with the error of each encoder."""
    names = [song_name(view.songs[song.position]) for song in worst]
    labels = view.contenders
    hover = "<b>%{customdata}</b><br>%{fullData.name}: off by %{x}<extra></extra>"
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": escaped(short_name(view, label)),
            "x": [rounded(song.errors[label], 2) for song in worst],
            "y": list(range(len(worst))),
            "customdata": [escaped(name) for name in names],
            "marker": {
                "color": view.colours[label],
                "size": 11,
                "symbol": "diamond-open" if view.baseline(label) else "circle",
                "opacity": 0.85,
                "line": {"width": 2 if view.baseline(label) else 0},
            },
            "hovertemplate": hover,
        }
        for label in labels
    ]
    layout = {
        "xaxis": {"title": {"text": "error"}, "rangemode": "tozero"},
        "yaxis": {
            "tickvals": list(range(len(worst))),
            "ticktext": [escaped(cut(name)) for name in names],
            "range": [len(worst) - 0.4, -0.6],
            "zeroline": False,
        },
        "legend": LEGEND_ABOVE,
        "hovermode": "closest",
        "meta": {"songs": [song.position for song in worst]},
    }
    rows = [
        [name, decimals(song.error), *(decimals(song.errors[label]) for label in view.order)]
        for name, song in zip(names, worst, strict=True)
    ]
    return picture(
        "worst-songs",
        "Error of each encoder on the hardest songs",
        f"Dot plot of the error of {len(labels)} encoders on the {len(worst)} songs with the largest error. "
        f"The hardest is {names[0]}.",
        {"data": traces, "layout": marked(view, layout, labels)},
        table(["song", "mean error", *view.order], rows, "lr" + "r" * len(view.order)),
        caption="Root mean squared error over all targets, in units of the scale, of a song’s mean prediction.",
        height_px=150 + 26 * len(worst) + 10 * len(labels),
        min_width_px=440,
    )
