"""Writing files so that they are whole or not there.

A file is written under a temporary name in the folder it belongs to and renamed when complete. Whatever stops the
writer - a full disk, Ctrl-C - leaves neither half a file nor its temporary twin behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from affekt.errors import StorageError


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; rename it to `path` on success, remove it on any failure.

    Raises:
        StorageError: the folder cannot be written to, or the disk is full.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Named before it exists: whenever Ctrl-C comes, `finally` knows what to remove.
        start = os.fsencode(path.name)[:200].decode(errors="ignore")  # a name may be 255 bytes long
        temporary = path.with_name(f".{start}.{secrets.token_hex(4)}.part")
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write `path` into one clear error."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: cannot write ({error.strerror or error}). Nothing half-written was left behind. "
            "Free some space, or name another folder."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Write `value` as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")
