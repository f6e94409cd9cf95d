"""Keep a C library's own messages off the terminal.

libsndfile's MP3 decoder writes remarks on harmless flaws of a file straight to the process's standard error, where
they would tear a progress bar apart. What is wrong with a file that matters is raised by `decode` as an `AudioError`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def native_stderr_silenced() -> Iterator[None]:
    """Send file descriptor 2 to nowhere; Python's `sys.stderr` keeps working on the descriptor's old target.

    Meant for the main thread around a whole piece of work: the descriptor belongs to the process, not to a thread.
    """
    try:
        is_native = sys.stderr.fileno() == 2
    except (AttributeError, OSError, ValueError):  # captured by a test runner or a notebook
        is_native = False
    if not is_native:
        yield
        return
    sys.stderr.flush()
    before, old = os.dup(2), sys.stderr
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with open(before, "w", encoding=old.encoding, buffering=1, closefd=False) as kept:
            sys.stderr = kept
            yield
    finally:
        sys.stderr = old
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)
