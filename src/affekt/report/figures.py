"""The pictures of a report, each with its title, a description for those who cannot see it, and its numbers.

Conventions: a picture is a plain mapping - `id`, `title`, `alt`, `caption`, `height_px`, `figure` (data and layout in
plotly's own format), `table` - that holds nothing but text, numbers and None. Numbers are rounded to what a screen can
show. An encoder keeps its colour in every picture; a song has the same index in every scatter. Labels and titles come
from outside: plotly reads a little HTML in texts, so they are escaped here, once.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from affekt.evaluation import metrics
from affekt.evaluation.scores import REFERENCE, Scores
from affekt.evaluation.statistics import SCORES
from affekt.report.tables import MISSING, decimals, interval_text, percent, table

Picture = dict[str, Any]

# Okabe & Ito (2008), "Color Universal Design", without the yellow that vanishes on white, then the dark half of
# Paul Tol's "muted" scheme: told apart with any common colour blindness as far as twelve colours can be.
PALETTE = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#332288", "#882255", "#117733", "#999933", "#AA4499", "#44AA99"),
)
GREY, DARK, INK = "#8c8c92", "#3d3d42", "#222222"
# A text in a scatter that the page replaces with the names of all songs, which are stored once for all pictures.
SONG_NAMES = "songs"

_HEIGHT_PX = 420
_LEGEND_BELOW = {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0}
_SILENT = {"showlegend": False, "hoverinfo": "skip"}

# Beyond this, R2 is drawn at the edge: one hopeless encoder must not squeeze all others into a line.
_LOWEST_R2 = -1.0


def colours(labels: Sequence[str]) -> dict[str, str]:
    """A colour for each encoder; the reference `mean` is dark grey."""
    coloured = [label for label in labels if label != REFERENCE]
    chosen = {label: PALETTE[i % len(PALETTE)] for i, label in enumerate(coloured)}
    return {label: chosen.get(label, DARK) for label in labels}


def r2_picture(scores: Scores, target: str, order: Sequence[str], ceiling: float | None) -> Picture:
    """R2 of every encoder on one target, with its interval and the ceiling."""
    values = {label: scores.r2(label, target) for label in order}
    chosen = colours(scores.results.labels)
    lowest = _axis_start(values)
    traces = [_r2_trace(label, chosen[label], row, values[label], lowest) for row, label in enumerate(order)]
    names = {"tickvals": list(range(len(order))), "ticktext": [_text(_short(label)) for label in order]}
    layout = {
        "xaxis": {
            "title": {"text": "R², 95 % interval"},
            "range": [lowest, _axis_end(values, ceiling)],
            "zeroline": True,
        },
        "yaxis": {**names, "range": [len(order) - 0.4, -0.6], "showgrid": False, "zeroline": False},
        "showlegend": False,
        "shapes": [] if ceiling is None else [_line(x=(ceiling, ceiling), y=(0, 1), yref="paper", dash="dash")],
        "annotations": []
        if ceiling is None
        else [_note(f"ceiling {ceiling:.2f}", x=ceiling, xref="x", anchor="right")],
    }
    best = next((label for label in order if label in scores.ranking(target)[:1]), None)
    said = f" The highest is {best} with {interval_text(*values[best])}." if best else ""
    rows = [[label, *map(decimals, values[label])] for label in order]
    return {
        "id": f"r2-{scores.results.targets.index(target)}",
        "title": f"R² for {target}",
        "alt": f"Dot plot of R² with 95 % intervals for {len(order)} encoders on {target}.{said}",
        "caption": "",
        "height_px": 110 + 34 * len(order),
        "figure": {"data": traces, "layout": _marked(layout, scores, anchor="left")},
        "table": table(["encoder", "R²", "low", "high"], rows, "lrrr"),
    }


def cost_picture(scores: Scores, order: Sequence[str], seconds: dict[str, float | None]) -> Picture | None:
    """R2 against seconds per song; None where fewer than two encoders have a cost to show."""
    known = {label: s for label in order if (s := seconds.get(label)) is not None and s > 0}
    if len(known) < 2:
        return None
    averaged = dict(zip(scores.encoders, scores.averaged.value[:, SCORES.index("r2")], strict=True))
    mean_r2 = {label: float(averaged[label]) for label in known}
    chosen = colours(scores.results.labels)
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": _text(label),
            "x": [_round(s)],
            "y": [_round(mean_r2[label])],
            "marker": {"color": chosen[label], "size": 13},
            "hovertemplate": f"{_text(label)}<br>%{{x}} s per song, R² %{{y}}<extra></extra>",
        }
        for label, s in known.items()
    ]
    layout = {
        "xaxis": {"title": {"text": "seconds per song (logarithmic)"}, "type": "log"},
        "yaxis": {"title": {"text": "R², mean of targets"}},
        "legend": _LEGEND_BELOW,
    }
    rows = [[label, decimals(s, 3), decimals(mean_r2[label])] for label, s in known.items()]
    return {
        "id": "cost",
        "title": "Accuracy against cost",
        "alt": f"Scatter of R² against extraction seconds per song for {len(known)} encoders.",
        "caption": "Upper left is better: more accurate, and cheaper.",
        "height_px": 360 + 14 * len(known),
        "figure": {"data": traces, "layout": _marked(layout, scores)},
        "table": table(["encoder", "seconds per song", "R²"], rows, "lrr"),
    }


def loss_picture(scores: Scores, label: str) -> Picture | None:
    """Training and validation error against epochs; None for an encoder without epochs."""
    runs = _runs(scores.results.history, label)
    if not runs:
        return None
    colour = colours(scores.results.labels)[label]
    traces, rows = [], {}
    for part, name, shade in (("train_mse", "training", GREY), ("validation_mse", "validation", colour)):
        curves = [[row.get(part) for row in run] for run in runs]
        mean = _mean_curve(curves)
        rows[name] = mean
        traces += [_thin_lines(curves, shade), _mean_line(mean, name, shade)]
    best = [row["epoch"] for run in runs for row in run if row.get("best")]
    kept = f" Kept epoch: median {np.median(best):.0f}, {min(best)} to {max(best)}." if best else ""
    n_epochs = max(map(len, rows.values()))
    layout = {
        "xaxis": {"title": {"text": "epoch"}, "rangemode": "tozero", "nticks": 8},
        "yaxis": {"title": {"text": "MSE, standardised labels"}, "rangemode": "tozero"},
        "legend": _LEGEND_BELOW,
    }
    numbers = [
        [str(e + 1), *(decimals(curve[e]) if e < len(curve) else MISSING for curve in rows.values())]
        for e in range(n_epochs)
    ]
    return {
        "id": f"loss-{scores.results.labels.index(label)}",
        "title": "Loss against epochs",
        "alt": f"Line chart of the mean squared error of {label} over {n_epochs} epochs.{kept}",
        "caption": f"Thick: mean of {len(runs)} runs (folds and seeds). Thin: each run.{kept}",
        "height_px": _HEIGHT_PX,
        "figure": {"data": traces, "layout": _marked(layout, scores, label)},
        "table": table(["epoch", *rows], numbers, "rrr"),
    }


def scatter_picture(scores: Scores, label: str, columns: tuple[int, int]) -> Picture:
    """Predicted over annotated valence and arousal, all songs; the page joins a song's two points on hover."""
    targets = [scores.results.targets[c] for c in columns]
    y_true = scores.y_true[:, columns]
    y_pred = _mean_prediction(scores, label)[:, columns]
    colour = colours(scores.results.labels)[label]
    hover = f"<b>%{{customdata}}</b><br>%{{fullData.name}}: {targets[0]} %{{x}}, {targets[1]} %{{y}}<extra></extra>"
    clouds = (("annotated", y_true, GREY, "circle-open"), ("predicted", y_pred, colour, "circle"))
    traces = [
        {**_cloud(points[:, 0], points[:, 1], name, shade, symbol, len(y_true)), "hovertemplate": hover}
        for name, points, shade, symbol in clouds
    ]
    low, high = _extent(scores, np.concatenate([y_true, y_pred]))
    centre = scale_centre(scores)
    axis = {"range": [low, high], "zeroline": False, "constrain": "domain"}
    layout = {
        "xaxis": {**axis, "title": {"text": targets[0]}},
        "yaxis": {**axis, "title": {"text": targets[1]}, "scaleanchor": "x"},
        "shapes": [_line(x=(centre, centre), y=(low, high)), _line(x=(low, high), y=(centre, centre))],
        "legend": _LEGEND_BELOW,
        "hovermode": "closest",
        "meta": {"join": True},
    }
    return {
        "id": f"scatter-{scores.results.labels.index(label)}",
        "title": "Predictions over annotations",
        "alt": f"Scatter of {len(y_true)} songs in the plane of {targets[0]} and {targets[1]}: grey rings are "
        f"annotations, filled dots are what {label} predicted.",
        "caption": f"{len(y_true)} songs{_seed_words(scores, label)}. Point at a song to see its name "
        "and its two points joined.",
        "height_px": _HEIGHT_PX,
        "figure": {"data": traces, "layout": _marked(layout, scores, label)},
        "table": _furthest(scores, label, columns),
    }


