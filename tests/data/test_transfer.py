"""Test songs that a data set names itself: all of them, nobody's artist on both sides, the same for every seed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affekt.data.base import Dataset, Song
from affekt.data.splits import Split, draw_split, verify
from affekt.data.transfer import kinds_served
from affekt.errors import ConfigError

GENRES = ("blues", "jazz", "pop")


def song(i: int, **more: Any) -> Song:
    rng = np.random.default_rng(i)
    return Song(f"s{i}", None, tuple(rng.uniform(1, 9, size=2).round(1).tolist()), **more)


def make(n_songs: int = 60, **more: Any) -> Dataset:
    """Three genres in turn, two songs an artist; an artist's songs are of different genres."""
    songs = [song(i, artist=f"artist {i // 2}", genre=GENRES[i % 3], **more) for i in range(n_songs)]
    return Dataset("made", tuple(songs))


def deam(n_clips: int = 40, n_long: int = 6, marked: int = 20) -> Dataset:
    """As DEAM: two parts of clips and one of whole songs, whose artists also made clips; the 2013 part is marked."""
    clips = [
        song(
            i,
            artist=f"artist {i % 15}",
            part="2013" if i < marked else "2014",
            attributes=(("Mediaeval 2013 set", "evaluation" if i % 4 == 0 else "development"),) if i < marked else (),
        )
        for i in range(n_clips)
    ]
    whole = [song(2001 + i, artist=f"artist {i}" if i < 2 else None, part="2015") for i in range(n_long)]
    return Dataset("deam", (*clips, *whole))


def learnt(split: Split, fold: int = 0) -> set[str]:
    return {*split.folds[fold].train, *split.folds[fold].validation}


class TestLeaveOneOut:
    def test_each_value_is_tested_in_a_fold_of_its_own(self) -> None:
        dataset = make()
        split = draw_split(dataset, "leave-one-out", 0, by="genre")
        assert split.values == GENRES and split.fixed_test and split.group == "artist"
        for value, fold in zip(split.values, split.folds, strict=True):
            assert list(fold.test) == [one.id for one in dataset.songs if one.genre == value]
        verify(split, dataset)

    def test_artists_of_the_tested_songs_do_not_train(self) -> None:
        dataset = make()
        split = draw_split(dataset, "leave-one-out", 0, by="genre")
        # 20 songs of a genre are by 20 artists, each of whom has one other song, of another genre.
        assert [len(learnt(split, fold)) for fold in range(3)] == [20, 20, 20]
        assert "60 songs over all folds do not train, as their artist is tested" in split.rule
        shared = draw_split(dataset, "leave-one-out", 0, by="genre", group=None)
        assert [len(learnt(shared, fold)) for fold in range(3)] == [40, 40, 40]
        assert "do not train" not in shared.rule and shared.name != split.name

    def test_songs_without_a_value_train_and_are_named(self) -> None:
        dataset = make()
        lonely = song(100, genre="polka")
        silent = song(101)
        whole = Dataset("made", (*dataset.songs, lonely, silent))
        split = draw_split(whole, "leave-one-out", 0, by="genre")
        assert split.values == GENRES
        assert set(split.tested) == set(dataset.ids)
        assert all({"s100", "s101"} <= learnt(split, fold) for fold in range(3))
        assert "2 songs have no genre or share it with nobody and only train: s100, s101" in split.rule

    def test_the_seed_draws_the_validation_songs_alone(self) -> None:
        dataset = make(120)
        one, other = (draw_split(dataset, "leave-one-out", seed, by="genre") for seed in (0, 1))
        assert one.tested == other.tested and one.name != other.name
        assert [learnt(one, fold) for fold in range(3)] == [learnt(other, fold) for fold in range(3)]
        assert one.folds[0].validation != other.folds[0].validation
        assert one == draw_split(dataset, "leave-one-out", 0, by="genre")

    def test_the_share_for_validation_is_the_one_asked_for(self) -> None:
        dataset = make(240)
        for share in (0.1, 0.25):
            for fold in draw_split(dataset, "leave-one-out", 0, by="genre", group=None, validation=share).folds:
                assert len(fold.validation) == pytest.approx(160 * share, abs=2)

    @pytest.mark.parametrize("by", ["Genre", "GENRE", "genre"])
    def test_a_column_is_matched_whatever_its_case(self, by: str) -> None:
        split = draw_split(make(), "leave-one-out", 0, by=by)
        assert split == draw_split(make(), "leave-one-out", 0, by="genre")

    def test_any_further_column_will_do(self) -> None:
        songs = [song(i, attributes=(("Record label", "xyz"[i % 3]), ("year", str(i)))) for i in range(30)]
        split = draw_split(Dataset("made", tuple(songs)), "leave-one-out", 0, by="record label")
        assert split.values == ("x", "y", "z")
        assert split.name == "leave-one-out-by-record_label-artist-seed0"

    def test_an_artist_can_be_left_out(self) -> None:
        songs = [song(i, artist=f"artist {i % 5}") for i in range(40)]
        split = draw_split(Dataset("made", tuple(songs)), "leave-one-out", 0, by="artist")
        assert len(split.folds) == 5 and "do not train" not in split.rule


