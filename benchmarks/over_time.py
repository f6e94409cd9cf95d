"""How fast does a ridge over time choose its strength, against scikit-learn's `GridSearchCV` on the same parts?

Both sides try 29 strengths on five parts of the training songs, frames of a song kept together, for two targets, at the
size of the demo, 60 moments a song. scikit-learn solves anew for every strength, part and
target; ours decomposes each part's matrix once. Run from anywhere:

    python benchmarks/over_time.py --rounds 5 --json over_time.json
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, PredefinedSplit

from affekt.training.ridge import ALPHAS, N_PARTS, errors_by_parts
from common import Row, compare, gemm_rate, machine, parse_options, table, write_json

N_FRAMES, N_TARGETS = 60, 2


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    options = parse_options("Time the choice of a ridge's strength over time against scikit-learn.", rounds=5)
    print(f"{machine()}, matrix product {gemm_rate(options.rounds) / 1e9:.0f} GFLOP/s, {options.rounds} rounds\n")
    rows = [_row(n_songs, dim, options.rounds) for n_songs, dim in ((77, 50), (77, 200))]
    print(table(rows, "affekt.training", "scikit-learn"))
    if options.json:
        write_json(options.json, rows)


def _row(n_songs: int, dim: int, rounds: int) -> Row:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n_songs * N_FRAMES, dim))
    y = x @ rng.standard_normal((dim, N_TARGETS)) + 10 * rng.standard_normal((len(x), N_TARGETS))
    part = np.repeat(rng.permutation(n_songs) % N_PARTS, N_FRAMES)  # (frame,)
    return compare(
        f"strength of ridge, {n_songs} songs x {N_FRAMES} moments, {dim} dimensions",
        candidate=lambda: errors_by_parts(x, y, part),
        baseline=lambda: _grid_search(x, y, part),
        rounds=rounds,
        flop=2 * len(x) * dim * dim * (N_PARTS - 1) + 2 * len(x) * dim * (dim + len(ALPHAS) * N_TARGETS),
    )


def _grid_search(x: np.ndarray, y: np.ndarray, part: np.ndarray) -> object:
    grid = {"alpha": ALPHAS}
    searches = [GridSearchCV(Ridge(), grid, cv=PredefinedSplit(part), scoring="neg_mean_squared_error") for _ in y.T]
    return [search.fit(x, column).best_params_ for search, column in zip(searches, y.T, strict=True)]


if __name__ == "__main__":
    main()
