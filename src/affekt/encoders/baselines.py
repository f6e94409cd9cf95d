"""Reference points: what a score means next to nothing at all, to hand-made features, to anybody's embeddings.

- `mean`: an embedding without dimensions; a head on it can only predict the training mean.
- `handcrafted`: statistics of MFCC, chroma, tempo, loudness and timbre.
- `precomputed:<csv or folder>`: embeddings computed elsewhere, one row for each song, DEAM's openSMILE files included.
"""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from affekt.data.base import Song
from affekt.digest import digest
from affekt.encoders.base import Cut, Encoder, EncoderSpec, LookupEncoder
from affekt.encoders.places import user_path
from affekt.errors import EncoderError, problems

#: Enough for timbre up to 11 kHz and cheap to analyse.
HANDCRAFTED_RATE_HZ = 22050

FLOAT32_MAX = float(np.finfo(np.float32).max)

#: The first column of a file of frames in DEAM's layout; no part of the embedding.
FRAME_TIME = "frameTime"


def mean(name: str, weights: str, seed: int) -> MeanEncoder:
    """The reference that hears nothing."""
    del weights, seed
    return MeanEncoder(name)


def handcrafted(name: str, weights: str, seed: int) -> HandcraftedEncoder:
    """The reference that hears what was known before neural networks."""
    del weights, seed
    return HandcraftedEncoder(name)


def precomputed(name: str, weights: str, seed: int) -> PrecomputedEncoder:
    """Embeddings from a table or a folder of tables: "precomputed:<csv or folder>"."""
    del weights, seed
    path = user_path(name.removeprefix("precomputed:"))
    return PrecomputedEncoder(name, read_embeddings(path), timed_files(path))


class MeanEncoder(LookupEncoder):
    """An embedding of width 0: every head becomes its intercept, the mean of the training labels."""

    def __init__(self, name: str) -> None:
        self.spec = EncoderSpec(name, "nothing", None, 0, "none", "none")

    def lookup(self, song: Song) -> np.ndarray:
        """Shape (1, 0)."""
        del song
        return np.zeros((1, 0), np.float32)


class HandcraftedEncoder(Encoder):
    """Statistics of a clip as its embedding; see `affekt.audio.descriptors`."""

    runs_in_workers = True
    code_version = 2

    def __init__(self, name: str) -> None:
        from affekt.audio.descriptors import descriptor_names

        self.spec = EncoderSpec(name, "descriptors", HANDCRAFTED_RATE_HZ, len(descriptor_names()), "none", "none")

    def settings(self, cut: Cut | None = None) -> dict[str, Any]:
        """Adds the version of the descriptors."""
        from affekt.audio.descriptors import DESCRIPTORS_VERSION

        return {**super().settings(cut), "descriptors": DESCRIPTORS_VERSION}

    def activations(self, clips: np.ndarray, cut: Cut) -> np.ndarray:
        """Shape (n_clips, n_descriptors)."""
        from affekt.audio import descriptors

        return descriptors.handcrafted(clips, HANDCRAFTED_RATE_HZ)


class PrecomputedEncoder(LookupEncoder):
    """Embeddings by song id.

    Args:
        name: as in the experiment file.
        table: song id to embedding, all of one width.
        frames: song id to its file of frames with their times, where there are such files.
    """

    def __init__(self, name: str, table: dict[str, np.ndarray], frames: Mapping[str, Path] | None = None) -> None:
        self._table = table
        self._frames = frames or {}
        width = len(next(iter(table.values())))
        self.spec = EncoderSpec(name, "embeddings", None, width, "as given", "as given")

    def settings(self, cut: Cut | None = None) -> dict[str, Any]:
        """Adds a hash of the embeddings."""
        return {**super().settings(cut), "table": self._digest}

    @functools.cached_property
    def _digest(self) -> str:
        return digest({key: value.tolist() for key, value in self._table.items()})

    def missing(self, songs: Any) -> dict[str, str]:
        """Songs without a row."""
        return {song.id: "no precomputed embedding" for song in songs if song.id not in self._table}

    def lookup(self, song: Song) -> np.ndarray:
        """Shape (1, embedding_dim)."""
        return self._table[song.id][None]

    def over_time(self, song: Song) -> np.ndarray:
        """The latest row that is not behind each moment; the song's own embedding where rows have no times."""
        if song.id not in self._frames:
            return super().over_time(song)
        assert song.curve is not None
        frames = _read(self._frames[song.id])
        values = _numbers(frames, 0, [])  # (row, time and embedding)
        times_s, rows = values[:, 0], values[:, 1:]
        latest = np.searchsorted(times_s, song.curve.times_s + 1e-6, side="right") - 1
        return rows[np.maximum(latest, 0)]


