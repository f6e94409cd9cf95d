"""How encoders follow a song: their scores over time as a ladder, and single songs as curves beside the annotation."""

from __future__ import annotations

from typing import Any

import numpy as np

from affekt.evaluation.over_time import RANKED_BY, OverTime
from affekt.evaluation.scores import REFERENCE
from affekt.report.figures.ladder import score_trace
from affekt.report.figures.style import (
    INK,
    LEGEND_ABOVE,
    Picture,
    Trace,
    escaped,
    marked,
    picture,
    rounded,
    short_name,
)
from affekt.report.tables import decimals, interval_text, table
from affekt.report.view import View, song_name

_STEP_PX = 50
#: Which songs are drawn, by how well the best encoder follows them: from the best to the worst.
_DRAWN = {"followed best": 1.0, "upper third": 2 / 3, "lower third": 1 / 3, "followed worst": 0.0}
# Below this, curves are so unlike that more says nothing: one hopeless encoder must not squeeze the others.
_LOWEST = -0.5
_MOST_ROWS = 60
# A picture spans at least this share of the scale: what hardly moves must not look as if it did.
_LEAST_SPAN = 0.3


def following_picture(view: View, found: OverTime, target: str) -> Picture:
    """Mean CCC over songs of every encoder on one target, best first, with its interval."""
    ranking = found.ranking(target)
    triples = {label: found.value(label, RANKED_BY, target) for label in ranking}
    ends = [end for triple in triples.values() for end in triple if np.isfinite(end)]
    low, high = max(min([0.0, *ends]), _LOWEST) - 0.04, max([0.2, *ends]) + 0.06
    layout = {
        "xaxis": {"title": {"text": "CCC within songs, 95 % interval"}, "range": [low, high], "zeroline": True},
        "yaxis": {
            "tickvals": list(range(len(ranking))),
            "ticktext": [escaped(short_name(view, label)) for label in ranking],
            "range": [len(ranking) - 0.4, -0.75],
            "showgrid": False,
            "zeroline": False,
        },
        "showlegend": False,
    }
    traces = [score_trace(view, label, at, triples[label], low, "CCC") for at, label in enumerate(ranking)]
    said = f" {ranking[0]} follows it best with {interval_text(*triples[ranking[0]])}." if ranking else ""
    return picture(
        f"following-{view.targets.index(target)}",
        f"Following {target} over time",
        f"Dot plot of the mean concordance over songs for {len(ranking)} encoders on {target}.{said}",
        {"data": traces, "layout": marked(view, layout, ranking)},
        table(["encoder", "CCC", "low", "high"], [[e, *map(decimals, triples[e])] for e in ranking], "lrrr"),
        subject=target,
        height_px=118 + _STEP_PX * max(len(ranking), 1),
    )


def course_pictures(view: View, found: OverTime) -> list[Picture]:
    """Songs from the one that the best encoder follows best to the one that it follows worst, target by target."""
    songs = _drawn_songs(view, found)
    pairs = [(song, how, target) for song, how in songs.items() for target in view.targets]
    return [_course(view, found, number, *pair) for number, pair in enumerate(pairs)]


def _drawn_songs(view: View, found: OverTime) -> dict[int, str]:
    """Song and why it is drawn; by CCC averaged over targets and seeds, of the encoder that follows best by it."""
    at = _ccc_by_song(found)
    means = {encoder: np.nanmean(values) for encoder, values in at.items() if np.isfinite(values).any()}
    if not means:
        return {}
    values = at[max(means, key=lambda encoder: means[encoder])]
    ascending = [i for i in np.argsort(values, kind="stable").tolist() if np.isfinite(values[i])]
    places = {how: ascending[round(share * (len(ascending) - 1))] for how, share in _DRAWN.items()}
    chosen: dict[int, str] = {}
    for how, song in places.items():
        chosen.setdefault(song, how)
    return chosen


def _ccc_by_song(found: OverTime) -> dict[str, np.ndarray]:
    """For each encoder, (n_songs,): NaN where it is undefined."""
    return {
        encoder: _mean_of_defined(values[:, :, -1].transpose(1, 0, 2).reshape(values.shape[1], -1))
        for encoder, values in found.per_song.items()
    }


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    defined = ~np.isnan(values)
    counts = defined.sum(axis=1)
    sums = np.where(defined, values, 0.0).sum(axis=1)
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)


def _course(view: View, found: OverTime, number: int, song: int, how: str, target: str) -> Picture:
    """One song on one target: the annotation in black, each encoder in its colour."""
    column, times_s = view.targets.index(target), found.times_s[song]
    shown = [label for label in found.ranking(target) if view.baseline(label) != REFERENCE]
    predicted = {label: _predicted(found, label, song) for label in shown}
    curves = {label: curve for label, curve in predicted.items() if curve is not None}
    traces = [
        _line("annotated", times_s, found.truth[song][:, column], INK, 3),
        *(_line(short_name(view, e), times_s, curve[:, column], view.colours[e], 2) for e, curve in curves.items()),
    ]
    name = song_name(view.songs[song])
    drawn = [found.truth[song][:, column], *(curve[:, column] for curve in curves.values())]
    low, high = (float(end([end(values) for values in drawn])) for end in (np.min, np.max))
    room = max(0.0, _LEAST_SPAN * _width(view) - (high - low)) / 2 + 0.04 * _width(view)
    layout = {
        "xaxis": {"title": {"text": "seconds from the start of the song"}, "zeroline": False},
        "yaxis": {"title": {"text": escaped(target)}, "range": [rounded(low - room), rounded(high + room)]},
        "legend": LEGEND_ABOVE,
        "hovermode": "x unified",
    }
    rows = [
        [decimals(time, 1), decimals(found.truth[song][i, column]), *(decimals(c[i, column]) for c in curves.values())]
        for i, time in enumerate(times_s)
    ]
    every = max(1, -(-len(rows) // _MOST_ROWS))
    return picture(
        f"course-{number}",
        f"{how[0].upper()}{how[1:]}: {target}",
        f"Curves of {target} over {len(times_s)} moments of {name}: the annotation, and what {len(curves)} encoders "
        f"predicted. Of the songs, this one is {how}.",
        {"data": traces, "layout": marked(view, layout, curves)},
        table(["s", "annotated", *curves], rows[::every], "r" * (2 + len(curves))),
        subject=f"{target} {how}",
        caption=name,
        height_px=340,
    )


def _width(view: View) -> float:
    low, high = view.scale or (0.0, 1.0)
    return float(high - low)


def _predicted(found: OverTime, encoder: str, song: int) -> np.ndarray | None:
    """Averaged over the seeds that tested the song, (n_frames, n_targets)."""
    known = [curve for curves in found.y_pred[encoder].values() if (curve := curves[song]) is not None]
    return np.mean(known, axis=0) if known else None


def _line(name: str, times_s: np.ndarray, values: np.ndarray, colour: str, width: float) -> Trace:
    style: dict[str, Any] = {"color": colour, "width": width}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": escaped(name),
        "x": [rounded(value, 2) for value in times_s],
        "y": [rounded(value, 3) for value in values],
        "line": {**style, "dash": "solid"},
        "hovertemplate": "%{y:.2f}",
    }
