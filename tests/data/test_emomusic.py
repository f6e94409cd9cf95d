"""emoMusic: labels by name, the check of their direction, what may be missing."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from affekt.data.deam import read_deam
from affekt.data.emomusic import load_emomusic
from affekt.data.splits import draw_split, verify
from affekt.errors import DataError


def labels(dataset) -> dict[int, tuple[float, ...]]:
    return {int(song.id): song.targets for song in dataset.songs}


def test_valence_first_though_the_file_has_arousal_first(tmp_path, copies):
    truth = copies.make_emomusic(tmp_path)
    dataset = load_emomusic(tmp_path)
    assert labels(dataset) == truth
    assert dataset.scale == (1.0, 9.0) and {song.n_raters for song in dataset.songs} == {10}
    assert dataset.ceiling_method == "rater deviations"
    assert dataset.songs[0].artist == "Artist 2" and dataset.songs[0].genre == "Blues"
    assert len(dataset.with_audio) == 3
    assert any("right way round: over 24 songs" in note for note in dataset.notes)
    assert any("21 of 24 songs have labels and no audio file" in note for note in dataset.notes)


def test_standard_deviations_stand_with_their_target(tmp_path, copies):
    copies.make_emomusic(tmp_path)
    with (tmp_path / "annotations/static_annotations.csv").open() as file:
        rows = {row["song_id"]: (float(row["std_valence"]), float(row["std_arousal"])) for row in csv.DictReader(file)}
    assert {song.id: song.target_std for song in load_emomusic(tmp_path).songs} == rows
    assert {song.id: song.target_std for song in load_emomusic(tmp_path, targets="arousal").songs} == {
        song: (arousal,) for song, (_, arousal) in rows.items()
    }


def test_the_official_split(tmp_path, copies):
    truth = copies.make_emomusic(tmp_path)
    dataset = load_emomusic(tmp_path)
    split = draw_split(dataset, "official-2013", 0)
    assert set(split.tested) == {str(song) for i, song in enumerate(truth) if i % 5 == 0}
    verify(split, dataset)


@pytest.mark.parametrize("annotations", ["static", "dynamic"])
def test_exchanged_columns_are_refused(annotations, tmp_path, copies):
    copies.make_emomusic(tmp_path)
    copies.turn_columns(tmp_path / "annotations/static_annotations.csv", "mean_arousal", "mean_valence")
    with pytest.raises(DataError, match=r"under each other's names .* get the annotations again"):
        load_emomusic(tmp_path, annotations=annotations)


def test_labels_of_other_songs_are_refused(tmp_path, copies):
    copies.make_emomusic(tmp_path)
    path = tmp_path / "annotations/static_annotations.csv"
    header, *rows = path.read_text().splitlines()
    ids, rest = zip(*(row.split(",", 1) for row in rows), strict=True)
    turned = np.random.default_rng(0).permutation(rest)
    path.write_text("\n".join([header, *(f"{i},{row}" for i, row in zip(ids, turned, strict=True))]))
    with pytest.raises(DataError, match="do not follow those over time"):
        load_emomusic(tmp_path)


def test_without_curves_the_check_is_said_to_be_missing(tmp_path, copies):
    truth = copies.make_emomusic(tmp_path)
    (tmp_path / "annotations/arousal_cont_average.csv").unlink()
    dataset = load_emomusic(tmp_path)
    assert labels(dataset) == truth
    assert any("was not checked" in note for note in dataset.notes)
    with pytest.raises(
        DataError,
        match=r"Put valence_cont_average\.csv and arousal_cont_average\.csv of emoMusic",
    ):
        load_emomusic(tmp_path, annotations="dynamic")


def test_whole_songs_beside_the_clips_are_not_taken_for_them(tmp_path, copies):
    copies.make_emomusic(tmp_path)
    (whole,) = copies.write_audio(tmp_path, [5], Path("songs"))
    whole.write_bytes(whole.read_bytes() * 2)
    by_id = {song.id: song.audio_path for song in load_emomusic(tmp_path).songs}
    assert by_id["5"] == tmp_path / "clips_45sec/clips_45seconds/5.mp3"


def test_a_copy_of_something_else(tmp_path, copies):
    with pytest.raises(DataError, match=r"static_annotations\.csv anywhere below it.*cvml\.unige\.ch"):
        load_emomusic(tmp_path)
    copies.make_pmemo(tmp_path)
    with pytest.raises(DataError, match="no column song_id, mean_valence"):
        load_emomusic(tmp_path)


@pytest.mark.skipif("AFFEKT_TEST_DATA" not in os.environ, reason="needs the real data")
def test_the_real_songs_in_this_layout(tmp_path, copies):
    """DEAM's 2013 part, written as emoMusic is: 744 songs, straight; as DEAM's file has them: refused."""
    copy = read_deam(Path(os.environ["AFFEKT_TEST_DATA"]) / "DEAM")
    early = copy.ids <= 1000
    rows = zip(copy.ids[early], copy.mean[early], copy.std[early], strict=True)
    header = "song_id,mean_arousal,std_arousal,mean_valence,std_valence"
    # What DEAM calls valence is arousal.
    lines = [f"{song},{mean[0]},{std[0]},{mean[1]},{std[1]}" for song, mean, std in rows]
    (tmp_path / "static_annotations.csv").write_text("\n".join([header, *lines]))
    for path, name in zip(copy.files.dynamic, ("valence", "arousal"), strict=True):
        (tmp_path / f"{name}_cont_average.csv").write_bytes(path.read_bytes())
    dataset = load_emomusic(tmp_path)
    assert len(dataset) == 744
    assert any("0.949 with dynamic valence" in note and "0.956 with dynamic arousal" in note for note in dataset.notes)
    copies.turn_columns(tmp_path / "static_annotations.csv", "mean_arousal", "mean_valence")
    with pytest.raises(DataError, match="under each other's names"):
        load_emomusic(tmp_path)