def target_picture(scores: Scores, label: str, column: int) -> Picture:
    """Predicted against annotated values of one target, all songs."""
    target = scores.results.targets[column]
    y_true, y_pred = scores.y_true[:, [column]], _mean_prediction(scores, label)[:, [column]]
    colour = colours(scores.results.labels)[label]
    hover = "<b>%{customdata}</b><br>annotated %{x}, predicted %{y}<extra></extra>"
    trace = _cloud(y_true[:, 0], y_pred[:, 0], target, colour, "circle", len(y_true))
    low, high = _extent(scores, np.concatenate([y_true, y_pred]))
    axis = {"range": [low, high], "zeroline": False, "constrain": "domain"}
    layout = {
        "xaxis": {**axis, "title": {"text": f"annotated {_text(target)}"}},
        "yaxis": {**axis, "title": {"text": f"predicted {_text(target)}"}, "scaleanchor": "x"},
        "shapes": [_line(x=(low, high), y=(low, high))],
        "showlegend": False,
        "hovermode": "closest",
    }
    return {
        "id": f"scatter-{scores.results.labels.index(label)}-{column}",
        "title": f"{target}: predicted against annotated",
        "alt": f"Scatter of {len(y_true)} songs: {target} as predicted by {label} against its annotation.",
        "caption": f"{len(y_true)} songs{_seed_words(scores, label)}. On the line, a prediction is right.",
        "height_px": _HEIGHT_PX,
        "figure": {"data": [{**trace, "hovertemplate": hover}], "layout": _marked(layout, scores, label)},
        "table": _furthest(scores, label, (column,)),
    }


