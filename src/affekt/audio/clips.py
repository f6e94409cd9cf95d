"""Which parts of a song are heard: evenly spaced clips of equal length.

Conventions: starts and lengths in seconds; a clip is exactly `round(length_s * sample_rate_hz)` samples, so that clips
of all songs fit one batch without padding. Padding would change the embedding of an encoder that takes no mask, hence
a song shorter than one clip is repeated, never filled with silence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from affekt.errors import AudioError, ConfigError, ShapeError

MIN_SONG_S = 0.5  # below this a repeated song is a buzz, not music


@dataclass(frozen=True)
class ClipPlan:
    """A number of clips from the first to the last possible start, as far as the song is long enough for them.

    A song that cannot hold `count` clips side by side gives fewer, so that none overlap; one clip alone lies in the
    song's centre; a song shorter than one clip is repeated end to end to fill it.

    Attributes:
        count: the highest number of clips per song.
        length_s: length of each clip.

    Raises:
        ConfigError: `count` below 1, or `length_s` not above 0.
    """

    count: int = 6
    length_s: float = 5.0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"clips.count is {self.count}; it must be 1 or more. The default is 6.")
        if not (math.isfinite(self.length_s) and self.length_s > 0):
            raise ConfigError(f"clips.length_s is {self.length_s}; it must be a length above 0 s. The default is 5.")

    def along(self, times_s: np.ndarray | None) -> ClipPlan:
        """The clips of one song: the same plan for all, whenever a song is annotated."""
        del times_s
        return self

    def starts(self, duration_s: float) -> np.ndarray:
        """Where the clips of a song begin.

        Args:
            duration_s: length of the song.

        Returns:
            Starts in seconds, ascending, shape (n_clips,) with 1 <= n_clips <= count.

        Raises:
            AudioError: the song is shorter than `MIN_SONG_S`.
        """
        if not duration_s >= MIN_SONG_S:
            raise AudioError(
                f"the song is {duration_s:.2f} s long; at least {MIN_SONG_S} s are needed. Remove it or lengthen it."
            )
        return self._spread(duration_s, self.length_s)

    def cut(self, audio: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        """Cut a song into clips.

        Args:
            audio: mono samples, shape (n_samples,).
            sample_rate_hz: their rate.

        Returns:
            Clips, float32, shape (n_clips, round(length_s * sample_rate_hz)).

        Raises:
            AudioError: the song is shorter than `MIN_SONG_S`.
            ShapeError: `audio` has more than one axis.
        """
        if audio.ndim != 1:
            raise ShapeError(f"audio has shape {audio.shape}; (n_samples,) is needed. Mix it down to mono first.")
        self.starts(len(audio) / sample_rate_hz)
        n_clip = max(1, round(self.length_s * sample_rate_hz))
        if len(audio) < n_clip:
            return np.resize(audio, (1, n_clip)).astype(np.float32, copy=False)  # np.resize repeats
        clips = np.stack([audio[first : first + n_clip] for first in self.firsts(len(audio), n_clip)])
        return clips.astype(np.float32, copy=False)

    def cut_stream(self, pieces: Iterable[np.ndarray], n_samples: int, sample_rate_hz: int) -> np.ndarray | None:
        """Cut a song that comes piece by piece; memory is that of the clips, however long the song.

        Args:
            pieces: its mono samples, each piece of shape (n,).
            n_samples: how many there are expected to be.
            sample_rate_hz: their rate.

        Returns:
            The clips of `cut`; None where the song has another number of samples, or not enough for one clip, so that
            it has to be cut as a whole.
        """
        n_clip = max(1, round(self.length_s * sample_rate_hz))
        if n_samples < max(n_clip, MIN_SONG_S * sample_rate_hz):
            return None
        return cut_at(self.firsts(n_samples, n_clip), n_clip, pieces, n_samples)

    def firsts(self, n_samples: int, n_clip: int) -> np.ndarray:
        """The first sample of each clip of `n_clip` samples, shape (n_clips,), of a song that is a clip long at least.

        Rounding down, unlike rounding, never moves two clips closer than the length of one.
        """
        return np.floor(self._spread(n_samples, n_clip)).astype(int)

    def _spread(self, total: float, length: float) -> np.ndarray:
        """Starts on any unit of time; the small number keeps 0.3 / 0.1 at 3."""
        n_clips = min(self.count, max(1, math.floor(total / length + 1e-9)))
        last = max(0.0, total - length)
        return np.linspace(0.0, last, n_clips) if n_clips > 1 else np.array([last / 2])


def cut_at(firsts: np.ndarray, n_clip: int, pieces: Iterable[np.ndarray], n_samples: int) -> np.ndarray | None:
    """Clips that begin at these samples, in a song that comes piece by piece.

    Args:
        firsts: the first sample of each clip, shape (n_clips,).
        n_clip: samples of a clip.
        pieces: the song's mono samples, each piece of shape (n,).
        n_samples: how many there are expected to be, enough for every clip.

    Returns:
        float32, shape (n_clips, n_clip); None where there were more or fewer samples.
    """
    clips = np.empty((len(firsts), n_clip), np.float32)
    at = 0
    for piece in pieces:
        for clip, first in zip(clips, firsts.tolist(), strict=True):
            begin, end = max(first, at), min(first + n_clip, at + len(piece))
            if begin < end:
                clip[begin - first : end - first] = piece[begin - at : end - at]
        at += len(piece)
    return clips if at == n_samples else None
