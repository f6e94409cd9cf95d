"""Clip plans: where clips lie, and that nothing but music is in them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affekt.audio.clips import MIN_SONG_S, ClipPlan
from affekt.errors import AudioError, ConfigError, ShapeError

plans = st.builds(ClipPlan, count=st.integers(1, 12), length_s=st.floats(0.05, 12))
durations_s = st.floats(MIN_SONG_S, 400)


def test_the_founding_plan() -> None:
    assert ClipPlan().starts(45.0) == pytest.approx([0, 8, 16, 24, 32, 40])


def test_one_clip_lies_in_the_centre() -> None:
    assert ClipPlan(count=1).starts(45.0) == pytest.approx([20])


@pytest.mark.parametrize(
    ("duration_s", "n_clips"), [(0.5, 1), (4.9, 1), (5, 1), (9.99, 1), (10, 2), (29.9, 5), (30, 6)]
)
def test_a_short_song_gives_fewer_clips(duration_s: float, n_clips: int) -> None:
    assert len(ClipPlan().starts(duration_s)) == n_clips


def test_clips_side_by_side_survive_rounding() -> None:
    assert len(ClipPlan(count=9, length_s=0.3).starts(0.9)) == 3  # 0.9 / 0.3 is 2.9999...


@given(plan=plans, duration_s=durations_s)
def test_starts_are_ordered_evenly_spaced_apart_and_within_the_song(plan: ClipPlan, duration_s: float) -> None:
    starts = plan.starts(duration_s)
    assert 1 <= len(starts) <= plan.count
    assert starts[0] >= 0
    assert starts[-1] + plan.length_s <= max(duration_s, plan.length_s) + 1e-6
    steps = np.diff(starts)
    assert (steps >= plan.length_s - 1e-6).all()
    assert np.allclose(steps, steps.mean() if len(steps) else 0)


@given(plan=plans, duration_s=durations_s)
def test_all_the_clips_that_fit_are_used_from_end_to_end(plan: ClipPlan, duration_s: float) -> None:
    starts = plan.starts(duration_s)
    assert len(starts) == plan.count or (len(starts) + 1) * plan.length_s > duration_s - 1e-6
    if len(starts) > 1:
        assert starts[0] == 0
        assert starts[-1] == pytest.approx(duration_s - plan.length_s)


@given(plan=plans, n_samples=st.integers(60, 5_000))
def test_clips_are_exact_excerpts_in_order_that_do_not_overlap(plan: ClipPlan, n_samples: int) -> None:
    rate_hz = 120  # low, to be fast
    song = np.arange(1, n_samples + 1, dtype=np.float32)  # never 0: padding would show
    clips = plan.cut(song, rate_hz)
    n_clip = max(1, round(plan.length_s * rate_hz))
    assert clips.dtype == np.float32
    assert clips.shape[1] == n_clip and 1 <= len(clips) <= plan.count
    assert (clips > 0).all()
    if n_samples >= n_clip:
        assert (np.diff(clips, axis=1) == 1).all()
        assert (np.diff(clips[:, 0]) >= n_clip).all()
    else:
        assert np.array_equal(clips, np.resize(song, (1, n_clip)))


@given(st.floats(max_value=MIN_SONG_S, exclude_max=True) | st.just(float("nan")))
def test_too_short_a_song_is_refused(duration_s: float) -> None:
    with pytest.raises(AudioError, match=r"at least 0\.5 s"):
        ClipPlan().starts(duration_s)


def test_too_short_audio_is_refused() -> None:
    with pytest.raises(AudioError, match=r"0\.40 s"):
        ClipPlan().cut(np.zeros(6_400, np.float32), 16_000)


def test_stereo_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(16000, 2\)"):
        ClipPlan().cut(np.zeros((16_000, 2), np.float32), 16_000)


@pytest.mark.parametrize("options", [{"count": 0}, {"length_s": 0.0}, {"length_s": float("nan")}, {"length_s": -1.0}])
def test_impossible_plans_are_refused(options: dict) -> None:
    with pytest.raises(ConfigError, match="must be"):
        ClipPlan(**options)


@given(plan=plans, n_samples=st.integers(60, 5_000), sizes=st.lists(st.integers(1, 2_000), min_size=1, max_size=8))
def test_a_song_in_pieces_gives_the_clips_of_the_whole(plan: ClipPlan, n_samples: int, sizes: list[int]) -> None:
    rate_hz = 120
    song = np.arange(1, n_samples + 1, dtype=np.float32)
    pieces = np.split(song, np.cumsum(sizes)[np.cumsum(sizes) < n_samples])
    found = plan.cut_stream(pieces, n_samples, rate_hz)
    if n_samples < max(1, round(plan.length_s * rate_hz)):
        assert found is None
    else:
        np.testing.assert_array_equal(found, plan.cut(song, rate_hz), strict=True)


@pytest.mark.parametrize("n_more", [-1, 1, 500])
def test_a_song_of_another_length_than_expected_has_to_be_cut_as_a_whole(n_more: int) -> None:
    song = np.ones(16_000, np.float32)
    assert ClipPlan(2, 1.0).cut_stream([song], len(song) + n_more, 4_000) is None
