"""Pictures of a prediction, as SVG that a page colours: the plane, a song's mark on it, its course below the waveform.

Conventions: in the plane valence runs to the right and arousal upwards; -1 to 1 is `-HALF` to `HALF` around the middle
of a square. A course runs from left to right, 1000 units for the whole track, and is stretched to the page's width, so
words stand beside it in HTML. Every text is escaped here; no colour is named here, classes are (`page.css`).
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from affekt.model.emotion import Emotion, to_unit
from affekt.service.words import ENDS, QUADRANT_WORDS, dimension, plane_targets

#: Side of the plane and half of what is drawn in it.
SIDE, HALF = 440.0, 186.0
#: The part of it that is shown, with words to the left and below.
VIEW = "8 33 400 400"
#: A course's size before it is stretched.
WIDE, HIGH = 1000.0, 200.0
#: The models of one song, which look different.
MARKS = ("first", "second")
_SIGNS = {"V+ A+": (1, 1), "V- A+": (-1, 1), "V- A-": (-1, -1), "V+ A-": (1, -1)}


def plane() -> str:
    """The empty plane, with layers for `mark` and `trail`."""
    low, middle, high = SIDE / 2 - HALF, SIDE / 2, SIDE / 2 + HALF
    quarters = "".join(
        f'<rect class="quarter {_slug(name)}" x="{middle if x > 0 else low:g}" y="{low if y > 0 else middle:g}" '
        f'width="{HALF:g}" height="{HALF:g}"/>'
        for name, (x, y) in _SIGNS.items()
    )
    names = "".join(
        f'<text class="mood" x="{middle + x * HALF * 0.5:g}" y="{middle - y * HALF * 0.86 + 4:g}">'
        f"{escape(QUADRANT_WORDS[name])}</text>"
        for name, (x, y) in _SIGNS.items()
    )
    axes = (
        f'<path class="grid" d="{_grid()}"/>'
        f'<path class="axis" d="M{low:g} {middle:g}H{high:g}M{middle:g} {low:g}V{high:g}"/>'
    )
    return (
        f'<svg class="plane" viewBox="{VIEW}" role="img" '
        'aria-label="The plane of valence and arousal; the table of songs holds the same values">'
        f"{quarters}{axes}{names}{_end_words(low, middle, high)}"
        '<g class="trails"></g><g class="marks"></g><circle class="now" r="5" cx="-20" cy="-20"/></svg>'
    )


def mark(emotions: Sequence[Emotion]) -> str:
    """One song on the plane: a point with its interval as a cross for each model, joined where there are two.

    Empty where a model has no valence or arousal.
    """
    points = [point for emotion in emotions if (point := _point(emotion)) is not None]
    if len(points) < len(emotions):
        return ""
    joint = f'<path class="joint" d="{_path([(x, y) for x, y, *_ in points])}"/>' if len(points) > 1 else ""
    drawn = "".join(reversed([_mark(*point, kind) for point, kind in zip(points, MARKS, strict=False)]))
    return f'<g class="song">{joint}{drawn}</g>'


def trail(emotion: Emotion) -> str:
    """How a song moves across the plane."""
    places = plane_targets(emotion.targets)
    if emotion.curve is None or places is None:
        return ""
    units = to_unit(emotion.curve.values[:, places], emotion.scale)
    return f'<g class="song"><path class="trail" d="{_path([_at(x, y) for x, y in units])}"/></g>'


def course(emotions: Sequence[Emotion], bars: np.ndarray) -> str:
    """The waveform with the course of each target over it, for each model.

    Args:
        emotions: of one song, with curves.
        bars: highest levels of its parts, shape (n_bars,).
    """
    lines = "".join(
        _line(emotion, target, kind)
        for emotion, kind in zip(emotions, MARKS, strict=False)
        for target in range(len(emotion.targets))
    )
    return (
        f'<svg class="course" viewBox="0 0 {WIDE:g} {HIGH:g}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="wave" d="{_wave(bars)}"/><path class="axis" d="M0 {HIGH / 2:g}H{WIDE:g}"/>{lines}</svg>'
    )


def course_legend(emotion: Emotion) -> list[dict[str, Any]]:
    """What the lines of a course are called."""
    return [{"name": target.replace("_", " "), "class": _class(target, i)} for i, target in enumerate(emotion.targets)]


def _point(emotion: Emotion) -> tuple[float, float, float, float, float, float] | None:
    """Middle, left, right, lower and upper end of a cross."""
    places = plane_targets(emotion.targets)
    if places is None:
        return None
    x, y = (emotion.unit[place] for place in places)
    (left, right), (low, high) = (to_unit(np.array(emotion.intervals[place]), emotion.scale) for place in places)
    (px, py), (left, bottom), (right, top) = _at(x, y), _at(left, low), _at(right, high)
    return px, py, left, right, bottom, top


def _mark(x: float, y: float, left: float, right: float, bottom: float, top: float, kind: str) -> str:
    cap = 5
    cross = (
        f"M{left:.1f} {y:.1f}H{right:.1f}M{x:.1f} {bottom:.1f}V{top:.1f}"
        f"M{left:.1f} {y - cap:.1f}v{2 * cap}M{right:.1f} {y - cap:.1f}v{2 * cap}"
        f"M{x - cap:.1f} {bottom:.1f}h{2 * cap}M{x - cap:.1f} {top:.1f}h{2 * cap}"
    )
    shape = (
        f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="10.5"/>'
        if kind == MARKS[0]
        else f'<path class="point" d="M{x:.1f} {y - 14:.1f}l14 14l-14 14l-14 -14z"/>'
    )
    return (
        f'<g class="{kind}"><path class="cross" d="{cross}"/>{shape}'
        f'<text class="number" x="{x:.1f}" y="{y + 4:.1f}"></text></g>'
    )


def _line(emotion: Emotion, target: int, kind: str) -> str:
    if emotion.curve is None:
        return ""
    across = emotion.curve.times_s / emotion.duration_s * WIDE
    up = HIGH / 2 - to_unit(emotion.curve.values[:, target], emotion.scale) * HIGH / 2
    points = list(zip(across, up, strict=True))
    if len(points) == 1:  # a track of one window does not move
        points = [(0.0, points[0][1]), (WIDE, points[0][1])]
    return f'<path class="line {kind} {_class(emotion.targets[target], target)}" d="{_path(points)}"/>'


def _wave(bars: np.ndarray) -> str:
    """Bars around the middle, as high as the loudest allows."""
    step = WIDE / len(bars)
    heights = np.maximum(bars / max(float(bars.max()), 1e-6) * HIGH * 0.46, 0.6)
    return "".join(
        f"M{(i + 0.2) * step:.1f} {HIGH / 2 - height:.1f}h{step * 0.6:.1f}v{2 * height:.1f}h{-step * 0.6:.1f}z"
        for i, height in enumerate(heights)
    )


def _end_words(low: float, middle: float, high: float) -> str:
    (left, right), (bottom, top) = ENDS["valence"], ENDS["arousal"]
    return (
        f'<text class="end" x="{low:g}" y="{high + 20:g}" text-anchor="start">{left}</text>'
        f'<text class="end" x="{high:g}" y="{high + 20:g}" text-anchor="end">{right}</text>'
        f'<text class="name" x="{middle:g}" y="{high + 20:g}">valence</text>'
        f'<g transform="rotate(-90)">'
        f'<text class="end" x="{-high:g}" y="{low - 11:g}" text-anchor="start">{bottom}</text>'
        f'<text class="end" x="{-low:g}" y="{low - 11:g}" text-anchor="end">{top}</text>'
        f'<text class="name" x="{-middle:g}" y="{low - 11:g}">arousal</text></g>'
    )


def _grid() -> str:
    low, high = SIDE / 2 - HALF, SIDE / 2 + HALF
    places = [SIDE / 2 + share * HALF for share in (-0.5, 0.5)]
    return "".join(f"M{low:g} {at:g}H{high:g}M{at:g} {low:g}V{high:g}" for at in places)


def _at(x: float, y: float) -> tuple[float, float]:
    return SIDE / 2 + float(x) * HALF, SIDE / 2 - float(y) * HALF


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _slug(quadrant: str) -> str:
    return quadrant.replace("+", "p").replace("-", "m").replace(" ", "").lower()


def _class(target: str, place: int) -> str:
    return dimension(target) or f"other{place % 4}"
