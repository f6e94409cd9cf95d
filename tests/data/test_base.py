from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affekt.data.base import Dataset, Song, named
from affekt.data.curves import Curve
from affekt.errors import DataError


def dataset(*songs, **more):
    return Dataset("test", songs, **more)


ONE = Song("1", Path("1.mp3"), (3.0, 4.0), artist="Anna")
TWO = Song("2", None, (5.0, 6.0))


def test_songs_with_and_without_audio():
    both = dataset(ONE, TWO)
    assert len(both) == 2 and both.ids == ["1", "2"]
    assert both.with_audio == (ONE,) and both.without_audio == (TWO,)


def test_targets_are_an_array_of_songs_by_targets():
    np.testing.assert_array_equal(dataset(ONE, TWO).targets(), [[3, 4], [5, 6]])
    assert dataset().targets().shape == (0, 2)
    assert dataset(replace(ONE, targets=(1.0,)), target_names=("tension",)).targets().shape == (1, 1)


def test_selection_keeps_the_data_set_s_order_and_passes_over_unknown_ids():
    assert dataset(ONE, TWO).select(["2", "1", "9"]).ids == ["1", "2"]
    assert dataset(ONE, TWO, notes=("n",)).select(["2"]).notes == ("n",)


def test_ids_are_unique():
    with pytest.raises(DataError, match="test: 1 song ids occur more than once: 1"):
        dataset(ONE, ONE)


def test_annotations_that_cannot_be_used_are_named():
    odd = [Song("1", None, (5.0, 5.0)), Song("2", None, (5.0,))]
    with pytest.raises(DataError, match="1 songs do not have one annotation for each of valence, arousal: 2"):
        Dataset("test", tuple(odd))
    for targets, std in (((np.nan, 5.0), None), ((np.inf, 5.0), None), ((5.0, 5.0), (np.nan, 1.0))):
        with pytest.raises(DataError, match="1 songs have an annotation or a standard deviation that is not a finite"):
            Dataset("test", (Song("1", None, (5.0, 5.0)), Song("2", None, targets, std)))


def test_records_are_frozen():
    with pytest.raises(FrozenInstanceError):
        ONE.id = "3"


@pytest.mark.parametrize(
    "changed",
    [
        dataset(TWO, ONE),
        dataset(replace(ONE, targets=(3.0, 4.1)), TWO),
        dataset(replace(ONE, artist=None), TWO),
        dataset(ONE),
        dataset(replace(ONE, part="2013"), TWO),
        dataset(replace(ONE, attributes=(("decade", "1990s"),)), TWO),
        replace(dataset(ONE, TWO), name="other"),
        dataset(ONE, TWO, target_names=("arousal", "valence")),
    ],
)
def test_the_fingerprint_changes_with_what_determines_a_score(changed):
    assert changed.fingerprint() != dataset(ONE, TWO).fingerprint()


def test_the_fingerprint_does_not_change_with_where_the_audio_lies():
    moved = dataset(replace(ONE, audio_path=Path("elsewhere/1.mp3"), title="A"), TWO, notes=("moved",))
    assert moved.fingerprint() == dataset(ONE, TWO).fingerprint()


class TestColumns:
    def test_a_song_says_what_its_columns_hold(self):
        song = replace(ONE, genre="Jazz", title="Blue", attributes=(("Decade", "1990s"), ("label", "Verve")))
        assert [song.value(name) for name in ("artist", "genre", "title", "part")] == ["Anna", "Jazz", "Blue", None]
        assert song.value("Decade") == song.value("decade") == song.value("DECADE") == "1990s"
        assert song.value("Artist") == "Anna"
        assert song.value("targets") is None and song.value("id") is None and song.value("") is None

    def test_two_columns_that_differ_in_case_are_told_apart(self):
        song = replace(ONE, attributes=(("Label", "Verve"), ("label", "jazz")))
        assert song.value("Label") == "Verve" and song.value("label") == "jazz"

    def test_a_data_set_counts_the_values_that_songs_can_share(self):
        songs = [
            replace(ONE, id=str(i), title="Blue", genre="Jazz" if i else None, attributes=(("decade", f"{i % 2}"),))
            for i in range(4)
        ]
        assert dataset(*songs).columns() == {"artist": {"Anna": 4}, "genre": {"Jazz": 3}, "decade": {"0": 2, "1": 2}}
        assert dataset(TWO).columns() == {}


