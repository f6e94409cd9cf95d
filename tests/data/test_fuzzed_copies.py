"""Damaged copies of DEAM: the labels that come out are the true ones, or there is an error that asks what to do.

Each copy is damaged in up to three ways, one after the other. Half of them are taken from a data set whose checksums
are known (as DEAM's are), half from one that must be judged by its annotations over time alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from affekt.data import known
from affekt.data.audit import audit_deam
from affekt.data.base import VALENCE_AROUSAL
from affekt.data.curves import Curve
from affekt.data.deam import STATIC_NAMES, DeamCopy, build_dataset, build_dynamic, read_deam
from affekt.errors import AffektError

FIRST, SECOND = STATIC_NAMES
VALENCE, AROUSAL = "valence.csv", "arousal.csv"
STATIC, DYNAMIC = (FIRST, SECOND), (VALENCE, AROUSAL)
Table = list[list[str]]
Files = dict[str, Table]
Contents = dict[str, bytes]


@dataclass(frozen=True)
class Base:
    """A sound copy; `root` is where damaged ones are written, one after the other."""

    root: Path
    files: Files
    truth: Truth
    checksums: bytes

    def __repr__(self) -> str:
        return "base"


@dataclass(frozen=True)
class Truth:
    """What must come out, by song id: (valence, arousal, their standard deviations), and curves (frame, target)."""

    labels: dict[int, tuple[float, float, float, float]]
    curves: dict[int, np.ndarray]


def make_copy(n: tuple[int, int, int] = (40, 44, 32), seed: int = 0) -> tuple[Files, Truth]:
    """Tables as they are distributed, 2013 exchanged; spread and agreement are those of the real parts."""
    rng = np.random.default_rng(seed)
    files: Files = {
        FIRST: [["song_id", " valence_mean", " valence_std", " arousal_mean", " arousal_std"]],
        SECOND: [["song_id", "valence_mean", "valence_std", "valence_ max_mean", "arousal_mean", "arousal_std", "x"]],
        VALENCE: [["song_id", *(f"sample_{15000 + 500 * i}ms" for i in range(20))]],
        AROUSAL: [["song_id", *(f"sample_{15000 + 500 * i}ms" for i in range(20))]],
    }  # fmt: skip
    truth = Truth({}, {})
    firsts = (2, 1001, 2001)
    for part, (count, start) in enumerate(zip(n, firsts, strict=True)):
        v_sd, a_sd, r = ((1.24, 1.37, 0.6), (0.99, 1.30, 0.63), (1.1, 1.2, 0.0))[part]
        labels = _whitened(rng.normal(size=(count, 2))) @ np.linalg.cholesky([[1, r], [r, 1]]).T * (v_sd, a_sd) + 5
        labels = labels.clip(1.3, 8.7).round(1)
        stds = rng.uniform(0.3, 0.9, size=labels.shape).round(2)
        for i in range(count):
            song = start + i * (3, 2, 1)[part]
            (v, a), (v_std, a_std) = labels[i], stds[i]
            frames = 14 if part < 2 else 20 - i % 5
            heard = (labels[i] - 5) / 4.6 + rng.normal(0, 0.06, 2) + rng.normal(0, 0.03, (frames, 2))
            heard = heard.clip(-1, 1).round(3)
            truth.labels[song] = (v, a, v_std, a_std)
            truth.curves[song] = heard
            if part == 0:
                (v, a), (v_std, a_std) = (a, v), (a_std, v_std)
            if part < 2:
                files[FIRST].append([f"{song:7d}", f"{v:9g} ", f"{v_std:9g}", f"{a:9g} ", f"{a_std:9g}"])
            else:
                files[SECOND].append([str(song), f" {v:g} ", f"{v_std:g}", "8.2", f"{a:g}", f"{a_std:g}", "1"])
            for name, values in zip(DYNAMIC, heard.T, strict=True):
                files[name].append([str(song), *(f"{value:g}" for value in values)])
    return files, truth


def _whitened(values: np.ndarray) -> np.ndarray:
    values = values - values.mean(axis=0)
    return values @ np.linalg.inv(np.linalg.cholesky(np.cov(values.T))).T


# --- damage to tables -------------------------------------------------------------------------------------------
# Each takes the tables and a generator and changes them in place.


def _some(files: Files, names: tuple[str, ...], rng: np.random.Generator) -> Table:
    there = [name for name in names if name in files] or [*files]
    return files[there[rng.integers(len(there))]] if there else [["song_id"]]


def drop_last_rows(files, rng):
    table = _some(files, STATIC + DYNAMIC, rng)
    del table[rng.integers(1, len(table) + 1) :]


def drop_rows(files, rng):
    table = _some(files, STATIC + DYNAMIC, rng)
    table[1:] = [row for row in table[1:] if rng.random() < 0.8]


def drop_file(files, rng):
    if files:
        del files[[*files][rng.integers(len(files))]]


def repeat_row(files, rng):
    table = _some(files, STATIC + DYNAMIC, rng)
    table.append(list(table[rng.integers(len(table))]))


def repeat_row_with_another_id(files, rng):
    table = _some(files, STATIC, rng)
    row = table[rng.integers(len(table))]
    table.append([str(rng.integers(3, 2058)), *row[1:]])


def reorder_rows(files, rng):
    table = _some(files, STATIC + DYNAMIC, rng)
    table[1:] = [table[1 + i] for i in rng.permutation(len(table) - 1)]


def reorder_columns(files, rng):
    table = _some(files, STATIC, rng)
    order = rng.permutation(len(table[0]))
    table[:] = [[row[i] for i in order] if len(row) == len(order) else row for row in table]


def reorder_header(files, rng):
    table = _some(files, STATIC + DYNAMIC, rng)
    table[0] = [table[0][i] for i in rng.permutation(len(table[0]))]


def exchange_names_in_header(files, rng):
    table = _some(files, STATIC, rng)
    table[0] = [_other_target(name) for name in table[0]]


def exchange_mean_names_in_header(files, rng):
    table = _some(files, STATIC, rng)
    table[0] = [_other_target(name) if name.endswith("_mean") else name for name in table[0]]


def exchange_std_names_in_header(files, rng):
    table = _some(files, STATIC, rng)
    table[0] = [_other_target(name) if name.endswith("_std") else name for name in table[0]]


def _other_target(name: str) -> str:
    for one, other in (VALENCE_AROUSAL, VALENCE_AROUSAL[::-1]):
        if name.strip() in (f"{one}_mean", f"{one}_std"):
            return name.replace(one, other)
    return name


def drop_column(files, rng):
    table = _some(files, STATIC + DYNAMIC, rng)
    at = rng.integers(len(table[0]))
    for row in table:
        del row[at : at + 1]


def shift_a_row(files, rng):
    table = _some(files, STATIC, rng)
    row = table[rng.integers(len(table))]
    row[1:] = [*row[2:], *row[1:2]] if rng.random() < 0.5 else [*row[-1:], *row[1:-1]]


def shift_all_rows(files, rng):
    table = _some(files, STATIC, rng)
    for row in table[1:]:
        row[1:] = [*row[2:], *row[1:2]]


def insert_a_cell(files, rng):
    """Into labels; a curve that begins half a second late is nobody's to find."""
    table = _some(files, STATIC, rng)
    row = table[rng.integers(len(table))]
    row.insert(rng.integers(len(row) + 1), ["", "5", "0.5", "x"][rng.integers(4)])


