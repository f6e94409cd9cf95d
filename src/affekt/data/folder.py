"""Any folder of music with numbers: the layout that Hugging Face calls AudioFolder.

    root/metadata.csv       file_name,valence,arousal,artist,genre
    root/audio/001.mp3      audio/001.mp3,6.1,3.4,...

`file_name` is relative to the root, one line for each song. Every other column is a target, if asked for, or says
something about the song: artist, title, genre, part, or an attribute under its own name. How much raters disagreed
stands in `<target>_std` (standard deviation of a song's ratings, divisor n) and `n_raters`; both together give the
ceiling. Names of columns are matched whatever their case; spaces around names and values carry no meaning.
"""

from __future__ import annotations

import math
import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from affekt.data.base import CREDITS, VALENCE_AROUSAL, Dataset, Song, named
from affekt.data.metadata import Credits, unify_artists
from affekt.data.tables import Mistakes, Row, Table, parse_number, read_number, read_table
from affekt.errors import DataError

METADATA_NAME = "metadata.csv"
DEFAULT_SCALE = (1.0, 9.0)
RATERS_NAME = "n_raters"
_STD_SUFFIX = "_std"


@dataclass(frozen=True)
class _Entry:
    """One song as its line has it: the line, the path relative to the root, the annotations, and their raters."""

    row: Row
    name: str
    values: tuple[float, ...]
    std: tuple[float, ...] | None = None
    n_raters: int | None = None


def load_folder(
    root: str | Path | None = None,
    targets: Sequence[str] | None = None,
    scale: tuple[float, float] | None = None,
    group: str | None = None,
) -> Dataset:
    """Load a folder of audio files described by a `metadata.csv`.

    Args:
        root: the folder that holds metadata.csv.
        targets: names of numeric columns. None takes "valence" and "arousal", or the one of them that is there. The
            order is kept, except that names with "valence" in them come before names with "arousal" in them.
        scale: lowest and highest value an annotation can take. None means 1 to 9 if all values lie there, else the
            whole numbers around the lowest and the highest value found.
        group: the column whose songs must stay together in a split; None means "artist" where there is one.

    Returns:
        The songs that have all targets. The id is the file's name without folder and suffix, or with as much of them
        as makes it unique. A song whose file is missing has `audio_path=None`. The notes count and name what is
        missing, and say where the scale comes from.

    Raises:
        DataError: there is no metadata.csv, a column is missing, or lines cannot be used: a word where a number
            belongs, a value outside `scale`, a file named twice or outside the root. All lines are named at once.
    """
    if root is None:
        raise DataError(f"folder: no root given. Name the folder that holds {METADATA_NAME} (--root DIR).")
    base = Path(root).expanduser()
    mistakes = Mistakes(str(base / METADATA_NAME))
    table = read_table(_find_table(base), (), mistakes)
    file_column = _column(table, "file_name")
    columns = _target_columns(table, targets)
    if scale is not None:
        _check_scale(scale)
    spread = _spread_columns(table, columns)
    entries, unlabelled = _read_entries(table, file_column, columns, spread, scale, mistakes)
    mistakes.raise_any()
    if not entries:
        raise DataError(f"{table.path}: no song has all of {', '.join(columns)}. At least one line is needed.")
    names = tuple(columns)
    used_scale = scale or _natural_scale(entries)
    said = _attribute_columns(table, [file_column, *columns, *spread], group)
    songs = _songs(base, table, entries, group, said)
    notes = [
        *_notes(songs, entries, unlabelled, used_scale, scale is None),
        *_spread_notes(songs, columns, spread),
    ]
    return Dataset("folder", songs, _public_names(names), used_scale, tuple(notes)).with_ceiling()


def _find_table(root: Path) -> Path:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder. Name a folder that holds {METADATA_NAME} and audio files.")
    path = root / METADATA_NAME
    if path.is_file():
        return path
    there = sorted(entry.name for entry in root.iterdir())
    held = f"it holds {named(there)}" if there else "it is empty"
    raise DataError(
        f"{root}: no {METADATA_NAME} ({held}). Write one with a column file_name and a numeric column for each target, "
        "as in Hugging Face's AudioFolder."
    )


def _column(table: Table, name: str) -> str:
    found = _find_column(table, name)
    if found is None:
        shown = ", ".join(f'"{column}"' for column in table.columns[:20])
        raise DataError(f'{table.path}: no column "{name}". Found: {shown}. Names stand in the first line.')
    return found


def _find_column(table: Table, name: str) -> str | None:
    """The column called `name`, or else the only one that differs from it in case alone."""
    if name in table.columns:
        return name
    near = [column for column in table.columns if column.casefold() == name.casefold()]
    return near[0] if len(near) == 1 else None


