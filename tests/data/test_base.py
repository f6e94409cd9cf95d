from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affekt.data.base import Dataset, Song, named
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
        replace(dataset(ONE, TWO), name="other"),
        dataset(ONE, TWO, target_names=("arousal", "valence")),
    ],
)
def test_the_fingerprint_changes_with_what_determines_a_score(changed):
    assert changed.fingerprint() != dataset(ONE, TWO).fingerprint()


def test_the_fingerprint_does_not_change_with_where_the_audio_lies():
    moved = dataset(replace(ONE, audio_path=Path("elsewhere/1.mp3"), title="A"), TWO, notes=("moved",))
    assert moved.fingerprint() == dataset(ONE, TWO).fingerprint()


@given(st.lists(st.text(min_size=1), max_size=12), st.integers(1, 8))
def test_named_lists_a_few_and_counts_the_rest(items, at_most):
    text = named(items, at_most)
    assert text.startswith(", ".join(items[:at_most]))
    assert text.endswith(f"and {len(items) - at_most} more") == (len(items) > at_most) or not items
