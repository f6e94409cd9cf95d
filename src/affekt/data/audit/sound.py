"""Every audio file, listened to once: is it whole, does it sound, how loud is it, is it there twice?

Conventions: times in seconds; levels in dB, full scale at 0; samples are looked at channel by channel at the file's own
rate, so nothing is resampled. A file that cannot be used is a `Sound` with a `fault`, never an error. Two files are the
same where their samples are, whatever their tags say; the same music encoded anew is another file.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import numpy as np

from affekt.data.metadata import Credits, read_licence, read_tags
from affekt.errors import AffektError, AudioError

#: Below this level a stretch is silent: the noise of a 16 bit recording lies at -98 dB, quiet music above -50.
SILENCE_DB = -70.0
_WINDOW_S = 0.05
# Full scale, less what a lossy encoder makes of it.
_FULL_SCALE = 0.99
# So many samples in a row at full scale were cut off; one or two may be a peak.
_SHORTEST_RUN = 3
_BLOCK_FRAMES = 1 << 20


@dataclass(frozen=True)
class Sound:
    """What one audio file holds.

    Attributes:
        song_id: whose it is.
        path: the file.
        fault: why it cannot be used; the numbers behind it are then 0, and `digest` empty.
        duration_s: length.
        sample_rate_hz, n_channels: of the file.
        level_db: root mean square over the whole file, all channels; -inf for digital silence.
        silent_s: the longest stretch below `SILENCE_DB`.
        clipped_share: share of samples in runs at full scale.
        digest: hash of all samples with rate and channels.
        tags: artist, title and genre that the file itself names.
        licence: that it states, in short; None where it states none.
    """

    song_id: str
    path: Path
    fault: str | None = None
    duration_s: float = 0.0
    sample_rate_hz: int = 0
    n_channels: int = 0
    level_db: float = -math.inf
    silent_s: float = 0.0
    clipped_share: float = 0.0
    digest: str = ""
    tags: Credits = field(default_factory=Credits)
    licence: str | None = None


def listen_to_all(audio: Mapping[str, Path], quiet: bool = False) -> list[Sound]:
    """All files, on all cores, in the order of `audio`; a bar on standard error counts them.

    Ctrl-C is obeyed after the block of a few seconds that each core is at.
    """
    from affekt.audio.silence import native_stderr_silenced
    from affekt.progress import bar

    stop = Event()
    found: dict[str, Sound] = {}
    with native_stderr_silenced(), bar("Listening", len(audio), quiet) as advance:
        pool = ThreadPoolExecutor(max_workers=os.cpu_count())
        try:
            jobs = [pool.submit(listen, song_id, path, stop) for song_id, path in audio.items()]
            for job in as_completed(jobs):
                sound = job.result()
                found[sound.song_id] = sound
                advance()
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
    return [found[song_id] for song_id in audio]


def listen(song_id: str, path: Path, stop: Event | None = None) -> Sound:
    """One file."""
    tags, licence = Credits(), None
    try:
        tags, licence = read_tags(path), read_licence(path)
        return _measure(song_id, path, tags, licence, stop or Event())
    except AudioError as error:
        fault = str(error).removeprefix(f"{path}: ")
    except Exception as error:  # readers of damaged files fail in ways of their own; one file must not end an audit
        fault = f"cannot be read ({type(error).__name__}: {error})"
    return Sound(song_id, path, fault, tags=tags, licence=licence)


def _measure(song_id: str, path: Path, tags: Credits, licence: str | None, stop: Event) -> Sound:
    from affekt.audio.integrity import complain_if_cut, open_whole, promised_frames

    try:
        with open_whole(path) as file:
            meter = _Meter(file.samplerate, file.channels)
            while not stop.is_set() and len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
                meter.add(block)
            complain_if_cut(path, meter.n_frames, promised_frames(file), file.samplerate)
    except AffektError:
        raise
    except Exception:
        _complain(path)
        raise
    if not math.isfinite(meter.energy):
        _complain(path)
    return meter.sound(song_id, path, tags, licence)


def _complain(path: Path) -> None:
    """Raise what `decode` says of a file that cannot be read: it knows the reasons."""
    from affekt.audio.decode import decode

    decode(path, 44_100)


class _Meter:
    """Sums over the blocks of one file."""

    def __init__(self, sample_rate_hz: int, n_channels: int) -> None:
        self.rate_hz, self.n_channels = sample_rate_hz, n_channels
        self.n_frames, self.n_clipped, self.energy = 0, 0, 0.0
        self._hash = hashlib.blake2b(f"{sample_rate_hz},{n_channels}".encode(), digest_size=16)
        self._window = max(int(_WINDOW_S * sample_rate_hz), 1)
        self._levels: list[np.ndarray] = []
        self._rest = np.zeros((0, n_channels), np.float32)

    def add(self, block: np.ndarray) -> None:
        """The next samples, shape (n_frames, n_channels)."""
        self.n_frames += len(block)
        self._hash.update(block.tobytes())
        for channel in block.T:
            self.energy += float(np.dot(channel, channel))
            if not -_FULL_SCALE < channel.min() <= channel.max() < _FULL_SCALE:
                self.n_clipped += _n_in_runs(np.abs(channel) >= _FULL_SCALE)
        block = np.concatenate([self._rest, block]) if len(self._rest) else block
        whole = len(block) // self._window * self._window
        windows = block[:whole].reshape(-1, self._window * self.n_channels)  # (window, sample)
        self._levels.append(np.einsum("ij,ij->i", windows, windows) / windows.shape[1])
        self._rest = block[whole:]

    def sound(self, song_id: str, path: Path, tags: Credits, licence: str | None) -> Sound:
        """What the sums come to."""
        n = max(self.n_frames * self.n_channels, 1)
        quiet = np.concatenate([*self._levels, np.zeros(0)]) < 10 ** (SILENCE_DB / 10)
        return Sound(
            song_id,
            path,
            duration_s=self.n_frames / self.rate_hz,
            sample_rate_hz=self.rate_hz,
            n_channels=self.n_channels,
            level_db=10 * math.log10(self.energy / n) if self.energy > 0 else -math.inf,
            silent_s=_longest_run(quiet) * self._window / self.rate_hz,
            clipped_share=self.n_clipped / n,
            digest=self._hash.hexdigest(),
            tags=tags,
            licence=licence,
        )


def _runs(on: np.ndarray) -> np.ndarray:
    """Lengths of the runs of True, shape (n_runs,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    lengths: np.ndarray = edges[1::2] - edges[::2]
    return lengths


def _n_in_runs(on: np.ndarray) -> int:
    runs = _runs(on)
    return int(runs[runs >= _SHORTEST_RUN].sum())


def _longest_run(on: np.ndarray) -> int:
    return int(max(_runs(on), default=0))


def same_content(sounds: Iterable[Sound]) -> list[tuple[str, ...]]:
    """Groups of songs whose files hold the same samples."""
    groups: dict[str, list[str]] = {}
    for sound in sounds:
        if sound.digest:
            groups.setdefault(sound.digest, []).append(sound.song_id)
    return [tuple(group) for group in groups.values() if len(group) > 1]
