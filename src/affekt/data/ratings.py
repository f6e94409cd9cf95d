"""Single ratings of songs, from DEAM's files "per each rater", matched to the labels that they are behind.

    song_level/static_annotations_songs_1_2000.csv       workerID, SongId, Valence, Arousal
    song_level/static_annotations_songs_2000_2058.csv    SongId, WorkerId, Arousal_Average, Valence_Average, ...

Copies differ in case, order and spaces of the columns' names. The ratings serve the ceiling alone, so nothing in them
keeps a data set from loading: a line that cannot be read is passed over, and a song's ratings count only if their mean
is the song's label. That also tells which way round they stand, should their columns be exchanged as the labels were.
Valence stands before arousal, on DEAM's scale 1 to 9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affekt.data.exchange import LAST_EXCHANGED_ID
from affekt.data.tables import Mistakes, Table, parse_number, read_table
from affekt.errors import DataError

RATING_NAMES = ("static_annotations_songs_1_2000.csv", "static_annotations_songs_2000_2058.csv")

_SONG = ("songid", "song_id")
_VALENCE = ("valence", "valence_average")
_AROUSAL = ("arousal", "arousal_average")
# Labels are published to one decimal, some to two.
_TOLERANCE = 0.051


@dataclass(frozen=True)
class Ratings:
    """Ratings that are known to be behind the labels.

    Attributes:
        by_song: (valence, arousal) of each rater by song id, shape (n_raters, 2), the way round that the labels are.
        n_unmatched: songs whose ratings do not average to their label.
    """

    by_song: Mapping[int, np.ndarray]
    n_unmatched: int = 0


def read_ratings(paths: Sequence[Path]) -> dict[int, np.ndarray]:
    """Ratings by song id, shape (n_raters, 2), as the files name their columns; empty where none can be read."""
    rows: dict[int, list[tuple[float, float]]] = {}
    for path in paths:
        for song, rating in _read_file(path):
            rows.setdefault(song, []).append(rating)
    return {song: np.array(ratings) for song, ratings in rows.items()}


def match_ratings(ratings: Mapping[int, np.ndarray], labels: Mapping[int, np.ndarray]) -> Ratings:
    """Keep the ratings that average to the labels, turned the way round that the labels are.

    Whether to turn them is decided by the majority of the songs up to id 1000, and again of those above: the two halves
    of DEAM's file differ in this.

    Args:
        ratings: as `read_ratings` gives them.
        labels: (valence, arousal) by song id.
    """
    kept: dict[int, np.ndarray] = {}
    known = [song for song in ratings if song in labels]
    for early in (True, False):
        songs = [song for song in known if (song <= LAST_EXCHANGED_ID) == early]
        straight = {song: ratings[song] for song in songs if _agree(ratings[song], labels[song])}
        turned = {song: ratings[song][:, ::-1] for song in songs if _agree(ratings[song][:, ::-1], labels[song])}
        kept |= turned if len(turned) > len(straight) else straight
    return Ratings(kept, len(known) - len(kept))


def _agree(ratings: np.ndarray, label: np.ndarray) -> bool:
    return bool(np.all(np.abs(ratings.mean(axis=0) - label) < _TOLERANCE))


def _read_file(path: Path) -> list[tuple[int, tuple[float, float]]]:
    try:
        table = read_table(path, (), Mistakes(str(path)), squeeze_names=True)
    except DataError:
        return []
    song, valence, arousal = (_find(table, names) for names in (_SONG, _VALENCE, _AROUSAL))
    if song is None or valence is None or arousal is None:
        return []
    found = []
    for row in table.rows:
        song_id = row.cells[song]
        v, a = parse_number(row.cells[valence]), parse_number(row.cells[arousal])
        if song_id.isascii() and song_id.isdigit() and v is not None and a is not None:
            found.append((int(song_id), (v, a)))
    return found


def _find(table: Table, names: Sequence[str]) -> str | None:
    return next((column for column in table.columns if column.casefold() in names), None)
