"""How wide an interval must be to hold the annotation of a new song: split conformal prediction.

The absolute errors on songs that were not trained on, sorted, say how far off a model is; the interval is the
prediction plus and minus the error that a stated share of songs does not exceed. Nothing is assumed of how errors are
distributed, only that a new song comes from where those songs came from.

Source: Lei, G'Sell, Rinaldo, Tibshirani & Wasserman 2018, JASA 113(523):1094-1111.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from affekt.errors import DataError
from affekt.evaluation.results import Results

#: The share of songs whose annotation the interval is to hold.
COVERAGE = 0.9


class Widths(NamedTuple):
    """Half widths of intervals, and how often such intervals held.

    Attributes:
        half: one for each target, on the data set's scale, shape (n_targets,).
        measured: share of songs of each fold inside the interval that the other folds give, (n_targets,).
        n_songs: how many songs stand behind it.
    """

    half: np.ndarray
    measured: np.ndarray
    n_songs: int


def widths(results: Results, encoder: str, coverage: float = COVERAGE) -> Widths:
    """From the predictions of one encoder for songs that it was not trained on.

    Raises:
        DataError: so few songs that no interval can hold so many of them.
    """
    folds = _by_fold(results, encoder)
    errors = np.concatenate([error for _, _, error in folds])
    n_songs = max(sum(len(error) for seed, _, error in folds if seed == one) for one in {seed for seed, _, _ in folds})
    return Widths(half_widths(errors, coverage, n_songs), _measured(folds, coverage), n_songs)


def half_widths(errors: np.ndarray, coverage: float, n_songs: int | None = None) -> np.ndarray:
    """The error that is not exceeded by so many songs, with the correction for their number.

    Args:
        errors: absolute errors, (n, n_targets); with several seeds each song stands there several times.
        coverage: 0 to 1.
        n_songs: how many songs there are.

    Raises:
        DataError: there are too few of them.
    """
    n = len(errors) if n_songs is None else n_songs
    if n < fewest(coverage):
        raise DataError(
            f"{n} songs were predicted by folds; an interval with {coverage:.0%} coverage needs at least "
            f"{fewest(coverage)}. Take more songs."
        )
    level = np.ceil((n + 1) * coverage - 1e-9) / n
    found: np.ndarray = np.quantile(errors, level, axis=0, method="inverted_cdf")
    return found


def fewest(coverage: float) -> int:
    """The number of songs below which no interval can promise so much."""
    return int(np.ceil(coverage / (1 - coverage) - 1e-9))


def _by_fold(results: Results, encoder: str) -> list[tuple[int, int, np.ndarray]]:
    """Seed, fold, and absolute errors (n_songs, n_targets) of each."""
    column = {target: i for i, target in enumerate(results.targets)}
    found: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    for p in results.predictions:
        if p.encoder == encoder:
            row = found.setdefault((p.seed, p.fold), {}).setdefault(p.song_id, np.full(len(column), np.nan))
            row[column[p.target]] = abs(p.y_true - p.y_pred)
    return [(seed, fold, np.stack(list(rows.values()))) for (seed, fold), rows in found.items()]


def _measured(folds: Sequence[tuple[int, int, np.ndarray]], coverage: float) -> np.ndarray:
    """Each fold against the intervals of the seed's others; NaN where these are too few songs."""
    held = []
    for seed, fold, errors in folds:
        others = [error for s, f, error in folds if s == seed and f != fold]
        if sum(map(len, others)) >= fewest(coverage):
            held.append(errors <= half_widths(np.concatenate(others), coverage))
    return np.concatenate(held).mean(axis=0) if held else np.full(folds[0][2].shape[1], np.nan)
