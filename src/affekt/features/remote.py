"""Activations computed by a pool of processes, on one machine or a cluster, and stored by the one that asks.

Values are those that this process would compute, bit for bit, on the same processor with the same packages and number
of threads. An actor hears a file only if it is the very one: the key in the store, which it works out anew from the
bytes that it reads, must be the one that it was sent.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np

from affekt.audio.silence import native_stderr_silenced
from affekt.config import EncoderSection
from affekt.digest import digest
from affekt.encoders import build_section
from affekt.encoders.base import Cut, Encoder
from affekt.errors import AudioError, EncoderError
from affekt.features.cluster import DEADLY, Cluster, Hearing, Item, torch_threads
from affekt.features.crew import Crew, Prepared, in_flight, most_songs
from affekt.features.keys import prefix_settings, store_key
from affekt.features.prepare import Recipe, Task, one_thread, storable
from affekt.features.worker import Header, line


@dataclass(frozen=True)
class Remote:
    """Who computes activations instead of this process.

    Attributes:
        cluster: where.
        section: the encoder's, which every actor builds for itself.
        seed: for random weights.
    """

    cluster: Cluster
    section: EncoderSection
    seed: int

    def answers(self, encoder: Encoder, cut: Cut, tasks: Mapping[str, Task]) -> Generator[list[RemoteAnswer]]:
        """What actors find, in blocks as they are finished.

        Args:
            encoder: that of the section, as it is here.
            cut: its cut.
            tasks: files by their key in the store.

        Raises:
            AffektError: as `Cluster.run`; an actor builds another encoder.
        """
        if not tasks:
            return
        most = most_songs(encoder, next(iter(tasks.values())).heard)
        work = Extracting(self.section.model_dump_json(), self.seed, digest(encoder.settings(cut)), most)
        items = [Item(key, told(task)) for key, task in tasks.items()]
        with contextlib.closing(self.cluster.run(work, items)) as blocks:
            for block in blocks:
                yield [RemoteAnswer.of(key, content) for key, content in block]


@dataclass(frozen=True)
class RemoteAnswer:
    """A file's activations, or why there are none.

    Attributes:
        key: in the store.
        header: as a worker's.
        value: shape (n_clips, ...).
    """

    key: str
    header: Header
    value: np.ndarray

    @classmethod
    def of(cls, key: str, content: bytes) -> RemoteAnswer:
        """From an actor's answer."""
        told, _, values = content.partition(b"\n")
        header = Header(**json.loads(told))
        return cls(key, header, np.frombuffer(values, header.dtype).reshape(header.shape))

    def taken(self) -> np.ndarray:
        """The activations.

        Raises:
            AudioError: there are none.
        """
        if self.header.kind != "value":
            raise AudioError(self.header.text)
        return self.value


@dataclass(frozen=True)
class Extracting:
    """Gives the activations of each file, as of `RemoteAnswer`.

    Attributes:
        section: of the encoder, as JSON.
        seed: for random weights.
        settings: hash of all that determines its values but the sound, as it is where somebody asks.
        most: songs in flight in one process.
    """

    section: str
    seed: int
    settings: str
    most: int
    block: ClassVar[int] = 8  # sequences take megabytes a song
    n_bytes: ClassVar[int] = 0

    @contextlib.contextmanager
    def begin(self, threads: int) -> Iterator[Hearing]:
        """Build the encoder.

        Raises:
            EncoderError: it is another one than where somebody asks.
        """
        encoder, cut = build_section(EncoderSection.model_validate_json(self.section), self.seed)
        if digest(encoder.settings(cut)) != self.settings:
            raise EncoderError(
                f"{encoder.spec.name}: is another encoder here, with other weights or settings. Install the same "
                "versions, and the same weights under the same path, on all machines."
            )

        def hear(items: Iterable[Item]) -> Iterator[tuple[str, bytes]]:
            return _heard(encoder, cut, items, self.most)

        with torch_threads(threads):
            yield hear

    def deadly(self, item: Item) -> bytes:
        """A reason."""
        return _unusable(f"{_task(item).path}: {DEADLY}")


def _heard(encoder: Encoder, cut: Cut, items: Iterable[Item], most: int) -> Iterator[tuple[str, bytes]]:
    assert encoder.spec.sample_rate_hz is not None  # it takes audio
    recipe = Recipe(encoder.spec.sample_rate_hz, encoder if encoder.runs_in_workers else None, cut)
    with native_stderr_silenced(), one_thread(encoder), Crew(recipe, 0) as crew:
        for item, prepared in in_flight(items, lambda item: crew.submit(_task(item)), most):
            try:
                yield item.name, _answer(encoder, cut, item, prepared.result())
            except AudioError as error:
                yield item.name, _unusable(str(error))


def _answer(encoder: Encoder, cut: Cut, item: Item, prepared: Prepared) -> bytes:
    start, task = time.perf_counter(), _task(item)
    if store_key(task.path, prefix_settings(encoder, cut, task.heard)) != item.name:
        raise AudioError(f"{task.path}: holds something else on the machine that was to hear it. Copy it there again.")
    value = np.ascontiguousarray(storable(encoder, cut, task, prepared.sound.value))
    seconds = prepared.seconds + time.perf_counter() - start
    return line(asdict(Header("value", "", seconds, value.shape, value.dtype.str))) + value.tobytes()


def _unusable(reason: str) -> bytes:
    return line(asdict(Header("unusable", reason)))


def told(task: Task) -> bytes:
    """A task as it is sent."""
    return json.dumps(task.as_dict()).encode()


def _task(item: Item) -> Task:
    return Task.of(json.loads(item.task))
