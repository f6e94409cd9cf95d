"""What holds for every registered data set: a new one gets these tests through the registry, and a small copy here."""

from __future__ import annotations

import numpy as np
import pytest

from affekt.data import DATASETS, Dataset, load_dataset
from affekt.data.splits import draw_split, verify


def small_deam(root, copies):
    copy = copies.make_deam(root)
    copies.write_ratings(copy)
    copies.write_songs_info(
        root, {song: "development" if song % 5 else "evaluation" for song in copy.truth if song < 1000}
    )
    copies.write_audio(root, [2, 1001])
    return {"root": root}


def small_demo(root, copies):
    return {"root": root, "n_songs": 8}


def small_folder(root, copies):
    rows = [(f"audio/{i}.wav", 9 - i, 1 + i, "Anna", f"19{i % 3}0s", 1.5, 1.5, 9) for i in range(8)]
    rows.append(("missing.wav", 5, 5, "", "", "", "", ""))
    header = ("file_name", "arousal", "valence", "artist", "decade", "valence_std", "arousal_std", "n_raters")
    copies.write_folder(root, header, rows)
    return {"root": root}


SMALL_COPIES = {"deam": small_deam, "demo": small_demo, "folder": small_folder}


@pytest.fixture(scope="module", params=DATASETS.names())
def options(request, tmp_path_factory, copies):
    """The name of a data set, and the options that load a small copy of it."""
    assert request.param in SMALL_COPIES, f'write a maker of a small copy of "{request.param}" in {__file__}'
    return request.param, SMALL_COPIES[request.param](tmp_path_factory.mktemp(request.param), copies)


@pytest.fixture(scope="module")
def dataset(options) -> Dataset:
    name, arguments = options
    return load_dataset(name, **arguments)


def test_it_knows_its_name(dataset, options):
    assert dataset.name == options[0]


def test_ids_are_unique_and_not_empty(dataset):
    assert len(set(dataset.ids)) == len(dataset) > 0
    assert all(dataset.ids)


def test_targets_lie_within_the_scale(dataset):
    targets = dataset.targets()
    assert targets.shape == (len(dataset), len(dataset.target_names))
    assert (dataset.scale[0] <= targets).all() and (targets <= dataset.scale[1]).all()


def test_every_record_has_a_value_for_each_target(dataset):
    n = len(dataset.target_names)
    assert all(song.target_std is None or len(song.target_std) == n for song in dataset.songs)
    assert dataset.ceiling is None or len(dataset.ceiling) == n


def test_a_ceiling_says_where_it_comes_from(dataset):
    assert (dataset.ceiling is None) == (dataset.ceiling_method is None)
    assert dataset.ceiling_method in (None, "rater deviations", "split-half", "construction")
    assert dataset.ceiling_interval is None or len(dataset.ceiling_interval) == len(dataset.target_names)


def test_single_ratings_average_to_the_labels(dataset):
    for song in dataset.songs:
        if song.ratings is not None:
            assert len(song.ratings) == song.n_raters
            np.testing.assert_allclose(np.mean(song.ratings, axis=0), song.targets, atol=0.051)


def test_what_a_song_says_is_text(dataset):
    for song in dataset.songs:
        said = [song.artist, song.genre, song.part, song.title, *dict(song.attributes).values()]
        assert all(value is None or (isinstance(value, str) and value.strip()) for value in said)
        assert len(dict(song.attributes)) == len(song.attributes)


def test_every_column_that_songs_share_can_be_left_out(dataset):
    for column, counts in dataset.columns().items():
        if len(counts) > 1 and max(counts.values()) > 1:
            split = draw_split(dataset, "leave-one-out", 0, group=None, by=column)
            assert set(split.tested) == {song.id for song in dataset.songs if counts[song.value(column)] > 1}
            verify(split, dataset)


def test_valence_stands_before_arousal(dataset):
    assert dataset.target_names.index("valence") < dataset.target_names.index("arousal")


def test_one_target_is_the_column_of_both(dataset, options):
    name, arguments = options
    for column, target in enumerate(dataset.target_names):
        alone = load_dataset(name, **arguments, targets=[target])
        assert alone.target_names == (target,)
        assert alone.targets()[:, 0].tolist() == dataset.targets()[:, column].tolist()


def test_audio_is_there_or_none(dataset):
    assert all(song.audio_path is None or song.audio_path.is_file() for song in dataset.songs)
    assert dataset.with_audio


def test_loading_twice_gives_the_same(dataset, options):
    name, arguments = options
    again = load_dataset(name, **arguments)
    assert again == dataset
    assert again.fingerprint() == dataset.fingerprint()


def test_what_is_generated_says_so(dataset):
    assert not dataset.synthetic or "ynthetic" in dataset.notes[0]


def test_a_missing_folder_is_one_clear_error(options, tmp_path):
    from affekt.errors import DataError

    if options[0] == "demo":
        pytest.skip("the demo makes its folder")
    with pytest.raises(DataError, match="no such folder"):
        load_dataset(options[0], root=tmp_path / "nowhere")
