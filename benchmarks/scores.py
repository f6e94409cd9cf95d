"""How fast do predictions become scores with intervals, against `scipy.stats.bootstrap`?

Both sides compute the 95 % BCa interval of R2 from 2000 resamples, for every encoder and target, averaged over seeds,
at the size of DEAM. Ours draws the resamples once for all of them, which also pairs the differences, and brings RMSE,
MAE, Pearson's r and CCC along; scipy's draws anew for each statistic. Run from anywhere:

    python benchmarks/scores.py --rounds 5 --json scores.json
"""

from __future__ import annotations

import numpy as np
from scipy.stats import bootstrap as scipy_bootstrap

from affekt.evaluation.statistics import N_RESAMPLES, bootstrap, weighted_scores
from common import Row, compare, gemm_rate, machine, parse_options, table, write_json

N_SONGS, N_TARGETS, N_SEEDS = 1802, 2, 3


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    options = parse_options("Time scores with BCa intervals against scipy.", rounds=5)
    print(f"{machine()}, matrix product {gemm_rate(options.rounds) / 1e9:.0f} GFLOP/s, {options.rounds} rounds\n")
    rows = [_row(n_encoders, options.rounds) for n_encoders in (1, 4)]
    print(table(rows, "affekt.evaluation", "scipy"))
    if options.json:
        write_json(options.json, rows)


def _row(n_encoders: int, rounds: int) -> Row:
    rng = np.random.default_rng(0)
    y_true = rng.normal(5, 1, (N_SONGS, N_TARGETS))
    noise = rng.normal(0, 1, (n_encoders, N_SEEDS, N_SONGS, N_TARGETS))
    y_pred = 5 + 0.5 * (y_true - 5) + 0.5 * noise  # (encoder, seed, song, target)
    n_sums = 8 * n_encoders * N_SEEDS * N_TARGETS
    return compare(
        f"R² of {n_encoders} encoder(s), {N_TARGETS} targets, {N_SEEDS} seeds, {N_SONGS} songs",
        candidate=lambda: _ours(y_true, y_pred),
        baseline=lambda: _scipy(y_true, y_pred),
        rounds=rounds,
        flop=2 * (N_RESAMPLES + N_SONGS) * N_SONGS * n_sums,
    )


def _ours(y_true: np.ndarray, y_pred: np.ndarray) -> object:
    statistics = [weighted_scores(y_true, pred) for pred in y_pred]
    drawn = bootstrap(lambda w: np.stack([one(w) for one in statistics], axis=1), N_SONGS, seed=0)
    return drawn.interval()


def _scipy(y_true: np.ndarray, y_pred: np.ndarray) -> object:
    rng = np.random.default_rng(0)
    return [
        scipy_bootstrap(
            (y_true[:, target], *pred[:, :, target]),
            _mean_r2,
            n_resamples=N_RESAMPLES,
            paired=True,
            vectorized=True,
            method="BCa",
            batch=256,
            rng=rng,
        )
        for pred in y_pred
        for target in range(N_TARGETS)
    ]


def _mean_r2(y_true: np.ndarray, *by_seed: np.ndarray, axis: int) -> np.ndarray:
    """R2 averaged over seeds, songs along `axis`."""
    spread = np.sum((y_true - y_true.mean(axis=axis, keepdims=True)) ** 2, axis=axis)
    return np.mean([1 - np.sum((pred - y_true) ** 2, axis=axis) / spread for pred in by_seed], axis=0)


if __name__ == "__main__":
    main()
