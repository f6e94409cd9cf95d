"""Splits: every song scored once, nobody on both sides, the same for everybody who names the same."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affekt.data.base import Dataset, Song
from affekt.data.partition import group_labels, quadrant_labels
from affekt.data.splits import Split, draw_split, read_split, verify
from affekt.errors import ConfigError, LeakageError


def make(n_songs: int, n_artists: int | None, seed: int = 0, n_targets: int = 2) -> Dataset:
    """Songs by artists drawn at random, labels likewise."""
    rng = np.random.default_rng(seed)
    artists = [None if n_artists is None else f"artist {i}" for i in rng.integers(n_artists or 1, size=n_songs)]
    labels = rng.uniform(1, 9, size=(n_songs, n_targets)).round(2)
    songs = [Song(f"song{i}", None, tuple(y), artist=a) for i, (y, a) in enumerate(zip(labels, artists, strict=True))]
    return Dataset("made", tuple(songs), tuple("abcd"[:n_targets]))


def by_artists(*n_songs: int, seed: int = 0) -> Dataset:
    """So many songs by each artist: `0-0`, `0-1`, ... by the first."""
    rng = np.random.default_rng(seed)
    songs = [
        Song(f"{artist}-{i}", None, tuple(rng.uniform(1, 9, size=2).round(2)), artist=f"artist {artist}")
        for artist, n in enumerate(n_songs)
        for i in range(n)
    ]
    return Dataset("made", tuple(songs))


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Wild ones: few or many songs, one giant artist, songs without an artist, quadrants with a single song."""
    n_songs = draw(st.integers(10, 60))
    n_artists = draw(st.integers(1, 40))
    artists = st.one_of(st.none(), st.just("giant"), st.integers(0, n_artists).map(str))
    values = draw(st.sampled_from([st.floats(1, 9), st.sampled_from([1.0, 5.0, 9.0]), st.just(5.0)]))
    n_targets = draw(st.integers(1, 3))
    songs = [
        Song(f"{i}", None, draw(st.tuples(*[values] * n_targets)), artist=draw(artists), genre=draw(artists))
        for i in range(n_songs)
    ]
    return Dataset("wild", tuple(songs), tuple("abc"[:n_targets]))


def check(split: Split, dataset: Dataset) -> None:
    """What every split promises, without the help of `verify`."""
    artist = {s.id: (getattr(s, split.group) if split.group else None) or f"alone {s.id}" for s in dataset.songs}
    for fold in split.folds:
        sides = [fold.train, fold.validation, fold.test]
        assert all(sides), "no side is empty"
        assert sorted(i for side in sides for i in side) == sorted(dataset.ids)
        artists = [{artist[i] for i in side} for side in sides]
        assert not artists[0] & artists[1] | artists[0] & artists[2] | artists[1] & artists[2]
    verify(split, dataset)


@settings(max_examples=40, deadline=None)
@given(datasets(), st.integers(2, 6), st.sampled_from(["artist", "genre", None]), st.integers(0, 2**31))
def test_kfold_tests_every_song_once(dataset: Dataset, n_folds: int, group: str | None, seed: int) -> None:
    n_groups = len(set(group_labels(dataset, group)))
    try:
        split = draw_split(dataset, "kfold", seed, n_folds, group)
    except ConfigError:
        # with two folds a giant artist can be all that is left to train on
        assert n_groups < max(n_folds, 3) or (n_folds == 2 and group)
        return
    assert len(split.folds) == n_folds
    assert Counter(i for fold in split.folds for i in fold.test) == Counter(dataset.ids)
    check(split, dataset)
    assert draw_split(dataset, "kfold", seed, n_folds, group) == split


@settings(max_examples=25, deadline=None)
@given(datasets(), st.integers(0, 2**31))
def test_holdout_keeps_groups_whole(dataset: Dataset, seed: int) -> None:
    n_groups = len(set(group_labels(dataset, "artist")))
    if n_groups < 10:
        with pytest.raises(ConfigError, match=f"only {n_groups} groups"):
            draw_split(dataset, "holdout", seed)
        return
    split = draw_split(dataset, "holdout", seed)
    assert len(split.folds) == 1
    check(split, dataset)
    assert draw_split(dataset, "holdout", seed) == split


@settings(max_examples=40, deadline=None)
@given(datasets(), st.integers(0, 2**31))
def test_the_founding_split_is_whole_or_refused(dataset: Dataset, seed: int) -> None:
    above = int((dataset.targets()[:, 0] >= 5).sum())
    if min(above, len(dataset) - above) < 10:
        with pytest.raises(ConfigError, match="ten songs on each side"):
            draw_split(dataset, "seed", seed)
        return
    check(draw_split(dataset, "seed", seed), dataset)


