"""Worker processes, as seen from the process that starts them.

A worker is a plain subprocess with two pipes, and a thread here waits for each. That has three merits over a process
pool of the standard library: a worker that dies is known together with the song it died of, and harms no other; nothing
is pickled; and a user's script is not imported once more in every worker, so that it may call
`affekt.compare` without `if __name__ == "__main__"`. Nothing is forked, so torch's threads are never copied.

Whatever a worker cannot do, but for a song that kills it, is done in this process instead: errors stay what they are.
"""

from __future__ import annotations

import io
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np

from affekt.audio.decode import Level
from affekt.audio.frames import Windows
from affekt.encoders.base import Encoder
from affekt.errors import AudioError
from affekt.features.keys import Heard
from affekt.features.prepare import Recipe, Sound, Task
from affekt.features.worker import Header, line

#: What a worker runs. Ctrl-C reaches every process of a terminal: only this one shall answer it.
_START = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.path[:] = sys.argv[1:]; "
    "from affekt.features.worker import main; main()"
)
#: One thread in each worker: they are as many as there are cores to spare.
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
#: Threads that prepare songs where no worker does; libsndfile and soxr release the interpreter's lock.
THREADS = 2
#: Songs that wait for the encoder, beside those that are being prepared; bounds memory, whatever the number of songs.
AHEAD = 4
#: Songs in flight whose samples are held as a whole, for windows over time: an hour at 16 kHz is 230 MB.
WHOLE_SONGS = 3
#: A song that killed so many workers is named and left out; one death may be the system's, for want of memory.
DEATHS = 2

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Prepared:
    """What `Recipe` made of a file, and how long that took."""

    sound: Sound
    seconds: float


class WorkerDied(Exception):
    """The process ended in the middle of a task."""


class WorkerNotStarted(WorkerDied):
    """The process ended before its first task: no song is to blame."""


class WorkerFault(Exception):
    """An error in a worker that is not about the file; with its traceback."""


