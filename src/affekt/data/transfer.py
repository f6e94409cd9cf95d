"""Test songs that a data set names itself: does what was learnt on some songs carry over to songs of another kind?

Four kinds. `leave-one-out` leaves out the values of a column one at a time; `official-2013` is the published split of
emoMusic; `long` trains on DEAM's clips of 45 s and tests on its whole songs; `cross-corpus` trains on one data set and
tests on another. No seed has a say in who is tested.

Where artists must not be shared, songs by an artist of the test songs are neither trained nor validated on. Songs are
numbered in the order of their data set.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from affekt.data.base import Dataset, named
from affekt.data.metadata import OFFICIAL_COLUMN, OFFICIAL_SETS
from affekt.data.partition import group_labels
from affekt.data.tables import parse_number
from affekt.errors import ConfigError
from affekt.registry import did_you_mean

#: More folds than this are no test of carrying over: a column with so many values tells the songs apart.
MAX_FOLDS = 100
#: Of a value that is left out; the R2 of a single song is not defined.
MIN_SONGS = 2
#: A column of more different numbers than this measures the songs; it does not sort them into kinds.
MAX_NUMBERS = 20
#: DEAM's whole songs, and the clips that they are compared with.
LONG_PART, CLIP_PARTS = "2015", ("2013", "2014")


@dataclass(frozen=True)
class Plan:
    """Who is tested and who may be learnt from, before validation songs are drawn.

    Attributes:
        tests: indices of the test songs of each fold.
        rests: indices of the songs to learn from, for each fold.
        words: what was done, as sentences without a full stop at the end.
        values: what was left out in each fold; empty for kinds with one fold.
    """

    tests: tuple[np.ndarray, ...]
    rests: tuple[np.ndarray, ...]
    words: str
    values: tuple[str, ...] = ()


def leave_one_out(dataset: Dataset, by: str | None, group: str | None) -> Plan:
    """One fold for each value of a column that at least two songs share.

    Songs without a value, and songs whose value nobody shares, are never tested; they are learnt from in every fold.

    Raises:
        ConfigError: no such column; fewer than two values to leave out, or too many.
    """
    column = _column(dataset, by)
    of = [song.value(column) for song in dataset.songs]
    counts = dataset.columns()[column]
    values = _values_to_leave_out(dataset, column)
    groups = group_labels(dataset, group)
    tests = tuple(np.flatnonzero([own == value for own in of]) for value in values)
    others = tuple(np.flatnonzero([own != value for own in of]) for value in values)
    rests = tuple(_apart(rest, test, groups) for rest, test in zip(others, tests, strict=True))
    words = [f"leave-one-out by {column}: one fold for each of {', '.join(f'{v} ({counts[v]} songs)' for v in values)}"]
    never = [song.id for song, value in zip(dataset.songs, of, strict=True) if value not in values]
    if never:
        words.append(f"{len(never)} songs have no {column} or share it with nobody and only train: {named(never)}")
    words += _removed_words(group, sum(map(len, others)) - sum(map(len, rests)), "over all folds")
    return Plan(tests, rests, ". ".join(words), tuple(values))


def official_2013(dataset: Dataset) -> Plan:
    """The development and evaluation set of MediaEval 2013, as emoMusic's metadata marks them; artists are shared.

    Raises:
        ConfigError: the songs are not marked.
    """
    sets = [(song.value(OFFICIAL_COLUMN) or "").casefold() for song in dataset.songs]
    rest, test = (np.flatnonzero([one == name for one in sets]) for name in OFFICIAL_SETS)
    if len(rest) == 0 or len(test) < MIN_SONGS:
        raise ConfigError(
            f"{dataset.name}: split.kind = official-2013 needs songs marked development and evaluation; found "
            f'{len(rest)} and {len(test)}. The marks stand in the column "{OFFICIAL_COLUMN}" of emoMusic\'s '
            "songs_info.csv: put that file anywhere below DEAM's folder, or the column into a folder's metadata.csv. "
            f"{kinds_served(dataset)}"
        )
    shared = np.isin(group_labels(dataset, "artist")[test], group_labels(dataset, "artist")[rest]).sum()
    words = (
        f"official-2013: {len(rest)} development songs train, {len(test)} evaluation songs are tested (619 and 125 as "
        f"published), {len(dataset) - len(rest) - len(test)} others stay out. Not grouped: {shared} test songs have "
        "their artist among the development songs"
    )
    return Plan((test,), (rest,), words)


def long(dataset: Dataset, group: str | None) -> Plan:
    """Train on DEAM's clips (parts 2013 and 2014), test on its whole songs (part 2015).

    Raises:
        ConfigError: the data set has no such songs.
    """
    clips = np.flatnonzero([song.part in CLIP_PARTS for song in dataset.songs])
    test = np.flatnonzero([song.part == LONG_PART for song in dataset.songs])
    if len(clips) == 0 or len(test) < MIN_SONGS:
        raise ConfigError(
            f"{dataset.name}: split.kind = long needs DEAM's clips (parts {' and '.join(CLIP_PARTS)}) and its whole "
            f"songs (part {LONG_PART}); found {len(clips)} and {len(test)}. {kinds_served(dataset)}"
        )
    rest = _apart(clips, test, group_labels(dataset, group))
    words = [f"long: trained on {len(rest)} clips of 45 s, tested on {len(test)} whole songs"]
    return Plan((test,), (rest,), ". ".join(words + _removed_words(group, len(clips) - len(rest))))


def cross_corpus(dataset: Dataset, group: str | None) -> Plan:
    """Train on the songs of one data set, test on those of another; `affekt.data.joined` has made one of the two.

    Raises:
        ConfigError: the data set is a single one.
    """
    tested = np.array([song.id in dataset.test_ids for song in dataset.songs])
    rest, test = np.flatnonzero(~tested), np.flatnonzero(tested)
    if len(rest) == 0 or len(test) < MIN_SONGS:
        raise ConfigError(
            f"{dataset.name}: split.kind = cross-corpus needs songs of two data sets; found {len(rest)} songs to train "
            f"on and {len(test)} to test. Name the second data set in test_dataset. {kinds_served(dataset)}"
        )
    apart = _apart(rest, test, group_labels(dataset, group))
    words = [f"cross-corpus, {dataset.name}: trained on {len(apart)} songs, tested on {len(test)} of another data set"]
    return Plan((test,), (apart,), ". ".join(words + _removed_words(group, len(rest) - len(apart))))


def kinds_served(dataset: Dataset) -> str:
    """Which kinds of split a data set allows, as a sentence."""
    columns = _columns_to_leave_out(dataset)
    parts = {song.part for song in dataset.songs}
    kinds = ["kfold", "holdout", "seed"]
    if LONG_PART in parts and parts & set(CLIP_PARTS):
        kinds.append("long")
    if columns:
        kinds.append(f"leave-one-out by {' or '.join(columns)}")
    return f"This data set serves {', '.join(kinds)}."


def _column(dataset: Dataset, by: str | None) -> str:
    """The data set's own spelling of a column."""
    columns = dataset.columns()
    if by is None:
        raise ConfigError(f"{dataset.name}: split.by: missing; name the column to leave out. {_columns_found(dataset)}")
    near = [name for name in columns if name.casefold() == by.casefold()]
    if by in columns or len(near) == 1:
        return by if by in columns else near[0]
    raise ConfigError(
        f"{dataset.name}: split.by = {by}; no song has a value in such a column."
        f"{did_you_mean(by, list(columns))} {_columns_found(dataset)}"
    )