def read_embeddings(path: Path) -> dict[str, np.ndarray]:
    """Read embeddings by song id.

    Args:
        path: a CSV whose first column is the song id and whose other columns are numbers; or a folder with one such
            CSV; or a folder with one CSV a song, named <song id>.csv, a row for each frame, a first column named
            frameTime left out: its mean over frames becomes the embedding (the layout of DEAM's openSMILE files).

    Returns:
        song id to float32 vector.

    Raises:
        EncoderError: nothing there, a word where a number belongs, rows of different width, an id twice or missing,
            files with different columns. All mistakes of a file are listed.
    """
    files = _files(path)
    if not files:
        raise EncoderError(
            f"precomputed:{path}: no such CSV file, and not a folder with CSV files. Give a CSV whose first column is "
            "the song id, or a folder of <song id>.csv."
        )
    first = _read(files[0])
    return _songs(first) if len(files) == 1 and first.header[0] != FRAME_TIME else _frames(files)


def timed_files(path: Path) -> dict[str, Path]:
    """By song id, the files of a folder whose rows have times; empty for any other layout."""
    files = _files(path)
    timed = bool(files) and path.is_dir() and _read(files[0]).header[0] == FRAME_TIME
    return {file.stem: file for file in files} if timed else {}


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.glob("*.csv") if not file.name.startswith("."))
    return [path] if path.is_file() else []


@dataclass
class _Csv:
    """Cells of a file.

    Attributes:
        path: of the file.
        header: names of the columns.
        lines: where each row ends in the file, counted from 1.
        rows: cells below the header; empty lines are left out.
    """

    path: Path
    header: list[str]
    lines: list[int]
    rows: list[list[str]]


def _songs(table: _Csv) -> dict[str, np.ndarray]:
    """A row for each song."""
    ids = [row[0].strip() for row in table.rows]
    first_line: dict[str, int] = {}
    found = []
    for line, song_id in zip(table.lines, ids, strict=True):
        if not song_id:
            found.append(f"row {line}: no song id")
        elif first_line.setdefault(song_id, line) != line:
            found.append(f'row {line}: the song id "{song_id}" stands in row {first_line[song_id]} already')
    return dict(zip(ids, _numbers(table, 1, found), strict=True))


def _frames(files: list[Path]) -> dict[str, np.ndarray]:
    """A file for each song, a row for each frame."""
    songs: dict[str, np.ndarray] = {}
    expected: list[str] = []
    for path in files:
        table = _read(path)
        expected = expected or table.header
        if table.header != expected:
            raise EncoderError(
                f"{path}: other columns than in {files[0].name} ({len(table.header)} and {len(expected)}). All files "
                "of a folder need the same columns in the same order."
            )
        values = _numbers(table, 1 if table.header[0] == FRAME_TIME else 0, [])
        songs[path.stem] = values.mean(axis=0, dtype=np.float64).astype(np.float32)
    return songs


def _read(path: Path) -> _Csv:
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.split("\n", 1)[0]
        # In doubt the semicolon: commas may then be decimal, which ends in an error and not in other numbers.
        semicolons = first.count(";")
        delimiter = ";" if semicolons and semicolons >= first.count(",") else ","
        reader = csv.reader(io.StringIO(text), delimiter=delimiter)
        numbered = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EncoderError(f"{path}: cannot be read as CSV ({error}).") from None
    if len(numbered) < 2 or len(numbered[0][1]) < 2:
        raise EncoderError(f"{path}: expected a header and at least one row, with at least two columns.")
    header = [name.strip() for name in numbered[0][1]]
    return _Csv(path, header, [line for line, _ in numbered[1:]], [row for _, row in numbered[1:]])


def _numbers(table: _Csv, skip: int, found: list[str]) -> np.ndarray:
    """Columns from `skip` on as float32, or one error: `found`, and every cell that is not a finite number."""
    header = table.header[skip:]
    try:
        values = np.array([row[skip:] for row in table.rows], dtype=np.float32)
        if values.shape[1:] == (len(header),) and np.isfinite(values).all() and not found:
            return values
    except ValueError:
        pass  # found and named below
    for line, row in zip(table.lines, table.rows, strict=True):
        if len(row) != len(table.header):
            found.append(f"row {line}: {len(row)} columns, the header has {len(table.header)}")
        cells = zip(header, row[skip:], strict=False)
        found += [f'row {line}, "{name}": "{cell}" is not a number' for name, cell in cells if _bad(cell)]
    shown = [*found[:20], f"... and {len(found) - 20} more"] if len(found) > 20 else found
    raise EncoderError(problems(str(table.path), shown))


def _bad(cell: str) -> bool:
    try:
        return not abs(float(cell)) <= FLOAT32_MAX  # true for NaN, too
    except ValueError:
        return True
