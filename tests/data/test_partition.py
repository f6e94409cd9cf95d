from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affekt.data.base import Dataset, Song
from affekt.data.partition import cut, group_labels, quadrant_labels
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
