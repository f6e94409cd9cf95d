"""The noise ceiling: how well a model could score at most, given how much the raters disagree.

A song's label is the mean of few ratings, so it carries an error of its own. The share of the labels' variance that is
not error is their reliability. No model can exceed it in R2, except by chance (Lord & Novick 1968, chapter 3). Two
ways lead to it:

- *rater deviations*: from the published standard deviation of each song's ratings,
  ceiling = 1 - mean(error variance of a song's mean) / variance of the labels;
- *split-half*: from the single ratings. The raters of each song are dealt into two halves, the halves' means are
  correlated over songs, and the Spearman-Brown formula steps the correlation up to all raters.

Values are per target, on the data set's own scale. Where labels are nearly all noise, the first can come out negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from affekt.data.base import Song

DEVIATIONS = "rater deviations"
SPLIT_HALF = "split-half"
#: Of generated labels, whose truth is known.
CONSTRUCTION = "construction"

#: Random halvings that are averaged; a hundred bring the error of the average below .001 on a thousand songs.
N_DRAWS = 100
# For the interval: resamples of the songs, and halvings in each.
_N_RESAMPLES = 500
_N_RESAMPLED_DRAWS = 20
# A percentile of resamples of fewer songs says nothing.
_FEWEST_SONGS = 10
# Single ratings of fewer of the rated songs than this speak for another set of songs.
_LEAST_SHARE = 0.9


@dataclass(frozen=True)
class Ceiling:
    """Spread, error and reliability of the labels of one target.

    Attributes:
        label_sd: standard deviation of the labels between songs, on the data set's scale.
        standard_error: root mean square of the songs' standard errors, same scale.
        r2: the highest R2 that a perfect model could reach.
        interval: of `r2`, 95 %, from resampled songs; None for fewer than ten songs.
    """

    label_sd: float
    standard_error: float
    r2: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Estimate:
    """The ceiling of every target, found in one way.

    Attributes:
        method: "rater deviations" or "split-half".
        targets: one ceiling for each target.
    """

    method: str
    targets: tuple[Ceiling, ...]


def estimates(songs: Sequence[Song]) -> tuple[Estimate, ...]:
    """The ceiling in every way that the songs allow, the best first; empty where the raters are unknown.

    Single ratings come first, as they ask for no assumption about the divisor of a standard deviation; but only where
    nearly all songs with known raters have them.
    """
    found = [
        Estimate(method, targets)
        for method, targets in ((SPLIT_HALF, split_half(songs)), (DEVIATIONS, noise_ceiling(songs)))
        if targets is not None
    ]
    if len(found) == 2 and len(_with_ratings(songs)) < _LEAST_SHARE * len(_with_deviations(songs)):
        found.reverse()
    return tuple(found)


def noise_ceiling(songs: Sequence[Song]) -> tuple[Ceiling, ...] | None:
    """The ceiling per target over the songs whose raters are known, or None where fewer than two songs have them.

    `Song.target_std` is taken as the population (1/n) standard deviation of the n ratings of a song. The error
    variance of their mean is then std^2 / (n - 1). DEAM publishes this form: of its 3488 standard deviations up to
    song 2000, 99 % fit ten whole ratings from 1 to 9 with the divisor n and 15 % with n - 1.
    """
    known = _with_deviations(songs)
    if len(known) < 2:
        return None
    labels = np.array([song.targets for song in known])  # (song, target)
    std = np.array([song.target_std for song in known])  # (song, target)
    n_raters = np.array([song.n_raters for song in known], dtype=float)[:, None]  # (song, 1)
    errors = std**2 / (n_raters - 1)  # (song, target)
    if _without_spread(labels).any():
        return None
    variance = labels.var(axis=0, ddof=1)  # (target,)
    error_variance = errors.mean(axis=0)  # (target,)
    intervals = _deviation_intervals(labels, errors)
    return tuple(
        Ceiling(float(np.sqrt(v)), float(np.sqrt(e)), float(1 - e / v), interval)
        for v, e, interval in zip(variance, error_variance, intervals, strict=True)
    )


def split_half(songs: Sequence[Song], seed: int = 0, n_draws: int = N_DRAWS) -> tuple[Ceiling, ...] | None:
    """The ceiling per target from single ratings, or None where fewer than three songs have two of them.

    Raters differ from song to song, so halves are drawn within each song, floor(n / 2) ratings each; the correlation of
    their means over songs, averaged over the draws, is the reliability r of that many raters. The Spearman-Brown
    formula k r / (1 + (k - 1) r) steps it up to all raters; k is the ratio of the two numbers of raters, as harmonic
    means over the songs (2 where all songs have the same even number).

    Args:
        songs: those without single ratings are passed over.
        seed: of the halvings.
        n_draws: how many halvings are averaged.
    """
    known = _with_ratings(songs)
    if len(known) < 3:
        return None
    labels = np.array([song.targets for song in known])  # (song, target)
    n_raters = np.array([len(song.ratings or ()) for song in known])  # (song,)
    halves = _halves(known, n_raters, np.random.default_rng(seed), n_draws)  # (half, draw, song, target)
    k = float(np.mean(1 / (n_raters // 2)) / np.mean(1 / n_raters))
    ceilings = []
    for target in range(labels.shape[1]):
        one, other = halves[0, :, :, target], halves[1, :, :, target]  # (draw, song)
        if _without_spread(one.T).any() or _without_spread(other.T).any():
            return None
        r2 = float(_stepped_up(_correlation(one, other, np.ones((1, len(known)))), k)[0])
        sd = float(labels[:, target].std(ddof=1))
        interval = _split_half_interval(one[:_N_RESAMPLED_DRAWS], other[:_N_RESAMPLED_DRAWS], k)
        ceilings.append(Ceiling(sd, sd * float(np.sqrt(max(0.0, 1 - r2))), r2, interval))
    return tuple(ceilings)


def _without_spread(values: np.ndarray) -> np.ndarray:
    """Which columns are the same everywhere but for rounding; a variance of such values need not be 0."""
    return np.ptp(values, axis=0) <= 1e-9 * np.abs(values).max(axis=0)


def _with_deviations(songs: Sequence[Song]) -> list[Song]:
    return [song for song in songs if song.target_std is not None and (song.n_raters or 0) > 1]


def _with_ratings(songs: Sequence[Song]) -> list[Song]:
    return [song for song in songs if len(song.ratings or ()) > 1]


def _halves(songs: Sequence[Song], n_raters: np.ndarray, rng: np.random.Generator, n_draws: int) -> np.ndarray:
    """Means of two random halves of each song's raters, shape (2, n_draws, n_songs, n_targets)."""
    most = int(n_raters.max())
    n_targets = len(songs[0].targets)
    table = np.zeros((len(songs), most, n_targets))
    for row, song in zip(table, songs, strict=True):
        row[: len(song.ratings or ())] = song.ratings
    absent = np.arange(most) >= n_raters[:, None]  # (song, rater)
    place = np.arange(most)[None, :, None]  # (1, rater, 1)
    half = (n_raters // 2)[:, None, None]  # (song, 1, 1)
    halves = np.empty((2, n_draws, len(songs), n_targets))
    for draw in range(n_draws):
        order = np.argsort(np.where(absent, np.inf, rng.random(absent.shape)), axis=1)[:, :, None]
        shuffled = np.take_along_axis(table, order, axis=1)  # (song, rater, target)
        halves[0, draw] = np.where(place < half, shuffled, 0).sum(axis=1) / half[:, 0]
        halves[1, draw] = np.where((place >= half) & (place < 2 * half), shuffled, 0).sum(axis=1) / half[:, 0]
    return halves


def _correlation(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Pearson correlation of two halves over weighted songs, averaged over draws.

    Args:
        one: shape (n_draws, n_songs).
        other: same shape.
        weights: how often each song counts, shape (n_resamples, n_songs).

    Returns:
        Shape (n_resamples,).
    """
    share = weights / weights.sum(axis=1, keepdims=True)
    one, other = one - one.mean(axis=1, keepdims=True), other - other.mean(axis=1, keepdims=True)
    mean_one, mean_other = share @ one.T, share @ other.T  # (resample, draw)
    covariance = share @ (one * other).T - mean_one * mean_other
    variances = (share @ (one**2).T - mean_one**2) * (share @ (other**2).T - mean_other**2)
    # Undefined where a resample leaves songs without any spread; rounding must not make that a correlation beyond 1.
    r = np.divide(covariance, np.sqrt(np.maximum(variances, 0)), np.full(variances.shape, np.nan), where=variances > 0)
    averaged: np.ndarray = np.clip(r, -1, 1).mean(axis=1)
    return averaged


def _stepped_up(r: np.ndarray, k: float) -> np.ndarray:
    """Spearman-Brown: reliability of k times as many raters (Spearman 1910, Brown 1910, Br. J. Psychol. 3).

    The formula has no meaning for halves that contradict each other; they count as halves that have nothing in common.
    """
    shared = np.maximum(r, 0.0)
    stepped: np.ndarray = k * shared / (1 + (k - 1) * shared)
    return stepped


def _resampled(n_songs: int) -> np.ndarray | None:
    """How often each song counts in each resample, shape (n_resamples, n_songs); None for too few songs."""
    if n_songs < _FEWEST_SONGS:
        return None
    rng = np.random.default_rng([n_songs, _N_RESAMPLES])
    return rng.multinomial(n_songs, np.full(n_songs, 1 / n_songs), size=_N_RESAMPLES).astype(float)


def _deviation_intervals(labels: np.ndarray, errors: np.ndarray) -> list[tuple[float, float] | None]:
    weights = _resampled(len(labels))
    if weights is None:
        return [None] * labels.shape[1]
    n_songs = len(labels)
    centred = labels - labels.mean(axis=0)
    share = weights / n_songs
    variance = (share @ centred**2 - (share @ centred) ** 2) * n_songs / (n_songs - 1)  # (resample, target)
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = 1 - share @ errors / variance
    return [_percentiles(column) for column in r2.T]


def _split_half_interval(one: np.ndarray, other: np.ndarray, k: float) -> tuple[float, float] | None:
    weights = _resampled(one.shape[1])
    return None if weights is None else _percentiles(_stepped_up(_correlation(one, other, weights), k))


def _percentiles(values: np.ndarray) -> tuple[float, float] | None:
    """The middle 95 % of resampled values; None where some of them are undefined."""
    if not np.isfinite(values).all():
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
