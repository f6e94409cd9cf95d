"""What all pictures share: the subset of plotly's format that we use, and the words that stand in every picture.

The subset: `scatter` (markers, lines, text, error bars) and `heatmap` traces; axes with title, range, own ticks; lines
and rectangles as shapes; annotations. `affekt.report.static` draws exactly this. Labels and titles come from outside,
and plotly reads a little HTML in texts: they are escaped here, once.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from affekt.report.view import RANDOM_SIGN, RANDOM_WEIGHTS, View

Picture = dict[str, Any]
Trace = dict[str, Any]

GREY, SOFT, INK = "#8c8c92", "#5c5c63", "#222222"
#: Cells and marks that say nothing: no difference was shown.
NEUTRAL = "#efeff2"
#: A text in a scatter that the page replaces with the names of all songs, which are stored once for all pictures.
SONG_NAMES = "songs"
HEIGHT_PX = 420
LEGEND_ABOVE = {"orientation": "h", "y": 1.01, "yanchor": "bottom", "x": 0}
SILENT = {"showlegend": False, "hoverinfo": "skip"}


def picture(
    key: str,
    title: str,
    alt: str,
    figure: dict[str, Any],
    table: dict[str, Any],
    *,
    subject: str = "",
    caption: str = "",
    height_px: int = HEIGHT_PX,
    min_width_px: int = 0,
) -> Picture:
    """A picture as page and files take it.

    Args:
        key: its place in the page: what it shows, a hyphen, a number; its files begin with the first.
        title: what it shows.
        alt: what somebody who cannot see it should be told.
        figure: data and layout in plotly's format.
        table: its numbers, from `affekt.report.tables.table`.
        subject: the target or encoder it speaks of; its files are named after it.
        caption: how to read it.
        height_px: of the drawing.
        min_width_px: below it the drawing scrolls inside its frame instead of shrinking.
    """
    return {
        "id": key,
        "title": title,
        "alt": alt,
        "subject": subject,
        "caption": caption,
        "height_px": height_px,
        "min_width_px": min_width_px,
        "figure": figure,
        "table": table,
    }


def marked(view: View, layout: dict[str, Any], labels: Iterable[str] = (), named: bool = False) -> dict[str, Any]:
    """The layout with the words that must stand in the picture itself, below its horizontal axis.

    Args:
        view: the comparison.
        layout: of the picture.
        labels: encoders that are in it.
        named: whether to name them, in a picture of a single encoder.
    """
    labels = list(labels)
    words = [short_name(view, label) for label in labels] if named else []
    words += ["synthetic music"] if view.synthetic else []
    words += [f"{RANDOM_SIGN} {RANDOM_WEIGHTS}"] if any(map(view.untrained, labels)) else []
    axis = layout.get("xaxis", {})
    title = (axis.get("title") or {}).get("text", "")
    lines = [line for line in (title, *(small(escaped(word)) for word in words)) if line]
    return {**layout, "xaxis": {**axis, "title": {"text": "<br>".join(lines)}}}


def short_name(view: View, label: str, at_most: int = 22) -> str:
    """An encoder's name as it fits beside an axis, with the sign of random weights."""
    return shortened(label, at_most) + (RANDOM_SIGN if view.untrained(label) else "")


def shortened(text: str, at_most: int = 22) -> str:
    """A long text with its middle left out: both ends of a name tell it from others."""
    return text if len(text) <= at_most else f"{text[: at_most // 2 - 1]}…{text[-(at_most // 2) :]}"


def cut(text: str, at_most: int = 26) -> str:
    """A long text without its end: the beginning of a title tells it from others."""
    return text if len(text) <= at_most else f"{text[: at_most - 1].rstrip()}…"


