"""A table of clips is the same from memory and from mapped files; statistics are those of the rows given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affekt.data.splits import Fold
from affekt.digest import digest
from affekt.features.store import Store
from affekt.training import table as module
from affekt.training.table import ClipTable, Standardiser, Task


@pytest.fixture
def arrays(tmp_path: Path) -> dict[str, np.ndarray]:
    """Mapped activations of seven songs with one to six clips each."""
    store, rng = Store(tmp_path), np.random.default_rng(0)
    for number, n_clips in enumerate([6, 1, 3, 6, 2, 1, 4]):
        value = rng.normal(size=(n_clips, 4, 3)).astype(np.float16)
        store.put(digest(number), value, {})
    return {f"song{number}": store.get(digest(number)) for number in range(7)}


@pytest.fixture(params=["in memory", "mapped"])
def table(request: pytest.FixtureRequest, arrays: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> ClipTable:
    if request.param == "mapped":
        monkeypatch.setattr(module, "IN_MEMORY_BYTES", 0)
    made = ClipTable(arrays)
    assert (made._memory is None) == (request.param == "mapped")
    return made


def test_rows_belong_to_their_songs(table: ClipTable, arrays: dict[str, np.ndarray]) -> None:
    songs = ["song4", "song0", "song2"]
    rows, song = table.rows(songs)
    assert song.tolist() == [0] * 2 + [1] * 6 + [2] * 3
    np.testing.assert_array_equal(table.gather(rows), np.concatenate([arrays[name] for name in songs]))


def test_rows_of_all_songs_are_all_rows(table: ClipTable, arrays: dict[str, np.ndarray]) -> None:
    rows, _ = table.rows(list(arrays))
    assert sorted(rows) == list(range(sum(len(array) for array in arrays.values())))


def test_gather_in_any_order_and_again(table: ClipTable, arrays: dict[str, np.ndarray]) -> None:
    whole = np.concatenate(list(arrays.values()))
    rows = np.random.default_rng(1).integers(len(whole), size=50)
    found = table.gather(rows)
    assert (found.dtype, found.shape) == (np.float16, (50, 4, 3))
    np.testing.assert_array_equal(found, whole[rows])


def test_means_over_clips_weigh_each_clip_alike(table: ClipTable, arrays: dict[str, np.ndarray]) -> None:
    songs = ["song3", "song1"]
    found = table.song_means(songs)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [arrays[name].astype(np.float64).mean(axis=0) for name in songs])


def test_memory_is_taken_up_to_the_limit(arrays: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    n_bytes = sum(array.nbytes for array in arrays.values())
    for limit, in_memory in ((n_bytes, True), (n_bytes - 1, False)):
        monkeypatch.setattr(module, "IN_MEMORY_BYTES", limit)
        assert (ClipTable(arrays)._memory is not None) is in_memory


def test_embeddings_without_a_dimension() -> None:
    table = ClipTable({"a": np.zeros((1, 0), np.float32), "b": np.zeros((1, 0), np.float32)})
    assert table.song_means(["b", "a"]).shape == (2, 0)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 4))
def test_standardiser_undoes_what_it_does(seed: int, n: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(rng.uniform(-9, 9), rng.uniform(0.1, 9), size=(n, width))
    scale = Standardiser.fit(x)
    np.testing.assert_allclose(scale.undo(scale.apply(x)), x, atol=1e-9)
    if n > 1:
        np.testing.assert_allclose(scale.apply(x).std(axis=0), 1)


def test_standardiser_leaves_a_constant_column_on_its_scale() -> None:
    scale = Standardiser.fit(np.array([[0.1, 1.0], [0.1, 3.0], [0.1, 5.0]]))
    np.testing.assert_allclose(scale.apply(np.array([[0.6, 3.0]])), [[0.5, 0.0]])


def test_standardiser_clips_on_both_sides() -> None:
    scale = Standardiser.fit(np.array([[-1.0], [1.0]]))
    assert scale.apply(np.array([[-99.0], [0.5], [99.0]]), clip=5.0).flatten().tolist() == [-5, 0.5, 5]
    assert scale.apply(np.array([[99.0]])).item() == 99


def test_a_task_hands_out_labels_in_the_order_asked_for() -> None:
    labels = {"a": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0])}
    task = Task(ClipTable({"a": np.zeros((1, 1))}), labels, Fold(("a",), (), ("b",)), 0)
    assert task.y(["b", "a"]).tolist() == [[3, 4], [1, 2]]


def over_time(table: ClipTable, arrays: dict[str, np.ndarray]) -> tuple[Task, dict[str, np.ndarray]]:
    labels = {
        song: np.arange(2.0 * len(array)).reshape(-1, 2) + 100 * i for i, (song, array) in enumerate(arrays.items())
    }
    return Task(table, labels, Fold(("song0",), ("song1",), ("song2",)), seed=0), labels


def test_over_time_each_row_has_its_own_annotation(table: ClipTable, arrays: dict[str, np.ndarray]) -> None:
    task, labels = over_time(table, arrays)
    songs = ["song4", "song0"]
    np.testing.assert_array_equal(task.y_of_rows(songs), np.concatenate([labels[s] for s in songs]))
    rows, song = task.x(songs)
    np.testing.assert_array_equal(rows, np.concatenate([arrays[s] for s in songs]).astype(float))
    assert song.tolist() == [0, 0, *[1] * 6]


def test_over_time_a_song_is_predicted_as_a_course(table: ClipTable, arrays: dict[str, np.ndarray]) -> None:
    task, labels = over_time(table, arrays)
    songs = ["song1", "song6", "song3"]
    found = task.by_song(songs, task.y_of_rows(songs))
    assert list(found) == songs
    for song in songs:
        np.testing.assert_array_equal(found[song], labels[song])


def test_one_annotation_a_song_is_shared_by_its_clips_and_predicted_as_their_mean(
    table: ClipTable, arrays: dict[str, np.ndarray]
) -> None:
    labels = {song: np.array([i, -i], dtype=float) for i, song in enumerate(arrays)}
    task = Task(table, labels, Fold(("song0",), ("song1",), ("song2",)), seed=0)
    songs = ["song2", "song4"]
    np.testing.assert_array_equal(task.y_of_rows(songs), [[2, -2]] * 3 + [[4, -4]] * 2)
    found = task.by_song(songs, np.array([[0.0], [3.0], [6.0], [1.0], [2.0]]))
    assert {song: value.tolist() for song, value in found.items()} == {"song2": [3.0], "song4": [1.5]}
