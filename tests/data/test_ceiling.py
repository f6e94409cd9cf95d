from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affekt.data.base import Song
from affekt.data.ceiling import DEVIATIONS, SPLIT_HALF, estimates, noise_ceiling, split_half


def rated_songs(truth, noise, n_raters, rng):
    """Songs whose labels are means of simulated ratings, with the population standard deviation DEAM publishes."""
    ratings = truth[:, None] + rng.normal(0, noise, size=(len(truth), n_raters))  # (song, rater)
    means, stds = ratings.mean(axis=1), ratings.std(axis=1)
    return [
        Song(str(i), None, (mean,), (std,), n_raters, ratings=tuple((value,) for value in row))
        for i, (mean, std, row) in enumerate(zip(means, stds, ratings.tolist(), strict=True))
    ]


def without_ratings(songs):
    return [replace(song, ratings=None) for song in songs]


@pytest.mark.parametrize("n_raters", [3, 10])
def test_it_is_the_r2_of_the_true_labels(n_raters):
    rng = np.random.default_rng(0)
    truth = rng.normal(5, 1.2, size=8000)
    songs = rated_songs(truth, 1.5, n_raters, rng)
    labels = np.array([song.targets[0] for song in songs])
    r2_of_truth = 1 - ((labels - truth) ** 2).mean() / labels.var()
    (ceiling,) = noise_ceiling(songs)
    assert ceiling.r2 == pytest.approx(r2_of_truth, abs=0.01)
    assert ceiling.standard_error == pytest.approx(1.5 / np.sqrt(n_raters), rel=0.02)
    assert ceiling.label_sd == pytest.approx(labels.std(), rel=1e-3)


def test_songs_without_raters_do_not_count():
    rated = [Song(str(i), None, (float(i), 9.0 - i**2), (1.0, 0.5), 5) for i in range(3)]
    silent = [Song("x", None, (100.0, 100.0)), Song("y", None, (50.0, 50.0), (1.0, 1.0), None)]
    assert noise_ceiling([*rated, *silent]) == noise_ceiling(rated)


def test_unknown_where_nothing_can_be_said():
    assert noise_ceiling([]) is None
    assert noise_ceiling([Song(str(i), None, (float(i),), (1.0,), 1) for i in range(5)]) is None
    for label in (3.0, 3.3):  # the variance of seven times 3.3 is 2e-31
        assert noise_ceiling([Song(str(i), None, (label,), (1.0,), 5) for i in range(7)]) is None
    assert estimates([Song("a", None, (3.0,)), Song("b", None, (4.0,))]) == ()


class TestSplitHalf:
    @pytest.mark.parametrize("n_raters", [2, 5, 10])
    def test_it_is_the_r2_of_the_true_labels(self, n_raters):
        rng = np.random.default_rng(1)
        truth = rng.normal(5, 1.2, size=4000)
        songs = rated_songs(truth, 1.5, n_raters, rng)
        expected = 1.2**2 / (1.2**2 + 1.5**2 / n_raters)
        (ceiling,) = split_half(songs, n_draws=20)
        assert ceiling.r2 == pytest.approx(expected, abs=0.015)
        assert ceiling.standard_error == pytest.approx(1.5 / np.sqrt(n_raters), rel=0.05)

    def test_songs_may_have_different_numbers_of_raters(self):
        rng = np.random.default_rng(2)
        counts = (2, 3, 7, 12)
        groups = [rated_songs(rng.normal(5, 1.2, size=1000), 1.5, n, rng) for n in counts]
        songs = [replace(song, id=f"{n}-{song.id}") for n, group in zip(counts, groups, strict=True) for song in group]
        labels = np.array([song.targets[0] for song in songs])
        (ceiling,) = split_half(songs, n_draws=20)
        assert ceiling.r2 == pytest.approx(1.2**2 / labels.var(), abs=0.02)
        (deviations,) = noise_ceiling(songs)
        assert ceiling.r2 == pytest.approx(deviations.r2, abs=0.02)

    def test_with_two_raters_it_is_the_textbook_formula(self):
        """Half of two raters is one: over many songs, dealing them out anew changes next to nothing."""
        rng = np.random.default_rng(3)
        one = rng.normal(5, 1, size=4000)
        other = 0.6 * one + rng.normal(2, 0.8, size=4000)
        songs = [
            Song(str(i), None, ((a + b) / 2,), ratings=((a,), (b,)))
            for i, (a, b) in enumerate(zip(one, other, strict=True))
        ]
        r = np.corrcoef(np.concatenate([one, other]), np.concatenate([other, one]))[0, 1]
        (ceiling,) = split_half(songs)
        assert ceiling.r2 == pytest.approx(2 * r / (1 + r), abs=0.002)

    def test_targets_are_judged_each_by_itself(self):
        rng = np.random.default_rng(4)
        clear = rng.normal(size=(500, 1)) + 0.1 * rng.normal(size=(500, 6))
        noise = rng.normal(size=(500, 6))
        songs = [
            Song(str(i), None, (c.mean(), n.mean()), ratings=tuple(zip(c.tolist(), n.tolist(), strict=True)))
            for i, (c, n) in enumerate(zip(clear, noise, strict=True))
        ]
        good, bad = split_half(songs)
        assert good.r2 > 0.99 and abs(bad.r2) < 0.25

    def test_the_seed_decides_and_a_hundred_draws_agree_to_three_digits(self):
        rng = np.random.default_rng(5)
        songs = rated_songs(rng.normal(5, 1.1, size=1000), 1.6, 10, rng)
        assert split_half(songs, seed=7) == split_half(songs, seed=7)
        values = [split_half(songs, seed=seed)[0].r2 for seed in range(6)]
        assert 0 < np.std(values) < 0.001

    def test_unknown_where_nothing_can_be_said(self):
        rng = np.random.default_rng(6)
        songs = rated_songs(rng.normal(5, 1, size=12), 1.0, 1, rng)
        assert split_half(songs) is None  # one rater has no halves
        assert split_half(rated_songs(rng.normal(5, 1, size=2), 1.0, 4, rng)) is None
        for label in (3.0, 3.3):
            agreed = [Song(str(i), None, (label,), ratings=((label,),) * 6) for i in range(7)]
            assert split_half(agreed) is None


