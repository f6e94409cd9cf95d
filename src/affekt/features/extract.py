"""From songs to activations at the cut: read from the store, or decode, run the prefix, store.

Three things go on at a time, so that the encoder does not wait: songs are decoded ahead of it, in threads or in worker
processes (`affekt.features.crew`), the prefix runs in the calling thread, and values are written behind it
(`affekt.features.writer`). A few songs are in flight at any time, however many there are. Each is a forward pass of its
own: clips of several songs in one batch would round differently, and a stored value must not depend on its neighbours.

One broken song never ends a run: it is named with its reason and the rest goes on. Every finished song is stored at
once, so whatever stops an extraction, the next one continues there.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from affekt.audio.frames import FramePlan
from affekt.data.base import Song
from affekt.encoders.base import Cut, Encoder, LookupEncoder
from affekt.errors import AudioError
from affekt.features.crew import THREADS, Crew, Prepared, in_flight, most_songs
from affekt.features.keys import Plan, prefix_settings, store_key
from affekt.features.prepare import Recipe, Task, one_thread, storable
from affekt.features.remote import Remote
from affekt.features.store import Store
from affekt.features.writer import Writer, Written

#: Workers that decode for an encoder, at most.
MOST_DECODERS = 8
#: Seconds of preparing that must remain before workers are started, each for half a second, or three to import librosa.
WORTH_S = 30.0
#: Songs to judge this by: the first ones pay for imports.
SAMPLE = 5

Result = TypeVar("Result")


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

    def note(self, written: Written) -> None:
        """Take down what was found for a song."""
        self.keys[written.song_id] = written.key
        self.arrays[written.song_id] = written.value
        self.seconds[written.song_id] = written.seconds

    def sort(self, songs: Sequence[Song]) -> None:
        """Put everything in the order of `songs`, in whichever order they were finished."""
        self.arrays, self.skipped = _ordered(self.arrays, songs), _ordered(self.skipped, songs)
        self.keys, self.seconds = _ordered(self.keys, songs), _ordered(self.seconds, songs)


def extract(
    encoder: Encoder,
    cut: Cut,
    songs: Sequence[Song],
    plan: Plan,
    store: Store,
    advance: Callable[..., None] = lambda n=1, **_: None,
    workers: int | Remote | None = None,
) -> Features:
    """Activations of `songs`, from the store where they are, computed and stored where they are not.

    Args:
        encoder: whose prefix to run.
        cut: where the prefix ends.
        songs: those that `encoder.missing` names are skipped with its reason.
        plan: which clips or windows of a song to take.
        store: where activations lie; not used by encoders that look embeddings up.
        advance: called with the number of songs that are done; with `timed=False` where they cost nothing.
        workers: processes that decode ahead; 0 for threads of this process, None for processes where they pay. Or who
            computes everything instead of this process. Values are the same, bit for bit.

    Raises:
        StorageError: the store cannot be written to.
        AffektError: as `Remote.answers`.
    """
    features = Features(skipped=encoder.missing(songs))
    served = [song for song in songs if song.id not in features.skipped]
    if isinstance(encoder, LookupEncoder):
        over_time = isinstance(plan, FramePlan)
        features.arrays = {s.id: encoder.over_time(s) if over_time else encoder.lookup(s) for s in served}
        advance(len(songs), timed=False)
        return features
    advance(len(features.skipped), timed=False)
    allow_many_files()
    job = _Extraction(encoder, cut, store, features, advance)
    lacking = job.lacking(served, plan)
    if isinstance(workers, Remote):
        job.ask(lacking, workers)
    else:
        job.compute(lacking, workers)
    features.sort(songs)
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


@dataclass(frozen=True)
class _Lacking:
    """A song whose value is not in the store, and the key that it will have."""

    song: Song
    key: str
    task: Task


@dataclass
class _Extraction:
    """What all songs of one extraction share."""

    encoder: Encoder
    cut: Cut
    store: Store
    features: Features
    advance: Callable[..., None]

    def lacking(self, songs: Sequence[Song], plan: Plan) -> list[_Lacking]:
        """The songs that have to be computed; what the store holds is taken down. Every file is read for its hash."""
        settings = prefix_settings(self.encoder, self.cut, plan)
        found: dict[str, _Lacking] = {}
        with ThreadPoolExecutor(THREADS, thread_name_prefix="hash") as pool:
            asked = in_flight(songs, lambda song: pool.submit(_located, song, plan, settings), 16 * THREADS)
            for song, answer in asked:
                with self._skipping(song):
                    found[song.id] = answer.result()
                    self._reused(found[song.id])
        return [found[song.id] for song in songs if song.id in found and song.id not in self.features.keys]

    def compute(self, lacking: Sequence[_Lacking], workers: int | None) -> None:
        """Prepare ahead, run the prefix, store behind."""
        if not lacking:
            return
        assert self.encoder.spec.sample_rate_hz is not None  # it takes audio
        whole = self.encoder.runs_in_workers
        recipe = Recipe(self.encoder.spec.sample_rate_hz, self.encoder if whole else None, self.cut)
        n_workers = _automatic(whole) if workers is None else workers
        most = most_songs(self.encoder, lacking[0].task.heard, n_workers)
        with one_thread(self.encoder), Writer(self.store) as writer, Crew(recipe, n_workers) as crew:
            if workers is not None:
                crew.start()
            worth = _Worth(len(lacking))
            for one, prepared in in_flight(self._still(lacking), lambda one: crew.submit(one.task), most):
                with self._skipping(one.song):
                    self._put(writer, one, prepared.result())
                    if worth.it(prepared.result().seconds):
                        crew.start()
                self._note(writer.written())
            self._note(writer.written(at_most=0))

    def ask(self, lacking: Sequence[_Lacking], remote: Remote) -> None:
        """Have others compute, and store what they find."""
        found: dict[str, list[_Lacking]] = {}  # a copy of a song has its key
        for one in lacking:
            found.setdefault(one.key, []).append(one)
        tasks = {key: ones[0].task for key, ones in found.items()}
        with Writer(self.store) as writer, contextlib.closing(remote.answers(self.encoder, self.cut, tasks)) as blocks:
            for block in blocks:
                for answer in block:
                    for one in found[answer.key]:
                        with self._skipping(one.song):
                            self._write(writer, one, answer.taken(), answer.header.seconds)
                self._note(writer.written(at_most=0))  # before the block is forgotten

    def _still(self, lacking: Sequence[_Lacking]) -> Iterator[_Lacking]:
        """Those that are lacking when their turn comes: not a copy of an earlier song, nor what another run stored."""
        return (one for one in lacking if not self._reused(one))

    def _reused(self, one: _Lacking) -> bool:
        if one.key not in self.store:
            return False
        about = self.store.about(one.key)
        self.features.note(Written(one.song.id, one.key, self.store.get(one.key), float(about.get("seconds", "nan"))))
        self.features.n_reused += 1
        self.advance(1, timed=False)
        return True

    def _put(self, writer: Writer, one: _Lacking, prepared: Prepared) -> None:
        start = time.perf_counter()
        value = storable(self.encoder, self.cut, one.task, prepared.sound.value)
        self._write(writer, one, value, prepared.seconds + time.perf_counter() - start)

    def _write(self, writer: Writer, one: _Lacking, value: np.ndarray, seconds: float) -> None:
        name = self.encoder.spec.name
        about = {"encoder": name, "song": one.song.id, "cut": self.cut.name, "seconds": f"{seconds:.4f}"}
        writer.put(one.key, value, about)

    def _note(self, written: Iterable[Written]) -> None:
        for one in written:
            self.features.note(one)
            self.advance(1)

    @contextlib.contextmanager
    def _skipping(self, song: Song) -> Iterator[None]:
        """A song that cannot be used is named, and the rest goes on."""
        try:
            yield
        except AudioError as error:
            self.features.skipped[song.id] = str(error)
            self.advance(1, timed=False)


def _ordered(found: dict[str, Result], songs: Sequence[Song]) -> dict[str, Result]:
    return {song.id: found[song.id] for song in songs if song.id in found}


def _located(song: Song, plan: Plan, settings: dict[str, object]) -> _Lacking:
    """The key of a song, which its file is read for."""
    assert song.audio_path is not None  # `Encoder.missing` has seen to it
    heard = plan.along(song.curve.times_s if song.curve else None)
    return _Lacking(song, store_key(song.audio_path, {**settings, "clips": heard}), Task(song.audio_path, heard))


def _automatic(whole: bool) -> int:
    """How many workers: one for each core that this process may use; to decode alone, none on a few cores.

    Threads decode as quickly as processes until Python's own part of it fills a core (`benchmarks/extraction.py`).
    """
    from joblib import cpu_count  # also knows what a container may use

    cores = cpu_count()
    return cores if whole else max(0, min(cores - THREADS, MOST_DECODERS))


class _Worth:
    """Whether workers pay, judged by the songs so far.

    Args:
        n_songs: how many there are to prepare.
    """

    def __init__(self, n_songs: int) -> None:
        self._n_left = n_songs
        self._seconds: list[float] = []

    def it(self, seconds: float) -> bool:
        """Count a song that took so long to prepare; whether the rest is work enough."""
        self._n_left -= 1
        self._seconds = [*self._seconds[-20:], seconds]
        return len(self._seconds) >= SAMPLE and self._n_left * statistics.median(self._seconds) > WORTH_S
