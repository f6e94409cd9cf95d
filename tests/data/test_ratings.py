from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affekt.data.ceiling import SPLIT_HALF, noise_ceiling, split_half
from affekt.data.deam import build_dataset, load_deam, read_deam
from affekt.data.ratings import match_ratings, read_ratings


def ratings_of(dataset):
    return {int(song.id): song.ratings for song in dataset.songs}


class TestInACopyOfDeam:
    @pytest.mark.parametrize("turned", [None, lambda song: False, lambda song: True], ids=["as labels", "never", "all"])
    def test_they_stand_the_way_round_that_the_labels_are(self, small_deam, copies, turned):
        truth = copies.write_ratings(small_deam, turned)
        corrected, raw = (ratings_of(load_deam(small_deam.root, labels=labels)) for labels in ("corrected", "raw"))
        for song, ratings in truth.items():
            valence, arousal = small_deam.truth[song]
            if abs(valence - arousal) > 0.1:
                np.testing.assert_array_equal(corrected[song], ratings)
                swapped = song in small_deam.exchanged
                np.testing.assert_array_equal(raw[song], ratings[:, ::-1] if swapped else ratings)
        dataset = load_deam(small_deam.root)
        assert all(np.allclose(np.mean(song.ratings, axis=0), song.targets, atol=0.051) for song in dataset.songs)
        assert not any("left aside" in note for note in dataset.notes)

    def test_the_ceiling_is_then_that_of_the_halves(self, small_deam, copies):
        before = load_deam(small_deam.root)
        assert before.ceiling_method == "rater deviations"
        copies.write_ratings(small_deam)
        after = load_deam(small_deam.root)
        assert after.ceiling_method == SPLIT_HALF
        assert after.ceiling == tuple(one.r2 for one in split_half(after.songs))
        assert after.fingerprint() == before.fingerprint(), "the same songs, labels and splits"
        part = after.select([song.id for song in after.songs if song.part == "2013"])
        assert part.ceiling == tuple(one.r2 for one in split_half(part.songs)) != after.ceiling

    def test_one_target_has_its_own_ratings(self, small_deam, copies):
        copies.write_ratings(small_deam)
        both = load_deam(small_deam.root)
        arousal = load_deam(small_deam.root, targets=["arousal"])
        assert arousal.songs[3].ratings == tuple((rating[1],) for rating in both.songs[3].ratings)
        assert arousal.ceiling == both.ceiling[1:]

    def test_their_number_is_the_number_of_raters(self, small_deam, copies):
        copies.write_ratings(small_deam)
        assert {song.n_raters for song in load_deam(small_deam.root).songs} == {10}  # the 2015 part too: 5 otherwise

    def test_ratings_that_do_not_average_to_the_label_are_left_aside(self, small_deam, copies):
        copies.write_ratings(small_deam)
        songs = sorted(small_deam.truth)[:9]
        path = next(small_deam.root.rglob("static_annotations_songs_1_2000.csv"))
        path.write_text(path.read_text() + "".join(f"late, {song}, 9, 9\nlate, {song}, 1, 9\n" for song in songs))
        dataset = load_deam(small_deam.root)
        kept = ratings_of(dataset)
        assert not any(kept[song] and len(kept[song]) > 10 for song in songs)
        assert any("Single ratings of" in note and "do not average" in note for note in dataset.notes)
        assert dataset.ceiling_method == "rater deviations", "too few songs have ratings that can be trusted"
        assert dataset.ceiling == tuple(one.r2 for one in noise_ceiling(dataset.songs))

    def test_without_the_files_nothing_is_known(self, small_deam):
        copy = read_deam(small_deam.root)
        assert copy.ratings == {} and ratings_of(build_dataset(copy))[2] is None


class TestReading:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("workerID,SongId,Valence,Arousal\nw,2,3,4\nv,2,5,6\n", {2: [(3, 4), (5, 6)]}),
            ("SongId, WorkerId, Arousal_Average, Valence_Average\n2001, w, 4.5, 3\n", {2001: [(3, 4.5)]}),
            ("  workerId ,song_id, VALENCE , arousal ,Liking\n w, 2 , 3 , 4 , n/a\n", {2: [(3, 4)]}),
            ("SongId,Valence,Arousal\n2,,4\nx,3,4\n2,3,loud\n2,3\n2,3,4\n", {2: [(3, 4)]}),
            ("SongId,Valence\n2,3\n", {}),
            ("", {}),
            ('SongId,Valence,Arousal\n2,"3,4\n', {}),
        ],
    )
    def test_columns_in_any_order_and_lines_that_can_be_read(self, tmp_path, text, expected):
        path = tmp_path / "ratings.csv"
        path.write_text(text)
        found = read_ratings([path])
        assert {song: [tuple(row) for row in ratings] for song, ratings in found.items()} == expected

    @settings(max_examples=100, deadline=None)
    @given(
        content=st.one_of(st.binary(max_size=60), st.text(max_size=40).map(lambda t: f"SongId,Valence,Arousal\n{t}"))
    )
    def test_no_bytes_keep_a_data_set_from_loading(self, tmp_path_factory, content):
        path = tmp_path_factory.mktemp("wild") / "ratings.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        for song, ratings in read_ratings([path]).items():
            assert song >= 0 and ratings.shape[1] == 2 and np.isfinite(ratings).all()


def test_matching_follows_the_majority_of_each_half():
    labels = {song: np.array([2.0, 8.0]) for song in (1, 2, 3, 1001, 1002)}
    straight, turned = np.array([[1.0, 9.0], [3.0, 7.0]]), np.array([[9.0, 1.0], [7.0, 3.0]])
    found = match_ratings({1: turned, 2: turned, 3: straight, 1001: straight, 1002: turned, 9: straight}, labels)
    assert set(found.by_song) == {1, 2, 1001}
    np.testing.assert_array_equal(found.by_song[1], straight)
    assert found.n_unmatched == 2
