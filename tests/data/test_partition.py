from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affekt.data.base import Dataset, Song
from affekt.data.partition import NEAR, cut, draw_parts, group_labels, parts_for, quadrant_labels
from affekt.errors import ConfigError


def test_a_song_without_an_artist_is_a_group_of_its_own() -> None:
    songs = [Song("a", None, (1.0, 1.0)), Song("b", None, (1.0, 1.0)), Song("c", None, (1.0, 1.0), artist="song=a")]
    assert len(set(group_labels(Dataset("made", tuple(songs)), "artist"))) == 3
    assert len(set(group_labels(Dataset("made", tuple(songs)), None))) == 3


def test_any_column_may_be_the_group() -> None:
    songs = [Song(str(i), None, (1.0, 1.0), attributes=(("Label", "xyx"[i]),)) for i in range(3)]
    assert group_labels(Dataset("made", tuple(songs)), "label").tolist() == [0, 1, 0]


def test_a_quadrant_is_told_by_valence_and_arousal_alone() -> None:
    songs = [Song(str(i), None, y) for i, y in enumerate([(4.9, 5.0, 9.0), (5.0, 4.9, 1.0), (1.0, 1.0, 9.0)])]
    assert quadrant_labels(Dataset("made", tuple(songs), ("a", "b", "c"))).tolist() == [2, 1, 0]
    single = Dataset("made", tuple(Song(str(i), None, (y,)) for i, y in enumerate([1.0, 9.0])), ("a",))
    assert quadrant_labels(single).tolist() == [0, 1]


def test_valence_and_arousal_are_found_by_name() -> None:
    songs = tuple(Song(str(i), None, y) for i, y in enumerate([(9.0, 1.0, 1.0), (1.0, 9.0, 1.0), (1.0, 1.0, 9.0)]))
    assert quadrant_labels(Dataset("made", songs, ("tension", "valence", "arousal"))).tolist() == [0, 1, 2]
    assert quadrant_labels(Dataset("made", songs, ("tension", "arousal_mean", "valence_mean"))).tolist() == [0, 2, 1]
    assert quadrant_labels(Dataset("made", songs, ("tension", "valence", "energy"))).tolist() == [1, 2, 0]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 15)), min_size=2, max_size=60),
    st.integers(2, 6),
    st.integers(0, 2**31),
)
def test_parts_are_whole_groups_and_all_songs(songs: list[tuple[int, int]], n_parts: int, seed: int) -> None:
    strata, groups = (np.array(column) for column in zip(*songs, strict=True))
    n_groups = len(set(groups.tolist()))
    if n_groups < n_parts:
        with pytest.raises(ConfigError, match=f"made: {n_parts} parts asked for, but there are only {n_groups} groups"):
            cut(strata, groups, n_parts, np.random.default_rng(seed), "made")
        return
    parts = cut(strata, groups, n_parts, np.random.default_rng(seed), "made")
    assert len(parts) == n_parts and all(len(part) for part in parts)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(songs)))
    of = [set(groups[part].tolist()) for part in parts]
    assert sum(map(len, of)) == n_groups
    again = cut(strata, groups, n_parts, np.random.default_rng(seed), "made")
    assert [part.tolist() for part in parts] == [part.tolist() for part in again]


@pytest.mark.parametrize(
    ("share", "n_parts"), [(0.01, 100), (0.05, 20), (0.1, 10), (0.25, 4), (0.3, 10), (0.4, 5), (0.45, 20), (0.49, 2)]
)
def test_a_share_is_a_whole_number_of_parts(share: float, n_parts: int) -> None:
    assert parts_for(share) == n_parts


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=20), st.floats(0.01, 0.49), st.integers(0, 2**31))
def test_drawn_parts_are_near_the_wanted_size_where_any_part_is(sizes: list[int], share: float, seed: int) -> None:
    parts = [np.zeros(n, dtype=int) for n in sizes]
    wanted = share * sum(sizes)
    places = draw_parts(parts, wanted, np.random.default_rng(seed))
    assert places == draw_parts(parts, wanted, np.random.default_rng(seed))
    assert 0 < len(set(places)) == len(places) < len(sizes), "some part always stays out"
    total = sum(sizes[place] for place in places)
    if any(wanted / NEAR <= n <= wanted * NEAR for n in sizes):
        assert wanted / NEAR <= total <= wanted * NEAR
    assert wanted / NEAR <= total <= wanted * NEAR or abs(total - wanted) <= min(abs(n - wanted) for n in sizes)
    assert len(draw_parts(parts, wanted, np.random.default_rng(seed), at_most=1)) == 1


def test_parts_of_the_wanted_size_are_drawn_alike() -> None:
    parts = [np.zeros(n, dtype=int) for n in (12, 10, 10, 9, 9)]
    drawn = [draw_parts(parts, 10, np.random.default_rng(seed)) for seed in range(500)]
    counts = np.bincount(np.concatenate(drawn), minlength=5)
    assert all(len(places) == 1 for places in drawn) and counts.min() > 60 and counts.max() < 140


def test_a_giant_part_is_drawn_only_where_nothing_is_nearer() -> None:
    giant, small = np.zeros(60, dtype=int), np.zeros(4, dtype=int)
    for seed in range(20):
        places = draw_parts([giant, *[small] * 9], 10, np.random.default_rng(seed))
        assert 0 not in places and len(places) == 2
        assert draw_parts([giant, np.zeros(50, dtype=int)], 10, np.random.default_rng(seed)) == [1]
