"""Reading CSV tables strictly: a cell is either exactly what was written or a named mistake.

Conventions: lines are counted from 1 as an editor does, the header included; spaces around names and values carry no
meaning. All mistakes of a data set are collected in `Mistakes` and raised as one error.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from affekt.errors import DataError, problems

# Python's float() also takes "1_0", "nan", "infinity" and the digits of every script. A label may be none of these.
_ONE = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBER = re.compile(_ONE, re.ASCII)
_NUMBERS = re.compile(rf"{_ONE}(?:;{_ONE})*", re.ASCII)
# More lines than this help nobody: they have one cause.
_MOST_LINES = 30


@dataclass
class Mistakes:
    """Everything that is wrong with the files of one data set.

    Attributes:
        where: what the mistakes are in, for the heading of the message.
    """

    where: str
    found: list[str] = field(default_factory=list)

    def add(self, source: str, line: int, text: str) -> None:
        """Note a mistake in a line of the file called `source`."""
        self.found.append(f"{source}, line {line}: {text}")

    def raise_any(self) -> None:
        """Raise what was noted, if anything was.

        Raises:
            DataError: one line for each mistake, the first thirty of them, under a heading that counts them all.
        """
        if not self.found:
            return
        lines = problems(self.where, self.found).splitlines()
        if len(self.found) > _MOST_LINES:
            lines = [*lines[: _MOST_LINES + 1], f"  and {len(self.found) - _MOST_LINES} more"]
        raise DataError("\n".join(lines))


@dataclass(frozen=True)
class Row:
    """One line of a table: its number in the file and its cells by column."""

    line: int
    cells: dict[str, str]


@dataclass(frozen=True)
class Table:
    """A CSV file, its spaces stripped.

    Attributes:
        path: where it was read.
        columns: names of the columns, in the order of the file.
        rows: all lines that are not blank and have as many cells as the header.
        ended: whether the last line ends in a line break, as a file that was not cut short does.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    ended: bool = True


def read_table(
    path: Path, required: Sequence[str], mistakes: Mistakes, squeeze_names: bool = False, ragged: bool = False
) -> Table:
    """Read a CSV file that must have certain columns.

    Args:
        path: the file: UTF-8, with or without byte order mark, separated by commas.
        required: columns that must be there.
        mistakes: takes lines with too few or too many cells; these are left out of the table.
        squeeze_names: remove spaces within column names as well (" valence_ max_mean" is valence_max_mean).
        ragged: lines may end early, as time series of different lengths do.

    Raises:
        DataError: the file cannot be read as CSV, is empty, or lacks or repeats a column.
    """
    lines = _lines(path)
    line, header = next(lines, (1, []))
    columns = tuple(("".join(name.split()) if squeeze_names else name.strip()) for name in header)
    _check_header(path, columns, required)
    fewest = 1 + max((columns.index(name) for name in required), default=0)
    rows = []
    for line, cells in lines:
        if ragged and "" in cells and not any(cells[cells.index("") :]):
            del cells[cells.index("") :]  # thousands of empty cells behind most songs
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        too_few = len(cells) < (fewest if ragged else len(columns))
        if too_few or any(cells[len(columns) :]):
            mistakes.add(path.name, line, f"{len(cells)} cells; allowed: {len(columns)}, as in the header")
            continue
        rows.append(Row(line, dict(zip(columns, cells, strict=False))))
    return Table(path, columns, tuple(rows), _is_ended(path))


def complain_of_cut(table: Table, mistakes: Mistakes, whole: bool = False) -> None:
    """Note a last line that may have lost its end: without a line break, and with a last cell shorter than others.

    Args:
        table: what was read.
        mistakes: takes the complaint.
        whole: complain of a missing line break alone, where a line may end anywhere.
    """
    if table.ended or not table.rows:
        return
    column = table.columns[-1]
    last = table.rows[-1]
    longest = max(len(row.cells.get(column, "")) for row in table.rows)
    if whole or len(last.cells.get(column, "")) < longest or not last.cells.get(column):
        mistakes.add(
            table.path.name,
            last.line,
            "the file ends in the middle of this line, as where a transfer was cut. Get the file again; if the line is "
            "whole, end it with a line break",
        )


