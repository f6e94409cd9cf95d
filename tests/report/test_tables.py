import pytest

from affekt.report import tables


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.0, "0 s"),
        (0.00012, "0.12 ms"),
        (float("nan"), "–"),
        (0.01234, "0.0123 s"),
        (75, "75 s"),
        (600, "10.0 min"),
        (9000, "2.5 h"),
    ],
)
def test_durations_are_in_the_unit_a_reader_expects(seconds, text):
    assert tables.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        ("", "–"),
        ([], "–"),
        (True, "yes"),
        (2026, "2026"),
        (94_000_000, "94\u202f000\u202f000"),
        (3e-05, "3e-05"),
        ([1, 9], "1, 9"),
        ({"count": 6, "length_s": 5.0}, "count 6, length_s 5"),
    ],
)
def test_any_value_becomes_one_line(value, text):
    assert tables.plain(value) == text


def test_numbers_that_round_to_zero_have_no_sign():
    assert tables.decimals(-0.001) == "0.00"
    assert tables.decimals(float("inf")) == tables.decimals(None) == "–"
    assert tables.interval_text(0.5, float("nan"), float("nan")) == "0.50"


def test_nested_settings_become_dotted_rows():
    found = tables.properties({"versions": {"numpy": "2.4"}, "empty": {}, "seeds": [0, 1]})
    assert found["rows"] == [["versions.numpy", "2.4"], ["empty", ""], ["seeds", "0, 1"]]