def _values_to_leave_out(dataset: Dataset, column: str) -> list[str]:
    counts = dataset.columns()[column]
    if not sorts_songs(counts):
        n_shared = sum(n >= MIN_SONGS for n in counts.values())
        raise ConfigError(
            f"{dataset.name}: split.by = {column} has {len(counts)} different values, {n_shared} of them shared by "
            f"{MIN_SONGS} songs or more. Needed: two different values, 1 to {MAX_FOLDS} of them shared, and no more "
            f"than {MAX_NUMBERS} where all are numbers. {_columns_found(dataset)}"
        )
    return sorted(value for value, n in counts.items() if n >= MIN_SONGS)


def sorts_songs(counts: Counter[str]) -> bool:
    """Whether a column sorts songs into kinds, from how often each value occurs; others measure or name the songs."""
    n_shared = sum(n >= MIN_SONGS for n in counts.values())
    measures = len(counts) > MAX_NUMBERS and all(parse_number(value) is not None for value in counts)
    return len(counts) > 1 and 1 <= n_shared <= MAX_FOLDS and not measures


def _columns_to_leave_out(dataset: Dataset) -> list[str]:
    """Columns that `leave_one_out` can use, each with the number of its folds."""
    return [
        f"{column} ({sum(n >= MIN_SONGS for n in counts.values())} folds)"
        for column, counts in dataset.columns().items()
        if sorts_songs(counts)
    ]


def _columns_found(dataset: Dataset) -> str:
    columns = _columns_to_leave_out(dataset)
    return f"Columns that can be left out: {', '.join(columns)}." if columns else "No column of this data set will do."


def _apart(rest: np.ndarray, test: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Those of `rest` that share no group with a test song."""
    return rest[~np.isin(groups[rest], groups[test])]


def _removed_words(group: str | None, n_removed: int, where: str = "") -> list[str]:
    if not n_removed:
        return []
    return [f"{n_removed} songs{' ' * bool(where)}{where} do not train, as their {group} is tested"]