class TestWhichIsTaken:
    def test_single_ratings_come_first_and_both_agree(self):
        rng = np.random.default_rng(7)
        songs = rated_songs(rng.normal(5, 1.1, size=800), 1.6, 10, rng)
        first, second = estimates(songs)
        assert (first.method, second.method) == (SPLIT_HALF, DEVIATIONS)
        assert first.targets[0].r2 == pytest.approx(second.targets[0].r2, abs=0.01)

    def test_single_ratings_of_too_few_songs_come_second(self):
        rng = np.random.default_rng(8)
        songs = rated_songs(rng.normal(5, 1.1, size=100), 1.6, 10, rng)
        most = [*songs[:89], *without_ratings(songs[89:])]
        assert [one.method for one in estimates(most)] == [DEVIATIONS, SPLIT_HALF]
        nearly_all = [*songs[:91], *without_ratings(songs[91:])]
        assert [one.method for one in estimates(nearly_all)] == [SPLIT_HALF, DEVIATIONS]
        assert [one.method for one in estimates(without_ratings(songs))] == [DEVIATIONS]


class TestInterval:
    def test_it_is_the_bootstrap_of_songs(self):
        """Weights on songs are a fast way to write: draw songs with replacement and compute again."""
        rng = np.random.default_rng(9)
        songs = without_ratings(rated_songs(rng.normal(5, 1.1, size=60), 1.6, 10, rng))
        draws = rng.integers(len(songs), size=(400, len(songs)))
        rows = np.array([[song.targets[0], song.target_std[0] ** 2 / 9] for song in songs])
        plain = [1 - rows[draw, 1].mean() / rows[draw, 0].var(ddof=1) for draw in draws]
        low, high = noise_ceiling(songs)[0].interval
        assert (low, high) == pytest.approx(np.percentile(plain, [2.5, 97.5]), abs=0.03)

    @pytest.mark.parametrize("method", [noise_ceiling, partial(split_half, n_draws=5)])
    def test_it_covers_the_truth(self, method):
        """95 % of 150 intervals, within three standard errors; a percentile interval is a little short."""
        rng = np.random.default_rng(10)
        expected = 1.1**2 / (1.1**2 + 1.6**2 / 10)
        hits = 0
        for _ in range(150):
            (ceiling,) = method(rated_songs(rng.normal(5, 1.1, size=80), 1.6, 10, rng))
            hits += ceiling.interval[0] <= expected <= ceiling.interval[1]
        assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / 150) <= hits / 150

    def test_more_songs_narrow_it_and_few_have_none(self):
        rng = np.random.default_rng(11)
        songs = rated_songs(rng.normal(5, 1.1, size=1000), 1.6, 10, rng)
        for method in (noise_ceiling, split_half):
            wide, narrow = (method(some)[0].interval for some in (songs[:50], songs))
            assert narrow[1] - narrow[0] < 0.5 * (wide[1] - wide[0])
            assert method(songs[:9])[0].interval is None


@pytest.mark.filterwarnings("error::RuntimeWarning")  # what is undefined is None, and no line in a log
@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), min_size=1, max_size=15))
def test_wild_ratings_give_numbers_or_nothing(rows):
    songs = [
        Song(str(i), None, (float(np.mean(row)),), (float(np.std(row)),), len(row), ratings=tuple((x,) for x in row))
        for i, row in enumerate(rows)
    ]
    for estimate in estimates(songs):
        (ceiling,) = estimate.targets
        assert np.isfinite([ceiling.label_sd, ceiling.standard_error]).all()
        assert ceiling.r2 <= 1 + 1e-9
        assert ceiling.interval is None or ceiling.interval[0] <= ceiling.interval[1]