def confusion_picture(scores: Scores, label: str, columns: tuple[int, int]) -> Picture:
    """Into which quadrant the songs of each quadrant were predicted; counts are means over seeds."""
    centre = scale_centre(scores)
    runs = [(run.y_true[:, columns], run.y_pred[:, columns]) for run in scores.runs(label)]
    counts = np.mean([metrics.confusion(y_true=true, y_pred=pred, centre=centre) for true, pred in runs], axis=0)
    share = np.nan_to_num(metrics.ratio(counts, counts.sum(axis=1, keepdims=True)))
    right = percent(np.trace(counts) / counts.sum())
    names = [name.replace("-", "−") for name in metrics.QUADRANTS]
    texts = [[f"{_songs(counts[i, j])}<br>{percent(share[i, j])}" for j in range(4)] for i in range(4)]
    colour = colours(scores.results.labels)[label]
    trace = {
        "type": "heatmap",
        "z": [[_round(value) for value in row] for row in share],
        "x": names,
        "y": names,
        "text": texts,
        "texttemplate": "%{text}",
        "colorscale": [[0, "#ffffff"], [1, colour]],
        "zmin": 0,
        "zmax": 1,
        "showscale": False,
        "xgap": 2,
        "ygap": 2,
        "hovertemplate": "annotated %{y}, predicted %{x}: %{text}<extra></extra>",
    }
    layout = {
        "xaxis": {"title": {"text": "predicted"}, "showgrid": False, "fixedrange": True, "constrain": "domain"},
        "yaxis": {"title": {"text": "annotated"}, "autorange": "reversed", "showgrid": False, "scaleanchor": "x"},
    }
    rows = [[names[i], *(text.replace("<br>", " · ") for text in texts[i])] for i in range(4)]
    seeds = ", mean over seeds" if len(runs) > 1 else ""
    return {
        "id": f"confusion-{scores.results.labels.index(label)}",
        "title": f"Quadrants: {right} right",
        "alt": f"Confusion matrix of the four quadrants for {label}; {right} of the songs are in their own quadrant.",
        "caption": f"Songs{seeds}, and per cent of the row. V valence, A arousal; + at or above {centre:g}, − below.",
        "height_px": _HEIGHT_PX,
        "figure": {"data": [trace], "layout": _marked(layout, scores, label)},
        "table": table(["annotated \\ predicted", *names], rows, "lrrrr"),
    }


