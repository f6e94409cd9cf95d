"""A model that hears one file of a stranger: no longer than allowed, no more channels, no later than its time.

The numbers are those of `Model.predict`. Decoding runs in as many threads as there are predictions at once; encoder and
readout behind a lock, because one forward pass keeps all cores busy.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affekt.audio.decode import SampleStream
from affekt.errors import AudioError
from affekt.features.prepare import Task, sound
from affekt.model.emotion import Emotion
from affekt.model.predictor import Model
from affekt.service.limits import Limits, Refused, too_long, too_slow

#: Bars of a drawn waveform.
N_BARS = 240


@dataclass(frozen=True)
class Heard:
    """What was found in a file.

    Attributes:
        emotion: what the model says.
        bars: highest level in equal parts of the track, full scale at 1, shape (N_BARS,).
    """

    emotion: Emotion
    bars: np.ndarray


class Listener:
    """A model behind a lock.

    Args:
        model: whom to ask.
        limits: what it hears.
        lock: held while the encoder runs; one for all models of a service.
    """

    def __init__(self, model: Model, limits: Limits, lock: threading.Lock) -> None:
        self.model, self._limits, self._lock = model, limits, lock

    def hear(self, path: Path, curve: bool, until: float) -> Heard:
        """What `Model.predict` says.

        Args:
            path: a file.
            curve: whether to follow it over time.
            until: when there must be an answer, as of `time.monotonic`.

        Raises:
            Refused: not audio, too long, or not in time.
        """
        streams: list[BoundedStream] = []

        def bounded(file: Path, sample_rate_hz: int) -> BoundedStream:
            streams.append(BoundedStream(file, sample_rate_hz, self._limits, until))
            return streams[-1]

        try:
            found = sound(Task(path, self.model.plan(curve)), self.model.sample_rate_hz, bounded)
            if not self._lock.acquire(timeout=max(0.0, until - time.monotonic())):
                raise too_slow(self._limits)
            try:
                emotion = self.model.read(found, curve)
            finally:
                self._lock.release()
        except AudioError as error:
            raise Refused("not_audio", str(error).replace(str(path), "The file")) from None
        return Heard(emotion, streams[-1].bars)


class BoundedStream(SampleStream):
    """The samples of a file, up to where they become too many, or late.

    A header that tells too much is refused before anything is decoded. What one tells too little of is found out while
    it is decoded: a file of a few kilobytes may hold hours.

    Attributes:
        bars: as of `Heard`, of what was read so far.
    """

    def __init__(self, path: Path, sample_rate_hz: int, limits: Limits, until: float) -> None:
        super().__init__(path, sample_rate_hz)
        self._limits, self._until = limits, until
        self._most = int(limits.duration_s * sample_rate_hz)
        self.bars = np.zeros(N_BARS, np.float32)
        try:
            self._check()
        except Refused:
            self._file.close()
            raise

    def __iter__(self) -> Iterator[np.ndarray]:
        n_found = 0
        for piece in super().__iter__():
            self._note(piece, n_found)
            n_found += len(piece)
            if n_found > self._most:
                raise too_long(self._limits)
            if time.monotonic() > self._until:
                raise too_slow(self._limits)
            yield piece

    def _check(self) -> None:
        if self.n_samples > self._most:
            raise too_long(self._limits)
        n_channels = self._file.channels
        if n_channels > self._limits.n_channels:
            raise Refused(
                "not_audio",
                f"The file has {n_channels} channels; {self._limits.n_channels} are allowed. Mix it down first.",
            )

    def _note(self, piece: np.ndarray, n_before: int) -> None:
        """Take a piece into the bars."""
        if not len(piece):
            return
        edges = np.arange(N_BARS + 1) * max(1, self.n_samples) // N_BARS - n_before  # of bars, within this piece
        first = max(0, int(np.searchsorted(edges, 0, "right")) - 1)
        last = min(N_BARS, int(np.searchsorted(edges, len(piece), "left")))
        for bar in range(first, last):
            part = piece[max(0, edges[bar]) : edges[bar + 1]]
            if len(part):
                self.bars[bar] = max(self.bars[bar], np.abs(part).max())
