"""Two data sets as one: who trains, who is tested, and what must not be known on both sides."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affekt.data.base import Dataset, Song
from affekt.data.curves import Curve
from affekt.data.deam import load_deam
from affekt.data.emomusic import load_emomusic
from affekt.data.joined import join, refuse_overlap
from affekt.data.splits import draw_split, verify
from affekt.errors import ConfigError, LeakageError


def song(name: str, value: float = 5.0, **more: Any) -> Song:
    return Song(name, None, (value, 10 - value), **more)


def training(n_songs: int = 40) -> Dataset:
    """Two songs an artist, on the scale 1 to 9."""
    rng = np.random.default_rng(0)
    songs = [song(f"{i}", round(rng.uniform(1, 9), 2), artist=f"Artist {i // 2}") for i in range(n_songs)]
    return Dataset("left", tuple(songs), notes=("a note",))


def other(artists: tuple[str | None, ...] = ("Somebody", None, "Somebody else"), **more: Any) -> Dataset:
    """Songs on the scale 0 to 1."""
    songs = [
        Song(f"{i}", None, (i / 4, 1 - i / 4), (0.1, 0.2), 10, artist=artist, **more)
        for i, artist in enumerate(artists)
    ]
    return Dataset("right", tuple(songs), scale=(0.0, 1.0))


class TestJoin:
    def test_all_of_one_train_all_of_the_other_are_tested(self) -> None:
        joined = join(training(), other())
        assert joined.name == "left -> right" and len(joined) == 43
        split = draw_split(joined, "cross-corpus", 0)
        assert split.tested == ("right-0", "right-1", "right-2") and len(split.folds) == 1 and split.fixed_test
        fold = split.folds[0]
        assert {*fold.train, *fold.validation} == {f"left-{i}" for i in range(40)}
        assert 3 <= len(fold.validation) <= 6
        assert split.name == "cross-corpus-artist-seed0"
        assert "cross-corpus, left -> right: trained on 40 songs, tested on 3 of another data set" in split.rule
        verify(split, joined)

    def test_the_seed_draws_validation_songs_by_artist_and_nothing_else(self) -> None:
        joined = join(training(), other())
        splits = [draw_split(joined, "cross-corpus", seed) for seed in range(4)]
        assert {split.tested for split in splits} == {splits[0].tested}
        drawn = {split.folds[0].validation for split in splits}
        assert len(drawn) > 1
        for validation in drawn:
            artists = [int(one.removeprefix("left-")) // 2 for one in validation]
            assert all(artists.count(artist) == 2 for artist in artists)

    def test_annotations_are_mapped_onto_the_scale_of_training(self) -> None:
        curve = Curve(np.array([15.0, 15.5]), np.array([[0.0, 1.0], [0.5, 0.25]]))
        left = Dataset(
            "left", tuple(song(f"{i}", curve=Curve(np.array([1.0]), np.full((1, 2), 5.0))) for i in range(9))
        )
        joined = join(left, other(curve=curve, ratings=((0.0, 1.0), (0.5, 0.5))))
        mapped = joined.songs[-1]
        assert joined.scale == (1.0, 9.0)
        assert mapped.targets == (5.0, 5.0) and mapped.target_std == (0.8, 1.6)
        assert mapped.ratings == ((1.0, 9.0), (5.0, 5.0))
        assert mapped.curve is not None and mapped.curve.values.tolist() == [[1.0, 9.0], [5.0, 3.0]]
        assert mapped.curve.times_s.tolist() == [15.0, 15.5]
        assert any("mapped linearly from their scale, 0 to 1, onto that of left, 1 to 9" in n for n in joined.notes)

    def test_artists_of_tested_songs_do_not_train(self) -> None:
        joined = join(training(), other(("the ARTIST-3", "Artist  7", None)))
        assert [i for i in range(40) if f"left-{i}" not in joined.ids] == [6, 7, 14, 15]
        assert any(
            "4 of 40 songs of left do not train, as their artist has songs in right: 6, 7" in n for n in joined.notes
        )

    def test_nobody_left_to_train_on(self) -> None:
        with pytest.raises(ConfigError, match="no song is left to train on"):
            join(training(4), other(("artist 0", "artist 1")))

    def test_the_notes_of_both_are_kept_and_named(self) -> None:
        notes = join(training(), other()).notes
        assert "left: a note" in notes
        assert any("0 of 40 songs of left do not train" in note for note in notes)

    def test_two_data_sets_of_one_name(self) -> None:
        left = training()
        joined = join(left, Dataset("left", (song("0"), song("1"))))
        assert joined.test_ids == {"left-tested-0", "left-tested-1"} and "left-trained-0" in joined.ids

    def test_other_targets_are_refused(self) -> None:
        right = Dataset("right", (Song("0", None, (1.0,)),), ("valence",))
        with pytest.raises(ConfigError, match="left has the targets valence, arousal, right has valence"):
            join(training(), right)

    def test_over_time_and_not_are_refused(self) -> None:
        curve = Curve(np.array([1.0]), np.array([[0.5, 0.5]]))
        with pytest.raises(ConfigError, match="Only right is annotated over time"):
            join(training(), other(curve=curve))

    def test_the_ceiling_is_that_of_the_tested_songs(self) -> None:
        joined = join(training(), other(tuple(f"x{i}" for i in range(5))))
        assert joined.ceiling is None
        chosen = joined.select(joined.test_ids)
        assert chosen.ceiling == pytest.approx(other(tuple(f"x{i}" for i in range(5))).with_ceiling().ceiling)

    @pytest.mark.parametrize("kind", ["kfold", "holdout", "seed"])
    def test_no_other_split(self, kind: Any) -> None:
        with pytest.raises(ConfigError, match='must be "cross-corpus"'):
            draw_split(join(training(), other()), kind, 0)

    def test_a_single_data_set_has_no_such_split(self) -> None:
        with pytest.raises(ConfigError, match="Name the second data set in test_dataset"):
            draw_split(training(), "cross-corpus", 0)


class TestOverlap:
    def test_emomusic_cannot_test_what_was_trained_on_deam(self, tmp_path, copies) -> None:
        copies.make_deam(tmp_path / "deam")
        copies.make_emomusic(tmp_path / "emomusic")
        deam, emomusic = load_deam(tmp_path / "deam"), load_emomusic(tmp_path / "emomusic")
        for one, other in ((deam, emomusic), (emomusic, deam)):
            with pytest.raises(LeakageError) as caught:
                join(one, other)
            told = str(caught.value)
            assert f"{other.name} must not test what was trained on {one.name}: 24 songs are in both" in told
            assert "2, 5, 8, 11, 14 and 19 more" in told
            assert "emoMusic is the 2013 part of DEAM" in told and "parts: [2014, 2015]" in told
        joined = join(deam.of_parts(["2014", "2015"]), emomusic)
        assert len(joined.test_ids) == 24 and any(
            "Only 2014, 2015 of the parts: 42 of 72 songs" in n for n in joined.notes
        )

    def test_one_data_set_by_its_parts(self, tmp_path, copies) -> None:
        copies.make_deam(tmp_path)
        deam = load_deam(tmp_path)
        assert len(join(deam.of_parts(["2013"]), deam.of_parts(["2015"])).test_ids) == 12
        with pytest.raises(LeakageError, match="12 songs are in both"):
            join(deam, deam.of_parts(["2015"]))

    def test_ids_of_a_generated_copy_are_its_own(self, tmp_path, copies) -> None:
        copies.make_deam(tmp_path / "made")
        copies.write_mark(tmp_path / "made")
        copies.make_emomusic(tmp_path / "emomusic")
        refuse_overlap(load_deam(tmp_path / "made"), load_emomusic(tmp_path / "emomusic"))

    def test_renamed_copies_of_audio_are_found(self, tmp_path) -> None:
        def dataset(name: str, sounds: dict[str, bytes]) -> Dataset:
            (tmp_path / name).mkdir()
            songs = []
            for one, sound in sounds.items():
                path = tmp_path / name / f"{one}.mp3"
                path.write_bytes(sound)
                songs.append(Song(one, path, (5.0, 5.0)))
            return Dataset(name, tuple(songs))

        left = dataset("left", {"a": b"one", "b": b"two", "c": b"three", "d": b"one"})
        refuse_overlap(left, dataset("apart", {"x": b"six", "y": b"others"}))
        with pytest.raises(
            LeakageError, match=r"2 audio files are the same in both, byte by byte .trained = tested.: b = x, a = z\."
        ):
            refuse_overlap(left, dataset("right", {"x": b"two", "y": b"tow", "z": b"one"}))

    def test_songs_without_audio_are_no_copies_of_each_other(self) -> None:
        refuse_overlap(training(), other())


class TestParts:
    def test_an_unknown_part_is_told_with_those_there_are(self, small_deam) -> None:
        deam = load_deam(small_deam.root)
        with pytest.raises(ConfigError, match=r"parts = \['2016'\].*2013 \(30 songs\), 2014 \(30 songs\), 2015"):
            deam.of_parts(["2016"])
        assert {one.part for one in deam.of_parts(["2015"]).songs} == {"2015"}

    def test_a_data_set_without_parts(self) -> None:
        with pytest.raises(ConfigError, match="those there are: none"):
            training().of_parts(["2013"])


def test_a_cross_corpus_run(song_folder: Path, tmp_path: Path) -> None:
    """A whole run: ten songs learnt from, six tested; said in the record, and repeatable from it."""
    from affekt.config import parse_experiment
    from affekt.experiment import compare, open_dataset, run_experiment

    for name, wanted in (("one", range(10)), ("two", range(10, 16))):
        (tmp_path / name / "audio").mkdir(parents=True)
        header, *rows = (song_folder / "metadata.csv").read_text().splitlines()
        kept = [row for row in rows if int(row[10:12]) in wanted]
        (tmp_path / name / "metadata.csv").write_text("\n".join([header, *kept]) + "\n")
        for i in wanted:
            shutil.copy(song_folder / f"audio/song{i:02d}.wav", tmp_path / name / "audio")
    value = {
        "dataset": {"name": "folder", "root": str(tmp_path / "one"), "scale": [1, 9]},
        "test_dataset": {"name": "folder", "root": str(tmp_path / "two"), "scale": [0, 10]},
        "encoders": ["mean", "handcrafted"],
        "clips": {"count": 2, "length_s": 2.0},
    }
    experiment = parse_experiment(value)
    dataset = open_dataset(experiment, quiet=True)
    results, _ = run_experiment(experiment, tmp_path / "run", quiet=True, dataset=dataset)
    ids = {f"folder-tested-song{i:02d}" for i in range(10, 16)}
    assert {one.song_id for one in results.predictions} == ids
    assert results.dataset["name"] == "folder -> folder"
    assert results.run["experiment"]["split"]["kind"] == "cross-corpus"
    assert results.run["split_names"]["0"].startswith("cross-corpus-artist-seed0")
    assert any("mapped linearly" in note for note in results.dataset["notes"])
    assert parse_experiment(results.run["experiment"]) == experiment
    again = compare(dataset, value["encoders"], clips=value["clips"], out=tmp_path / "again", quiet=True)
    assert again.predictions == results.predictions
    ids, y_true, y_pred = results.arrays("mean", 0)
    assert len(ids) == 6 and np.ptp(y_pred, axis=0).tolist() == [0, 0]
    songs = {one.id: one.targets for one in dataset.songs}
    np.testing.assert_allclose(y_true, [songs[i] for i in ids])
