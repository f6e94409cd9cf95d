"""Every two encoders side by side: the difference of their R2, and two tests of whether chance alone could make it.

Conventions: `p_songs` asks whether the squared errors would look the same with the two names exchanged, song by song
(artist by artist). `p_folds` asks whether another training and test set would turn the difference. A test set that
several seeds share counts once, with the mean of its seeds: the same songs scored again are no new evidence. Test sets
are matched by their songs, not by their numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from affekt.evaluation import metrics
from affekt.evaluation.statistics import corrected_resampled_t_test, sign_flip_test, verdict_words

if TYPE_CHECKING:
    from affekt.evaluation.scores import Scores

Pair = tuple[str, str, str]  # target, first encoder, second encoder
TestSets = dict[bytes, tuple[int, np.ndarray]]  # by its songs: their number, and R2 averaged over seeds (n_targets,)


def pair_rows(scores: Scores) -> list[dict[str, Any]]:
    """One row for each two encoders with a defined R2 on each target, without the adjustment for their number."""
    pairs = [(target, *pair) for target in scores.results.targets for pair in combinations(scores.ranking(target), 2)]
    by_songs = _p_songs(scores, pairs)
    return [_row(scores, pair, float(p)) for pair, p in zip(pairs, by_songs, strict=True)]


def fold_test(scores: Scores, weights: Mapping[str, float], target: str | None) -> float:
    """The corrected resampled t-test of a weighted sum of R2 over the test sets that the encoders have in common.

    Args:
        scores: the comparison.
        weights: by encoder; 1 and -1 for a difference.
        target: None for R2 averaged over targets.

    Returns:
        p, unadjusted; NaN with fewer than two test sets in common.
    """
    columns = slice(None) if target is None else [scores.results.targets.index(target)]
    found = [scores.r2_of_test_sets[encoder] for encoder in weights]
    common = [songs for songs in found[0] if all(songs in others for others in found)]
    sizes = np.array([found[0][songs][0] for songs in common])
    r2 = np.array([[one[songs][1][columns].mean() for one in found] for songs in common]).reshape(-1, len(found))
    contrast = r2 @ np.array(list(weights.values()))  # (n_test_sets,)
    return contrast_test(scores, sizes, contrast, list(weights))


def contrast_test(scores: Scores, sizes: np.ndarray, contrast: np.ndarray, encoders: Sequence[str]) -> float:
    """The corrected resampled t-test that a contrast of scores is 0 on average.

    Args:
        scores: the comparison.
        sizes: number of songs of each test set, shape (n_test_sets,).
        contrast: of the encoders' scores on each, same shape; NaN where it is undefined.
        encoders: whose fits tell how many songs train.

    Returns:
        p, unadjusted; NaN with fewer than two test sets.
    """
    defined = ~np.isnan(contrast)
    if defined.sum() < 2:
        return np.nan
    n_test = float(sizes[defined].mean())
    return float(corrected_resampled_t_test(contrast[defined], _n_train(scores, n_test, *encoders), n_test))


def pair_row(
    target: str, first: str, second: str, difference: tuple[float, float, float], **tests: float
) -> dict[str, Any]:
    """One row: the difference with the ends of its interval, the verdict that follows from them, and tests."""
    value, low, high = difference
    named = {"target": target, "first": first, "second": second}
    return {**named, "difference": value, "low": low, "high": high, "verdict": verdict_words((low, high)), **tests}


def test_sets_of(scores: Scores, encoder: str) -> TestSets:
    """R2 of an encoder on every set of songs that was tested together, averaged over the seeds that share it."""
    r2 = scores.fold_r2(encoder)
    by_songs: dict[bytes, list[np.ndarray]] = defaultdict(list)
    size: dict[bytes, int] = {}
    for key, tested in scores.test_sets(encoder).items():
        if key in r2:
            by_songs[tested.tobytes()].append(r2[key])
            size[tested.tobytes()] = int(tested.sum())
    return {songs: (size[songs], np.mean(found, axis=0)) for songs, found in by_songs.items()}


def _row(scores: Scores, pair: Pair, p_songs: float) -> dict[str, Any]:
    target, first, second = pair
    p_folds = fold_test(scores, {first: 1.0, second: -1.0}, target)
    return pair_row(*pair, scores.difference(first, second, target), p_songs=p_songs, p_folds=p_folds)


def _p_songs(scores: Scores, pairs: list[Pair]) -> np.ndarray:
    """Shape (n_pairs,); NaN where the two encoders have other annotations, or fewer than two songs in common."""
    if not pairs:
        return np.empty(0)
    loss = {e: metrics.mean_over_seeds((scores.y_pred[e] - scores.truth[e]) ** 2) for e in scores.encoders}
    columns = [scores.results.targets.index(target) for target, _, _ in pairs]
    gain = np.stack([loss[b][:, k] - loss[a][:, k] for (_, a, b), k in zip(pairs, columns, strict=True)], axis=1)
    # A song that only one of the two was tested on adds 0 to every sum, whatever its sign; so one draw serves all.
    p = sign_flip_test(np.nan_to_num(gain, nan=0.0), scores.groups, seed=scores.seed)
    alike = [_same_truth(scores, *pair) for pair in pairs]
    return np.where(alike & ((~np.isnan(gain)).sum(axis=0) >= 2), p, np.nan)


def _same_truth(scores: Scores, target: str, first: str, second: str) -> bool:
    column = scores.results.targets.index(target)
    return np.array_equal(scores.truth[first][:, column], scores.truth[second][:, column])


def _n_train(scores: Scores, n_test: float, *encoders: str) -> float:
    """Songs that a fit has seen, on average; all that it did not test, where the results do not say.

    Validation songs count: they choose the epoch, and a closed form trains on them.
    """
    seen = [
        fit["n_train"] + fit.get("n_validation", 0)
        for fit in scores.results.fits
        if fit["encoder"] in encoders and "n_train" in fit
    ]
    return float(np.mean(seen)) if seen else len(scores.results.songs) - n_test
