"""The noise ceiling: how well a model could score at most, given how much the raters disagree.

A song's label is the mean of few ratings, so it carries an error of its own. Per target,

    ceiling = 1 - mean(error variance of a song's mean) / variance of the labels

is the reliability of the labels. No model can exceed it in R2, except by chance (Lord & Novick 1968, chapter 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from affekt.data.base import Song


@dataclass(frozen=True)
class Ceiling:
    """Spread, error and reliability of the labels of one target.

    Attributes:
        label_sd: standard deviation of the labels between songs, on the data set's scale.
        standard_error: root mean square of the songs' standard errors, same scale.
        r2: the highest R2 that a perfect model could reach.
    """

    label_sd: float
    standard_error: float
    r2: float


def noise_ceiling(songs: Sequence[Song]) -> tuple[Ceiling, ...] | None:
    """The ceiling per target over the songs whose raters are known, or None where fewer than two songs have them.

    `Song.target_std` is taken as the population (1/n) standard deviation of the n ratings of a song. The error
    variance of their mean is then std^2 / (n - 1). DEAM publishes this form: of its 3488 standard deviations up to
    song 2000, 99 % fit ten whole ratings from 1 to 9 with the divisor n and 15 % with n - 1.
    """
    known = [song for song in songs if song.target_std is not None and (song.n_raters or 0) > 1]
    if len(known) < 2:
        return None
    labels = np.array([song.targets for song in known])  # (song, target)
    std = np.array([song.target_std for song in known])  # (song, target)
    n_raters = np.array([song.n_raters for song in known], dtype=float)[:, None]  # (song, 1)
    error_variance = (std**2 / (n_raters - 1)).mean(axis=0)  # (target,)
    variance = labels.var(axis=0, ddof=1)  # (target,)
    if np.any(variance == 0):
        return None
    r2 = 1 - error_variance / variance
    rows = zip(np.sqrt(variance), np.sqrt(error_variance), r2, strict=True)
    return tuple(Ceiling(float(sd), float(error), float(value)) for sd, error, value in rows)