def wrapped(text: str, at_most: int = 13) -> str:
    """A name over two lines, broken behind a hyphen or the like where there is one, escaped for plotly."""
    if len(text) <= at_most:
        return escaped(text)
    breaks = [match.end() for match in re.finditer(r"[-_:/. ]", text) if 1 < match.end() < len(text)]
    at = min(breaks, key=lambda end: abs(end - len(text) / 2), default=len(text) // 2)
    return f"{escaped(text[:at])}<br>{escaped(text[at:])}"


def escaped(value: str) -> str:
    """Text that plotly shows as it is."""
    return html.escape(value, quote=False)


def small(escaped_text: str) -> str:
    """Smaller and softer, for a second line."""
    return f'<span style="font-size:11px;color:{SOFT}">{escaped_text}</span>'


def rounded(value: float | None, places: int = 3) -> float | None:
    """A number as it is stored in the page; None where it is not finite."""
    return None if value is None or not np.isfinite(value) else round(float(value), places)


def error_bar(value: float, low: float, high: float, colour: str) -> dict[str, Any]:
    """An interval in plotly's terms; empty where there is none."""
    if not np.isfinite(low):
        return {}
    bars = {"array": [rounded(high - value)], "arrayminus": [rounded(value - low)]}
    return {"type": "data", **bars, "color": colour, "thickness": 2, "width": 5}


def line(x: Sequence[float], y: Sequence[float], yref: str = "y", dash: str = "dot") -> dict[str, Any]:
    """A thin straight line between two points."""
    ends = {"x0": x[0], "x1": x[1], "y0": y[0], "y1": y[1]}
    return {"type": "line", **ends, "yref": yref, "layer": "between", "line": {"color": INK, "width": 1, "dash": dash}}


def note(text: str, x: float, anchor: str, y: float = 1.0) -> dict[str, Any]:
    """Words at the upper edge of a picture, at a value of its horizontal axis."""
    place = {"x": x, "xref": "x", "y": y, "yref": "paper", "xanchor": anchor, "yanchor": "bottom"}
    return {"text": text, "showarrow": False, "font": {"size": 12, "color": INK}, **place}


def grid(
    z: Sequence[Sequence[float | None]],
    x: Sequence[str],
    y: Sequence[str],
    text: Sequence[Sequence[str]],
    colourscale: Sequence[Sequence[Any]],
    hover: str,
    notes: Sequence[Sequence[str]] | None = None,
) -> Trace:
    """A heatmap with words in its cells; `z` between 0 and 1, None for a cell that is not there.

    Args:
        z: what the colours say, a row for each of `y`.
        x: names of the columns.
        y: names of the rows.
        text: words in the cells.
        colourscale: from 0 to 1.
        hover: plotly's template; `%{customdata}` is the cell of `notes`.
        notes: what hovering adds.
    """
    return {
        "type": "heatmap",
        "z": [[rounded(value) for value in row] for row in z],
        "x": list(range(len(x))),
        "y": list(range(len(y))),
        "text": [list(row) for row in text],
        "texttemplate": "%{text}",
        "colorscale": [list(stop) for stop in colourscale],
        "zmin": 0,
        "zmax": 1,
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "hoverongaps": False,
        "hovertemplate": f"{hover}<extra></extra>",
        **({"customdata": [list(row) for row in notes]} if notes else {}),
    }


def grid_axes(x: Sequence[str], y: Sequence[str], x_title: str, y_title: str) -> dict[str, Any]:
    """Axes of a `grid`: the first row on top. Names are numbered, because two of them may read the same when short."""
    still = {"showgrid": False, "zeroline": False, "fixedrange": True}
    return {
        "xaxis": {
            **still,
            "tickvals": list(range(len(x))),
            "ticktext": list(x),
            "tickangle": 0,
            "range": [-0.5, len(x) - 0.5],
            "title": {"text": x_title},
        },
        "yaxis": {
            **still,
            "tickvals": list(range(len(y))),
            "ticktext": list(y),
            "range": [len(y) - 0.5, -0.5],
            "title": {"text": y_title},
        },
    }
