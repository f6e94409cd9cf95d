"""A worker process: takes a recipe, then one file after the other, and answers with arrays.

Started by `affekt.features.crew` with pipes as standard input and output. Both sides speak in lines of JSON; behind an
answer's line come the bytes of its array. Nothing is pickled. A worker ends when its input does, which is also what it
sees of a parent that was killed, even in the middle of a song.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO, Literal

import numpy as np

from affekt.errors import AudioError
from affekt.features.prepare import Recipe, Task


@dataclass(frozen=True)
class Header:
    """What an answer is.

    Attributes:
        kind: "value"; "unusable" for a file that cannot be used; "fault" for anything else that went wrong.
        text: the reason, in words; empty for a value.
        seconds: how long it took.
        shape, dtype: of the array whose bytes follow.
        n_samples, level: as of `Sound`.
    """

    kind: Literal["value", "unusable", "fault"]
    text: str = ""
    seconds: float = 0.0
    shape: tuple[int, ...] = (0,)
    dtype: str = "<f4"
    n_samples: int = 0
    level: Mapping[str, Any] = field(default_factory=dict)


def line(message: Mapping[str, Any]) -> bytes:
    """A message as it passes the pipe."""
    return json.dumps(message).encode() + b"\n"


def main() -> None:
    """Answer until the input ends."""
    answers = _own_output()
    incoming: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, incoming), daemon=True).start()
    recipe = Recipe.of(incoming.get())
    _send(answers, Header("value"))  # ready
    while True:
        header, value = _answer(recipe, Task.of(incoming.get()))
        _send(answers, header, value)


def _own_output() -> BinaryIO:
    """The pipe for answers. What any library prints goes nowhere instead of among them."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return answers


def _receive(messages: Iterable[bytes], incoming: queue.SimpleQueue[Any]) -> None:
    """Pass on what comes; the end of the input ends the process, whatever it is doing."""
    with contextlib.suppress(OSError, ValueError):
        for message in messages:
            incoming.put(json.loads(message))
    os._exit(0)


def _answer(recipe: Recipe, task: Task) -> tuple[Header, np.ndarray | None]:
    start = time.perf_counter()
    try:
        found = recipe(task)
        value, level = np.ascontiguousarray(found.value), asdict(found.level)
        seconds = time.perf_counter() - start
        return Header("value", "", seconds, value.shape, value.dtype.str, found.n_samples, level), value
    except AudioError as error:
        return Header("unusable", str(error)), None
    except Exception:
        return Header("fault", traceback.format_exc()), None


def _send(answers: BinaryIO, header: Header, value: np.ndarray | None = None) -> None:
    try:
        answers.write(line(asdict(header)))
        if value is not None and value.size:
            answers.write(value.data.cast("B"))
        answers.flush()
    except OSError:  # nobody listens any more
        os._exit(0)