def spoil_a_cell(files, rng):
    table = _some(files, STATIC + DYNAMIC, rng)
    row = table[rng.integers(len(table))]
    cells = ["", "nan", "NA", "inf", "-", "5..1", "1e999", "99", "-3", "٣", "#DIV/0!"]
    row[rng.integers(len(row))] = cells[rng.integers(len(cells))]


def change_a_number(files, rng):
    table = _some(files, STATIC, rng)
    row = table[rng.integers(len(table))]
    row[1 % len(row)] = f"{rng.integers(10, 91) / 10:g}"


def give_rows_to_other_songs(files, rng):
    """The numbers of a fifth of a part's songs or more change places."""
    names = STATIC if rng.random() < 0.7 else DYNAMIC
    names = names if rng.random() < 0.3 else names[:1] if rng.random() < 0.5 else names[1:]
    for part in {0, 1, 2} if rng.random() < 0.3 else {int(rng.integers(3))}:
        seed, share = rng.integers(1 << 30), rng.uniform(0.2, 1)
        for name in names:
            rows = [row for row in files.get(name, [])[1:] if row and _part(row[0]) == part]
            own = np.random.default_rng(seed)  # both dynamic files alike
            chosen = own.permutation(len(rows))[: max(4, int(share * len(rows)))]
            if len(chosen) > 3:
                cells = [rows[i][1:] for i in np.roll(chosen, own.integers(1, len(chosen)))]
                for i, own_cells in zip(chosen, cells, strict=True):
                    rows[i][1:] = own_cells