@pytest.mark.parametrize("kind", ["kfold", "holdout"])
def test_every_seed_has_its_own_split(kind: Any) -> None:
    dataset = make(60, 30)
    drawn = [draw_split(dataset, kind, seed) for seed in range(8)]
    assert len({str(split.folds) for split in drawn}) == 8
    assert len({split.name for split in drawn}) == 8
    assert drawn[3] == draw_split(dataset, kind, 3)


def test_artists_who_never_leave_their_quadrant() -> None:
    """Here scikit-learn's stratified folds leave a fold empty for some seeds."""
    sizes, quadrant_of = [10, 12, 13, 13, 9, 8], [0, 1, 0, 1, 3, 3]
    centres = [(1.0, 1.0), (9.0, 1.0), (1.0, 9.0), (9.0, 9.0)]
    songs = [
        Song(f"{artist}-{i}", None, centres[quadrant_of[artist]], artist=f"artist {artist}")
        for artist, size in enumerate(sizes)
        for i in range(size)
    ]
    dataset = Dataset("aligned", tuple(songs))
    for seed in range(10):
        check(draw_split(dataset, "kfold", seed, 6), dataset)


def test_the_order_within_a_side_is_that_of_the_data_set() -> None:
    dataset = make(40, 20)
    position = {song: i for i, song in enumerate(dataset.ids)}
    for fold in draw_split(dataset, "kfold", 0).folds:
        for side in (fold.train, fold.validation, fold.test):
            assert list(side) == sorted(side, key=position.__getitem__)


def test_labels_beyond_their_quadrant_do_not_matter() -> None:
    dataset = make(60, 20)
    moved = tuple(replace(s, targets=tuple(1.0 if y < 5 else 9.0 for y in s.targets)) for s in dataset.songs)
    assert draw_split(replace(dataset, songs=moved), "kfold", 0) == draw_split(dataset, "kfold", 0)


def test_folds_are_stratified_on_the_quadrant() -> None:
    dataset = make(400, None, seed=1)
    of = dict(zip(dataset.ids, quadrant_labels(dataset), strict=True))
    whole = np.bincount(list(of.values()), minlength=4) / 400
    assert set(of.values()) == {0, 1, 2, 3}
    for fold in draw_split(dataset, "kfold", 0).folds:
        assert len(fold.test) == 80
        assert len(fold.validation) == pytest.approx(32, abs=1)
        for side in (fold.test, fold.validation):
            share = np.bincount([of[i] for i in side], minlength=4) / len(side)
            np.testing.assert_allclose(share, whole, atol=0.04)


def test_the_share_for_validation_is_the_one_asked_for() -> None:
    dataset = make(200, None)
    for share in (0.05, 0.1, 0.25):
        for fold in draw_split(dataset, "kfold", 0, validation=share).folds:
            assert len(fold.validation) == pytest.approx(160 * share, abs=2)


def test_holdout_is_80_10_10() -> None:
    (fold,) = draw_split(make(200, None), "holdout", 0).folds
    assert [len(fold.train), len(fold.validation), len(fold.test)] == [160, 20, 20]


def test_the_largest_artist_is_tested_and_validated_on_in_a_tenth_of_the_seeds() -> None:
    """Parts are dealt in the order of their largest artist: a fixed one would hold the same artist in every seed."""
    dataset = by_artists(8, *range(1, 8), *range(1, 8))
    n_seeds, tested, validated = 50, 0, 0
    for seed in range(n_seeds):
        (fold,) = draw_split(dataset, "holdout", seed).folds
        tested += "0-0" in fold.test
        validated += "0-0" in fold.validation
    assert 1 <= tested <= 0.25 * n_seeds
    assert 1 <= validated <= 0.25 * n_seeds


def test_the_largest_artist_validates_in_a_tenth_of_the_folds() -> None:
    dataset = by_artists(8, *range(1, 8), *range(1, 8), *range(1, 8))
    folds = [fold for seed in range(15) for fold in draw_split(dataset, "kfold", seed).folds if "0-0" not in fold.test]
    validated = sum("0-0" in fold.validation for fold in folds)
    assert len(folds) == 60 and 1 <= validated <= 0.25 * 60


