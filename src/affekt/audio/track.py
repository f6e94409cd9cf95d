"""What is heard of a track that a model is asked about: the clips that it is judged by, and windows along its course.

Conventions: seconds from the start of the track. A window of a model that was trained on whole songs stands for its own
centre; one of a model that was trained over time stands for its end where that model is causal. Windows are as long as
a clip and overlap; a long track gets no more than `MOST_WINDOWS` of them, farther apart, so that memory and time do not
grow with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from affekt.audio.clips import MIN_SONG_S, ClipPlan, cut_at

#: Points of a curve, at most: as many as a screen can show. At 16 kHz their windows of 5 s fill 77 MB.
MOST_WINDOWS = 240


@dataclass(frozen=True)
class TrackPlan:
    """Clips and windows of one track.

    Attributes:
        window_s: length of a clip and of a window.
        n_clips: the highest number of clips, as of `ClipPlan`; 0 where the windows alone are wanted.
        hop_s: seconds from one window to the next; None for no windows.
        causal: whether a window stands for its end; otherwise for its centre.
    """

    window_s: float = 5.0
    n_clips: int = 6
    hop_s: float | None = 2.5
    causal: bool = False

    def firsts(self, n_samples: int, sample_rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
        """The first samples of clips and of windows, of a track that is a window long at least."""
        n_window = self._n_window(sample_rate_hz)
        clips = self._clips.firsts(n_samples, n_window) if self.n_clips else np.empty(0, int)
        if self.hop_s is None:
            return clips, np.empty(0, int)
        last = n_samples - n_window
        n_windows = min(MOST_WINDOWS, 1 + math.ceil(last / (self.hop_s * sample_rate_hz)))
        return clips, np.floor(np.linspace(0, last, n_windows)).astype(int)

    def times_s(self, n_samples: int, sample_rate_hz: int) -> np.ndarray:
        """The moments that the windows stand for, ascending, shape (n_windows,)."""
        n_window = self._n_window(sample_rate_hz)
        if n_samples < n_window:  # repeated to fill one window
            firsts, n_window = np.zeros(0 if self.hop_s is None else 1), n_samples
        else:
            firsts = self.firsts(n_samples, sample_rate_hz)[1]
        return (firsts + (n_window if self.causal else n_window / 2)) / sample_rate_hz

    def cut(self, audio: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        """Clips, then windows, of a whole track.

        Args:
            audio: mono samples, shape (n_samples,).
            sample_rate_hz: their rate.

        Returns:
            float32, shape (n_clips + n_windows, round(window_s * sample_rate_hz)); of a track shorter than that the
            same clip for both, which holds it again and again.

        Raises:
            AudioError: the track is shorter than `MIN_SONG_S`.
        """
        found = self.cut_stream([audio], len(audio), sample_rate_hz)
        if found is not None:
            return found
        clip = self._clips.cut(audio, sample_rate_hz)  # (1, n_window)
        return np.repeat(clip, (self.n_clips > 0) + (self.hop_s is not None), axis=0)

    def cut_stream(self, pieces: Iterable[np.ndarray], n_samples: int, sample_rate_hz: int) -> np.ndarray | None:
        """What `cut` gives, of a track that comes piece by piece; None where it has to be cut as a whole.

        Arguments as of `ClipPlan.cut_stream`.
        """
        n_window = self._n_window(sample_rate_hz)
        if n_samples < max(n_window, MIN_SONG_S * sample_rate_hz):
            return None
        return cut_at(np.concatenate(self.firsts(n_samples, sample_rate_hz)), n_window, pieces, n_samples)

    @property
    def _clips(self) -> ClipPlan:
        return ClipPlan(max(1, self.n_clips), self.window_s)

    def _n_window(self, sample_rate_hz: int) -> int:
        return max(1, round(self.window_s * sample_rate_hz))
