"""Our pictures as PNG and SVG, drawn by matplotlib from the same mappings that plotly draws in the page.

Conventions: only the subset of plotly's format that `affekt.report.figures.style` names is understood. One CSS pixel of
the page is 1/96 inch. Files are the same byte for byte for the same picture: no dates, a fixed salt for identifiers, no
state shared with a caller's own matplotlib. matplotlib comes with the extra "figures".
"""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from affekt.errors import MissingExtraError
from affekt.files import atomic
from affekt.report.figures.style import GREY, INK, SOFT, Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")
_WITHOUT_DATE: dict[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
_DPI = 96
_PNG_SCALE = 2
_WIDTH_PX = 620
_POINTS = 72 / _DPI  # one CSS pixel in points

_MARKERS = {"circle": "o", "diamond": "D", "triangle-left": "<", "square": "s"}
_DASHES = {"solid": "-", "dot": ":", "dash": "--"}
_ANCHORS = {"left": "left", "right": "right", "center": "center"}
_UNNAMED = "_"  # matplotlib leaves names that begin with an underscore out of a legend
_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 13 * _POINTS,
    "text.parse_math": False,  # a "$" in a name is a "$"
    "text.usetex": False,
    "axes.unicode_minus": True,
    "svg.hashsalt": "affekt",
    "svg.fonttype": "path",
    "path.simplify": False,
}


def write_static(picture: Picture, folder: Path, stem: str) -> list[Path]:
    """Write a picture in every format.

    Args:
        picture: from `affekt.report.figures`.
        folder: where to.
        stem: name of the files without its ending.

    Returns:
        The files, in the order of `FORMATS`.

    Raises:
        MissingExtraError: matplotlib is not installed.
        StorageError: a file cannot be written.
    """
    paths = [folder / f"{stem}.{kind}" for kind in FORMATS]
    with own_settings():
        figure = draw(picture)
        for kind, path in zip(FORMATS, paths, strict=True):
            with atomic(path) as temporary:
                figure.savefig(temporary, format=kind, dpi=_DPI * _PNG_SCALE, metadata=_WITHOUT_DATE[kind])
    return paths


def draw(picture: Picture) -> Figure:
    """The picture as a figure of matplotlib, to be called within `own_settings`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure_class = _figure_class()
    data, layout = picture["figure"]["data"], picture["figure"]["layout"]
    width_px = max(_WIDTH_PX, picture["min_width_px"])
    size = width_px / _DPI, (picture["height_px"] + 34) / _DPI
    figure: Figure = figure_class(figsize=size, dpi=_DPI, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    _dress(axes, layout)
    for trace in data:
        (_draw_grid if trace["type"] == "heatmap" else _draw_points)(axes, trace)
    _draw_shapes(axes, layout.get("shapes", []))
    for words in layout.get("annotations", []):
        _draw_note(axes, words)
    _legend(figure, axes, layout)
    _limits(axes, layout)
    figure.suptitle(picture["title"], x=0.01, ha="left", fontsize=14 * _POINTS, fontweight="bold", color=INK)
    _fix_layout(figure)
    return figure


def words(text: str) -> str:
    """What plotly shows for a text: its line breaks, none of its other tags, its escapes undone."""
    return html.unescape(re.sub(r"<(?!br>)/?[a-z][^<>]*>", "", text).replace("<br>", "\n"))


def _fix_layout(figure: Figure) -> None:
    """Find room for all words once: left to itself, matplotlib would do so again for every file."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine(None)  # "none" leaves a placeholder, for which every file would be drawn twice


def _figure_class() -> type[Figure]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("Drawing figures as PNG and SVG", "figures") from None
    return Figure


