"""Which part of a song a moment is judged by: one window of sound for each annotated moment.

Conventions: times and lengths in seconds from the start of the song; a window is exactly `round(window_s *
sample_rate_hz)` samples, so that windows of all songs fit one batch. A causal window ends at its moment: no sample
behind it is ever part of it, whatever the encoder. Where the song has not lasted a window yet, what was heard so far is
repeated, with its newest sample last; silence would be heard as silence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from affekt.audio.clips import MIN_SONG_S
from affekt.errors import AudioError, ConfigError, ShapeError

#: Windows that are cut at once.
BATCH = 64
#: An annotation may lie so far behind the end of its audio: annotators heard another decoder's padding.
LATE_S = 0.5


@dataclass(frozen=True)
class FramePlan:
    """One window for each moment that is annotated.

    Attributes:
        window_s: length of each window.
        causal: whether a window ends at its moment; otherwise the moment is its centre, as far as the song reaches.

    Raises:
        ConfigError: `window_s` below `MIN_SONG_S`.
    """

    window_s: float = 5.0
    causal: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.window_s) and self.window_s >= MIN_SONG_S):
            raise ConfigError(f"frames.window_s is {self.window_s}; it must be at least {MIN_SONG_S} s.")

    @property
    def length_s(self) -> float:
        """Length of what an encoder hears at once."""
        return self.window_s

    def along(self, times_s: np.ndarray | None) -> Windows:
        """The windows of one song.

        Args:
            times_s: when it is annotated, ascending, shape (n_frames,).
        """
        times = () if times_s is None else tuple(float(time) for time in times_s)
        return Windows(self.window_s, self.causal, times)


@dataclass(frozen=True)
class Windows:
    """The windows of one song; what determines their samples, beside the audio.

    Attributes:
        window_s, causal: as in `FramePlan`.
        times_s: the moments, ascending.
    """

    window_s: float
    causal: bool
    times_s: tuple[float, ...]

    def cut(self, audio: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        """Cut a song into windows.

        Args:
            audio: mono samples, shape (n_samples,).
            sample_rate_hz: their rate.

        Returns:
            Windows, float32, shape (n_frames, round(window_s * sample_rate_hz)).

        Raises:
            AudioError: the song ends more than `LATE_S` before its last moment, a moment comes before `MIN_SONG_S` of
                sound, or there is none.
            ShapeError: `audio` has more than one axis.
        """
        return np.concatenate(list(self.batches(audio, sample_rate_hz)))

    def batches(self, audio: np.ndarray, sample_rate_hz: int, size: int = BATCH) -> Iterator[np.ndarray]:
        """The windows of `cut`, some at a time: those of ten minutes, two a second, fill gigabytes at once.

        Arguments and errors, which are raised at once, as of `cut`.
        """
        if audio.ndim != 1:
            raise ShapeError(f"audio has shape {audio.shape}; (n_samples,) is needed. Mix it down to mono first.")
        self._check(len(audio) / sample_rate_hz)
        n_window = max(1, round(self.window_s * sample_rate_hz))
        ends = self._ends(len(audio), n_window, sample_rate_hz)
        return (_windows(audio, ends[i : i + size], n_window) for i in range(0, len(ends), size))

    def _ends(self, n_samples: int, n_window: int, sample_rate_hz: int) -> list[int]:
        """Where each window ends, in samples. Rounding down never lets a sample behind the moment in."""
        moments = np.floor(np.array(self.times_s) * sample_rate_hz + 1e-6).astype(int)  # (n_frames,)
        ends = moments if self.causal else np.maximum(moments + n_window // 2, min(n_window, n_samples))
        return np.minimum(ends, n_samples).tolist()

    def _check(self, duration_s: float) -> None:
        if not self.times_s:
            raise AudioError("the song has no annotation over time. Leave it out.")
        if self.times_s[-1] > duration_s + LATE_S:
            raise AudioError(
                f"the song is {duration_s:.1f} s long and annotated up to {self.times_s[-1]:.1f} s. "
                "Fetch the whole song, or leave it out."
            )
        if min(self.times_s[0], duration_s) < MIN_SONG_S:
            raise AudioError(
                f"{min(self.times_s[0], duration_s):.2f} s of sound come before the first annotation; at least "
                f"{MIN_SONG_S} s are needed. Leave earlier annotations out."
            )


def _windows(audio: np.ndarray, ends: Sequence[int], n_window: int) -> np.ndarray:
    """The `n_window` samples before each end, (n_ends, n_window); what there is again and again where it is less."""
    windows = np.empty((len(ends), n_window), np.float32)
    for window, end in zip(windows, ends, strict=True):
        heard = audio[max(0, end - n_window) : end]
        # np.resize repeats; turned round, so that the newest sample stands last
        window[:] = heard if len(heard) == n_window else np.resize(heard[::-1], n_window)[::-1]
    return windows