def scale_centre(scores: Scores) -> float:
    """The middle of the data set's scale; of the annotations where no scale is recorded."""
    scale = scores.results.dataset.get("scale")
    low, high = scale or (scores.y_true.min(), scores.y_true.max())
    return float(low + high) / 2


def song_names(scores: Scores) -> list[str]:
    """What a hover says of each scored song, in the order of `Scores.song_ids`, escaped for plotly."""
    by_id = {song["id"]: song for song in scores.results.songs}
    return [_text(song_name(by_id[i])) for i in scores.song_ids]


def song_name(song: dict[str, Any]) -> str:
    """Id, title and artist of a song, as far as they are known."""
    return f"{song['id']}: " + " – ".join(known) if (known := _known(song)) else str(song["id"])


def _known(song: dict[str, Any]) -> list[str]:
    return [str(song[key]) for key in ("title", "artist") if song.get(key)]


def _text(value: str) -> str:
    return html.escape(value, quote=False)


def _round(value: float, places: int = 3) -> float | None:
    return None if not np.isfinite(value) else round(float(value), places)


def _marked(layout: dict[str, Any], scores: Scores, label: str | None = None, anchor: str = "right") -> dict[str, Any]:
    """Words in the picture itself, so that a saved picture still says whose it is and that its music is synthetic."""
    words = [_text(_short(label))] if label else []
    if scores.results.dataset.get("synthetic"):
        words.append("synthetic music")
    mark = _note(" · ".join(words), x=0 if anchor == "left" else 1, xref="paper", anchor=anchor)
    return {**layout, "annotations": [*layout.get("annotations", []), *([mark] if words else [])]}


def _note(text: str, x: float, xref: str, anchor: str) -> dict[str, Any]:
    place = {"x": x, "xref": xref, "y": 1.0, "yref": "paper", "xanchor": anchor, "yanchor": "bottom"}
    return {"text": text, "showarrow": False, "font": {"size": 12, "color": INK}, **place}


def _line(x: tuple[float, float], y: tuple[float, float], yref: str = "y", dash: str = "dot") -> dict[str, Any]:
    ends = {"x0": x[0], "x1": x[1], "y0": y[0], "y1": y[1]}
    return {"type": "line", **ends, "yref": yref, "layer": "between", "line": {"color": INK, "width": 1, "dash": dash}}


def _r2_trace(label: str, colour: str, row: int, triple: tuple[float, float, float], lowest: float) -> dict[str, Any]:
    value, low, high = triple
    beyond = bool(value < lowest)
    marker = {"color": colour, "size": 11, "symbol": "triangle-left" if beyond else "circle"}
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers+text" if beyond else "markers",
        "name": _text(label),
        "x": [lowest + 0.02 if beyond else _round(value)],
        "y": [row],
        "text": [f"{value:.1f}"],
        "textposition": "middle right",
        "marker": marker,
        "hovertemplate": f"{_text(label)}<br>R² {interval_text(value, low, high)}<extra></extra>",
    }
    if np.isfinite(low) and not beyond:
        bars = {"array": [_round(high - value)], "arrayminus": [_round(value - low)]}
        trace["error_x"] = {"type": "data", **bars, "color": colour, "thickness": 2, "width": 5}
    return trace


def _short(label: str, at_most: int = 22) -> str:
    return label if len(label) <= at_most else f"{label[: at_most // 2 - 1]}…{label[-(at_most // 2) :]}"


def _axis_start(values: dict[str, tuple[float, float, float]]) -> float:
    ends = [end for triple in values.values() for end in triple if np.isfinite(end)]
    return max(min([0.0, *ends]), _LOWEST_R2) - 0.04


def _axis_end(values: dict[str, tuple[float, float, float]], ceiling: float | None) -> float:
    ends = [end for triple in values.values() for end in triple if np.isfinite(end)]
    return max([0.1, *ends, ceiling or 0.0]) + 0.06