def shift_ids(files, rng):
    """Ids slip by a row."""
    _shift_ids(files, [*files][:1])


def shift_ids_in_all_files(files, rng):
    _shift_ids(files, [*files])


def _shift_ids(files: Files, names: list[str]) -> None:
    for name in names:
        ids = [row[:1] for row in files[name][1:]]
        for row, one in zip(files[name][1:], [*ids[1:], *ids[:1]], strict=True):
            row[:1] = one


def exchange_some(files, rng):
    """Valence and arousal of some songs change places, as where somebody mended a copy: all, half, the most unlike."""
    share, least = [(1.0, 0), (1.0, 0), (0.5, 0), (0.5, 1.5)][rng.integers(4)]
    parts = [{0}, {1}, {2}, {0, 1}, {1, 2}, {0, 1, 2}][rng.integers(6)]
    for name in STATIC:
        columns = [[cell.strip() for cell in row] for row in files.get(name, [])[:1]]
        wanted = ["valence_mean", "arousal_mean", "valence_std", "arousal_std"]
        if not columns or not set(wanted) <= set(columns[0]):
            continue
        v, a, v_std, a_std = (columns[0].index(one) for one in wanted)
        for row in files[name][1:]:
            if len(row) != len(columns[0]) or _part(row[0]) not in parts or rng.random() >= share:
                continue
            if _distance(row[v], row[a]) >= least:
                row[v], row[a], row[v_std], row[a_std] = row[a], row[v], row[a_std], row[v_std]


def exchange_dynamic_files(files, rng):
    if set(DYNAMIC) <= files.keys():
        files[VALENCE], files[AROUSAL] = files[AROUSAL], files[VALENCE]


def exchange_everything(files, rng):
    exchange_dynamic_files(files, rng)
    for name in STATIC:
        if name in files:
            files[name][0] = [_other_target(column) for column in files[name][0]]


def one_dynamic_file_twice(files, rng):
    if set(DYNAMIC) <= files.keys():
        files[VALENCE] = [list(row) for row in files[AROUSAL]]


def wrong_scale(files, rng):
    """A file of the scale -1 to 1 on another, or turned round."""
    table = _some(files, STATIC + DYNAMIC, rng)
    factor = [10, 0.5, -1][rng.integers(3)]
    for row in table[1:]:
        row[1:] = [_scaled(cell, factor) for cell in row[1:]]


def _scaled(cell: str, factor: float) -> str:
    try:
        return f"{float(cell) * factor:g}"
    except ValueError:
        return cell


def _distance(one: str, other: str) -> float:
    try:
        return abs(float(one) - float(other))
    except ValueError:
        return 0.0


def _part(cell: str) -> int:
    try:
        song = int(cell)
    except ValueError:
        return -1
    return 0 if song <= 1000 else 1 if song <= 2000 else 2


# --- damage to bytes --------------------------------------------------------------------------------------------


def cut_bytes(raw, rng):
    return raw[: rng.integers(len(raw) + 1)]


def cut_last_line(raw, rng):
    start = raw.rstrip().rfind(b"\n")
    return raw[: rng.integers(start + 1, len(raw) + 1)] if start >= 0 else raw


def cut_in_the_middle(raw, rng):
    """Of static files; a curve that goes on as another one is nobody's to find."""
    if b"valence_mean" not in raw:
        return raw
    one, other = sorted(rng.integers(len(raw) + 1, size=2))
    return raw[:one] + raw[other:]


def byte_order_mark(raw, rng):
    return b"\xef\xbb\xbf" + raw


def utf16(raw, rng):
    return raw.decode("latin-1").encode("utf-16")


def latin1(raw, rng):
    return raw.replace(b"song_id", "söng_id".encode("latin-1"), 1) if rng.random() < 0.5 else raw + b"\xfc\n"


def windows_lines(raw, rng):
    return raw.replace(b"\n", b"\r\n")


def old_mac_lines(raw, rng):
    return raw.replace(b"\n", b"\r")


def decimal_commas(raw, rng):
    return raw.replace(b".", b",")


def quoted_decimal_commas(raw, rng):
    return b"\n".join(
        b",".join(b'"' + cell.strip().replace(b".", b",") + b'"' if b"." in cell else cell for cell in line.split(b","))
        for line in raw.split(b"\n")
    )