def _target_columns(table: Table, targets: Sequence[str] | None) -> list[str]:
    """Columns to take as targets, in their final order."""
    if targets is None:
        found = [column for name in VALENCE_AROUSAL if (column := _find_column(table, name)) is not None]
        if not found:
            numeric = ", ".join(_numeric_columns(table)) or "none"
            raise DataError(
                f"{table.path}: no column valence or arousal. Name the targets (targets: [...]). "
                f"Columns of numbers: {numeric}."
            )
        return found
    asked = [targets] if isinstance(targets, str) else list(targets)
    if not asked or len(set(asked)) < len(asked):
        raise DataError(f"targets = {asked}: name at least one column, and each of them once.")
    missing = [name for name in asked if _find_column(table, name) is None]
    if missing:
        numeric = ", ".join(_numeric_columns(table)) or "none"
        raise DataError(f"{table.path}: no column {', '.join(missing)}. Columns of numbers: {numeric}.")
    return _valence_first([_column(table, name) for name in asked])


def _numeric_columns(table: Table) -> list[str]:
    def holds_numbers(column: str) -> bool:
        cells = [row.cells[column] for row in table.rows if row.cells[column]]
        return bool(cells) and all(parse_number(cell) is not None for cell in cells)

    return [column for column in table.columns if column and holds_numbers(column)]


def _valence_first(names: list[str]) -> list[str]:
    """`names` with those of valence in front of those of arousal; all others keep their places."""
    places = [i for i, name in enumerate(names) if _kind(name) is not None]
    ordered = sorted((names[i] for i in places), key=lambda name: _kind(name) or 0)
    result = list(names)
    for place, name in zip(places, ordered, strict=True):
        result[place] = name
    return result


def _kind(name: str) -> int | None:
    """0 for a valence, 1 for an arousal, None for anything else, or for both."""
    has = [kind in name.casefold() for kind in VALENCE_AROUSAL]
    return has.index(True) if sum(has) == 1 else None


