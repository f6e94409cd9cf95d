"""Prints the tables of docs/method.md on how far intervals, tests and verdicts can be trusted.

    python docs/make_simulation.py                       all tables, as Markdown (about 15 minutes on one core)
    python docs/make_simulation.py coverage              one of: coverage, power, trained
    python docs/make_simulation.py --comparisons 8000    more comparisons in each row: smaller Monte-Carlo errors

The first two tables draw predictions from a distribution with a known R2 (`affekt.evaluation.simulation`). The third
trains: two encoders whose embeddings follow the same distribution, so that neither is better, are compared by the ridge
head over artist-free folds, as a run compares them. A row's random numbers depend on its settings and the seed alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator

import numpy as np

from affekt.data.splits import Fold
from affekt.evaluation.simulation import N_FOLDS, N_REPETITIONS, Scenario, measure, monte_carlo_error
from affekt.evaluation.statistics import (
    SCORES,
    bootstrap,
    corrected_resampled_t_test,
    sign_flip_test,
    weighted_scores,
)
from affekt.training.ridge import fit_ridge
from affekt.training.table import ClipTable, Task

SIZES = (100, 400, 1800)
DIFFERENCES = (0.02, 0.05, 0.10)
#: Labels of a trained comparison: each is predicted from the same embeddings and is a comparison of its own.
N_LABELS = 10
#: Of an embedding: dimensions that carry the label, others, and the noise on both.
N_SIGNAL, N_OTHER, SIGNAL_NOISE, OTHER_NOISE = 8, 56, 0.6, 0.3
#: Share of a label's variance that perfect hearing would explain.
AUDIBLE = 0.6

_R2 = SCORES.index("r2")


def main() -> int:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description="How far intervals, tests and verdicts can be trusted.")
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], help="which; all by default")
    parser.add_argument("--comparisons", type=int, default=4000, help="in each row of the first two tables")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.tables or TABLES:
        for line in TABLES[name](options):
            print(line, flush=True)
        print()
    return 0


def coverage(options: argparse.Namespace) -> Iterator[str]:
    """Without any difference: what the intervals hold, how often the verdict is right, how often tests reject."""
    error = monte_carlo_error(0.95, options.comparisons)
    yield (
        f"{options.comparisons} comparisons in each row, population R² .5; all shares in per cent, with a Monte-Carlo "
        f"error of {100 * error:.1f} near 95."
    )
    yield ""
    yield (
        "| songs | artists | labels | second encoder | R² in its interval | difference in its interval "
        '| the same, plain BCa | "no difference shown" | p songs ≤ .05 | p folds ≤ .05 |'
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for n_songs in SIZES:
        for artists in (False, True):
            for heavy in (False, True):
                for predictions in ("alike", "unlike"):
                    found = measure(
                        Scenario(n_songs, artists, heavy, predictions), options.comparisons, seed=options.seed
                    )
                    shares = (found.r2_covered, found.covered, found.covered_plain, found.no_difference)
                    yield _row(
                        n_songs,
                        "1 to 5 songs each" if artists else "none",
                        "heavy tails" if heavy else "normal",
                        predictions,
                        *map(_percent, (*shares, found.sign_flip, found.over_folds)),
                    )


def power(options: argparse.Namespace) -> Iterator[str]:
    """With a difference: how often it is found."""
    yield (
        f'Share called "better", in per cent; {options.comparisons} comparisons in each cell, normal labels, both '
        "encoders alike, the better one at R² .5."
    )
    yield ""
    yield "| songs | artists | " + " | ".join(f"difference {d:.2f}" for d in DIFFERENCES) + " |"
    yield "|---|---|" + "---|" * len(DIFFERENCES)
    for n_songs in SIZES:
        for artists in (False, True):
            scenarios = [Scenario(n_songs, artists, difference=difference) for difference in DIFFERENCES]
            found = [measure(one, options.comparisons, n_permutations=1, seed=options.seed).better for one in scenarios]
            yield _row(n_songs, "1 to 5 songs each" if artists else "none", *map(_percent, found))


def trained(options: argparse.Namespace) -> Iterator[str]:
    """Without any difference, with heads that are trained on some of the songs and scored on the others."""
    yield (
        f"Two encoders whose embeddings ({N_SIGNAL + N_OTHER} dimensions) follow one distribution; ridge head, "
        f"{N_FOLDS} folds x {N_REPETITIONS} seeds."
    )
    yield ""
    yield (
        '| songs | comparisons | mean R² | "no difference shown" | p songs ≤ .05 | p folds ≤ .05 '
        "| a difference shown and p folds ≤ .05 |"
    )
    yield "|---|---|---|---|---|---|---|"
    for n_songs, n_pairs in zip(SIZES, (150, 100, 40), strict=True):
        found = [_trained_pair(n_songs, [options.seed, n_songs, number]) for number in range(n_pairs)]
        shares = np.concatenate(found, axis=1).mean(axis=1)
        yield _row(n_songs, n_pairs * N_LABELS, f"{shares[0]:.2f}", *map(_percent, shares[1:]))


TABLES: dict[str, Callable[[argparse.Namespace], Iterator[str]]] = {
    "coverage": coverage,
    "power": power,
    "trained": trained,
}


def _trained_pair(n_songs: int, seed: list[int]) -> np.ndarray:
    """Outcomes of one pair of encoders on each label, shape (5, N_LABELS), in the order of the table's columns."""
    rng = np.random.default_rng(seed)
    heard = rng.standard_normal((n_songs, N_SIGNAL))
    direction = rng.standard_normal((N_SIGNAL, N_LABELS))
    signal = heard @ (direction / np.linalg.norm(direction, axis=0))
    y_true = np.sqrt(AUDIBLE) * signal + np.sqrt(1 - AUDIBLE) * rng.standard_normal((n_songs, N_LABELS))
    folds = [rng.permutation(n_songs) % N_FOLDS for _ in range(N_REPETITIONS)]
    rotation = np.linalg.qr(rng.standard_normal((N_SIGNAL + N_OTHER, N_SIGNAL + N_OTHER)))[0]
    statistics = []
    for _ in range(2):
        clear = heard + SIGNAL_NOISE * rng.standard_normal(heard.shape)
        embedding = np.hstack([clear, OTHER_NOISE * rng.standard_normal((n_songs, N_OTHER))]) @ rotation
        y_pred = np.stack([_cross_predicted(embedding, y_true, fold) for fold in folds])  # (seed, song, label)
        statistics.append((y_pred, weighted_scores(y_true, y_pred)))
    (first, one), (second, other) = statistics
    resampled = bootstrap(
        lambda w: np.stack([one(w)[:, _R2], other(w)[:, _R2]], axis=1), n_songs, None, 1000, seed=seed[-1]
    )
    interval = resampled.apply(lambda values: values[..., 0, :] - values[..., 1, :]).interval()
    shown = (interval.low > 0) | (interval.high < 0)
    gain = ((second - y_true) ** 2 - (first - y_true) ** 2).mean(axis=0)
    by_folds = _p_folds(y_true, first, second, folds) <= 0.05
    by_songs = sign_flip_test(gain, None, 499, seed=seed[-1]) <= 0.05
    return np.stack([resampled.observed[0], ~shown, by_songs, by_folds, shown & by_folds])


