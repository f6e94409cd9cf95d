"""Where requests wait for their turn: a few run, a few wait, the next ones are sent away.

A prediction that is late cannot be stopped in the middle of the encoder. Its asker is told so in time, and its place
stays taken until the thread has really ended, so that no more run at once than should.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from affekt.service.limits import Limits, busy, too_slow

#: What a thread may take longer than its time before its asker is told: it notices by itself, between two blocks.
GRACE_S = 1.0
Answer = TypeVar("Answer")


class Desk:
    """The threads of one service.

    Attributes:
        n_inside: predictions that run or wait.
        n_uploads: requests whose file comes in, or that were not answered yet.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.n_at_once, thread_name_prefix="hear")
        self._lock = threading.Lock()
        self.n_inside = self.n_uploads = 0

    async def __aenter__(self) -> Desk:
        """Be let in with an upload.

        Raises:
            Refused: too many are there, so that this one's turn would not come.
        """
        if self.n_uploads >= self._limits.n_uploads:
            raise busy(self._limits)
        self._check()
        self.n_uploads += 1
        return self

    async def __aexit__(self, *error: object) -> None:
        self.n_uploads -= 1

    async def answer(self, work: Callable[[float], Answer]) -> Answer:
        """Run `work` in a thread, as soon as it is its turn.

        Args:
            work: called with the time at which there must be an answer, as of `time.monotonic`.

        Raises:
            Refused: too many wait, or there was no answer in time.
        """
        self._check()
        self._count(1)
        future: Future[Answer] = self._pool.submit(work, time.monotonic() + self._limits.predict_s)
        future.add_done_callback(lambda done: self._count(-1))
        try:
            waiting = asyncio.shield(asyncio.wrap_future(future))
            return await asyncio.wait_for(waiting, self._limits.predict_s + GRACE_S)
        except TimeoutError:
            future.cancel()  # where it has not begun
            raise too_slow(self._limits) from None

    def close(self) -> None:
        """Let nobody in any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _check(self) -> None:
        if self.n_inside >= self._limits.n_at_once + self._limits.n_waiting:
            raise busy(self._limits)

    def _count(self, n: int) -> None:
        with self._lock:  # threads leave
            self.n_inside += n