class Worker:
    """One process. Not to be called from two threads at once.

    Raises:
        WorkerNotStarted: no process can be started.
    """

    def __init__(self, recipe: Recipe) -> None:
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # libsndfile's remarks, and what is said on Ctrl-C before it is ignored
                env={**os.environ, **_ONE_THREAD},
            )
        except (OSError, TypeError, ValueError) as error:  # no such program, no more processes; an embedded Python
            raise WorkerNotStarted(str(error)) from None
        self._recipe: Recipe | None = recipe

    def __call__(self, task: Task) -> Prepared:
        """Have one file prepared.

        Raises:
            AudioError: the file cannot be used.
            WorkerNotStarted: the process never came to a task.
            WorkerDied: it ended with this one.
            WorkerFault: something else went wrong there.
        """
        self._get_ready()
        header, value = self._ask(task)
        if header.kind == "unusable":
            raise AudioError(header.text)
        if header.kind == "fault":
            raise WorkerFault(header.text)
        return Prepared(Sound(value, header.n_samples, Level(**header.level)), header.seconds)

    @property
    def process_id(self) -> int:
        """By which the system knows it."""
        return self._process.pid

    def stop(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Free the pipes of a process that was stopped; nobody may wait for it any more."""
        assert self._process.stdin is not None and self._process.stdout is not None
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                pipe.close()
            except OSError:  # a task that was never sent off
                continue

    def _get_ready(self) -> None:
        """Send the recipe with the first task: other work goes on while the process starts."""
        if self._recipe is None:
            return
        try:
            self._ask(self._recipe)
        except WorkerDied as error:
            raise WorkerNotStarted(str(error)) from None
        self._recipe = None

    def _ask(self, request: Recipe | Task) -> tuple[Header, np.ndarray]:
        assert self._process.stdin is not None
        answers = cast(io.BufferedReader, self._process.stdout)
        try:
            self._process.stdin.write(line(request.as_dict()))
            self._process.stdin.flush()
            header = Header(**json.loads(answers.readline()))
            value = np.empty(header.shape, header.dtype)
            n_read = answers.readinto(value.data.cast("B")) if value.size else 0
        except (OSError, ValueError, TypeError):  # an empty line is where its output ended
            raise WorkerDied(self._last_words()) from None
        if n_read != value.nbytes:
            raise WorkerDied(self._last_words())
        return header, value

    def _last_words(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:  # it lives, but does not keep to what was agreed
            self.stop()
            return "it answers nothing that can be read"
        return f"signal {-code}" if code < 0 else f"exit code {code}"


class Crew:
    """Prepares files in two threads; once `start` was called, worker processes do it, each awaited by a thread.

    A context manager; leaving it ends every worker at once, in the middle of whatever it does.

    Args:
        recipe: what to make of every file.
        n_workers: how many processes; 0 for none.
    """

    def __init__(self, recipe: Recipe, n_workers: int) -> None:
        self._recipe = recipe
        self._n_workers = n_workers
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="decode")
        self._awaiting = ThreadPoolExecutor(max(1, n_workers), thread_name_prefix="await")
        self._idle: queue.SimpleQueue[Worker | None] = queue.SimpleQueue()
        self._all: set[Worker] = set()
        self._lock = threading.Lock()
        self._begun = self._sending = self._closed = False

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._closed = True
            for worker in self._all:
                worker.stop()
        # A thread that waited for a worker has now seen the end of its pipe.
        for threads in (self._awaiting, self._threads):
            threads.shutdown(cancel_futures=True)
        for worker in self._all:
            worker.close()

    def start(self) -> None:
        """Have workers do what comes from now on; a worker is started when the first task meets it."""
        if not self._begun:
            for _ in range(self._n_workers):
                self._idle.put(None)
            self._begun = True
            self._sending = self._n_workers > 0

    @property
    def process_ids(self) -> list[int]:
        """Of the workers that run."""
        with self._lock:
            return [worker.process_id for worker in self._all]

    def submit(self, task: Task) -> Future[Prepared]:
        """Prepare one file some time soon.

        The result raises:
            AudioError: the file cannot be used, or kills whoever tries.
        """
        if self._sending:
            return self._awaiting.submit(self._sent, task)
        return self._threads.submit(self._here, task)

    def _sent(self, task: Task) -> Prepared:
        reason = ""
        for _ in range(DEATHS):
            worker = self._idle.get()
            try:
                worker = worker or self._hired()
                return worker(task)
            except WorkerNotStarted:  # nor will the next one
                self._sending = False
                return self._here(task)
            except WorkerFault:
                return self._here(task)
            except WorkerDied as death:
                reason = str(death)
                self._dismiss(worker)
                worker = None
            finally:
                self._idle.put(worker)
        raise AudioError(
            f"{task.path}: the process that reads it dies each time ({reason}). The file is damaged in a way that the "
            f"decoder does not survive, or memory is too small: export it again, or remove it."
        )

    def _here(self, task: Task) -> Prepared:
        if self._closed:
            raise WorkerNotStarted("the run ends")
        start = time.perf_counter()
        found = self._recipe(task)
        return Prepared(found, time.perf_counter() - start)

    def _hired(self) -> Worker:
        with self._lock:
            if self._closed:
                raise WorkerNotStarted("the run ends")
            worker = Worker(self._recipe)
            self._all.add(worker)
            return worker

    def _dismiss(self, worker: Worker | None) -> None:
        if worker is not None:
            worker.stop()
            with self._lock:
                if not self._closed:
                    self._all.remove(worker)
                    worker.close()


def most_songs(encoder: Encoder, heard: Heard, n_workers: int = 0) -> int:
    """How many songs may be in flight, so that memory is bounded."""
    whole = isinstance(heard, Windows) and not encoder.runs_in_workers
    return WHOLE_SONGS if whole else AHEAD + (n_workers or THREADS)


def in_flight(
    jobs: Iterable[Job], submit: Callable[[Job], Future[Result]], most: int
) -> Generator[tuple[Job, Future[Result]]]:
    """Each job with its result as they are done, whichever is first; `most` of them are begun and not asked for again.

    The one that the caller holds counts, so that memory is that of `most` results.
    """
    done: queue.SimpleQueue[tuple[Job, Future[Result]]] = queue.SimpleQueue()
    n_begun = 0
    for job in jobs:
        submit(job).add_done_callback(lambda future, job=job: done.put((job, future)))  # type: ignore[misc]
        n_begun += 1
        if n_begun == most:
            yield done.get()
            n_begun -= 1
    for _ in range(n_begun):
        yield done.get()