def test_a_giant_artist_trains_where_smaller_ones_can_be_tested() -> None:
    dataset = by_artists(60, *[2] * 20)
    for seed in range(5):
        split = draw_split(dataset, "holdout", seed)
        (fold,) = split.folds
        assert "0-0" in fold.train
        assert len(fold.test) == pytest.approx(10, abs=2) and len(fold.validation) == pytest.approx(10, abs=2)
        assert "Real sizes" not in split.rule
        for fold in draw_split(dataset, "kfold", seed).folds:
            assert len(fold.validation) / (len(fold.train) + len(fold.validation)) == pytest.approx(0.1, abs=0.05)


def test_a_rule_tells_sizes_far_from_the_wanted_ones() -> None:
    rule = draw_split(by_artists(60, *[2] * 20), "kfold", 0).rule
    assert rule.endswith(" to 60 test songs in a fold instead of 20") and "validation songs in a fold" not in rule
    rule = draw_split(by_artists(30, 30, 30), "kfold", 0, 3).rule
    assert rule.endswith("seed 0. Real sizes: 30 validation songs in a fold instead of 6")
    rule = draw_split(by_artists(91, *[1] * 9), "holdout", 0).rule
    assert "Real sizes: 5 test songs in a fold instead of 10, 4 validation songs" in rule
    rule = draw_split(by_artists(30, 30, 30), "leave-one-out", 0, by="artist").rule
    assert rule.endswith("Real sizes: 30 validation songs in a fold instead of 6")
    assert "Real sizes" not in draw_split(make(200, 60), "kfold", 0).rule


def test_a_rule_counts_songs_with_an_artist_where_some_have_none() -> None:
    dataset = make(40, 20)
    without = tuple(replace(song, artist=None) if i < 10 else song for i, song in enumerate(dataset.songs))
    some, none = replace(dataset, songs=without), make(40, None)
    for kind in ("kfold", "holdout"):
        assert "grouped by artist, stratified" in draw_split(dataset, kind, 0).rule  # type: ignore[arg-type]
        assert "grouped by artist (30 of 40 songs have one)" in draw_split(some, kind, 0).rule  # type: ignore[arg-type]
        assert "grouped by artist (0 of 40 songs have one)" in draw_split(none, kind, 0).rule  # type: ignore[arg-type]
    assert "grouped by nothing, stratified" in draw_split(none, "kfold", 0, group=None).rule
    assert "grouped by artist (30 of 40 songs have one)" in draw_split(some, "leave-one-out", 0, by="artist").rule


@pytest.mark.parametrize("share", [0.02, 0.3, 0.4, 0.45, 0.49])
def test_an_uncommon_share_for_validation_is_met_and_told(share: float) -> None:
    split = draw_split(make(300, None), "kfold", 0, 2, validation=share)
    assert f", {100 * share:g}% of the songs outside a test fold are validation songs" in split.rule
    for fold in split.folds:
        assert len(fold.validation) == pytest.approx(150 * share, abs=2)


def test_holdout_fixes_its_validation_songs() -> None:
    dataset = make(100, 30)
    assert draw_split(dataset, "holdout", 0, validation=0.3) == draw_split(dataset, "holdout", 0)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match=r"training\.validation = .*; allowed: above 0 and below 0\.5"):
        draw_split(make(40, 20), "kfold", 0, validation=share)


def test_the_founding_split() -> None:
    """80/10/10, stratified on valence from 5, seed 42 whatever the run's seed, artists on both sides."""
    dataset = make(300, 40, seed=3)
    split = draw_split(dataset, "seed", 0)
    assert (split.name, split.group) == ("seed", None)
    assert "seed 42" in split.rule
    assert split == draw_split(dataset, "seed", 7, n_folds=3, group="artist", validation=0.3)
    (fold,) = split.folds
    assert [len(fold.train), len(fold.validation), len(fold.test)] == [240, 30, 30]
    bright = {song.id: song.targets[0] >= 5 for song in dataset.songs}
    whole = np.mean(list(bright.values()))
    for side in (fold.train, fold.validation, fold.test):
        assert np.mean([bright[i] for i in side]) == pytest.approx(whole, abs=0.5 / 30 + 1e-9)
    artist = {song.id: song.artist for song in dataset.songs}
    assert {artist[i] for i in fold.train} & {artist[i] for i in fold.test}, "not grouped"


def test_the_founding_split_is_scikit_learns() -> None:
    from sklearn.model_selection import train_test_split

    dataset = make(120, None)
    ids, valence = np.array(dataset.ids), dataset.targets()[:, 0]
    train, test = train_test_split(ids, test_size=0.1, random_state=42, stratify=valence >= 5)
    (fold,) = draw_split(dataset, "seed", 0).folds
    assert set(fold.test) == set(test)
    assert set(fold.train) | set(fold.validation) == set(train)


