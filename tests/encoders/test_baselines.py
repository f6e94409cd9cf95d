"""The reference points: nothing, hand-made features, embeddings from files, and what can be wrong with such files."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affekt.audio import descriptors
from affekt.data.base import Song
from affekt.encoders import build_encoder
from affekt.encoders.base import LookupEncoder
from affekt.encoders.baselines import HANDCRAFTED_RATE_HZ, read_embeddings
from affekt.errors import EncoderError


def song(song_id: str) -> Song:
    return Song(song_id, None, (5.0, 5.0))


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def precomputed(path: Path) -> LookupEncoder:
    encoder = build_encoder(f"precomputed:{path}")
    assert isinstance(encoder, LookupEncoder)
    return encoder


# --- mean and handcrafted --------------------------------------------------------------------------------------------


def test_mean_has_no_dimensions() -> None:
    encoder = build_encoder("mean")
    assert isinstance(encoder, LookupEncoder)
    assert encoder.spec.input == "nothing"
    assert encoder.lookup(song("1")).shape == (1, 0)
    assert encoder.missing([song("1")]) == {}


def test_handcrafted_is_the_descriptors() -> None:
    encoder = build_encoder("handcrafted")
    clips = np.random.default_rng(0).uniform(-0.5, 0.5, (2, HANDCRAFTED_RATE_HZ)).astype(np.float32)
    found = encoder.activations(clips, encoder.cut("all"))
    np.testing.assert_array_equal(found, descriptors.handcrafted(clips, HANDCRAFTED_RATE_HZ))
    assert encoder.spec.embedding_dim == len(descriptors.descriptor_names()) == found.shape[1]
    assert encoder.settings()["descriptors"] == descriptors.DESCRIPTORS_VERSION


def test_handcrafted_key_follows_the_version_of_the_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    before = build_encoder("handcrafted").settings()
    monkeypatch.setattr(descriptors, "DESCRIPTORS_VERSION", descriptors.DESCRIPTORS_VERSION + 1)
    assert build_encoder("handcrafted").settings() != before


# --- one table -------------------------------------------------------------------------------------------------------


def test_one_table(tmp_path: Path) -> None:
    encoder = precomputed(written(tmp_path / "e.csv", "id,a,b\n7,0.5,-1e-3\nsong x, 2 ,3\n"))
    assert encoder.spec.embedding_dim == 2
    np.testing.assert_array_equal(encoder.lookup(song("7")), np.float32([[0.5, -1e-3]]))
    np.testing.assert_array_equal(encoder.lookup(song("song x")), np.float32([[2, 3]]))
    assert encoder.missing([song("7"), song("8")]) == {"8": "no precomputed embedding"}


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffid,a,b\r\n1,2,3\r\n4,5,6\r\n",
        "id;a;b\n1;2;3\n4;5;6",
        "id,a,b\n\n1,2,3\n\n4,5,6\n\n\n",
        '"id","a","b"\n"1","2","3"\n"4","5","6"\n',
        "id , a , b\n 1 , 2 , 3 \n4,5,6.0",
        '"id, of the song",a,b\n1,2e0,3\n4,+5,6\n',
        "id,a,b\r1,2,3\r4,5,6\r",
    ],
    ids=["windows", "semicolon", "empty lines", "quoted", "spaces", "comma in a name", "old mac"],
)
@pytest.mark.parametrize("folder", [False, True])
def test_forms_of_a_table(tmp_path: Path, text: str, folder: bool) -> None:
    path = written(tmp_path / "e.csv", text)
    (tmp_path / "._e.csv").write_bytes(b"\x00\x05\x16\x07\xff")  # what macOS leaves beside a file
    found = read_embeddings(tmp_path if folder else path)
    assert {key: value.tolist() for key, value in found.items()} == {"1": [2.0, 3.0], "4": [5.0, 6.0]}
    assert all(value.dtype == np.float32 for value in found.values())


def test_settings_follow_the_numbers(tmp_path: Path) -> None:
    keys = []
    for name, text in [("a", "id,x\n1,2\n"), ("b", "id,x\n1,2.5\n"), ("c", "id,x\n2,2\n"), ("d", "id,other\n1,2.0\n")]:
        (tmp_path / name).mkdir()
        keys.append(precomputed(written(tmp_path / name / "e.csv", text)).settings()["table"])
    assert len(set(keys[:3])) == 3
    assert keys[3] == keys[0]


def test_home_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    written(tmp_path / "e.csv", "id,x\n1,2\n")
    assert build_encoder("precomputed:~/e.csv").spec.embedding_dim == 1


# --- one table a song ------------------------------------------------------------------------------------------------


def test_frames_in_the_layout_of_deam(tmp_path: Path) -> None:
    written(tmp_path / "2.csv", "frameTime;F0_mean;loudness\n0.0;1;10\n0.5;3;20\n1.0;5;60\n")
    written(tmp_path / "10.csv", "frameTime;F0_mean;loudness\r\n0.0;-1;0\r\n")
    encoder = precomputed(tmp_path)
    assert encoder.spec.embedding_dim == 2
    np.testing.assert_array_equal(encoder.lookup(song("2")), np.float32([[3, 30]]))
    np.testing.assert_array_equal(encoder.lookup(song("10")), np.float32([[-1, 0]]))


def test_frames_without_times(tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(tmp_path / f"{name}.csv", "x,y\n1,2\n3,4\n")
    assert {key: value.tolist() for key, value in read_embeddings(tmp_path).items()} == {"a": [2, 3], "b": [2, 3]}


@pytest.mark.parametrize("place", [".", "7.csv"])
def test_frames_of_a_single_song(tmp_path: Path, place: str) -> None:
    """A folder with one song's frames is not mistaken for a table whose song ids are times."""
    written(tmp_path / "7.csv", "frameTime;x\n0.0;1\n0.5;2\n")
    assert {key: value.tolist() for key, value in read_embeddings(tmp_path / place).items()} == {"7": [1.5]}