class TestCeilingOfASelection:
    @pytest.fixture
    def rated(self):
        rng = np.random.default_rng(0)
        labels = np.concatenate([rng.normal(5, 2.0, size=40), rng.normal(5, 0.9, size=40)]).round(2)
        songs = [Song(str(i), None, (float(y),), (1.5,), 10) for i, y in enumerate(labels)]
        return Dataset("test", tuple(songs), ("valence",)).with_ceiling()

    def test_it_is_that_of_the_selected_songs(self, rated):
        assert rated.ceiling_method == "rater deviations"
        first, last = (rated.select(map(str, ids)) for ids in (range(40), range(40, 80)))
        assert first.ceiling[0] > rated.ceiling[0] > last.ceiling[0]
        assert last.ceiling == pytest.approx((1 - 0.25 / last.targets().var(ddof=1),))
        assert last.ceiling_interval[0][0] < last.ceiling[0] < last.ceiling_interval[0][1]

    def test_all_songs_keep_what_they_had(self, rated):
        known = replace(rated, ceiling=(0.5,), ceiling_method="construction", ceiling_interval=None)
        assert known.select(known.ids) == known

    def test_a_given_ceiling_stays_where_the_raters_are_unknown(self):
        given = dataset(ONE, TWO, ceiling=(0.5, 0.6))
        assert given.select(["1"]).ceiling == (0.5, 0.6)

    def test_no_ceiling_is_left_where_the_selected_songs_have_no_raters(self, rated):
        mixed = replace(rated, songs=(*rated.songs, *(Song(f"x{i}", None, (float(i),)) for i in range(3))))
        alone = mixed.select(["x0", "x1", "x2"])
        assert (alone.ceiling, alone.ceiling_method, alone.ceiling_interval) == (None, None, None)


@given(st.lists(st.text(min_size=1), max_size=12), st.integers(1, 8))
def test_named_lists_a_few_and_counts_the_rest(items, at_most):
    text = named(items, at_most)
    assert text.startswith(", ".join(items[:at_most]))
    assert text.endswith(f"and {len(items) - at_most} more") == (len(items) > at_most) or not items


# --- annotations over time ----------------------------------------------------------------------------------------


def moving(n_frames=6, n_songs=3, curves=True):
    times_s = np.arange(n_frames) * 0.5 + 15
    songs = []
    for i in range(n_songs):
        curve = Curve(times_s, np.arange(2.0 * n_frames).reshape(-1, 2) / 100 + i / 10)
        songs.append(Song(f"s{i}", None, curve.mean, curve=curve if curves else None))
    return songs


def test_a_data_set_is_annotated_over_time_or_it_is_not():
    assert Dataset("x", tuple(moving()), scale=(-1, 1)).dynamic
    assert not Dataset("x", tuple(moving(curves=False)), scale=(-1, 1)).dynamic
    with pytest.raises(DataError, match="over time are there for 2 of 3 songs"):
        Dataset("x", (*moving()[:2], moving(curves=False)[2]), scale=(-1, 1))


def test_a_broken_curve_is_named():
    songs = moving()
    songs[1] = replace(songs[1], curve=Curve(songs[1].curve.times_s[::-1], songs[1].curve.values))
    with pytest.raises(DataError, match=r"times that do not ascend: s1"):
        Dataset("x", tuple(songs), scale=(-1, 1))


def test_thinning_keeps_moments_and_takes_their_mean():
    thin = Dataset("x", tuple(moving()), scale=(-1, 1)).thinned(1.0)
    assert [len(song.curve) for song in thin.songs] == [3, 3, 3]
    np.testing.assert_allclose(thin.songs[0].targets, (0.04, 0.05))


def test_a_song_with_a_single_moment_is_left_out_and_noted():
    songs = moving()
    songs[1] = replace(songs[1], curve=Curve(songs[1].curve.times_s[:1], songs[1].curve.values[:1]))
    thin = Dataset("x", tuple(songs), scale=(-1, 1)).thinned(0.5)
    assert thin.ids == ["s0", "s2"]
    assert "1 songs with fewer than 2 moments are left out: s1." in thin.notes
    with pytest.raises(DataError, match="no song has 2 moments 3 s apart"):
        Dataset("x", tuple(moving()), scale=(-1, 1)).thinned(3.0)


def test_the_fingerprint_follows_the_course_and_not_its_mean_alone():
    songs = moving()
    turned = replace(songs[0], curve=Curve(songs[0].curve.times_s, songs[0].curve.values[::-1]))
    whole, other = Dataset("x", tuple(songs)), Dataset("x", (turned, *songs[1:]))
    assert whole.fingerprint() != other.fingerprint()
