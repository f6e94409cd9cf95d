import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affekt.audio.frames import FramePlan
from affekt.errors import AudioError, ConfigError, ShapeError

RATE_HZ = 100


def song(length_s, seed=0):
    return np.random.default_rng(seed).standard_normal(round(length_s * RATE_HZ)).astype(np.float32)


def windows(audio, times_s, window_s=2.0, causal=True):
    return FramePlan(window_s, causal).along(np.array(times_s)).cut(audio, RATE_HZ)


def test_a_causal_window_ends_at_its_moment():
    audio = song(10)
    found = windows(audio, [2.0, 4.5, 10.0])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [audio[0:200], audio[250:450], audio[800:1000]])


def test_a_centred_window_stays_within_the_song():
    audio = song(10)
    found = windows(audio, [0.5, 5.0, 9.9], causal=False)
    np.testing.assert_array_equal(found, [audio[0:200], audio[400:600], audio[800:1000]])


@given(
    st.lists(st.integers(50, 1000), min_size=1, max_size=6, unique=True),
    st.floats(0.5, 12),
    st.integers(0, 2**31),
)
def test_no_sample_behind_a_moment_is_ever_heard(moments, window_s, seed):
    times_s = np.sort(moments) / 100
    audio = song(10)
    for i, time_s in enumerate(times_s):
        changed = audio.copy()
        end = int(np.floor(time_s * RATE_HZ + 1e-6))
        changed[end:] = np.random.default_rng(seed).standard_normal(len(audio) - end)
        np.testing.assert_array_equal(
            windows(audio, times_s, window_s)[i], windows(changed, times_s, window_s)[i], strict=True
        )


def test_a_centred_window_does_hear_the_future():
    audio, changed = song(10), song(10)
    changed[500:] += 1
    assert (windows(audio, [5.0], causal=False) != windows(changed, [5.0], causal=False)).any()


def test_what_was_heard_so_far_is_repeated_with_the_newest_sample_last():
    audio = song(10)
    found = windows(audio, [0.75])[0]
    np.testing.assert_array_equal(found[-75:], audio[:75])
    np.testing.assert_array_equal(found[-150:-75], audio[:75])
    np.testing.assert_array_equal(found[:50], audio[25:75])


@given(st.integers(1000, 50_000), st.floats(0.5, 3), st.booleans())
def test_every_song_gives_windows_of_one_length(rate_hz, window_s, causal):
    audio = np.zeros(2 * rate_hz, np.float32)
    found = FramePlan(window_s, causal).along(np.array([0.5, 1.0, 2.0])).cut(audio, rate_hz)
    assert found.shape == (3, round(window_s * rate_hz))


def test_a_moment_just_behind_the_end_hears_the_end():
    audio = song(10)
    np.testing.assert_array_equal(windows(audio, [10.4])[0], audio[-200:])


@pytest.mark.parametrize(
    ("length_s", "times_s", "said"),
    [
        (10, [5.0, 10.6], "10.0 s long and annotated up to 10.6 s"),
        (10, [0.3, 5.0], "0.30 s of sound come before the first annotation"),
        (0.4, [0.5], "0.40 s of sound"),
        (10, [], "no annotation over time"),
    ],
)
def test_a_song_that_does_not_fit_its_annotation(length_s, times_s, said):
    with pytest.raises(AudioError, match=said):
        windows(song(length_s), times_s)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_windows_some_at_a_time_are_the_same(size):
    audio, times_s = song(10), np.arange(0.5, 10, 0.7)
    found = list(FramePlan(2.0).along(times_s).batches(audio, RATE_HZ, size))
    assert max(map(len, found)) <= size
    np.testing.assert_array_equal(np.concatenate(found), windows(audio, times_s))


def test_the_times_are_part_of_what_a_value_is_stored_under():
    plan = FramePlan()
    assert plan.along(np.array([1.0, 2.0])) == plan.along(np.array([1.0, 2.0]))
    assert plan.along(np.array([1.0, 2.0])) != plan.along(np.array([1.0, 2.5]))


@pytest.mark.parametrize("window_s", [0.0, 0.4, float("nan"), float("inf")])
def test_a_window_has_a_length(window_s):
    with pytest.raises(ConfigError, match="window_s"):
        FramePlan(window_s)


def test_stereo_is_refused():
    with pytest.raises(ShapeError, match="mono"):
        windows(np.zeros((100, 2), np.float32), [0.5])
