"""Where names stand beside the points of a scatter, so that they cover as little as possible.

Conventions: the drawing is taken to be of a usual size in CSS pixels, from its upper left corner; a box is left, top,
right, bottom. Nothing breaks where the guess is wrong: names then touch something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

#: In the order of preference, as plotly names them.
PLACES = (
    *("middle right", "middle left", "top right", "bottom right", "top left", "bottom left"),
    *("top center", "bottom center"),
)

_WIDTH_PX, _HEIGHT_PX = 420, 300
_LINE_PX, _LETTER_PX, _POINT_PX = 15, 6.6, 14
_MARGIN = 0.35  # of the horizontal axis on either side, in its own units

Box = tuple[float, float, float, float]


def name_places(
    names: Mapping[str, str],
    x: Mapping[str, float],
    y: Mapping[str, tuple[float, float, float]],
    path: Sequence[str],
    limits: tuple[float, float],
) -> dict[str, str]:
    """One of `PLACES` for each point.

    Args:
        names: what stands beside each point.
        x: of each point.
        y: of each point, with the ends of its bar.
        path: points that a staircase joins, from left to right.
        limits: of the vertical axis.
    """
    left, right = min(x.values()) - _MARGIN, max(x.values()) + _MARGIN

    def pixels(at_x: float, at_y: float) -> tuple[float, float]:
        return _WIDTH_PX * (at_x - left) / (right - left), _HEIGHT_PX * (limits[1] - at_y) / (limits[1] - limits[0])

    points = {label: pixels(x[label], y[label][0]) for label in names}
    taken = [_around(*point, _POINT_PX, _POINT_PX) for point in points.values()]
    taken += [_bar(pixels(x[label], y[label][2]), pixels(x[label], y[label][1])) for label in names]
    taken += [_bar(points[one], (points[after][0], points[one][1])) for one, after in pairwise(path)]
    chosen: dict[str, str] = {}
    for label, point in points.items():
        boxes = {place: _beside(place, *point, _LETTER_PX * len(names[label])) for place in PLACES}
        costs = {place: _covered(box, taken) + _outside(box) for place, box in boxes.items()}
        chosen[label] = min(PLACES, key=lambda place: costs[place])
        taken.append(boxes[chosen[label]])
    return chosen


def _around(x: float, y: float, width: float, height: float) -> Box:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _bar(start: tuple[float, float], end: tuple[float, float]) -> Box:
    """A line from left to right or from top to bottom, two pixels thick; nothing where an end is undefined."""
    if not np.isfinite([*start, *end]).all():
        return (0.0, 0.0, 0.0, 0.0)
    return start[0] - 1, start[1] - 1, end[0] + 1, end[1] + 1


def _beside(place: str, x: float, y: float, width: float) -> Box:
    vertical, horizontal = place.split()
    shift_x = {"left": -(width / 2 + 8), "center": 0.0, "right": width / 2 + 8}[horizontal]
    shift_y = {"top": -14.0, "middle": 0.0, "bottom": 14.0}[vertical]
    return _around(x + shift_x, y + shift_y, width, _LINE_PX)


def _covered(box: Box, others: Sequence[Box]) -> float:
    """Shared area with what is there already, in square pixels."""
    return sum(_overlap(box, other, 0) * _overlap(box, other, 1) for other in others)


def _overlap(one: Box, other: Box, axis: int) -> float:
    return max(0.0, min(one[axis + 2], other[axis + 2]) - max(one[axis], other[axis]))


def _outside(box: Box) -> float:
    """How far a name would stand outside of the drawing; to be cut is worse than to cover."""
    beyond = (-box[0], box[2] - _WIDTH_PX, -box[1], box[3] - _HEIGHT_PX)
    return 50 * sum(max(0.0, pixels) for pixels in beyond)