def test_a_mean_over_frames_does_not_overflow(tmp_path: Path) -> None:
    written(tmp_path / "7.csv", "frameTime;x\n0.0;3e38\n0.5;3e38\n")
    assert read_embeddings(tmp_path)["7"].tolist() == [np.float32(3e38)]


@pytest.mark.parametrize("header", ["frameTime,x", "frameTime,x,z", "frameTime,y,x"])
def test_files_with_other_columns(tmp_path: Path, header: str) -> None:
    written(tmp_path / "1.csv", "frameTime,x,y\n0,1,2\n")
    written(tmp_path / "2.csv", f"{header}\n0,1{',2' * (header.count(',') - 1)}\n")
    with pytest.raises(EncoderError, match=r"2\.csv: other columns than in 1\.csv"):
        read_embeddings(tmp_path)


# --- mistakes --------------------------------------------------------------------------------------------------------


def complaint(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(EncoderError) as caught:
        read_embeddings(written(tmp_path / "e.csv", text))
    return str(caught.value).splitlines()


def test_all_mistakes_with_row_and_column(tmp_path: Path) -> None:
    text = "id,a,b\n1,2,3\n2,high,4\n\n3,nan,-inf\n4,5\n5,6,7,8\n1,1e99,0\n,1,\n"
    heading, *lines = complaint(tmp_path, text)
    assert heading.startswith("9 problems in ") and heading.endswith("e.csv")
    assert lines == [
        '  row 8: the song id "1" stands in row 2 already',
        "  row 9: no song id",
        '  row 3, "a": "high" is not a number',
        '  row 5, "a": "nan" is not a number',
        '  row 5, "b": "-inf" is not a number',
        "  row 6: 2 columns, the header has 3",
        "  row 7: 4 columns, the header has 3",
        '  row 8, "a": "1e99" is not a number',
        '  row 9, "b": "" is not a number',
    ]


def test_many_mistakes_are_cut_short(tmp_path: Path) -> None:
    lines = complaint(tmp_path, "id,a\n" + "".join(f"{i},word\n" for i in range(100)))
    assert len(lines) == 22
    assert lines[-1] == "  ... and 80 more"


def test_repeated_ids_alone(tmp_path: Path) -> None:
    heading, line = complaint(tmp_path, "id,a\n1,2\n2,2\n1 ,3\n")
    assert heading.startswith("1 problem in ")
    assert line == '  row 4: the song id "1" stands in row 2 already'


def test_mistakes_in_frames(tmp_path: Path) -> None:
    written(tmp_path / "1.csv", "frameTime;x;y\n0;1;2\n")
    written(tmp_path / "2.csv", "frameTime;x;y\n0;1;2\n0.5;;2\n1;1;2;3\n")
    with pytest.raises(EncoderError) as caught:
        read_embeddings(tmp_path)
    assert str(caught.value).splitlines()[1:] == [
        '  row 3, "x": "" is not a number',
        "  row 4: 4 columns, the header has 3",
    ]


@pytest.mark.parametrize("text", ["", "\n\n", "id,a,b\n", "id\n1\n2\n", "id,a"])
def test_too_little(tmp_path: Path, text: str) -> None:
    (line,) = complaint(tmp_path, text)
    assert line.endswith("expected a header and at least one row, with at least two columns.")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00i\x00d", b"id,a\n\x80,1\n", b"id,a\n1," + b"9" * 200_000])
def test_unreadable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "e.csv").write_bytes(content)
    with pytest.raises(EncoderError, match="cannot be read as CSV"):
        read_embeddings(tmp_path / "e.csv")


