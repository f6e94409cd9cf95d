"""Do intervals hold the truth, and tests their size? Measured on data whose truth is known.

Annotations and the predictions of two encoders are drawn from a distribution in which the population R2 of both is set
by hand. Every comparison then goes through the functions that score real ones, thousands at a time: a comparison takes
the place of a target. `docs/make_simulation.py` prints the tables of docs/method.md.

Conventions: the label has mean 0 and variance 1. A prediction is `slope * label + noise`, so its population R2 is
`1 - (1 - slope)^2 - variance of the noise`. Where songs come from artists, label and noise share `ARTIST_SHARE` of
their variance within an artist. Shares and rates are between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from affekt.evaluation.statistics import (
    LEVEL,
    SCORES,
    Interval,
    Statistic,
    bootstrap,
    corrected_resampled_t_test,
    sign_flip_test,
    verdict_words,
    weighted_scores,
)

#: Share of the variance that songs of an artist have in common.
ARTIST_SHARE = 0.3
#: Correlation of the noise of the two encoders: they hear the same song.
NOISE_CORRELATION = 0.6
#: Slope of the second encoder where it predicts in another way than the first.
OTHER_SLOPE = 0.95
#: Degrees of freedom of heavy-tailed labels (Student's t, scaled to variance 1).
HEAVY_FREEDOM = 5
#: Folds and repetitions of the test over folds.
N_FOLDS, N_REPETITIONS = 5, 3

_R2 = SCORES.index("r2")
_BATCH = 400  # comparisons that share one set of resamples


@dataclass(frozen=True)
class Scenario:
    """What is drawn.

    Attributes:
        n_songs: songs of a comparison.
        artists: songs come from artists of one to five songs; else each stands for itself.
        heavy: labels have heavy tails, all songs of an artist in step; else they are normal.
        predictions: "alike": both encoders predict the conditional mean given what they hear. "unlike": the second one
            has a slope of `OTHER_SLOPE` and so errs in another way.
        r2: population R2 of the first encoder.
        difference: population R2 of the first encoder minus that of the second.
    """

    n_songs: int
    artists: bool = False
    heavy: bool = False
    predictions: Literal["alike", "unlike"] = "alike"
    r2: float = 0.5
    difference: float = 0.0


class Simulated(NamedTuple):
    """Independent comparisons that share their artists."""

    y_true: np.ndarray  # (n_songs, n_comparisons)
    first: np.ndarray  # the same
    second: np.ndarray  # the same
    groups: np.ndarray  # (n_songs,)


class Rates(NamedTuple):
    """How often what happened, as shares of the comparisons."""

    n_comparisons: int
    r2_covered: float  # the interval of the first encoder's R2 holds the population's
    covered: float  # the interval of the difference holds the population's
    covered_plain: float  # the same without the widening for few artists
    no_difference: float  # the verdict "no difference shown"
    better: float  # the verdict "better", which is right where the difference is above 0
    sign_flip: float  # the permutation of squared errors rejects
    over_folds: float  # the corrected t-test over folds rejects


def measure(
    scenario: Scenario, n_comparisons: int = 4000, n_resamples: int = 1000, n_permutations: int = 499, *, seed: int = 0
) -> Rates:
    """Rates over independent comparisons, each scored by the functions that score real ones.

    Args:
        scenario: what is drawn.
        n_comparisons: how many; the rates have the standard error `monte_carlo_error`.
        n_resamples: of each interval.
        n_permutations: of each permutation test.
        seed: of all draws.
    """
    found = [
        _outcomes(scenario, size, n_resamples, n_permutations, [seed, number])
        for number, size in enumerate(_batches(n_comparisons))
    ]
    return Rates(n_comparisons, *(float(share) for share in np.concatenate(found, axis=1).mean(axis=1)))


def monte_carlo_error(share: float, n: int) -> float:
    """Standard error of a share that was counted over n independent comparisons."""
    return float(np.sqrt(share * (1 - share) / n))


def simulate(scenario: Scenario, n_comparisons: int, rng: np.random.Generator) -> Simulated:
    """Draw comparisons."""
    groups = _groups(scenario, rng)
    y_true = _noise(groups, n_comparisons, rng)
    if scenario.heavy:
        # One scale for all songs of an artist: the harder case for a resampling of artists.
        square = rng.chisquare(HEAVY_FREEDOM, (groups.max() + 1, n_comparisons))
        y_true *= np.sqrt((HEAVY_FREEDOM - 2) / square)[groups]
    shared = _noise(groups, n_comparisons, rng)
    own = (_noise(groups, n_comparisons, rng) for _ in range(2))
    noise = (np.sqrt(NOISE_CORRELATION) * shared + np.sqrt(1 - NOISE_CORRELATION) * mine for mine in own)
    r2 = scenario.r2, scenario.r2 - scenario.difference
    slopes = r2[0], r2[1] if scenario.predictions == "alike" else OTHER_SLOPE
    first, second = (
        slope * y_true + np.sqrt(1 - value - (1 - slope) ** 2) * one
        for slope, value, one in zip(slopes, r2, noise, strict=True)
    )
    return Simulated(y_true, first, second, groups)


def _outcomes(
    scenario: Scenario, n_comparisons: int, n_resamples: int, n_permutations: int, seed: list[int]
) -> np.ndarray:
    """What happened in each comparison, shape (n_rates, n_comparisons) of bool, in the order of `Rates`."""
    rng = np.random.default_rng(seed)
    drawn = simulate(scenario, n_comparisons, rng)
    statistic = _both_r2(drawn)
    groups, draw = drawn.groups.tolist(), int(rng.integers(2**31))
    resampled = bootstrap(statistic, scenario.n_songs, groups, n_resamples, seed=draw)
    difference = resampled.apply(lambda values: values[..., 0, :] - values[..., 1, :])
    interval = difference.interval()
    verdicts = np.array([verdict_words(ends) for ends in zip(interval.low, interval.high, strict=True)])
    gain = (drawn.second - drawn.y_true) ** 2 - (drawn.first - drawn.y_true) ** 2
    return np.stack(
        [
            _holds(resampled.select(0, slice(None)).interval(), scenario.r2),
            _holds(interval, scenario.difference),
            _holds(difference.interval(widened=False), scenario.difference),
            verdicts == "no difference shown",
            verdicts == "better",
            sign_flip_test(gain, groups, n_permutations, seed=draw) <= LEVEL,
            _over_folds(statistic, drawn.groups, rng) <= LEVEL,
        ]
    )


def _both_r2(drawn: Simulated) -> Statistic:
    """Weights (rows, n_songs) -> R2 of both encoders, (rows, 2, n_comparisons)."""
    statistics = [weighted_scores(drawn.y_true, predicted[None]) for predicted in (drawn.first, drawn.second)]
    return lambda weights: np.stack([one(weights)[:, _R2] for one in statistics], axis=1)


def _over_folds(statistic: Statistic, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The corrected t-test's p for each comparison; the folds keep artists together."""
    fold_of = np.stack([rng.permutation(groups.max() + 1)[groups] % N_FOLDS for _ in range(N_REPETITIONS)])
    tested = fold_of[:, None] == np.arange(N_FOLDS)[:, None]  # (repetition, fold, song)
    r2 = statistic(tested.reshape(-1, len(groups)).astype(float))  # a fold is a resample of its songs
    n_test = len(groups) / N_FOLDS
    return corrected_resampled_t_test(r2[:, 0] - r2[:, 1], len(groups) - n_test, n_test)


def _holds(interval: Interval, truth: float) -> np.ndarray:
    return (interval.low <= truth) & (truth <= interval.high)


def _groups(scenario: Scenario, rng: np.random.Generator) -> np.ndarray:
    """The number of each song's artist, (n_songs,)."""
    sizes = rng.integers(1, 6, size=scenario.n_songs) if scenario.artists else np.ones(scenario.n_songs, dtype=int)
    numbers = np.repeat(np.arange(len(sizes)), sizes)[: scenario.n_songs]
    return numbers


def _noise(groups: np.ndarray, n_comparisons: int, rng: np.random.Generator) -> np.ndarray:
    """Of variance 1, shape (n_songs, n_comparisons); songs of an artist have `ARTIST_SHARE` of it in common."""
    by_artist = rng.standard_normal((groups.max() + 1, n_comparisons))[groups]
    by_song = rng.standard_normal((len(groups), n_comparisons))
    return np.sqrt(ARTIST_SHARE) * by_artist + np.sqrt(1 - ARTIST_SHARE) * by_song


def _batches(total: int) -> Iterator[int]:
    for start in range(0, total, _BATCH):
        yield min(_BATCH, total - start)
