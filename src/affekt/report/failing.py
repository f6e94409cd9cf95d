"""Where encoders fail: errors by kind of song, and the songs that all of them find hardest.

Conventions: an error is the root mean square over all targets of prediction minus annotation, in units of the scale;
for kinds of songs the predictions of each seed count by themselves, for a single song they are averaged first. A kind
is the annotated quadrant, the genre, the part of the data set, or any further column that the data set brought along.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from affekt.evaluation import metrics
from affekt.report.tables import QUADRANTS
from affekt.report.view import View

_MOST_KINDS, _MOST_GROUPS = 8, 15
_FEWEST_SONGS = 5


class Group(NamedTuple):
    """Songs of one kind."""

    kind: str
    name: str
    n_songs: int
    rmse: dict[str, float]  # of each encoder; NaN where it predicted none of them


class WorstSong(NamedTuple):
    """A song that encoders get wrong."""

    position: int  # in Scores.song_ids
    error: float  # mean over the encoders that compete
    errors: dict[str, float]  # of each encoder


def groups(view: View) -> dict[str, list[Group]]:
    """Errors by kind of song, each kind with its largest groups first.

    A kind is left out where it does not sort songs into groups: all have the same value, or most have one that hardly
    any other song shares, as an album or a measurement.
    """
    squares = {
        label: metrics.mean_over_seeds(((view.scores.y_pred[label] - view.y_true) ** 2).mean(axis=-1))
        for label in view.order
    }
    found = {}
    for kind, names in _kinds(view).items():
        largest = _largest(names)
        known = [name for name in names if name]
        if len(set(known)) > 1 and 2 * sum(chosen.sum() for _, chosen in largest) >= len(known):
            found[kind] = [
                Group(
                    kind, name, int(chosen.sum()), {label: _root(square[chosen]) for label, square in squares.items()}
                )
                for name, chosen in largest
            ]
    return dict(list(found.items())[:_MOST_KINDS])


def worst_songs(view: View, at_most: int = 12) -> list[WorstSong]:
    """The songs with the largest error over all encoders that compete, largest first."""
    competing = [label for label in view.contenders if not view.scores.is_reference(label)] or view.order
    squares = {label: ((view.predictions[label] - view.y_true) ** 2).mean(axis=1) for label in view.order}
    overall = np.sqrt(np.mean([squares[label] for label in competing], axis=0))  # (n_songs,)
    ranked = [int(i) for i in np.argsort(-overall, kind="stable") if np.isfinite(overall[i])]
    return [
        WorstSong(i, float(overall[i]), {label: float(np.sqrt(squares[label][i])) for label in view.order})
        for i in ranked[:at_most]
    ]


def _kinds(view: View) -> dict[str, list[str | None]]:
    kinds: dict[str, list[str | None]] = {}
    columns = metrics.valence_arousal_columns(view.targets)
    if columns:
        quadrants = metrics.quadrants(view.y_true[:, columns], centre=view.centre)
        kinds["quadrant"] = [QUADRANTS[q] for q in quadrants]
    for key in ("genre", "part"):
        kinds[key] = [song.get(key) for song in view.songs]
    attributes = [song.get("attributes") or {} for song in view.songs]
    for key in dict.fromkeys(key for found in attributes for key in found):
        kinds.setdefault(str(key), [found.get(key) for found in attributes])
    return kinds


def _largest(names: Sequence[str | None]) -> list[tuple[str, np.ndarray]]:
    values = np.array(["" if name is None else str(name) for name in names])
    unique, sizes = np.unique(values[values != ""], return_counts=True)
    by_size = sorted(zip(unique, sizes, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return [(str(name), values == name) for name, size in by_size[:_MOST_GROUPS] if size >= _FEWEST_SONGS]


def _root(squares: np.ndarray) -> float:
    known = squares[~np.isnan(squares)]
    return float(np.sqrt(known.mean())) if len(known) else float("nan")
