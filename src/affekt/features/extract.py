"""From songs to activations at the cut: read from the store, or decode, run the prefix, store.

Decoding runs ahead in threads (libsndfile and soxr release the interpreter's lock), the prefix in the calling thread.
One broken song never ends a run: it is named with its reason and the rest goes on. Every finished song is stored at
once, so whatever stops an extraction, the next one continues there.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from affekt.audio import AUDIO_VERSION
from affekt.audio.clips import ClipPlan
from affekt.audio.decode import SampleStream, decode
from affekt.audio.frames import FramePlan, Windows
from affekt.data.base import Song
from affekt.digest import digest
from affekt.encoders.base import Cut, Encoder, LookupEncoder
from affekt.errors import AudioError
from affekt.features.store import Store

#: Songs decoded ahead of the encoder; bounds memory, whatever the number of songs.
AHEAD = 4
#: What of a song is heard: clips for one annotation a song, windows for annotations over time.
Plan = ClipPlan | FramePlan
DTYPE = np.float16


@dataclass
class Features:
    """Activations of one encoder at one cut.

    Attributes:
        arrays: song id to (n_clips, ...), mapped from the store.
        skipped: song id to the reason why there is nothing.
        keys: song id to the key in the store; empty where embeddings are looked up.
        seconds: song id to the time its extraction took, whenever that was; decoding included.
        n_reused: how many were in the store already.
    """

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    n_reused: int = 0

    @property
    def n_extracted(self) -> int:
        """How many were computed now."""
        return len(self.seconds) - self.n_reused


def extract(
    encoder: Encoder,
    cut: Cut,
    songs: Sequence[Song],
    plan: Plan,
    store: Store,
    advance: Callable[..., None] = lambda: None,
) -> Features:
    """Activations of `songs`, from the store where they are, computed and stored where they are not.

    Args:
        encoder: whose prefix to run.
        cut: where the prefix ends.
        songs: those that `encoder.missing` names are skipped with its reason.
        plan: which clips or windows of a song to take.
        store: where activations lie; not used by encoders that look embeddings up.
        advance: called once for each song, for a progress bar.

    Raises:
        StorageError: the store cannot be written to.
    """
    features = Features(skipped=encoder.missing(songs))
    served = [song for song in songs if song.id not in features.skipped]
    if isinstance(encoder, LookupEncoder):
        over_time = isinstance(plan, FramePlan)
        features.arrays = {s.id: encoder.over_time(s) if over_time else encoder.lookup(s) for s in served}
        for _ in songs:
            advance()
        return features
    for _ in features.skipped:
        advance()
    allow_many_files()
    settings = prefix_settings(encoder, cut, plan)
    # closing stops the threads at once, whatever ends the loop
    with contextlib.closing(_ahead(served, lambda song: _source(song, settings, encoder, plan, store))) as ahead:
        for song, source in ahead:
            try:
                found = source()
                if found.clips is not None:
                    _compute(encoder, cut, song, found, store)
                else:
                    features.n_reused += 1
                features.keys[song.id] = found.key
                features.arrays[song.id] = store.get(found.key)
                features.seconds[song.id] = float(store.about(found.key).get("seconds", "nan"))
            except AudioError as error:
                features.skipped[song.id] = str(error)
            advance()
    return features


def allow_many_files() -> None:
    """Raise this process's limit of open files as far as it may: a large value stays mapped from its file."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # macOS may refuse; the old limit then stands
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def prefix_settings(encoder: Encoder, cut: Cut, plan: Plan) -> dict[str, object]:
    """Everything but the audio that determines activations: what the store's key is made of."""
    heard = {"audio_version": AUDIO_VERSION, "sample_rate_hz": encoder.spec.sample_rate_hz, "clips": plan}
    return {**encoder.settings(cut), **heard, "cut": cut.index, "dtype": np.dtype(DTYPE).name}


def store_key(audio_path: Path, settings: dict[str, object]) -> str:
    """The key for one file: its bytes and the settings."""
    try:
        with audio_path.open("rb") as file:
            audio = hashlib.file_digest(file, "blake2b").hexdigest()
    except OSError as error:
        raise AudioError(f"{audio_path}: cannot be read ({error.strerror}).") from None
    return digest({"audio": audio, **settings})


@dataclass
class _Source:
    """A key, and the clips to compute its value from, some at a time; None where the store holds it."""

    key: str
    clips: Iterable[np.ndarray] | None
    decode_s: float


def _source(song: Song, settings: dict[str, object], encoder: Encoder, plan: Plan, store: Store) -> _Source:
    assert song.audio_path is not None and encoder.spec.sample_rate_hz is not None  # `missing` has seen to it
    heard = plan.along(song.curve.times_s if song.curve else None)
    key = store_key(song.audio_path, {**settings, "clips": heard})
    if key in store:
        return _Source(key, None, 0.0)
    start = time.perf_counter()
    clips = cut_file(song.audio_path, heard, encoder.spec.sample_rate_hz)
    return _Source(key, clips, time.perf_counter() - start)


def cut_file(path: Path, heard: ClipPlan | Windows, sample_rate_hz: int) -> Iterable[np.ndarray]:
    """The clips or windows of a file, some at a time: all clips, or a number of windows.

    Where the file's header is right, the whole song is never held for its clips.

    Raises:
        AudioError: as `decode` and `cut`, at once.
    """
    if isinstance(heard, ClipPlan):
        with SampleStream(path, sample_rate_hz) as stream:
            clips = heard.cut_stream(stream, stream.n_samples, sample_rate_hz)
        if clips is not None:
            return [clips]
    audio = decode(path, sample_rate_hz)
    try:
        return (
            [heard.cut(audio, sample_rate_hz)] if isinstance(heard, ClipPlan) else heard.batches(audio, sample_rate_hz)
        )
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from None


def _compute(encoder: Encoder, cut: Cut, song: Song, source: _Source, store: Store) -> None:
    start = time.perf_counter()
    assert source.clips is not None
    value = np.concatenate([encoder.activations(clips, cut) for clips in source.clips])
    if not np.isfinite(value).all():
        raise AudioError(f"{song.audio_path}: {encoder.spec.name} gives values that are not finite for this song.")
    limit = float(np.finfo(DTYPE).max)  # a descriptor in Hz squared, say, must not become an infinity
    value = np.clip(value, -limit, limit).astype(DTYPE)
    seconds = source.decode_s + time.perf_counter() - start
    about = {"encoder": encoder.spec.name, "song": song.id, "cut": cut.name, "seconds": f"{seconds:.4f}"}
    store.put(source.key, value, about)


def _ahead(
    songs: Sequence[Song], work: Callable[[Song], _Source], n_threads: int = 2
) -> Generator[tuple[Song, Callable[[], _Source]]]:
    """Each song with a way to wait for its source, `AHEAD` of them in preparation at any time."""
    with ThreadPoolExecutor(n_threads, thread_name_prefix="decode") as pool:
        queue: deque[tuple[Song, Future[_Source]]] = deque()
        remaining = iter(songs)
        try:
            for song in remaining:
                queue.append((song, pool.submit(work, song)))
                if len(queue) > AHEAD:
                    first, future = queue.popleft()
                    yield first, future.result
            while queue:
                first, future = queue.popleft()
                yield first, future.result
        finally:
            for _, future in queue:
                future.cancel()
