from __future__ import annotations

import numpy as np
import pytest

from affekt.data.base import Song
from affekt.data.ceiling import noise_ceiling


def rated_songs(truth, noise, n_raters, rng):
    """Songs whose labels are means of simulated ratings, with the population standard deviation DEAM publishes."""
    ratings = truth[:, None] + rng.normal(0, noise, size=(len(truth), n_raters))  # (song, rater)
    means, stds = ratings.mean(axis=1), ratings.std(axis=1)
    return [
        Song(str(i), None, (mean,), (std,), n_raters) for i, (mean, std) in enumerate(zip(means, stds, strict=True))
    ]


@pytest.mark.parametrize("n_raters", [3, 10])
def test_it_is_the_r2_of_the_true_labels(n_raters):
    rng = np.random.default_rng(0)
    truth = rng.normal(5, 1.2, size=20000)
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
    assert noise_ceiling([Song(str(i), None, (3.0,), (1.0,), 5) for i in range(5)]) is None