def _public_names(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Target names: as the columns are called, but "Valence" is valence."""
    return tuple(name.casefold() if name.casefold() in VALENCE_AROUSAL else name for name in columns)


def _spread_columns(table: Table, columns: Sequence[str]) -> list[str]:
    """The columns that are there of `n_raters` and the targets' standard deviations, in this order."""
    names = [RATERS_NAME, *(f"{column}{_STD_SUFFIX}" for column in columns)]
    return [found for name in names if (found := _find_column(table, name)) is not None and found not in columns]


def _attribute_columns(table: Table, taken: Sequence[str], group: str | None) -> list[str]:
    """Columns that say something further about a song: all that are no target, no spread and no credit."""
    spreads = {f"{column}{_STD_SUFFIX}".casefold() for column in table.columns if column}
    own = {*CREDITS, (group or "").casefold(), RATERS_NAME, *spreads}
    return [column for column in table.columns if column and column not in taken and column.casefold() not in own]


def _check_scale(scale: tuple[float, float]) -> None:
    low, high = scale
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise DataError(f"scale = {low:g} to {high:g}; allowed: two numbers, the lower first.")


def _read_entries(
    table: Table,
    file_column: str,
    columns: list[str],
    spread: list[str],
    scale: tuple[float, float] | None,
    mistakes: Mistakes,
) -> tuple[list[_Entry], list[str]]:
    """The songs that have all targets, and the file names of those that do not."""
    low, high = scale or (-math.inf, math.inf)
    lines: dict[str, int] = {}
    entries, unlabelled = [], []
    for row in table.rows:
        name = _read_name(table, row, file_column, lines, mistakes)
        values = [read_number(table, row, column, low, high, mistakes) for column in columns if row.cells[column]]
        if len(values) < len(columns):
            unlabelled.append(name)
        else:
            std, n_raters = _read_spread(table, row, columns, spread, high - low, mistakes)
            entries.append(_Entry(row, name, tuple(values), std, n_raters))
    return entries, unlabelled


def _read_spread(
    table: Table, row: Row, columns: Sequence[str], spread: Sequence[str], widest: float, mistakes: Mistakes
) -> tuple[tuple[float, ...] | None, int | None]:
    """Standard deviation of each target and the number of raters of one song; None for what its line leaves open."""
    stds, n_raters = [], None
    for column in spread:
        if not row.cells[column]:
            continue
        if column.casefold() != RATERS_NAME:
            stds.append(read_number(table, row, column, 0.0, widest, mistakes))
        elif row.cells[column].isascii() and row.cells[column].isdigit() and int(row.cells[column]) > 0:
            n_raters = int(row.cells[column])
        else:
            mistakes.add(
                table.path.name, row.line, f'{column} = "{row.cells[column][:40]}"; allowed: a whole number from 1'
            )
    return (tuple(stds) if stds and len(stds) == len(columns) else None), n_raters


def _read_name(table: Table, row: Row, column: str, lines: dict[str, int], mistakes: Mistakes) -> str:
    """The path of one song, relative to the root; `lines` remembers where each one stands."""
    cell = row.cells[column]
    name = posixpath.normpath(cell.replace("\\", "/"))
    if not cell or name == "." or "\0" in name:
        mistakes.add(table.path.name, row.line, f'{column} = "{cell}"; allowed: the path of an audio file')
    elif name == ".." or name.startswith(("../", "/")) or PureWindowsPath(cell).is_absolute():
        mistakes.add(
            table.path.name, row.line, f'{column} = "{cell[:80]}" leads out of the folder; allowed: a path within it'
        )
    elif name in lines:
        mistakes.add(
            table.path.name, row.line, f'{column} = "{cell[:80]}" occurs twice; it stands in line {lines[name]}'
        )
    lines.setdefault(name, row.line)
    return name


def _natural_scale(entries: Sequence[_Entry]) -> tuple[float, float]:
    low = min(min(entry.values) for entry in entries)
    high = max(max(entry.values) for entry in entries)
    if DEFAULT_SCALE[0] <= low and high <= DEFAULT_SCALE[1]:
        return DEFAULT_SCALE
    bottom = float(math.floor(low))
    return bottom, max(float(math.ceil(high)), bottom + 1)


def _songs(
    root: Path, table: Table, entries: Sequence[_Entry], group: str | None, attributes: Sequence[str]
) -> tuple[Song, ...]:
    optional = {name: _find_column(table, name) for name in ("artist", "title", "genre", "part")}
    if group is not None:
        optional["artist"] = _column(table, group)

    def cell(entry: _Entry, name: str) -> str | None:
        column = optional[name]
        return (_tidy(entry.row.cells[column]) or None) if column else None

    ids = _ids([entry.name for entry in entries])
    credits = {song_id: Credits(cell(entry, "artist")) for song_id, entry in zip(ids, entries, strict=True)}
    if group is None:
        credits = unify_artists(credits)
    return tuple(
        Song(
            id=song_id,
            audio_path=_file(root / entry.name),
            targets=entry.values,
            target_std=entry.std,
            n_raters=entry.n_raters,
            artist=credits[song_id].artist,
            genre=cell(entry, "genre"),
            part=cell(entry, "part"),
            title=cell(entry, "title"),
            attributes=tuple((name, text) for name in attributes if (text := _tidy(entry.row.cells[name]))),
        )
        for song_id, entry in zip(ids, entries, strict=True)
    )


def _tidy(cell: str) -> str:
    return " ".join(cell.split())


def _file(path: Path) -> Path | None:
    """`path` if a file is there that may be looked at."""
    try:
        return path if path.is_file() else None
    except OSError:
        return None  # no permission, or a name longer than the file system takes


def _ids(names: Sequence[str]) -> list[str]:
    """The shortest of stem, path without suffix and whole path that no other song shares."""
    ids = [posixpath.splitext(posixpath.basename(name))[0] for name in names]
    for longer in (lambda name: posixpath.splitext(name)[0], lambda name: name):
        count = Counter(ids)
        ids = [longer(name) if count[short] > 1 else short for short, name in zip(ids, names, strict=True)]
    return ids


def _notes(
    songs: Sequence[Song],
    entries: Sequence[_Entry],
    unlabelled: Sequence[str],
    scale: tuple[float, float],
    guessed: bool,
) -> list[str]:
    notes = []
    if guessed and scale != DEFAULT_SCALE:
        notes.append(f"The scale, {scale[0]:g} to {scale[1]:g}, was read off the values; name it if it is another.")
    if unlabelled:
        notes.append(f"{len(unlabelled)} songs were left out because a target is empty: {named(unlabelled)}.")
    silent = [entry.name for entry, song in zip(entries, songs, strict=True) if song.audio_path is None]
    if silent:
        notes.append(f"{len(silent)} of {len(songs)} songs have labels and no audio file: {named(silent)}.")
    return notes


def _spread_notes(songs: Sequence[Song], columns: Sequence[str], spread: Sequence[str]) -> list[str]:
    """Why there is no ceiling although some of the columns for one are there."""
    if not spread or any(song.target_std is not None and song.n_raters for song in songs):
        return []
    needed = ", ".join([RATERS_NAME, *(f"{column}{_STD_SUFFIX}" for column in columns)])
    return [f"No noise ceiling: it needs all of {needed} in a song's line; found the columns {', '.join(spread)}."]
