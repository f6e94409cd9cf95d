"""Writing behind the encoder: one thread stores values while the next song is computed.

At most `QUEUED` values wait; then the encoder does. A write that fails raises its `StorageError` in the calling thread,
with the next value or at the end, and nothing half-written remains. Whatever ends the run, what was handed over before
is still written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from affekt.features.store import Store

#: Values that may wait to be written.
QUEUED = 4


@dataclass(frozen=True)
class Written:
    """A song's value, as the store gives it back; `seconds` its extraction took, whenever that was."""

    song_id: str
    key: str
    value: np.ndarray
    seconds: float


class Writer:
    """Stores values in a thread of its own. A context manager; leaving it waits until everything is written.

    Args:
        store: where to.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._waiting: deque[Future[Written]] = deque()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown()

    def put(self, key: str, value: np.ndarray, about: Mapping[str, str]) -> None:
        """Have a value of a song stored; `about` as of `Store.put`, with "song" and "seconds"."""
        self._waiting.append(self._thread.submit(self._write, key, value, about))

    def written(self, at_most: int = QUEUED) -> Iterator[Written]:
        """What was stored since the last call; waits until `at_most` values are left to write.

        Raises:
            StorageError: one could not be stored.
        """
        while self._waiting and (len(self._waiting) > at_most or self._waiting[0].done()):
            yield self._waiting.popleft().result()

    def _write(self, key: str, value: np.ndarray, about: Mapping[str, str]) -> Written:
        self._store.put(key, value, about)
        return Written(about["song"], key, self._store.get(key), float(about["seconds"]))