@pytest.mark.parametrize("name", ["nothing.csv", "empty", "e.csv"])
def test_nothing_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("id,a\n1,2\n")
    (tmp_path / "e.csv").mkdir()
    with pytest.raises(EncoderError, match=r"no such CSV file, and not a folder with CSV files\. Give a CSV"):
        build_encoder(f"precomputed:{tmp_path / name}")


CELLS = st.one_of(
    st.floats(width=32).map(str),
    st.integers().map(str),
    st.sampled_from(
        ["", " ", "nan", "1_0", "1e400", "0x1", '"', "'", "1,5", "٣", "½", "\x00", "\u2028", "1\r", "1\x0c2"]
    ),
    st.text(max_size=4),
)
TABLES = st.lists(st.lists(CELLS, max_size=4), max_size=5)


def as_text(rows: list[list[str]], delimiter: str, end: str, quoted: bool) -> str:
    if not quoted:
        return end.join(delimiter.join(row) for row in rows)
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows(rows)
    return text.getvalue()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=TABLES, delimiter=st.sampled_from([",", ";"]), end=st.sampled_from(["\n", "\r\n"]), quoted=st.booleans())
def test_wild_tables(tmp_path: Path, rows: list[list[str]], delimiter: str, end: str, quoted: bool) -> None:
    """Finite vectors of one width, each number one that stands in the text; or an error of ours; nothing else."""
    text = as_text(rows, delimiter, end, quoted)
    path = tmp_path / "e.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    # A single column of numbers such as "1,5" cannot be told from two columns that a comma separates.
    certain = quoted and all(len(row) > 1 for row in rows)
    check(path, {as_number(cell) for row in rows for cell in row} if certain else None)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=60), st.text(alphabet='id,;1.5e-\n\r" ', max_size=60).map(str.encode)))
def test_wild_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "e.csv").write_bytes(content)
    check(tmp_path / "e.csv", None)


def check(path: Path, possible: set[float] | None) -> None:
    try:
        found = read_embeddings(path)
    except EncoderError as error:
        assert not str(error).startswith("0 problems")
        return
    assert len({len(vector) for vector in found.values()}) == 1
    for vector in found.values():
        assert vector.dtype == np.float32 and vector.ndim == 1 and len(vector) > 0
        assert all(math.isfinite(value) for value in vector)
        assert possible is None or set(vector.tolist()) <= possible


def as_number(cell: str) -> float:
    """The float32 that a cell stands for; NaN for none."""
    try:
        with np.errstate(over="ignore"):
            return float(np.float32(float(cell)))
    except (ValueError, OverflowError):
        return math.nan


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1, max_size=6)
        .map(str.strip)
        .filter(bool),
        st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=3, max_size=3),
        min_size=1,
        max_size=6,
    )
)
def test_what_was_written_is_read(tmp_path: Path, table: dict[str, list[float]]) -> None:
    with (tmp_path / "e.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "a", "b", "c"], *([key, *row] for key, row in table.items())])
    found = read_embeddings(tmp_path / "e.csv")
    assert {key: vector.tolist() for key, vector in found.items()} == table