def parse_number(cell: str) -> float | None:
    """The number written in `cell`, or None where it holds anything else, an infinity or nothing."""
    text = cell.strip()
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def read_number(table: Table, row: Row, column: str, low: float, high: float, mistakes: Mistakes) -> float:
    """The number in one cell, between `low` and `high`; NaN, with a mistake noted, where there is none."""
    value = parse_number(row.cells[column])
    if value is not None and low <= value <= high:
        return value
    allowed = "a number" if math.isinf(low) and math.isinf(high) else f"a number from {low:g} to {high:g}"
    mistakes.add(table.path.name, row.line, f'{column} = "{row.cells[column][:40]}"; allowed: {allowed}')
    return math.nan


def read_numbers(
    table: Table, row: Row, columns: Sequence[str], low: float, high: float, mistakes: Mistakes
) -> list[float]:
    """The numbers in several cells of a line, as `read_number` reads each of them, ten times as fast."""
    cells = [row.cells[column] for column in columns]
    if _NUMBERS.fullmatch(";".join(cells)):
        values = list(map(float, cells))
        if low <= min(values) and max(values) <= high and math.isfinite(sum(values)):
            return values
    return [read_number(table, row, column, low, high, mistakes) for column in columns]


def parse_whole_id(table: Table, row: Row, lines: dict[int, str], mistakes: Mistakes, column: str = "song_id") -> int:
    """The number of a line's song, which may occur once; `lines` remembers where each one stands. -1 for none."""
    song_id = parse_id(table, row, mistakes, column)
    if song_id < 0:
        return song_id
    if song_id in lines:
        mistakes.add(table.path.name, row.line, f"{column} = {song_id} occurs twice; it stands in {lines[song_id]}")
    lines.setdefault(song_id, f"{table.path.name}, line {row.line}")
    return song_id


def parse_id(table: Table, row: Row, mistakes: Mistakes, column: str = "song_id") -> int:
    """The number of a line's song, which may occur in several lines; -1, with a mistake noted, for none."""
    cell = row.cells[column]
    if cell.isascii() and cell.isdigit() and len(cell) < 10:
        return int(cell)
    mistakes.add(table.path.name, row.line, f'{column} = "{cell[:40]}"; allowed: a whole number')
    return -1


def read_by_id(
    path: Path, id_column: str, columns: Mapping[str, tuple[float, float]], mistakes: Mistakes
) -> dict[int, tuple[float, ...]]:
    """The numbers of a table with one line for each song, in the order of `columns`, by song id.

    Args:
        path: the file.
        id_column: holds the songs' numbers.
        columns: to read, each with the lowest and the highest number allowed; in any order within the file.
        mistakes: takes cells that are no such numbers, ids that occur twice, and a file without songs.
    """
    table = read_table(path, (id_column, *columns), mistakes)
    lines: dict[int, str] = {}
    found = {}
    for row in table.rows:
        song_id = parse_whole_id(table, row, lines, mistakes, id_column)
        found[song_id] = tuple(read_number(table, row, name, *limits, mistakes) for name, limits in columns.items())
    if not found and not mistakes.found:
        mistakes.found.append(f"{path.name}: no songs. At least one line is needed.")
    return found


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each record of a CSV file with the number of the line it begins on."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            before = 0
            for cells in reader:
                yield before + 1, cells
                before = reader.line_num
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}). Save the file as CSV in UTF-8.") from error
    except csv.Error as error:
        raise DataError(f"{path}: not a CSV file ({error}, after line {before}). Mend the quotes there.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _is_ended(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 1, 0))
        return file.read(1) in (b"\n", b"\r", b"")


def _check_header(path: Path, columns: tuple[str, ...], required: Sequence[str]) -> None:
    if not any(columns):
        raise DataError(f"{path}: the file is empty. Its first line must name the columns: {', '.join(required)}.")
    repeated = [name for name, n in Counter(columns).items() if n > 1 and name]
    if repeated:
        raise DataError(f"{path}: columns named twice: {', '.join(repeated)}. Each name may occur once.")
    missing = [name for name in required if name not in columns]
    if missing:
        shown = ", ".join(f'"{name}"' for name in columns[:20])
        raise DataError(
            f"{path}: no column {', '.join(missing)}. Found: {shown}. "
            "The first line must name the columns, separated by commas."
        )
