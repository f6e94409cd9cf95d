"""A table of predictions on the disk, which a run that was stopped goes on with.

While a run goes on, every row is written at once to a journal beside the file (`.<name>.part`, JSON Lines); when it
ends, for whatever reason it can still answer, the file is written whole, in the order of the files that were named. A
run that was killed finds its rows in the journal. A run on a cluster writes parts instead, Parquet files in the folder
`<name>.parts`, each the rows of a block of files. A file that was predicted by the same model is not predicted again;
one that failed is tried anew.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from affekt.errors import DataError, MissingExtraError
from affekt.files import storage_errors
from affekt.model.rows import Row, check_format, name_of, read_rows, write_rows


class Table:
    """The rows of one file on the disk. A context manager; leaving it writes the file whole.

    Args:
        path: where to; its suffix says how.
        targets: what is predicted.
        model: name and hash, which rows of an earlier run must have to be taken over.
        curve: whether rows hold curves; one without is then predicted again.

    Raises:
        ConfigError: another suffix, or a file that is no table of predictions.
    """

    def __init__(self, path: Path, targets: Sequence[str], model: str, curve: bool) -> None:
        self._path, self._targets, self._curve = path, list(targets), curve
        self._journal_path = path.with_name(f".{path.name}.part")
        self._parts = path.with_name(f"{path.name}.parts")
        self._n_parts = max(map(_number, _part_paths(self._parts)), default=0)
        check_format(path)
        found = [*read_rows(path, targets), *_journal_rows(self._journal_path), *_part_rows(self._parts, targets)]
        self._others = {row["path"]: row for row in found}
        self.rows = {
            row["path"]: row
            for row in found
            if row.get("model") == model and not row.get("error") and (not curve or row.get("curve"))
        }

    def __enter__(self) -> Table:
        with storage_errors(self._journal_path):
            self._journal_path.parent.mkdir(parents=True, exist_ok=True)
            self._journal = self._journal_path.open("a", encoding="utf-8")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._journal.close()
        write_rows(self._path, list((self._others | self.rows).values()), self._targets)
        self._journal_path.unlink(missing_ok=True)
        _remove_parts(self._parts)

    def add(self, row: Row) -> None:
        """Take a row, and write it down at once.

        Raises:
            StorageError: it cannot be written.
        """
        self.rows[row["path"]] = row
        with storage_errors(self._journal_path):
            self._journal.write(json.dumps(row, ensure_ascii=False) + "\n")
            self._journal.flush()

    def add_all(self, rows: Sequence[Row]) -> None:
        """Take rows one by one, as `add`."""
        for row in rows:
            self.add(row)

    def add_part(self, rows: Sequence[Row]) -> None:
        """Take the rows of a block of files, and write them down together.

        Raises:
            StorageError: they cannot be written.
        """
        self._n_parts += 1
        write_rows(self._parts / f"part-{self._n_parts:06d}.parquet", rows, self._targets)
        self.rows |= {row["path"]: row for row in rows}

    def order(self, paths: Sequence[Path]) -> None:
        """Put rows in the order of files; those of files that are not named now stay, behind them."""
        rows = self._others | self.rows
        names = dict.fromkeys([*map(name_of, paths), *rows])
        self._others = {name: rows[name] for name in names if name in rows}


def _journal_rows(path: Path) -> Iterator[Row]:
    """What a run that was killed had finished; a last line that it could not finish is left out."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("path"), str):
            yield row


def _part_paths(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("part-*.parquet") if path.stem.removeprefix("part-").isdecimal())


def _number(part: Path) -> int:
    return int(part.stem.removeprefix("part-"))


def _part_rows(folder: Path, targets: Sequence[str]) -> Iterator[Row]:
    """What a run on a cluster had finished; a part that cannot be read is left out, its files are predicted again."""
    for path in _part_paths(folder):
        try:
            yield from read_rows(path, targets)
        except DataError:
            continue
        except ImportError:
            raise MissingExtraError(f"{folder}, what an earlier run had finished,", "parquet") from None


def _remove_parts(folder: Path) -> None:
    """Remove parts that a table holds now, and their folder, unless somebody keeps something else there."""
    for path in _part_paths(folder):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