@pytest.mark.parametrize(("n_artists", "n_folds"), [(1, 2), (4, 5), (9, 10)])
def test_too_few_groups(n_artists: int, n_folds: int) -> None:
    dataset = make(100, n_artists)
    with pytest.raises(ConfigError, match=f"only {n_artists} groups among 100 songs"):
        draw_split(dataset, "kfold", 0, n_folds)
    check(draw_split(dataset, "kfold", 0, n_folds, group=None), dataset)


def test_too_few_groups_to_validate() -> None:
    with pytest.raises(ConfigError, match="validation"):
        draw_split(make(100, 2), "kfold", 0, 2)


def tampered(split: Split, **sides: tuple[str, ...]) -> Split:
    first, *others = split.folds
    return replace(split, folds=(replace(first, **sides), *others))


@pytest.fixture
def dataset() -> Dataset:
    return make(60, 20)


@pytest.fixture
def split(dataset: Dataset) -> Split:
    return draw_split(dataset, "kfold", 0)


@pytest.mark.parametrize(
    ("to", "source"),
    [("train", "test"), ("train", "validation"), ("validation", "test"), ("validation", "train"), ("test", "train")],
)
def test_a_song_on_two_sides_is_a_leak(dataset: Dataset, split: Split, to: str, source: str) -> None:
    fold = split.folds[0]
    song = getattr(fold, source)[0]
    with pytest.raises(LeakageError, match=rf"1 fold 0: songs in .*: {song}\. .*must not be scored"):
        verify(tampered(split, **{to: (*getattr(fold, to), song)}), dataset)


@pytest.mark.parametrize(("to", "source"), [("train", "test"), ("train", "validation"), ("validation", "test")])
def test_an_artist_on_two_sides_is_a_leak(dataset: Dataset, split: Split, to: str, source: str) -> None:
    fold = split.folds[0]
    artist = {song.id: song.artist for song in dataset.songs}
    shared = Counter(artist[i] for i in getattr(fold, source))
    song = next(i for i in getattr(fold, source) if shared[artist[i]] > 1)
    left = tuple(i for i in getattr(fold, source) if i != song)
    moved = tampered(split, **{to: (*getattr(fold, to), song), source: left})
    with pytest.raises(LeakageError, match=f"artist in {to} and {source}"):
        verify(moved, dataset)
    verify(replace(moved, group=None), dataset)  # a split that does not promise groups may share them


def test_a_song_scored_twice_is_a_leak(dataset: Dataset, split: Split) -> None:
    with pytest.raises(LeakageError, match="fold 1: songs tested before"):
        verify(replace(split, folds=(split.folds[0], split.folds[0])), dataset)


def test_a_name_tells_rules_apart(dataset: Dataset) -> None:
    rules: list[dict[str, Any]] = [
        {"kind": "kfold"},
        {"kind": "kfold", "n_folds": 4},
        {"kind": "kfold", "group": None},
        {"kind": "kfold", "validation": 0.2},
        {"kind": "holdout"},
        {"kind": "leave-one-out", "by": "artist"},
        {"kind": "leave-one-out", "by": "artist", "group": None},
        {"kind": "leave-one-out", "by": "artist", "validation": 0.2},
    ]
    drawn = [draw_split(dataset, seed=seed, **rule) for rule in rules for seed in (0, 1)]
    assert len({split.name for split in drawn}) == len({split.fingerprint() for split in drawn}) == 2 * len(rules)
    assert drawn[0].name == "kfold5-artist-seed0"


def test_a_fingerprint_is_that_of_the_songs(split: Split) -> None:
    assert replace(split, name="other", rule="other").fingerprint() == split.fingerprint()
    first, second, *others = split.folds
    assert replace(split, folds=(second, first, *others)).fingerprint() != split.fingerprint()


def test_which_kinds_test_the_same_songs_whatever_the_seed() -> None:
    dataset = make(200, 30)
    fixed = {"kfold": False, "holdout": False, "seed": True, "leave-one-out": True}
    for kind, expected in fixed.items():
        by = "artist" if kind == "leave-one-out" else None
        one, other = (draw_split(dataset, kind, seed, by=by) for seed in (0, 1))  # type: ignore[arg-type]
        assert one.fixed_test is expected
        assert (sorted(one.folds[0].test) == sorted(other.folds[0].test)) is expected


