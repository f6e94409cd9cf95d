import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affekt.data.curves import Curve, is_whole, read_curves
from affekt.data.tables import Mistakes
from affekt.errors import ConfigError, DataError

SCALE = (-1.0, 1.0)


def write(folder, name, text):
    path = folder / f"{name}.csv"
    path.write_text(text, encoding="utf-8")
    return path


def read(folder, valence, arousal, **options):
    mistakes = Mistakes("here")
    paths = write(folder, "valence", valence), write(folder, "arousal", arousal)
    curves = read_curves(paths, SCALE, mistakes, **options)
    mistakes.raise_any()
    return curves


HEAD = "song_id,sample_15000ms,sample_15500ms,sample_16000ms\n"


def test_a_line_becomes_a_curve_valence_first(tmp_path):
    curves = read(tmp_path, HEAD + "7,.1,.2,.3\n", HEAD + "7,-.1,-.2,-.3\n")
    np.testing.assert_array_equal(curves[7].times_s, [15.0, 15.5, 16.0])
    np.testing.assert_array_equal(curves[7].values, [[0.1, -0.1], [0.2, -0.2], [0.3, -0.3]])
    assert curves[7].mean == pytest.approx((0.2, -0.2))


def test_songs_and_moments_of_one_file_alone_are_left_out(tmp_path):
    curves = read(tmp_path, HEAD + "7,.1,.2,.3\n8,.1,.1,.1\n", HEAD + "7,-.1,-.2,\n9,0,0,0\n")
    assert list(curves) == [7]
    np.testing.assert_array_equal(curves[7].times_s, [15.0, 15.5])


def test_only_the_wanted_songs(tmp_path):
    text = HEAD + "7,.1,.2,.3\n8,.1,.1,.1\n"
    assert list(read(tmp_path, text, text, ids=[8, 5])) == [8]


def test_times_are_those_of_the_header(tmp_path):
    head = "song_id,sample_500ms,sample_2000ms\n"
    np.testing.assert_array_equal(read(tmp_path, head + "1,0,1\n", head + "1,0,1\n")[1].times_s, [0.5, 2.0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "7,.1,,.3\n", "sample_15500ms is empty in the middle"),
        (HEAD + "7,.1,nan,.3\n", 'sample_15500ms = "nan"'),
        (HEAD + "7,.1,1.2,.3\n", "a number from -1 to 1"),
        (HEAD + "7,.1,.2,.3\n7,.1,.2,.3\n", "song_id = 7 occurs twice"),
        (HEAD + "x,.1,.2,.3\n", 'song_id = "x"'),
        ("song_id,15000,15500\n7,.1,.2\n", 'columns "15000", "15500"'),
        ("song_id,sample_16000ms,sample_15000ms\n7,.1,.2\n", "ascending"),
        ("song_id\n7\n", "no column"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, said):
    with pytest.raises(DataError, match=r"valence.csv, line \d") as error:
        read(tmp_path, text, HEAD + "7,.1,.2,.3\n")
    assert said in str(error.value)


def test_thinned_keeps_every_nth_frame():
    curve = Curve(np.arange(15, 20, 0.5), np.arange(20.0).reshape(10, 2))
    thin = curve.thinned(1.5)
    np.testing.assert_array_equal(thin.times_s, [15, 16.5, 18, 19.5])
    np.testing.assert_array_equal(thin.values[:, 0], [0, 6, 12, 18])
    np.testing.assert_array_equal(curve.thinned(0.5).values, curve.values)


@pytest.mark.parametrize("hop_s", [0.3, 0.25, 0.75])
def test_a_hop_between_two_annotations_is_refused(hop_s):
    with pytest.raises(ConfigError, match=r"a multiple of 0\.5"):
        Curve(np.arange(15, 20, 0.5), np.zeros((10, 2))).thinned(hop_s)


@given(st.integers(1, 30), st.integers(1, 30))
def test_a_course_given_to_other_times_keeps_its_ends_and_range(n, m):
    curve = Curve(np.arange(n) + 1.0, np.random.default_rng(n).normal(size=(n, 2)))
    given = curve.given_to(np.arange(m) + 20.0)
    assert is_whole(given, 2)
    assert given.values.min() >= curve.values.min() and given.values.max() <= curve.values.max()
    np.testing.assert_array_equal(given.values[0], curve.values[0])


@pytest.mark.parametrize(
    ("times", "values"),
    [
        ([], np.zeros((0, 2))),
        ([1.0, 1.0], np.zeros((2, 2))),
        ([2.0, 1.0], np.zeros((2, 2))),
        ([-1.0, 1.0], np.zeros((2, 2))),
        ([0.0, 1.0], np.zeros((2, 1))),
        ([0.0, 1.0], np.array([[0.0, np.nan], [0.0, 0.0]])),
    ],
)
def test_what_is_no_whole_curve(times, values):
    assert not is_whole(Curve(np.array(times), values), 2)