def semicolons(raw, rng):
    return raw.replace(b",", b";")


def semicolons_and_decimal_commas(raw, rng):
    return raw.replace(b",", b";").replace(b".", b",")


def tabs(raw, rng):
    return raw.replace(b",", b"\t")


def quotes(raw, rng):
    rows = [line.split(b",") for line in raw.split(b"\n")]
    return b"\n".join(b",".join(b'"' + cell + b'"' if cell else b"" for cell in row) for row in rows)


def a_lost_quote(raw, rng):
    at = rng.integers(len(raw) + 1)
    return raw[:at] + b'"' + raw[at:]


def no_last_line_break(raw, rng):
    return raw.rstrip(b"\r\n")


def blank_lines(raw, rng):
    return raw.replace(b"\n", b"\n\n")


def a_null_byte(raw, rng):
    at = rng.integers(len(raw) + 1)
    return raw[:at] + b"\0" + raw[at:]


def empty(raw, rng):
    return b""


TABLE_DAMAGE: tuple[Callable, ...] = (
    drop_last_rows, drop_rows, drop_file, repeat_row, repeat_row_with_another_id, reorder_rows, reorder_columns,
    reorder_header, exchange_names_in_header, exchange_mean_names_in_header, exchange_std_names_in_header, drop_column,
    shift_a_row, shift_all_rows, change_a_number, insert_a_cell, spoil_a_cell, give_rows_to_other_songs, shift_ids,
    shift_ids_in_all_files, exchange_some, exchange_dynamic_files, exchange_everything, one_dynamic_file_twice,
    wrong_scale,
)  # fmt: skip
BYTE_DAMAGE: tuple[Callable, ...] = (
    cut_bytes, cut_last_line, cut_in_the_middle, byte_order_mark, utf16, latin1, windows_lines, old_mac_lines,
    decimal_commas, quoted_decimal_commas, semicolons, semicolons_and_decimal_commas, tabs, quotes, a_lost_quote,
    no_last_line_break, blank_lines, a_null_byte, empty,
)  # fmt: skip


#: Damage that no other number contradicts, or that shows in the whole of DEAM alone; it is found where the distributed
#: numbers are known.
ONLY_NUMBERS_TELL = {
    exchange_std_names_in_header, repeat_row_with_another_id, cut_in_the_middle, change_a_number, exchange_everything,
    shift_ids_in_all_files,
}  # fmt: skip
EXCHANGE_STATIC = {exchange_some, exchange_names_in_header, exchange_mean_names_in_header}


def told_by_numbers_alone(ways: list[Callable]) -> bool:
    """Whether a copy damaged in these ways may contradict nothing but the distributed numbers."""
    everything = exchange_dynamic_files in ways and bool(EXCHANGE_STATIC & {*ways})
    return everything or bool(ONLY_NUMBERS_TELL & {*ways})


def damaged(files: Files, ways: list[Callable], seed: int) -> Contents:
    """The files' bytes after the damage, tables first."""
    rng = np.random.default_rng(seed)
    files = {name: [list(row) for row in table] for name, table in files.items()}
    for way in ways:
        if way in TABLE_DAMAGE:
            way(files, rng)
    contents = {name: "".join(",".join(row) + "\n" for row in table).encode() for name, table in files.items()}
    for way in ways:
        if way in BYTE_DAMAGE and contents:
            chosen = [*contents] if rng.random() < 0.3 else [[*contents][rng.integers(len(contents))]]
            for name in chosen:
                contents[name] = way(contents[name], rng)
    return contents


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Base:
    files, truth = make_copy()
    rows = np.array([[song, *numbers] for song, numbers in truth.labels.items()])
    ids = rows[:, 0].astype(int)
    turned = np.where(ids[:, None] <= 1000, rows[:, [2, 1, 4, 3]], rows[:, 1:])  # as distributed
    checksums = known.make_checksums(ids, turned[:, :2], turned[:, 2:])
    return Base(tmp_path_factory.mktemp("fuzzed"), files, truth, checksums)


def write(root: Path, contents: Contents) -> Path:
    for name in (*STATIC, *DYNAMIC):
        if name in contents:
            (root / name).write_bytes(contents[name])
        else:
            (root / name).unlink(missing_ok=True)
    return root