def test_an_unknown_kind_or_group_is_refused(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match=r'split.kind = "bootstrap"; allowed: kfold, holdout, seed'):
        draw_split(dataset, "bootstrap", 0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"split.group = album; no such column. Found: artist, genre, part\."):
        draw_split(dataset, "kfold", 0, group="album")


class TestReading:
    @pytest.fixture
    def path(self, split: Split, tmp_path: Path) -> Path:
        path = tmp_path / "split.json"
        path.write_text(json.dumps(split.as_dict()))
        return path

    def edited(self, path: Path, **changes: Any) -> Path:
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        return path

    def test_what_was_written_comes_back(self, dataset: Dataset, split: Split, path: Path) -> None:
        read = read_split(path, dataset)
        assert read == replace(split, fixed_test=True)  # one split for every seed
        assert read == read_split(path, dataset, seed=7)
        loo = draw_split(dataset, "leave-one-out", 0, by="artist")
        path.write_text(json.dumps(loo.as_dict()))
        assert read_split(path, dataset) == loo

    def test_a_run_holds_one_for_each_seed(self, dataset: Dataset, tmp_path: Path) -> None:
        drawn = {seed: draw_split(dataset, "kfold", seed) for seed in (0, 3)}
        path = tmp_path / "split.json"
        path.write_text(json.dumps({str(seed): split.as_dict() for seed, split in drawn.items()}))
        assert {seed: read_split(path, dataset, seed) for seed in drawn} == drawn
        with pytest.raises(ConfigError, match=r"no split for seed 1\. Found: 0, 3\. Take these"):
            read_split(path, dataset, 1)

    def test_a_few_songs_by_hand_will_do(self, dataset: Dataset, tmp_path: Path) -> None:
        path = tmp_path / "mine.json"
        fold = {"train": ["song0"], "validation": ["song1"], "test": ["song2"]}
        path.write_text(json.dumps({"name": "mine", "group": None, "folds": [fold]}))
        read = read_split(path, dataset)
        assert (read.name, read.rule, read.tested) == ("mine", "read from mine.json", ("song2",))

    def test_songs_that_are_not_there_are_named(self, dataset: Dataset, path: Path) -> None:
        with pytest.raises(ConfigError, match="2 songs of the split cannot be used here: song3, song5"):
            read_split(path, dataset.select(i for i in dataset.ids if i not in ("song3", "song5")))

    def test_a_leak_is_found(self, dataset: Dataset, split: Split, path: Path) -> None:
        path.write_text(json.dumps(tampered(split, test=split.folds[0].train[:3]).as_dict()))
        with pytest.raises(LeakageError, match="songs in train and test"):
            read_split(path, dataset)
        moved = tuple(replace(song, artist="one and the same") for song in dataset.songs)
        path.write_text(json.dumps(split.as_dict()))
        with pytest.raises(LeakageError, match="artist in train and validation"):
            read_split(path, replace(dataset, songs=moved))

    @pytest.mark.parametrize("group", ["artst", ""])
    def test_a_group_that_is_no_column_cannot_be_checked(self, dataset: Dataset, path: Path, group: str) -> None:
        with pytest.raises(ConfigError, match=rf"split\.json: group = {group}; no such column\..*Found: artist, genre"):
            read_split(self.edited(path, group=group), dataset)
        assert read_split(self.edited(path, group="Artist"), dataset).group == "Artist"

    @pytest.mark.parametrize(
        "changes",
        [
            {"folds": []},
            {"folds": [{}]},
            {"folds": ["a"]},
            {"folds": [{"train": [], "validation": ["song1"], "test": ["song2"]}]},
            {"folds": [{"train": ["song0", "song0"], "validation": ["song1"], "test": ["song2"]}]},
            {"folds": [{"train": [0], "validation": [1], "test": [2]}]},
            {"folds": {"0": 1}},
            {"name": None},
            {"group": 3},
        ],
    )
    def test_what_is_no_split(self, dataset: Dataset, path: Path, changes: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match=r"not a split\. Expected"):
            read_split(self.edited(path, **changes), dataset)

    @pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"0": 3}', '{"0": {"name": "x"}}', "\x00", '"folds"'])
    def test_what_is_no_json_of_ours(self, dataset: Dataset, path: Path, text: str) -> None:
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"split\.json: "):
            read_split(path, dataset)

    def test_no_file(self, dataset: Dataset, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="no such file"):
            read_split(tmp_path / "split.json", dataset)
        with pytest.raises(ConfigError, match="cannot be read"):
            read_split(tmp_path, dataset)
