"""Prints the tables of docs/method.md on how far intervals, tests and verdicts can be trusted.

    python docs/make_simulation.py                       all tables, as Markdown (about 25 minutes on one core)
    python docs/make_simulation.py coverage              one of: coverage, power, trained, several
    python docs/make_simulation.py --comparisons 8000    more comparisons in each row: smaller Monte-Carlo errors

The first two tables draw predictions from a distribution with a known R2 (`affekt.evaluation.simulation`). The others
train: encoders whose embeddings follow the same distribution, so that none is better, are compared by the ridge head
over artist-free folds, as a run compares them. A row's random numbers depend on its settings and the seed alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from affekt.data.splits import Fold
from affekt.evaluation.results import Prediction, Results
from affekt.evaluation.scores import score
from affekt.evaluation.simulation import N_FOLDS, N_REPETITIONS, Scenario, measure, monte_carlo_error
from affekt.evaluation.statistics import (
    SCORES,
    bootstrap,
    corrected_resampled_t_test,
    sign_flip_test,
    verdict_words,
    weighted_scores,
)
from affekt.evaluation.words import unconfirmed
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


def several(options: argparse.Namespace) -> Iterator[str]:
    """Without any difference among several encoders: how often the first place is called better than somebody."""
    n_songs, n_comparisons, targets = 200, 120, ("one", "other")
    yield (
        f"Encoders whose embeddings follow one distribution; ridge head, {N_FOLDS} folds x {N_REPETITIONS} seeds, "
        f"{n_songs} songs, {n_comparisons} comparisons with two targets each; in per cent."
    )
    yield ""
    yield "| encoders | the first place is called better than somebody | and folds and Holm confirm it |"
    yield "|---|---|---|"
    for n_encoders in (2, 4):
        seeds = ([options.seed, n_encoders, number] for number in range(n_comparisons))
        found = [_first_place(n_songs, n_encoders, targets, seed) for seed in seeds]
        yield _row(n_encoders, *map(_percent, np.concatenate(found).mean(axis=0)))


def _first_place(n_songs: int, n_encoders: int, targets: tuple[str, ...], seed: list[int]) -> np.ndarray:
    """For each target: is the first place called better than any other, and without reservation, (n_targets, 2)."""
    trained = _train(n_songs, n_encoders, len(targets), np.random.default_rng(seed))
    predictions = [
        Prediction(f"encoder {e}", s, int(trained.folds[s][i]), str(i), target, *map(float, (true, pred[s, i, t])))
        for e, pred in enumerate(trained.y_pred)
        for s in range(N_REPETITIONS)
        for t, target in enumerate(targets)
        for i, true in enumerate(trained.y_true[:, t])
    ]
    encoders = [{"label": f"encoder {e}"} for e in range(n_encoders)]
    songs = [{"id": str(i), "artist": None} for i in range(n_songs)]
    scores = score(Results({"name": "simulated"}, list(targets), encoders, songs, predictions), 1000)
    outcomes = []
    for target in targets:
        best, *others = scores.ranking(target)
        beaten = [o for o in others if verdict_words(scores.difference(best, o, target)[1:]) == "better"]
        outcomes.append([bool(beaten), len(beaten) > len(unconfirmed(scores, target, best))])
    return np.array(outcomes)


TABLES: dict[str, Callable[[argparse.Namespace], Iterator[str]]] = {
    "coverage": coverage,
    "power": power,
    "trained": trained,
    "several": several,
}


def _trained_pair(n_songs: int, seed: list[int]) -> np.ndarray:
    """Outcomes of one pair of encoders on each label, shape (5, N_LABELS), in the order of the table's columns."""
    trained = _train(n_songs, 2, N_LABELS, np.random.default_rng(seed))
    y_true, (first, second), folds = trained
    one, other = (weighted_scores(y_true, y_pred) for y_pred in trained.y_pred)
    resampled = bootstrap(
        lambda w: np.stack([one(w)[:, _R2], other(w)[:, _R2]], axis=1), n_songs, None, 1000, seed=seed[-1]
    )
    interval = resampled.apply(lambda values: values[..., 0, :] - values[..., 1, :]).interval()
    shown = (interval.low > 0) | (interval.high < 0)
    gain = ((second - y_true) ** 2 - (first - y_true) ** 2).mean(axis=0)
    by_folds = _p_folds(y_true, first, second, folds) <= 0.05
    by_songs = sign_flip_test(gain, None, 499, seed=seed[-1]) <= 0.05
    return np.stack([resampled.observed[0], ~shown, by_songs, by_folds, shown & by_folds])


class Trained(NamedTuple):
    """What heads on encoders that are alike predicted."""

    y_true: np.ndarray  # (n_songs, n_labels)
    y_pred: list[np.ndarray]  # for each encoder (n_seeds, n_songs, n_labels)
    folds: list[np.ndarray]  # for each seed (n_songs,)


def _train(n_songs: int, n_encoders: int, n_labels: int, rng: np.random.Generator) -> Trained:
    """Draw labels and the embeddings of encoders that follow one distribution, and predict by folds and seeds."""
    heard = rng.standard_normal((n_songs, N_SIGNAL))
    direction = rng.standard_normal((N_SIGNAL, n_labels))
    signal = heard @ (direction / np.linalg.norm(direction, axis=0))
    y_true = np.sqrt(AUDIBLE) * signal + np.sqrt(1 - AUDIBLE) * rng.standard_normal((n_songs, n_labels))
    folds = [rng.permutation(n_songs) % N_FOLDS for _ in range(N_REPETITIONS)]
    rotation = np.linalg.qr(rng.standard_normal((N_SIGNAL + N_OTHER, N_SIGNAL + N_OTHER)))[0]
    y_pred = []
    for _ in range(n_encoders):
        clear = heard + SIGNAL_NOISE * rng.standard_normal(heard.shape)
        embedding = np.hstack([clear, OTHER_NOISE * rng.standard_normal((n_songs, N_OTHER))]) @ rotation
        y_pred.append(np.stack([_cross_predicted(embedding, y_true, fold) for fold in folds]))
    return Trained(y_true, y_pred, folds)


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
