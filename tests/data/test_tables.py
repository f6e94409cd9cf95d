from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affekt.data.tables import Mistakes, parse_number, read_table
from affekt.errors import DataError


@pytest.mark.parametrize(
    ("cell", "value"), [("5", 5.0), (" 3.1 ", 3.1), ("-.5", -0.5), ("2.", 2.0), ("1e1", 10.0), ("+7", 7.0)]
)
def test_numbers(cell, value):
    assert parse_number(cell) == value


@pytest.mark.parametrize("cell", ["", "nan", "inf", "1_0", "٣", "5,5", "1e999", "0x1", "five", "1 2", "--1"])
def test_everything_else_is_none(cell):
    assert parse_number(cell) is None


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_python_writes_is_read_back(value):
    assert parse_number(repr(value)) == value


@given(st.text())
def test_a_number_is_made_of_ascii_digits(cell):
    value = parse_number(cell)
    assert value is None or (math.isfinite(value) and cell.strip().isascii())


def read(tmp_path, content, required=("a", "b"), **options):
    path = tmp_path / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    mistakes = Mistakes("here")
    return read_table(path, required, mistakes, **options), mistakes


def test_spaces_byte_order_mark_blank_lines_and_trailing_commas(tmp_path):
    table, mistakes = read(tmp_path, "\ufeff a , b,c\r\n 1 ,2, x \r\n\r\n , ,\r\n3,4,5,,\r\n")
    assert table.columns == ("a", "b", "c")
    assert [(row.line, row.cells) for row in table.rows] == [
        (2, {"a": "1", "b": "2", "c": "x"}),
        (5, {"a": "3", "b": "4", "c": "5"}),
    ]
    assert not mistakes.found


def test_lines_are_counted_as_an_editor_does(tmp_path):
    table, _ = read(tmp_path, 'a,b\n"two\nlines",1\n3,4\n')
    assert [row.line for row in table.rows] == [2, 4]


def test_names_with_spaces_inside(tmp_path):
    table, _ = read(tmp_path, "a , b_ max\n1,2\n", required=("b_max",), squeeze_names=True)
    assert table.rows[0].cells["b_max"] == "2"


def test_short_and_long_lines_are_mistakes(tmp_path):
    table, mistakes = read(tmp_path, "a,b\n1\n1,2,3\n1,2\n")
    assert [row.line for row in table.rows] == [4]
    assert mistakes.found == [
        "table.csv, line 2: 1 cells; allowed: 2, as in the header",
        "table.csv, line 3: 3 cells; allowed: 2, as in the header",
    ]


def test_ragged_lines_may_end_early(tmp_path):
    table, mistakes = read(tmp_path, "a,b,c\n1\n1,2,3,4\n", required=("a",), ragged=True)
    assert table.rows[0].cells == {"a": "1"}
    assert len(mistakes.found) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        (" , \n1,2\n", "empty"),
        ("a,a,b\n", "named twice: a"),
        ("a,c\n", 'no column b. Found: "a", "c"'),
        ('a,b\n1,"2"3\n', "not a CSV file"),
        ('a,b\n1,"2\n', "not a CSV file"),
        (b"a,b\n\xff,2\n", "not UTF-8"),
    ],
)
def test_a_file_that_is_no_table(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


def test_a_folder_in_place_of_the_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path, ("a",), Mistakes("here"))


def test_no_mistakes_raise_nothing():
    Mistakes("here").raise_any()
