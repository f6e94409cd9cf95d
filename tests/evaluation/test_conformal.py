"""Intervals that hold as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from affekt.errors import DataError
from affekt.evaluation.conformal import half_widths, widths
from affekt.evaluation.results import Prediction, Results


def drawn(n_songs: int, n_seeds: int = 1, seed: int = 0, heavy: bool = False) -> Results:
    """Five folds of songs whose errors are normal, or now and then ten times as large."""
    rng = np.random.default_rng(seed)
    predictions = []
    for run in range(n_seeds):
        fold = rng.permutation(n_songs) % 5
        for song in range(n_songs):
            for target, scale in (("valence", 1.0), ("arousal", 0.5)):
                error = scale * rng.normal() * (10 if heavy and rng.random() < 0.1 else 1)
                predictions.append(Prediction("e", run, int(fold[song]), str(song), target, 5.0, 5.0 + error))
                predictions.append(Prediction("other", run, int(fold[song]), str(song), target, 5.0, 9.0))
    return Results({}, ["valence", "arousal"], [], [], predictions)


def test_half_widths_are_a_quantile_with_its_correction() -> None:
    errors = np.arange(1.0, 20.0)[:, None] * [1.0, 2.0]  # 19 songs: the 18th of 19, as 0.9 * 20 = 18
    np.testing.assert_allclose(half_widths(errors, 0.9), [18.0, 36.0])
    np.testing.assert_allclose(half_widths(errors[:9], 0.9), [9.0, 18.0])


def test_too_few_songs_for_any_interval() -> None:
    with pytest.raises(DataError, match="needs at least 9"):
        half_widths(np.ones((8, 2)), 0.9)


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize("n_songs", [96, 400])
def test_new_songs_lie_inside_as_often_as_stated(n_songs: int, heavy: bool) -> None:
    """Over many comparisons; the interval of each is tried on new songs of the same kind."""
    rng = np.random.default_rng(1)
    held = []
    for seed in range(60):
        half = widths(drawn(n_songs, seed=seed, heavy=heavy), "e").half
        factor = np.where(heavy & (rng.random((500, 2)) < 0.1), 10, 1)
        held.append(np.abs(rng.normal(size=(500, 2)) * [1.0, 0.5] * factor) <= half)
    assert np.mean(held, axis=(0, 1)) == pytest.approx([0.9, 0.9], abs=0.02)


def test_measured_coverage_is_near_the_stated_one() -> None:
    for seed in range(5):
        found = widths(drawn(400, seed=seed), "e")
        assert found.n_songs == 400
        np.testing.assert_allclose(found.measured, 0.9, atol=0.02)


def test_seeds_tell_more_of_the_same_songs() -> None:
    found = widths(drawn(50, n_seeds=3), "e")
    assert found.n_songs == 50
    assert found.half.shape == (2,) and found.half[0] > found.half[1]


def test_one_fold_measures_nothing() -> None:
    results = drawn(50)
    results.predictions = [p._replace(fold=0) for p in results.predictions]
    assert np.isnan(widths(results, "e").measured).all()


def test_folds_too_small_to_be_held_against_each_other() -> None:
    found = widths(drawn(10), "e")
    assert np.isnan(found.measured).all() and np.isfinite(found.half).all()
