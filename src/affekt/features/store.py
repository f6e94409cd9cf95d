"""The prefix store: activations at the cut, computed once, found again by what made them.

A key is the hash of everything that determines the value: audio bytes, encoder, weights, preprocessing, clips, cut,
dtype, code version. Change one and the key is another, so nothing is ever silently stale. A value is one safetensors
file, written under a temporary name and renamed: presence means done, an interrupted extraction resumes, and several
processes may share a store. The header of each file says what it holds.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from affekt.errors import StorageError
from affekt.files import atomic

_TENSOR = "activations"
#: Keys begin with two hexadecimal digits, which name the folder that they lie in.
_FOLDERS = "[0-9a-f][0-9a-f]"
#: Values up to this size are read at once, larger ones mapped.
SMALL_BYTES = 2**20
_DTYPES = {"F16": np.float16, "F32": np.float32}


@dataclass(frozen=True)
class Entry:
    """One stored value, as listed by `Store.entries`."""

    key: str
    path: Path
    n_bytes: int
    about: dict[str, str]


class Store:
    """Arrays by key in a folder.

    Args:
        root: the folder; made when the first value is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def path(self, key: str) -> Path:
        """Where the value of `key` lies, whether or not it is there."""
        return self.root / key[:2] / f"{key}.safetensors"

    def __contains__(self, key: str) -> bool:
        return self.path(key).is_file()

    def put(self, key: str, value: np.ndarray, about: Mapping[str, str]) -> None:
        """Store `value` (float16 or float32) with a description.

        Raises:
            StorageError: the folder cannot be written to, or the disk is full; nothing half-written remains.
        """
        with atomic(self.path(key)) as temporary:
            temporary.write_bytes(save({_TENSOR: np.ascontiguousarray(value)}, metadata=dict(about)))

    def get(self, key: str) -> np.ndarray:
        """The value of `key`, not to be changed; a large one is mapped from the file and read only where it is touched.

        Raises:
            StorageError: the file is missing or damaged; the message says how to mend it.
        """
        path = self.path(key)
        try:
            header, offset = _header(path)
            entry = header[_TENSOR]
            shape, dtype = tuple(entry["shape"]), np.dtype(_DTYPES[entry["dtype"]])
            if path.stat().st_size != offset + int(np.prod(shape)) * dtype.itemsize:
                raise ValueError("wrong length")
            if 0 in shape:
                return np.zeros(shape, dtype)
            if int(np.prod(shape)) * dtype.itemsize <= SMALL_BYTES:  # a mapping holds a file descriptor
                value = np.fromfile(path, dtype, offset=offset).reshape(shape)
                value.flags.writeable = False
                return value
            return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape)
        except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{path}: missing or damaged ({error}). Delete the file and run again.") from None
        except OSError as error:  # no permission, too many open files: nothing is wrong with the file
            raise StorageError(f"{path}: cannot be read ({error.strerror or error}). Run again.") from None

    def about(self, key: str) -> dict[str, str]:
        """The description stored with `key`."""
        return _about(self.path(key))

    def entries(self) -> Iterator[Entry]:
        """All values in the store; damaged files are listed with an empty description."""
        for path in sorted(self.root.glob(f"{_FOLDERS}/*.safetensors")):
            yield Entry(path.stem, path, path.stat().st_size, _about(path))

    def summary(self) -> list[dict[str, Any]]:
        """Songs and megabytes for each encoder and cut, largest first."""
        groups: dict[tuple[str, str], list[int]] = {}
        for entry in self.entries():
            of = (entry.about.get("encoder", "damaged"), entry.about.get("cut", ""))
            groups.setdefault(of, []).append(entry.n_bytes)
        rows = [
            {"encoder": encoder, "cut": cut, "songs": len(sizes), "size_mb": round(sum(sizes) / 1e6, 1)}
            for (encoder, cut), sizes in groups.items()
        ]
        return sorted(rows, key=lambda row: -row["size_mb"])

    def clear(self, encoder: str | None = None) -> int:
        """Delete the values of one encoder, or the whole store, and what crashed writers left.

        Returns:
            how many values were deleted.
        """
        doomed = [entry for entry in self.entries() if encoder in (None, entry.about.get("encoder"))]
        for entry in doomed:
            entry.path.unlink(missing_ok=True)
        if encoder is None:
            for left in self.root.glob(f"{_FOLDERS}/.*.safetensors.*.part"):
                left.unlink(missing_ok=True)
            for folder in self.root.glob(_FOLDERS):
                with contextlib.suppress(OSError):  # something else lies there
                    folder.rmdir()
        return len(doomed)


def _header(path: Path) -> tuple[dict[str, dict], int]:
    """The JSON header of a safetensors file, and where the data begins."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > 1_000_000:
            raise ValueError("no safetensors header")
        return json.loads(file.read(length)), 8 + length


def _about(path: Path) -> dict[str, str]:
    try:
        return dict(_header(path)[0].get("__metadata__", {}))
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
