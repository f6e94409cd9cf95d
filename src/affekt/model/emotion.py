"""What a model says of a track: valence and arousal, how sure it is, how they move, and what a listener should know.

Conventions: values lie on the scale of the annotations that the model learnt from (`scale`, 1 to 9 for DEAM) and are
kept within it; `unit` gives the same from -1 to 1. Valence stands before arousal. Times are seconds from the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from affekt.data.base import VALENCE_AROUSAL
from affekt.errors import DataError
from affekt.evaluation.metrics import QUADRANTS, quadrants


class Interval(NamedTuple):
    """Where the annotation of a track lies, with the coverage that the model states."""

    low: float
    high: float


class Remark(NamedTuple):
    """Something to know about a prediction: a word for programs, and a sentence for people."""

    code: str
    text: str


@dataclass(frozen=True)
class Course:
    """How a track moves: a value for each moment.

    Attributes:
        times_s: moments, ascending, shape (n_moments,).
        values: on the model's scale, shape (n_moments, n_targets).
    """

    times_s: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Emotion:
    """What one track feels like, as far as a model can tell.

    Attributes:
        targets: what is predicted, valence before arousal.
        values: one for each target, on `scale`.
        intervals: one for each target, on `scale`.
        coverage: the share of tracks whose annotation lies in such an interval, as it was measured on songs that were
            not trained on.
        scale: lowest and highest value.
        duration_s: length of the track.
        curve: how it moves; None where that was not asked for.
        remarks: what a listener should know.
    """

    targets: tuple[str, ...]
    values: tuple[float, ...]
    intervals: tuple[Interval, ...]
    coverage: float
    scale: tuple[float, float]
    duration_s: float
    curve: Course | None = None
    remarks: tuple[Remark, ...] = ()

    def of(self, target: str) -> float:
        """The value of one target.

        Raises:
            DataError: the model predicts no such target.
        """
        return self.values[self._place(target)]

    def interval(self, target: str) -> Interval:
        """The interval of one target.

        Raises:
            DataError: the model predicts no such target.
        """
        return self.intervals[self._place(target)]

    @property
    def valence(self) -> float:
        """From unpleasant to pleasant."""
        return self.of("valence")

    @property
    def arousal(self) -> float:
        """From calm to excited."""
        return self.of("arousal")

    @property
    def unit(self) -> tuple[float, ...]:
        """The values from -1 to 1, 0 at the centre of the scale."""
        return tuple(to_unit(np.array(self.values), self.scale).tolist())

    @property
    def quadrant(self) -> str | None:
        """Where the track lies around the centre, such as "V+ A-"; None without valence and arousal."""
        if not set(VALENCE_AROUSAL) <= set(self.targets):
            return None
        place = np.array([[self.valence, self.arousal]])
        return QUADRANTS[int(quadrants(place, centre=sum(self.scale) / 2)[0])]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        by_target = {
            target: {"value": value, "low": interval.low, "high": interval.high, "unit": unit}
            for target, value, interval, unit in zip(self.targets, self.values, self.intervals, self.unit, strict=True)
        }
        return {
            **by_target,
            "quadrant": self.quadrant,
            "coverage": self.coverage,
            "scale": list(self.scale),
            "duration_s": round(self.duration_s, 3),
            "warnings": [remark._asdict() for remark in self.remarks],
            **({} if self.curve is None else {"curve": _course_as_dict(self.curve, self.targets)}),
        }

    def _place(self, target: str) -> int:
        if target not in self.targets:
            raise DataError(f'"{target}": this model does not predict it. It predicts {", ".join(self.targets)}.')
        return self.targets.index(target)


def to_unit(values: np.ndarray, scale: Sequence[float]) -> np.ndarray:
    """Values on a scale to -1 ... 1."""
    low, high = scale
    unit: np.ndarray = (2 * values - low - high) / (high - low)
    return unit


def _course_as_dict(curve: Course, targets: Sequence[str]) -> dict[str, Any]:
    columns = {target: curve.values[:, i].tolist() for i, target in enumerate(targets)}
    return {"times_s": curve.times_s.round(3).tolist(), **columns}
