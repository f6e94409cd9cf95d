"""Activations of many songs as one table of clips, and the records that every way of training takes and returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from affekt.data.splits import Fold

#: Tables up to this size are copied into memory; larger ones are read from the mapped files.
IN_MEMORY_BYTES = 2 * 1024**3


class ClipTable:
    """All clips of some songs, by row.

    Args:
        arrays: song id to activations (n_clips, ...).
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = list(arrays.values())
        n_clips = [len(array) for array in self._arrays]
        self._starts = np.concatenate([[0], np.cumsum(n_clips)])
        self._rows = {i: np.arange(a, a + n) for i, a, n in zip(arrays, self._starts, n_clips, strict=False)}
        n_bytes = sum(array.nbytes for array in self._arrays)
        self._memory = np.concatenate(self._arrays) if n_bytes <= IN_MEMORY_BYTES else None

    def rows(self, songs: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The rows of `songs`, and for each row the position of its song in `songs`; both (n_clips,)."""
        rows = [self._rows[song] for song in songs]
        return np.concatenate(rows), np.repeat(np.arange(len(songs)), [len(row) for row in rows])

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """Activations of `rows`, (n_rows, ...)."""
        if self._memory is not None:
            return self._memory[rows]
        song = np.searchsorted(self._starts, rows, side="right") - 1
        return np.stack([self._arrays[s][row - self._starts[s]] for s, row in zip(song, rows, strict=True)])

    def song_means(self, songs: Sequence[str]) -> np.ndarray:
        """Mean over each song's clips as float64, (n_songs, ...)."""
        return np.stack([self.gather(self._rows[song]).mean(axis=0, dtype=np.float64) for song in songs])


@dataclass
class Fitted:
    """What one fold leaves.

    Attributes:
        predictions: song id to values on the data set's scale, (n_targets,); over time (n_frames, n_targets).
        history: a mapping for each epoch; empty for closed forms.
        n_trainable: number of trained weights.
        training_s: time of training, without extraction.
        predict_s: time from stored activations to the predictions of the test songs.
        chosen: what validation chose: the epoch, or the strength of regularisation.
    """

    predictions: dict[str, np.ndarray]
    history: list[dict[str, Any]] = field(default_factory=list)
    n_trainable: int = 0
    training_s: float = 0.0
    predict_s: float = 0.0
    chosen: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Standardiser:
    """Shift and scale learnt from training songs alone."""

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray) -> Standardiser:
        """From rows; a constant column keeps its scale."""
        std = x.std(axis=0)
        return cls(x.mean(axis=0), np.where(std > 1e-8, std, 1.0))

    def apply(self, x: np.ndarray, clip: float | None = None) -> np.ndarray:
        """To zero mean and unit variance, then clipped to +-`clip`."""
        z = (x - self.mean) / self.std
        return z if clip is None else z.clip(-clip, clip)

    def undo(self, x: np.ndarray) -> np.ndarray:
        """Back to the original scale."""
        return x * self.std + self.mean


@dataclass(frozen=True)
class Task:
    """One fold of one encoder, ready to be trained.

    Songs have one annotation each, or one for each frame; a row of the table is then a frame. This class is all that
    knows the difference.

    Attributes:
        table: clips or frames of every song in the fold.
        labels: song id to annotation, (n_targets,) or (n_frames, n_targets), on the data set's scale.
        fold: who is on which side.
        seed: of every random draw.
    """

    table: ClipTable
    labels: Mapping[str, np.ndarray]
    fold: Fold
    seed: int

    @property
    def over_time(self) -> bool:
        """Whether songs are annotated frame by frame."""
        return next(iter(self.labels.values())).ndim == 2

    def y(self, songs: Sequence[str]) -> np.ndarray:
        """Annotations of `songs`, each once: (n_songs, n_targets), or (n_frames of all songs, n_targets)."""
        labels = [self.labels[song] for song in songs]
        return np.concatenate(labels) if self.over_time else np.stack(labels)

    def y_of_rows(self, songs: Sequence[str]) -> np.ndarray:
        """The annotation that belongs to each row of `songs`, (n_rows, n_targets): clips share their song's."""
        return self.y(songs) if self.over_time else self.y(songs)[self.table.rows(songs)[1]]

    def x(self, songs: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """What a closed form learns from, in the order of `y`: song means, or frames; (n, dim) and the song of each."""
        if not self.over_time:
            return self.table.song_means(songs), np.arange(len(songs))
        rows, song = self.table.rows(songs)
        return self.table.gather(rows).astype(np.float64), song

    def by_song(self, songs: Sequence[str], predicted: np.ndarray) -> dict[str, np.ndarray]:
        """Predictions of all rows as predictions of songs: the mean over clips, or the course over frames.

        Args:
            songs: whose rows were predicted.
            predicted: (n_rows, n_targets).
        """
        _, song = self.table.rows(songs)
        parts = np.split(predicted, np.flatnonzero(np.diff(song)) + 1)
        return dict(zip(songs, parts if self.over_time else [part.mean(axis=0) for part in parts], strict=True))