def read(root: Path) -> DeamCopy | None:
    """As `load_deam` reads a copy; None where it was refused, in words."""
    try:
        return read_deam(root)
    except AffektError as error:
        assert len(str(error)) > 40
        return None


def labels_of(copy: DeamCopy | None) -> dict[int, tuple[float, ...]] | None:
    """Labels and standard deviations as `load_deam` gives them by default; None where it refuses."""
    try:
        songs = build_dataset(copy).songs if copy else None
    except AffektError as error:
        assert 'labels="raw"' in str(error)
        return None
    return songs and {int(song.id): (*song.targets, *(song.target_std or ())) for song in songs}


def curves_of(copy: DeamCopy | None) -> dict[int, Curve]:
    """Curves as `load_deam` gives them; none where it refuses."""
    try:
        songs = build_dynamic(copy).songs if copy else ()
    except AffektError:
        return {}
    return {int(song.id): song.curve for song in songs}


def audit_says(root: Path) -> bool:
    """Whether the audit calls a copy usable."""
    try:
        audit = audit_deam(root, audio=False)
    except AffektError:
        return False
    assert all(one.what and one.do for one in audit.findings)
    return audit.usable


def is_true(curve: Curve, expected: np.ndarray) -> bool:
    """Whether the curve is the true one, for as long as it goes."""
    at = ((curve.times_s - 15) / 0.5).round().astype(int)
    return at.max() < len(expected) and np.array_equal(expected[at], curve.values)


@pytest.mark.parametrize("known_numbers", [True, False])
def test_a_sound_copy_is_loaded(base, monkeypatch, known_numbers):
    monkeypatch.setattr(known, "CHECKSUMS", base.checksums if known_numbers else b"")
    copy = read(write(base.root, damaged(base.files, [], 0)))
    assert labels_of(copy) == base.truth.labels
    assert curves_of(copy).keys() == base.truth.curves.keys()


HARMLESS = (reorder_rows, reorder_columns, byte_order_mark, windows_lines, old_mac_lines, quotes, blank_lines)
#: What these make of a copy is refused, whichever way the labels are judged.
FATAL = (
    repeat_row, shift_all_rows, shift_ids, shift_ids_in_all_files, exchange_everything, exchange_names_in_header,
    utf16, decimal_commas, quoted_decimal_commas, semicolons, semicolons_and_decimal_commas, tabs, latin1, empty,
)  # fmt: skip


@pytest.mark.parametrize("way", HARMLESS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("known_numbers", [True, False])
def test_what_changes_no_number_does_no_harm(base, monkeypatch, way, known_numbers):
    monkeypatch.setattr(known, "CHECKSUMS", base.checksums if known_numbers else b"")
    for seed in range(3):
        copy = read(write(base.root, damaged(base.files, [way], seed)))
        assert labels_of(copy) == base.truth.labels


@pytest.mark.parametrize("way", FATAL, ids=lambda way: way.__name__)
def test_what_spoils_the_whole_is_refused(base, monkeypatch, way):
    for seed in range(3):
        for checksums in (base.checksums, *([] if told_by_numbers_alone([way]) else [b""])):
            monkeypatch.setattr(known, "CHECKSUMS", checksums)
            assert labels_of(read(write(base.root, damaged(base.files, [way], seed)))) is None


#: Always the same, or with HYPOTHESIS_PROFILE=wild new ones, and many.
N_EXAMPLES = 250 if settings.default.derandomize else 2000


@settings(max_examples=N_EXAMPLES)
@given(
    ways=st.lists(st.sampled_from(TABLE_DAMAGE + BYTE_DAMAGE), min_size=1, max_size=3),
    seed=st.integers(0, 10_000),
    known_numbers=st.booleans(),
)
def test_never_a_wrong_label_silently(base, ways, seed, known_numbers):
    assume(known_numbers or not told_by_numbers_alone(ways))
    write(base.root, damaged(base.files, ways, seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known, "CHECKSUMS", base.checksums if known_numbers else b"")
        copy = read(base.root)
        labels, curves = labels_of(copy), curves_of(copy)
        usable = audit_says(base.root) if seed % 5 == 0 else None
    event("refused" if labels is None else "loaded")
    assert usable in (None, labels is not None)
    n = 4 if known_numbers else 2
    assert labels is None or labels
    assert not [song for song, one in (labels or {}).items() if one[:n] != base.truth.labels.get(song, ())[:n]]
    assert not [song for song, curve in curves.items() if not is_true(curve, base.truth.curves[song])]