def _cross_predicted(embedding: np.ndarray, y_true: np.ndarray, fold_of: np.ndarray) -> np.ndarray:
    """What the ridge head predicts for each song from the songs of the other folds, (n_songs, n_labels)."""
    ids = [str(i) for i in range(len(y_true))]
    table = ClipTable({i: row[None] for i, row in zip(ids, embedding, strict=True)})
    labels = dict(zip(ids, y_true, strict=True))
    y_pred = np.empty_like(y_true)
    for number in range(N_FOLDS):
        train, test = np.flatnonzero(fold_of != number), np.flatnonzero(fold_of == number)
        fold = Fold(tuple(ids[i] for i in train), (), tuple(ids[i] for i in test))
        predictions = fit_ridge(Task(table, labels, fold, seed=0)).predictions
        y_pred[test] = [predictions[ids[i]] for i in test]
    return y_pred


def _p_folds(y_true: np.ndarray, first: np.ndarray, second: np.ndarray, folds: list[np.ndarray]) -> np.ndarray:
    """The corrected t-test over the folds of all seeds, (n_labels,)."""
    differences = []
    for repetition, fold_of in enumerate(folds):
        masks = (fold_of == np.arange(N_FOLDS)[:, None]).astype(float)
        r2 = [weighted_scores(y_true, pred[[repetition]])(masks)[:, _R2] for pred in (first, second)]
        differences.append(r2[0] - r2[1])
    n_test = len(y_true) / N_FOLDS
    return corrected_resampled_t_test(np.concatenate(differences), len(y_true) - n_test, n_test)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    sys.exit(main())
