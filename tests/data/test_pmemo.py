"""PMEmo: labels by name, curves from one line for each song and moment, what may be missing."""

from __future__ import annotations

import pytest

from affekt.data.pmemo import load_pmemo
from affekt.errors import DataError


def labels(dataset) -> dict[int, tuple[float, ...]]:
    return {int(song.id): song.targets for song in dataset.songs}


def test_valence_first_though_the_files_have_arousal_first(tmp_path, copies):
    truth = copies.make_pmemo(tmp_path)
    dataset = load_pmemo(tmp_path)
    assert labels(dataset) == truth and dataset.scale == (0.0, 1.0)
    assert dataset.ceiling_method == "rater deviations"
    assert {song.artist for song in dataset.songs} == {"Band-2", "Band-5"}
    assert dataset.songs[0].title == "Song, no. 2"
    assert len(dataset.with_audio) == 3


def test_curves_in_any_order_of_lines(tmp_path, copies):
    copies.make_pmemo(tmp_path)
    before = load_pmemo(tmp_path, annotations="dynamic")
    path = tmp_path / "PMEmo2019/annotations/dynamic_annotations.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(rows)]))
    after = load_pmemo(tmp_path, annotations="dynamic")
    assert after.fingerprint() == before.fingerprint()
    assert after.songs[0].curve.times_s.tolist() == [15.5, 16.0, 16.5, 17.0, 17.5]


def test_a_moment_twice_and_a_broken_one(tmp_path, copies):
    copies.make_pmemo(tmp_path)
    path = tmp_path / "PMEmo2019/annotations/dynamic_annotations.csv"
    lines = path.read_text().splitlines()
    lines[3] = lines[2]
    lines[5] = lines[5].rsplit(",", 1)[0] + ",1.5"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError) as caught:
        load_pmemo(tmp_path)
    told = str(caught.value)
    assert "line 4: musicId = 2 has frameTime = 16 twice" in told
    assert 'line 6: Valence(mean) = "1.5"; allowed: a number from 0 to 1' in told


def test_exchanged_columns_are_refused(tmp_path, copies):
    copies.make_pmemo(tmp_path)
    copies.turn_columns(tmp_path / "PMEmo2019/annotations/dynamic_annotations.csv", "Arousal(mean)", "Valence(mean)")
    with pytest.raises(DataError, match="under each other's names"):
        load_pmemo(tmp_path)


def test_without_standard_deviations_there_is_no_ceiling(tmp_path, copies):
    copies.make_pmemo(tmp_path)
    (tmp_path / "PMEmo2019/annotations/static_annotations_std.csv").unlink()
    assert load_pmemo(tmp_path).ceiling is None


def test_names_with_a_dash_stay_whole(tmp_path, copies):
    copies.make_pmemo(tmp_path)
    path = tmp_path / "PMEmo2019/metadata.csv"
    path.write_text(path.read_text().replace("Band-2\t", "G-Eazy").replace("Band-5\t", "G-Unit"))
    assert {song.artist for song in load_pmemo(tmp_path).songs} == {"G-Eazy", "G-Unit"}