class TestRefusals:
    def test_no_such_column(self) -> None:
        with pytest.raises(
            ConfigError, match=r'split.by = genr; .*Did you mean "genre"\?.*left out: .*genre \(3 folds\)'
        ):
            draw_split(make(), "leave-one-out", 0, by="genr")

    def test_no_column_named(self) -> None:
        with pytest.raises(ConfigError, match=r"split.by: missing.*left out: genre \(3 folds\), artist|genre"):
            draw_split(make(), "leave-one-out", 0)

    def test_a_single_value(self) -> None:
        songs = [song(i, genre="jazz", part="xy"[i % 2]) for i in range(20)]
        with pytest.raises(ConfigError, match=r"split.by = genre has 1 different values.*left out: part \(2 folds\)"):
            draw_split(Dataset("made", tuple(songs)), "leave-one-out", 0, by="genre")

    def test_values_that_nobody_shares(self) -> None:
        songs = [song(i, genre=f"genre {i}") for i in range(20)]
        with pytest.raises(
            ConfigError, match=r"20 different values, 0 of them shared.*No column of this data set will do"
        ):
            draw_split(Dataset("made", tuple(songs)), "leave-one-out", 0, by="genre")

    def test_more_values_than_anybody_would_leave_out(self) -> None:
        songs = [song(i, artist=f"artist {i // 2}") for i in range(202)]
        with pytest.raises(ConfigError, match="101 different values, 101 of them shared by 2 songs or more"):
            draw_split(Dataset("made", tuple(songs)), "leave-one-out", 0, by="artist")

    def test_measurements_are_no_kinds(self) -> None:
        songs = [
            song(i, attributes=(("tempo", str(60 + i // 2)), ("decade", str(1960 + i % 4 * 10)))) for i in range(60)
        ]
        dataset = Dataset("made", tuple(songs))
        with pytest.raises(ConfigError, match=r"tempo has 30 different.*left out: decade \(4 folds\)\.$"):
            draw_split(dataset, "leave-one-out", 0, by="tempo")
        assert draw_split(dataset, "leave-one-out", 0, by="decade").values == ("1960", "1970", "1980", "1990")

    def test_an_artist_on_all_sides_leaves_nothing_to_train_on(self) -> None:
        songs = [song(i, artist="giant", genre=GENRES[i % 3]) for i in range(30)]
        with pytest.raises(ConfigError, match=r"0 songs of 0 group.*split\.group = null"):
            draw_split(Dataset("made", tuple(songs)), "leave-one-out", 0, by="genre")

    def test_by_belongs_to_leave_one_out(self) -> None:
        with pytest.raises(ConfigError, match=r'split\.by = genre: belongs to kind "leave-one-out"'):
            draw_split(make(), "kfold", 0, by="genre")

    def test_what_a_data_set_serves(self) -> None:
        assert kinds_served(make()) == (
            "This data set serves kfold, holdout, seed, leave-one-out by artist (30 folds) or genre (3 folds)."
        )
        assert ", long, leave-one-out by" in kinds_served(deam())
        assert kinds_served(Dataset("made", (song(0), song(1)))) == "This data set serves kfold, holdout, seed."


class TestOfficial2013:
    def test_development_trains_and_evaluation_is_tested(self) -> None:
        dataset = deam()
        split = draw_split(dataset, "official-2013", 0)
        assert list(split.tested) == [f"s{i}" for i in range(0, 20, 4)]
        assert learnt(split) == {f"s{i}" for i in range(20) if i % 4}
        assert split.fixed_test and split.group is None and split.name == "official-2013-seed0"
        assert "15 development songs train, 5 evaluation songs are tested" in split.rule
        assert "26 others stay out" in split.rule and "Not grouped: 3 test songs" in split.rule

    def test_validation_songs_share_no_artist_with_training_songs(self) -> None:
        (fold,) = draw_split(deam(n_clips=60, marked=60), "official-2013", 0).folds
        artist = {one.id: one.artist for one in deam(n_clips=60).songs}
        assert not {artist[i] for i in fold.train} & {artist[i] for i in fold.validation}

    def test_the_seed_draws_the_validation_songs_alone(self) -> None:
        drawn = [draw_split(deam(marked=40), "official-2013", seed) for seed in range(6)]
        assert len({split.tested for split in drawn}) == 1
        assert len({split.folds[0].validation for split in drawn}) > 1

    def test_without_marks_it_says_where_they_are(self) -> None:
        with pytest.raises(ConfigError, match=r"found 0 and 0\. .*songs_info\.csv.*serves kfold, holdout, seed, long"):
            draw_split(deam(marked=0), "official-2013", 0)


class TestLong:
    def test_clips_train_and_whole_songs_are_tested(self) -> None:
        split = draw_split(deam(), "long", 0)
        assert list(split.tested) == [f"s{i}" for i in range(2001, 2007)]
        # Artists 0 and 1 made whole songs, and three clips each.
        assert learnt(split) == {f"s{i}" for i in range(40) if i % 15 not in (0, 1)}
        assert "trained on 34 clips of 45 s, tested on 6 whole songs" in split.rule
        assert "6 songs do not train, as their artist is tested" in split.rule
        assert split.fixed_test and split.name == "long-artist-seed0"
        verify(split, deam())

    def test_ungrouped_all_clips_train(self) -> None:
        assert len(learnt(draw_split(deam(), "long", 0, group=None))) == 40

    def test_only_deam_has_whole_songs(self) -> None:
        with pytest.raises(
            ConfigError, match=r"made: split.kind = long needs DEAM's clips.*found 0 and 0\. .*by artist"
        ):
            draw_split(make(), "long", 0)


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Wild ones: few or many songs, artists of many genres, songs without artist or genre, columns of odd text."""
    n_songs = draw(st.integers(2, 30))
    artists = st.one_of(st.none(), st.just("giant"), st.integers(0, 12).map(str))
    genres = st.one_of(st.none(), st.sampled_from(["a", "b", "A", "a\0", "b ", "3"]))
    values = st.sampled_from([1.0, 4.9, 5.0, 9.0])
    songs = [
        Song(f"{i}", None, draw(st.tuples(values, values)), artist=draw(artists), genre=draw(genres))
        for i in range(n_songs)
    ]
    return Dataset("wild", tuple(songs))


@settings(max_examples=40, deadline=None)
@given(datasets(), st.sampled_from(["artist", "genre", None]), st.integers(0, 2**31))
def test_leave_one_out_is_whole_or_refused(dataset: Dataset, group: str | None, seed: int) -> None:
    genre = {one.id: one.genre for one in dataset.songs}
    artist = {one.id: (one.value(group) if group else None) or f"alone {one.id}" for one in dataset.songs}
    counts = Counter(value for value in genre.values() if value)
    shared = sorted(value for value, n in counts.items() if n > 1)
    try:
        split = draw_split(dataset, "leave-one-out", seed, group=group, by="genre")
    except ConfigError as error:
        few = any(
            len(
                {artist[i] for i in dataset.ids if genre[i] != value}
                - {artist[i] for i in dataset.ids if genre[i] == value}
            )
            < 2
            for value in shared
        )
        numbers = len(counts) > 20 and all(value.strip().isdigit() for value in counts)
        assert not shared or len(counts) < 2 or few or numbers, error
        return
    verify(split, dataset)
    assert list(split.values) == shared
    assert draw_split(dataset, "leave-one-out", seed, group=group, by="genre") == split
    for value, fold in zip(split.values, split.folds, strict=True):
        assert list(fold.test) == [i for i in dataset.ids if genre[i] == value]
        tested = {artist[i] for i in fold.test}
        learnt = [i for i in dataset.ids if genre[i] != value and artist[i] not in tested]
        assert sorted([*fold.train, *fold.validation]) == sorted(learnt)
        assert fold.train and fold.validation
        assert not {artist[i] for i in fold.train} & {artist[i] for i in fold.validation}