@contextmanager
def own_settings() -> Iterator[None]:
    """Our settings, whatever the caller's are; a letter that the font lacks is a box, not a warning."""
    _figure_class()
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _dress(axes: Axes, layout: Mapping[str, Any]) -> None:
    """Titles, ticks, grid and frame."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)
    axes.tick_params(color=GREY, labelcolor=INK)
    axes.set_axisbelow(True)
    for name, axis, set_ticks in (("x", axes.xaxis, axes.set_xticks), ("y", axes.yaxis, axes.set_yticks)):
        wanted = layout.get(f"{name}axis", {})
        axis.set_label_text(words((wanted.get("title") or {}).get("text", "")), color=INK)
        if "tickvals" in wanted:
            set_ticks(wanted["tickvals"], [words(text) for text in wanted["ticktext"]])
        if wanted.get("showgrid", True):
            axes.grid(axis=name, color="#e6e6ea", linewidth=0.8)  # type: ignore[arg-type]
        if wanted.get("zeroline"):
            (axes.axvline if name == "x" else axes.axhline)(0, color=GREY, linewidth=0.8, zorder=1)


def _limits(axes: Axes, layout: Mapping[str, Any]) -> None:
    """Ranges last, because drawing widens them."""
    for name, set_limits in (("x", axes.set_xlim), ("y", axes.set_ylim)):
        wanted = layout.get(f"{name}axis", {})
        if "range" in wanted:
            set_limits(*wanted["range"])
        elif wanted.get("rangemode") == "tozero":
            set_limits(0)
    if layout.get("yaxis", {}).get("scaleanchor"):
        axes.set_aspect("equal", adjustable="box")


def _draw_points(axes: Axes, trace: Mapping[str, Any]) -> None:
    """Markers, lines, error bars and words of a scatter trace."""
    x, y = (np.array([np.nan if v is None else v for v in trace[name]], dtype=float) for name in ("x", "y"))
    mode, marker, stroke = trace["mode"].split("+"), trace.get("marker", {}), trace.get("line", {})
    opacity = trace.get("opacity", marker.get("opacity", 1))
    colour = marker.get("color", stroke.get("color", INK))
    for axis in ("x", "y"):
        _draw_error_bars(axes, trace.get(f"error_{axis}"), axis, x, y)
    if "lines" in mode:
        style = _DASHES[stroke.get("dash", "solid")]
        width = stroke.get("width", 2) * _POINTS
        axes.plot(x, y, style, color=colour, linewidth=width, alpha=opacity, label=_legend_name(trace))
    if "markers" in mode:
        _draw_markers(axes, trace, x, y, colour, opacity)
    if "text" in mode:
        for at_x, at_y, text in zip(x, y, trace["text"], strict=True):
            _draw_beside(axes, at_x, at_y, words(text), trace.get("textposition", "top center"))


def _legend_name(trace: Mapping[str, Any]) -> str:
    name = words(trace.get("name", "")) if trace.get("showlegend", True) else ""
    return f" {name}" if name.startswith("_") else name or _UNNAMED


def _draw_markers(
    axes: Axes, trace: Mapping[str, Any], x: np.ndarray, y: np.ndarray, colour: str, opacity: float
) -> None:
    marker = trace.get("marker", {})
    symbol = marker.get("symbol", "circle")
    shape, is_hollow = symbol.removesuffix("-open"), symbol.endswith("-open")
    size = marker.get("size", 6) * _POINTS
    axes.plot(
        x,
        y,
        linestyle="none",
        marker=_MARKERS[shape],
        markersize=size * (0.8 if shape == "diamond" else 1),  # matplotlib measures a diamond along its sides
        markerfacecolor="white" if is_hollow else colour,
        markeredgecolor=colour,
        markeredgewidth=marker.get("line", {}).get("width", 1) * _POINTS if is_hollow else 0,
        alpha=opacity,
        label=_UNNAMED if "lines" in trace["mode"] else _legend_name(trace),
        zorder=3,
    )


def _draw_error_bars(axes: Axes, bar: Mapping[str, Any] | None, axis: str, x: np.ndarray, y: np.ndarray) -> None:
    if not bar or "array" not in bar:
        return
    up = np.array([np.nan if v is None else v for v in bar["array"]], dtype=float)
    down = np.array([np.nan if v is None else v for v in bar.get("arrayminus", bar["array"])], dtype=float)
    ends = np.stack([down, up])
    axes.errorbar(
        x,
        y,
        xerr=ends if axis == "x" else None,
        yerr=ends if axis == "y" else None,
        fmt="none",
        ecolor=bar["color"],
        elinewidth=bar.get("thickness", 2) * _POINTS,
        capsize=bar.get("width", 0) * _POINTS,
        zorder=2,
    )


def _draw_beside(axes: Axes, x: float, y: float, text: str, position: str) -> None:
    vertical, horizontal = position.split()
    shift = (
        {"left": -6.0, "center": 0.0, "right": 6.0}[horizontal],
        {"top": 5.0, "middle": 0.0, "bottom": -5.0}[vertical],
    )
    axes.annotate(
        text,
        (x, y),
        xytext=shift,
        textcoords="offset points",
        ha={"left": "right", "center": "center", "right": "left"}[horizontal],
        va={"top": "bottom", "middle": "center", "bottom": "top"}[vertical],
        fontsize=12 * _POINTS,
        color=INK,
        zorder=4,
    )


def _draw_grid(axes: Axes, trace: Mapping[str, Any]) -> None:
    """Cells with a gap between them, and their words in whatever colour can be read."""
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("affekt", [(at, colour) for at, colour in trace["colorscale"]], N=1024)
    z = np.array([[np.nan if value is None else value for value in row] for row in trace["z"]], dtype=float)
    edges = [np.arange(n + 1) - 0.5 for n in reversed(z.shape)]
    axes.pcolormesh(*edges, np.ma.masked_invalid(z), cmap=shades, vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
    for y, x in np.argwhere(np.isfinite(z)):
        ink = INK if np.dot(shades(z[y, x])[:3], [0.299, 0.587, 0.114]) > 0.5 else "white"
        axes.text(x, y, words(trace["text"][y][x]), ha="center", va="center", fontsize=12 * _POINTS, color=ink)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0)


def _draw_shapes(axes: Axes, shapes: Sequence[Mapping[str, Any]]) -> None:
    for shape in shapes:
        stroke = shape["line"]
        along = axes.get_xaxis_transform() if shape.get("yref") == "paper" else axes.transData
        axes.plot(
            [shape["x0"], shape["x1"]],
            [shape["y0"], shape["y1"]],
            _DASHES[stroke.get("dash", "solid")],
            color=stroke["color"],
            linewidth=stroke["width"] * _POINTS,
            transform=along,
            label=_UNNAMED,
            zorder=1.5,
        )


def _draw_note(axes: Axes, note: Mapping[str, Any]) -> None:
    axes.text(
        note["x"],
        note["y"],
        words(note["text"]),
        transform=axes.get_xaxis_transform(),
        ha=_ANCHORS[note["xanchor"]],
        va="bottom",
        fontsize=note["font"]["size"] * _POINTS,
        color=SOFT,
    )


def _legend(figure: Figure, axes: Axes, layout: Mapping[str, Any]) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles and layout.get("showlegend", True):
        title = words((layout.get("legend", {}).get("title") or {}).get("text", ""))
        columns = min(3, len(labels))
        figure.legend(handles, labels, loc="outside lower left", ncols=columns, frameon=False, title=title or None)
