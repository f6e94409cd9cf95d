"""Reference points: what a score means next to nothing at all, to hand-made features, to anybody's embeddings.

- `mean`: an embedding without dimensions; a head on it can only predict the training mean.
- `handcrafted`: statistics of MFCC, chroma, tempo, loudness and timbre.
- `precomputed:<csv or folder>`: embeddings computed elsewhere, one row for each song, DEAM's openSMILE files included.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from affekt.data.base import Song
from affekt.digest import digest
from affekt.encoders.base import Cut, Encoder, EncoderSpec, LookupEncoder
from affekt.errors import EncoderError, problems

#: Enough for timbre up to 11 kHz and cheap to analyse.
HANDCRAFTED_RATE_HZ = 22050


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
    return PrecomputedEncoder(name, read_embeddings(Path(name.removeprefix("precomputed:")).expanduser()))


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

    def __init__(self, name: str) -> None:
        from affekt.audio.descriptors import descriptor_names

        self.spec = EncoderSpec(name, "descriptors", HANDCRAFTED_RATE_HZ, len(descriptor_names()), "none", "none")

    def settings(self) -> dict[str, Any]:
        """Adds the version of the descriptors."""
        from affekt.audio.descriptors import DESCRIPTORS_VERSION

        return {**super().settings(), "descriptors": DESCRIPTORS_VERSION}

    def activations(self, clips: np.ndarray, cut: Cut) -> np.ndarray:
        """Shape (n_clips, n_descriptors)."""
        from affekt.audio import descriptors

        return descriptors.handcrafted(clips, HANDCRAFTED_RATE_HZ)


class PrecomputedEncoder(LookupEncoder):
    """Embeddings by song id.

    Args:
        name: as in the experiment file.
        table: song id to embedding, all of one width.
    """

    def __init__(self, name: str, table: dict[str, np.ndarray]) -> None:
        self._table = table
        width = len(next(iter(table.values())))
        self.spec = EncoderSpec(name, "embeddings", None, width, "as given", "as given")

    def settings(self) -> dict[str, Any]:
        """Adds a hash of the embeddings."""
        return {**super().settings(), "table": digest({key: value.tolist() for key, value in self._table.items()})}

    def missing(self, songs: Any) -> dict[str, str]:
        """Songs without a row."""
        return {song.id: "no precomputed embedding" for song in songs if song.id not in self._table}

    def lookup(self, song: Song) -> np.ndarray:
        """Shape (1, embedding_dim)."""
        return self._table[song.id][None]


def read_embeddings(path: Path) -> dict[str, np.ndarray]:
    """Read embeddings by song id.

    Args:
        path: a CSV whose first column is the song id and whose other columns are numbers; or a folder with one such
            CSV; or a folder with one CSV a song, named <song id>.csv, a row for each frame, a column named frameTime
            left out: its mean over frames becomes the embedding (the layout of DEAM's openSMILE files).

    Returns:
        song id to float32 vector.

    Raises:
        EncoderError: nothing there, a word where a number belongs, rows of different width, an id twice.
    """
    if path.is_file():
        return _table(path)
    files = sorted(path.glob("*.csv")) if path.is_dir() else []
    if not files:
        raise EncoderError(
            f"precomputed:{path}: no such CSV file, and not a folder with CSV files. Give a CSV whose first column is "
            "the song id, or a folder of <song id>.csv."
        )
    return _table(files[0]) if len(files) == 1 else _frames(files)


def _table(path: Path) -> dict[str, np.ndarray]:
    header, rows = _rows(path)
    ids = [row[0].strip() for row in rows]
    twice = sorted({i for i in ids if ids.count(i) > 1}) if len(set(ids)) < len(ids) else []
    if twice:
        raise EncoderError(f"{path}: {len(twice)} song ids occur more than once: {', '.join(twice[:5])}.")
    numbers = _numbers(path, header[1:], [row[1:] for row in rows])
    return dict(zip(ids, numbers, strict=True))


def _frames(files: list[Path]) -> dict[str, np.ndarray]:
    table = {}
    for path in files:
        header, rows = _rows(path)
        skip = 1 if header[0].strip() == "frameTime" else 0
        table[path.stem] = _numbers(path, header[skip:], [row[skip:] for row in rows]).mean(axis=0)
    widths = {len(vector) for vector in table.values()}
    if len(widths) > 1:
        raise EncoderError(f"{files[0].parent}: the files have different numbers of columns: {sorted(widths)}.")
    return table


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EncoderError(f"{path}: cannot be read as CSV ({error}).") from None
    first = text.split("\n", 1)[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if row]
    if len(rows) < 2 or len(rows[0]) < 2:
        raise EncoderError(f"{path}: expected a header and at least one row, with at least two columns.")
    return rows[0], rows[1:]


def _numbers(path: Path, header: list[str], rows: list[list[str]]) -> np.ndarray:
    """Rows as float32, or one error that lists every cell that is not a finite number."""
    try:
        values = np.array(rows, dtype=np.float32)
        if values.shape[1:] == (len(header),) and np.isfinite(values).all():
            return values
    except ValueError:
        pass  # found and named below
    found = []
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            found.append(f"row {line}: {len(row)} columns, the header has {len(header)}")
        found += [f'row {line}, "{n}": "{c}" is not a number' for n, c in zip(header, row, strict=False) if _bad(c)]
    shown = [*found[:20], f"... and {len(found) - 20} more"] if len(found) > 20 else found
    raise EncoderError(problems(str(path), shown))


def _bad(cell: str) -> bool:
    try:
        return not np.isfinite(np.float32(cell))
    except ValueError:
        return True