def _runs(history: list[dict[str, Any]], label: str) -> list[list[dict[str, Any]]]:
    """The epochs of each seed and fold of one encoder, in order."""
    runs: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for row in history:
        if row["encoder"] == label:
            runs.setdefault((row.get("seed"), row.get("fold")), []).append(row)
    return [sorted(run, key=lambda row: row["epoch"]) for run in runs.values()]


def _mean_curve(curves: list[list[float | None]]) -> list[float]:
    # Where most runs have stopped early, the mean of the few that went on would show a jump that no run made.
    longest = max(map(len, curves))
    by_epoch = [[c[e] for c in curves if e < len(c) and c[e] is not None] for e in range(longest)]
    enough = [values for values in by_epoch if 2 * len(values) >= len(curves)]
    return [float(np.mean(values)) for values in enough]  # type: ignore[arg-type]


def _thin_lines(curves: list[list[float | None]], colour: str) -> dict[str, Any]:
    # One trace for all runs, broken by a gap after each: a hundred traces would make the page slow.
    x = [e for curve in curves for e in [*range(1, len(curve) + 1), None]]
    y = [None if v is None else _round(v, 4) for curve in curves for v in [*curve, None]]
    style = {"color": colour, "width": 1}
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": style, "opacity": 0.25} | _SILENT


def _mean_line(mean: list[float], name: str, colour: str) -> dict[str, Any]:
    dash = "dot" if name == "training" else "solid"
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(mean) < 2 else "lines",
        "name": name,
        "x": list(range(1, len(mean) + 1)),
        "y": [_round(value, 4) for value in mean],
        "line": {"color": colour, "width": 3, "dash": dash},
        "hovertemplate": f"epoch %{{x}}: {name} %{{y}}<extra></extra>",
    }


def _mean_prediction(scores: Scores, label: str) -> np.ndarray:
    return metrics.mean_over_seeds(scores.y_pred[label])  # (n_songs, n_targets), NaN where no seed tested the song


def _seed_words(scores: Scores, label: str) -> str:
    n_seeds = len(scores.y_pred[label])
    return f", predictions averaged over {n_seeds} seeds" if n_seeds > 1 else ""


def _cloud(x: np.ndarray, y: np.ndarray, name: str, colour: str, symbol: str, n_songs: int) -> dict[str, Any]:
    size = 9 if n_songs <= 100 else 6 if n_songs <= 600 else 4.5
    return {
        "type": "scatter",
        "mode": "markers",
        "name": _text(name),
        "x": [_round(value, 2) for value in x],
        "y": [_round(value, 2) for value in y],
        "customdata": SONG_NAMES,
        "marker": {"color": colour, "size": size, "symbol": symbol, "opacity": 0.75 if n_songs <= 600 else 0.55},
    }


def _extent(scores: Scores, values: np.ndarray) -> tuple[float, float]:
    low, high = scores.results.dataset.get("scale") or (np.nanmin(values), np.nanmax(values))
    low, high = min(low, float(np.nanmin(values))), max(high, float(np.nanmax(values)))
    return round(low - 0.02 * (high - low), 2), round(high + 0.02 * (high - low), 2)


def _songs(n: float) -> str:
    return f"{n:.0f}" if n == round(n) else f"{n:.1f}"  # a mean over seeds need not be whole


def _furthest(scores: Scores, label: str, columns: tuple[int, ...], at_most: int = 20) -> dict[str, Any]:
    """The songs whose prediction is furthest off, furthest first."""
    y_true, y_pred = scores.y_true[:, columns], _mean_prediction(scores, label)[:, columns]
    distance = np.sqrt(((y_pred - y_true) ** 2).sum(axis=1))
    by_id = {song["id"]: song for song in scores.results.songs}
    rows = []
    for i in [i for i in np.argsort(-distance, kind="stable")[:at_most] if np.isfinite(distance[i])]:
        song = by_id[scores.song_ids[i]]
        pairs = [f"{t:.1f} → {p:.1f}" for t, p in zip(y_true[i], y_pred[i], strict=True)]
        rows.append([song_name(song), song.get("genre") or MISSING, *pairs, decimals(distance[i])])
    names = [f"{scores.results.targets[c]}, annotated → predicted" for c in columns]
    return table(["song, furthest off first", "genre", *names, "distance"], rows, "ll" + "r" * (len(columns) + 1))
