"""How sure a score is: intervals, paired differences and tests over songs.

Conventions: the unit is the song, or the artist where artists are known (songs of an artist are drawn together). A
statistic is computed for each seed, then averaged over seeds, within each resample. Intervals are 95 % BCa, widened for
few artists, unless asked otherwise. Every draw comes from a generator made from `seed`, so that the same call gives the
same interval. What is undefined is NaN, without a warning; what cannot be used is a `ShapeError`.

A statistic is a function of *weights*: how often each song counts. With weights of shape (n_resamples, n_songs), all
resamples of all encoders, targets and scores are a few matrix products, and all of them see the same resamples, which
is what pairs the differences. `scipy.stats.bootstrap` computes the same interval (a test compares them) but draws anew
for every statistic, knows no groups, and copies the songs n_songs times for the jackknife: minutes instead of a second.
How often intervals hold the truth and tests hold their size is measured by `affekt.evaluation.simulation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from affekt.errors import ShapeError
from affekt.evaluation.metrics import LARGEST, QUADRANTS, quadrant_scores, quadrants, ratio, scaled

N_RESAMPLES = 2000
CONFIDENCE = 0.95
LEVEL = 0.05  # a test rejects at or below this
SCORES = ("rmse", "mae", "r2", "pearson", "ccc")

# Rows of weights handled at once: bounds memory to a few hundred MB at 50,000 songs.
_BLOCK = 256

Statistic = Callable[[np.ndarray], np.ndarray]  # weights (rows, n_songs) -> values (rows, ...)


class Interval(NamedTuple):
    """A value with its confidence interval; all three of shape (...), as the statistic returns them.

    `low` and `high` are NaN where some resample leaves the statistic undefined: there are too few songs for one.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Resampled(NamedTuple):
    """A statistic on all songs, on every bootstrap resample, and with each group of songs left out once.

    Two of them that were drawn with the same songs, groups and seed can be subtracted: `first - second`.
    """

    observed: np.ndarray  # (...)
    resamples: np.ndarray  # (n_resamples, ...)
    jackknife: np.ndarray  # (n_groups, ...)

    def __sub__(self, other: Resampled) -> Resampled:
        return Resampled(*(mine - theirs for mine, theirs in zip(self, other, strict=True)))

    def select(self, *index: int | slice) -> Resampled:
        """The part of the statistic at `index`."""
        return self.apply(lambda values: values[(..., *index)])

    def apply(self, function: Callable[[np.ndarray], np.ndarray]) -> Resampled:
        """A function of the statistic, such as a contrast or a mean over targets; it must leave leading axes alone."""
        return Resampled(*(function(values) for values in self))

    def interval(self, confidence: float = CONFIDENCE, *, widened: bool = True) -> Interval:
        """The bias-corrected and accelerated (BCa) interval.

        Plain BCa is too narrow for few groups, as any bootstrap interval that knows no Student's t. So the normal
        quantile z of its levels is replaced by sqrt(n / (n - 1)) * t for n groups (Hesterberg's expansion), where t
        has not n - 1 degrees of freedom but as many as the influences of the groups support (Satterthwaite): a few
        loud groups say less about the spread than many equal ones. Above a thousand groups hardly anything changes.

        Args:
            confidence: between 0 and 1.
            widened: False for the plain interval.

        Raises:
            ShapeError: the confidence is not between 0 and 1.

        Sources: Efron (1987), Journal of the American Statistical Association 82(397):171-185. Hesterberg (2015), The
        American Statistician 69(4):371-386. Satterthwaite (1946), Biometrics Bulletin 2(6):110-114.
        """
        if not 0 < confidence < 1:
            raise ShapeError(f"a confidence of {confidence}; it must lie between 0 and 1, such as 0.95.")
        flat = Resampled(self.observed.ravel(), *(v.reshape(len(v), -1) for v in (self.resamples, self.jackknife)))
        low, high = (bound.reshape(self.observed.shape) for bound in _bca(flat, confidence, widened))
        return Interval(self.observed, low, high)


def bootstrap_interval(
    statistic: Statistic,
    n_songs: int,
    groups: Sequence[Any] | None = None,
    n_resamples: int = N_RESAMPLES,
    confidence: float = CONFIDENCE,
    *,
    seed: int,
) -> Interval:
    """A statistic with its BCa bootstrap interval over songs.

    Args:
        statistic: weights (rows, n_songs) -> values (rows, ...); `weighted_scores` makes one from predictions.
        n_songs: how many songs there are.
        groups: a label for each song (its artist); songs with the same label are drawn together. None: each by itself.
        n_resamples: how many resamples to draw.
        confidence: between 0 and 1.
        seed: of the generator.

    Returns:
        Value, low and high, each of the shape that the statistic has for one row. With a single group, or songs so
        few that a resample leaves the statistic undefined, low and high are NaN.

    Raises:
        ShapeError: fewer than two songs, not one group label for each song, no resample, or a confidence that is not
            between 0 and 1.
    """
    return bootstrap(statistic, n_songs, groups, n_resamples, seed=seed).interval(confidence)


def paired_difference(
    first: Statistic,
    second: Statistic,
    n_songs: int,
    groups: Sequence[Any] | None = None,
    n_resamples: int = N_RESAMPLES,
    confidence: float = CONFIDENCE,
    *,
    seed: int,
) -> Interval:
    """`first - second` with its BCa interval, both computed on the same resamples. Arguments: `bootstrap_interval`."""
    return bootstrap_interval(lambda w: first(w) - second(w), n_songs, groups, n_resamples, confidence, seed=seed)


def bootstrap(
    statistic: Statistic,
    n_songs: int,
    groups: Sequence[Any] | None = None,
    n_resamples: int = N_RESAMPLES,
    *,
    seed: int,
) -> Resampled:
    """A statistic on resamples of songs and with each group left out. Arguments and errors: `bootstrap_interval`."""
    members = _group_index(n_songs, groups)
    if n_resamples < 1:
        raise ShapeError(f"{n_resamples} resamples; an interval needs at least one, and deserves {N_RESAMPLES}.")
    drawn = _resample_weights(members, n_resamples, np.random.default_rng(seed))
    return Resampled(
        statistic(np.ones((1, n_songs)))[0],
        np.concatenate([statistic(weights) for weights in drawn]),
        np.concatenate([statistic(weights) for weights in _leave_one_out_weights(members)]),
    )


def weighted_scores(y_true: np.ndarray, y_pred: np.ndarray) -> Statistic:
    """The scores named in `SCORES` as a function of song weights, averaged over seeds.

    They equal those of `affekt.evaluation.metrics` on the songs repeated as often as their weight says, and are
    computed from weighted sums instead.

    Args:
        y_true: annotations, shape (n_songs, n_targets).
        y_pred: predictions, shape (n_seeds, n_songs, n_targets). NaN where a seed's split did not test the song: a
            seed is scored on the songs that it tested.

    Returns:
        Function of weights (rows, n_songs) -> (rows, n_scores, n_targets). NaN where undefined.

    Raises:
        ShapeError: the shapes do not fit each other, there are fewer than two songs, or an annotation is not finite.
    """
    y_true, y_pred = _validate_seeds(y_true, y_pred)
    tested = ~np.isnan(y_pred)
    annotated = np.where(tested, y_true, np.nan)
    (true, centre_true), (pred, centre_pred) = _centred(annotated, tested), _centred(y_pred, tested)
    error = np.where(tested, y_pred - y_true, 0)
    sums = np.stack([tested, true, pred, true**2, pred**2, true * pred, error**2, np.abs(error)])
    by_song = np.moveaxis(sums, 2, 0)  # (n_songs, n_sums, n_seeds, n_targets)
    shift = centre_pred - centre_true  # (n_seeds, n_targets)
    smallest = _smallest_variance(true, centre_true), _smallest_variance(pred, centre_pred)

    def by_seed(weights: np.ndarray) -> np.ndarray:
        totals = weights @ by_song.reshape(len(by_song), -1)
        counts, *others = np.moveaxis(totals.reshape(len(weights), *by_song.shape[1:]), 1, 0)
        means = np.stack([ratio(total, counts) for total in others])  # (n_sums, rows, n_seeds, n_targets)
        return _scores_of_means(means, shift, smallest)

    return over_seeds(by_seed, len(y_true), seed_axis=-2)


def weighted_spearman(y_true: np.ndarray, y_pred: np.ndarray) -> Statistic:
    """Spearman's rho as a function of song weights, averaged over seeds; arguments and errors: `weighted_scores`.

    Each resample is ranked anew, so that the interval knows that ranks are estimated, too.

    Returns:
        Function of weights (rows, n_songs) -> (rows, n_targets). NaN where undefined.
    """
    y_true, y_pred = _validate_seeds(y_true, y_pred)

    def by_seed(weights: np.ndarray) -> np.ndarray:
        return np.stack([_spearman(weights, y_true, one) for one in y_pred], axis=1)  # (rows, n_seeds, n_targets)

    return over_seeds(by_seed, len(y_true), seed_axis=1)


def weighted_quadrant_scores(y_true: np.ndarray, y_pred: np.ndarray, *, centre: float) -> Statistic:
    """The quadrant scores `QUADRANT_SCORES` as a function of song weights, averaged over seeds.

    Args:
        y_true: annotated valence and arousal, shape (n_songs, 2).
        y_pred: predicted, shape (n_seeds, n_songs, 2). NaN where a seed's split did not test the song.
        centre: the middle of the scale.

    Returns:
        Function of weights (rows, n_songs) -> (rows, n_quadrant_scores). NaN where no tested song has a weight.

    Raises:
        ShapeError: as `weighted_scores`, or not two columns.
    """
    y_true, y_pred = _validate_seeds(y_true, y_pred)
    tested = ~np.isnan(y_pred).any(axis=2)  # (n_seeds, n_songs)
    # An untested song is given any quadrant here and counts nothing below.
    predicted = quadrants(np.nan_to_num(y_pred).reshape(-1, y_pred.shape[2]), centre=centre).reshape(tested.shape)
    n = len(QUADRANTS)
    cells = n * quadrants(y_true, centre=centre) + predicted  # (n_seeds, n_songs)
    indicator = (cells[..., None] == np.arange(n * n)) & tested[..., None]  # (n_seeds, n_songs, cell)
    by_song = np.moveaxis(indicator, 1, 0).reshape(len(y_true), -1).astype(float)

    def by_seed(weights: np.ndarray) -> np.ndarray:
        return quadrant_scores((weights @ by_song).reshape(len(weights), len(y_pred), n, n))

    return over_seeds(by_seed, len(y_true), seed_axis=1)


def verdict_words(interval: tuple[float, float]) -> str:
    """What a paired difference (first minus second, higher is better) says: from its interval alone.

    Args:
        interval: low and high.

    Returns:
        "better" where the whole interval is above 0, "worse" where it is below, else "no difference shown".
    """
    low, high = interval
    return "better" if low > 0 else "worse" if high < 0 else "no difference shown"


def sign_flip_test(
    differences: np.ndarray, groups: Sequence[Any] | None = None, n_permutations: int = 9999, *, seed: int
) -> np.ndarray:
    """Permutation test that paired differences have mean 0: were the two encoders' names exchanged at random?

    Args:
        differences: first minus second, for instance of squared errors, shape (n_songs, ...).
        groups: songs with the same label change sign together.
        n_permutations: how many random sign patterns are compared with the observed one.
        seed: of the generator.

    Returns:
        Two-sided p, shape (...), never below 1 / (n_permutations + 1). 1 where all differences are 0.

    Raises:
        ShapeError: fewer than two songs, not one group label for each song, or a difference that is not finite.
    """
    values = np.atleast_1d(np.asarray(differences, dtype=float))
    members = _group_index(len(values), groups)
    if not np.isfinite(values).all():
        raise ShapeError(f"{(~np.isfinite(values)).sum()} of {values.size} differences are NaN or infinite.")
    flat = scaled(values.reshape(len(values), -1))
    sums = np.zeros((members.max() + 1, flat.shape[1]))
    np.add.at(sums, members, flat)
    rng = np.random.default_rng(seed)
    n_extreme = np.zeros(flat.shape[1])
    # Rounding must not make a pattern that equals the observed one count as smaller.
    bar = np.abs(sums.sum(axis=0)) - 1e-9 * np.abs(sums).sum(axis=0)
    for n_rows in _block_sizes(n_permutations):
        signs = rng.integers(0, 2, size=(n_rows, len(sums))) * 2.0 - 1.0
        n_extreme += (np.abs(signs @ sums) >= bar).sum(axis=0)
    return ((n_extreme + 1) / (n_permutations + 1)).reshape(values.shape[1:])


def corrected_resampled_t_test(differences: np.ndarray, n_train: float, n_test: float) -> np.ndarray:
    """Test over folds that a difference of scores is 0, corrected for the overlap of the training sets.

    Args:
        differences: first minus second, one score for each fold (and repetition), shape (n_folds, ...).
        n_train: songs that a fold trains on, on average.
        n_test: songs that a fold is scored on, on average.

    Returns:
        Two-sided p, shape (...). NaN with fewer than two folds, where a difference is NaN, or where all are the same.
        A test set that several seeds share is one fold: average its differences before.

    Raises:
        ShapeError: a difference is infinite.

    Source: Nadeau & Bengio (2003), Machine Learning 52:239-281.
    """
    values = np.atleast_1d(np.asarray(differences, dtype=float))
    if np.isinf(values).any():
        raise ShapeError(f"{np.isinf(values).sum()} of {values.size} differences are infinite.")
    if len(values) < 2 or not n_train > 0 or not n_test > 0:
        return np.full(values.shape[1:], np.nan)
    values = np.where(np.isnan(values).any(axis=0), 0.0, values)  # a constant column: no p
    values = scaled(values)
    variance = np.where(np.ptp(values, axis=0) == 0, 0.0, values.var(axis=0, ddof=1))
    statistic = ratio(values.mean(axis=0), np.sqrt((1 / len(values) + n_test / n_train) * variance))
    return 2 * stdtr(len(values) - 1, -np.abs(statistic))


def holm(p_values: np.ndarray) -> np.ndarray:
    """P values adjusted for having asked all these questions at once; NaN stays NaN and does not count as one.

    The same numbers as `statsmodels.stats.multitest.multipletests(method="holm")` (a test compares them), which would
    bring a large package for six lines; scipy has no Holm.

    Raises:
        ShapeError: not one row of numbers between 0 and 1, or NaN.

    Source: Holm (1979), Scandinavian Journal of Statistics 6(2):65-70.
    """
    p_values = np.asarray(p_values, dtype=float)
    if p_values.ndim != 1 or ((p_values < 0) | (p_values > 1)).any():
        raise ShapeError(f"p values of shape {p_values.shape}; give one row of numbers between 0 and 1, or NaN.")
    asked = np.flatnonzero(~np.isnan(p_values))
    order = asked[np.argsort(p_values[asked], kind="stable")]
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    adjusted = np.full(p_values.shape, np.nan)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def _bca(flat: Resampled, confidence: float, widened: bool) -> tuple[np.ndarray, np.ndarray]:
    """Low and high for each column of a statistic of shape (n_columns,); NaN where something is undefined."""
    undefined = np.any([np.isnan(values).any(axis=0) for values in (flat.observed[None], *flat[1:])], axis=0)
    if len(flat.jackknife) < 2:
        return np.full(len(undefined), np.nan), np.full(len(undefined), np.nan)
    observed, resamples, jackknife = (np.where(undefined, 0.0, values) for values in flat)
    below = (np.mean(resamples < observed, axis=0) + np.mean(resamples <= observed, axis=0)) / 2
    smallest = 0.5 / len(resamples)  # an observed value beyond every resample would shift the interval to infinity
    bias = ndtri(np.clip(below, smallest, 1 - smallest))
    influence = scaled(jackknife.mean(axis=0) - jackknife)  # (n_groups, n_columns)
    # No influence at all (a perfect score) leaves 0/0: nothing to accelerate.
    acceleration = np.nan_to_num(ratio(np.sum(influence**3, axis=0), 6 * np.sum(influence**2, axis=0) ** 1.5))
    half = _half_width(influence, confidence) if widened else np.full(len(bias), ndtri((1 + confidence) / 2))
    ascending = np.sort(resamples, axis=0)
    ends = (_quantiles(ascending, _bca_level(bias + z, bias, acceleration)) for z in (-half, half))
    low, high = (np.where(undefined, np.nan, end) for end in ends)
    return low, high


def _bca_level(z: np.ndarray, bias: np.ndarray, acceleration: np.ndarray) -> np.ndarray:
    """Which quantile of the resamples stands for a normal quantile."""
    room = 1 - acceleration * z
    # Where the acceleration leaves no room, the level has run off to the end.
    return np.where(room > 0, ndtr(bias + z / np.where(room > 0, room, 1)), z > 0)


def _half_width(influence: np.ndarray, confidence: float) -> np.ndarray:
    """The widened counterpart of 1.96, shape (n_columns,), from influences of shape (n_groups, n_columns)."""
    n_groups = len(influence)
    second, fourth = np.sum(influence**2, axis=0) ** 2, np.sum(influence**4, axis=0)
    supported = ratio(2 * second, fourth - second / n_groups)  # degrees of freedom of the sum of squares
    freedom = np.fmin(supported, n_groups - 1)
    return np.sqrt(n_groups / (n_groups - 1)) * stdtrit(freedom, (1 + confidence) / 2)


def _quantiles(ascending: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """For each column of sorted values (n, n_columns) its own quantile, with numpy's linear interpolation."""
    position = levels * (len(ascending) - 1)
    before = np.floor(position).astype(int)
    after = np.minimum(before + 1, len(ascending) - 1)
    left, right = (np.take_along_axis(ascending, index[None], axis=0)[0] for index in (before, after))
    return left + (position - before) * (right - left)


def _validate_seeds(y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float arrays of shape (n_songs, n_targets) and (n_seeds, n_songs, n_targets); see `weighted_scores`."""
    y_true, y_pred = np.asarray(y_true, dtype=float), np.asarray(y_pred, dtype=float)
    if y_pred.ndim != 3 or y_pred.shape[1:] != y_true.shape or not len(y_pred):
        raise ShapeError(
            f"y_true has shape {y_true.shape}, y_pred {y_pred.shape}; they must be (n_songs, n_targets) and "
            "(n_seeds, n_songs, n_targets). Give a single seed as y_pred[None]."
        )
    if len(y_true) < 2:
        raise ShapeError(f"{len(y_true)} song(s) to score; at least two are needed.")
    for name, values in (("y_true", y_true), ("y_pred", np.nan_to_num(y_pred, nan=0.0, posinf=np.inf, neginf=-np.inf))):
        n_bad = _n_unusable(values)
        if n_bad:
            raise ShapeError(
                f"{name}: {n_bad} number(s) that are infinite, beyond {LARGEST:g}, or a missing annotation. "
                "Leave those songs out first; in y_pred, NaN stands for a song that a seed did not test."
            )
    return y_true, y_pred


def _n_unusable(values: np.ndarray) -> int:
    return int((~(np.abs(values) <= LARGEST)).sum())


def _group_index(n_songs: int, groups: Sequence[Any] | None) -> np.ndarray:
    """The number of each song's group, shape (n_songs,), in 0 .. n_groups - 1."""
    if n_songs < 2:
        raise ShapeError(f"{n_songs} song(s); an interval or a test needs at least two.")
    if groups is None:
        return np.arange(n_songs)
    if len(groups) != n_songs:
        raise ShapeError(f"{len(groups)} group labels for {n_songs} songs; give one for each song.")
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups])


def _resample_weights(members: np.ndarray, n_resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    n_groups = int(members.max()) + 1
    for n_rows in _block_sizes(n_resamples):
        drawn = rng.integers(n_groups, size=(n_rows, n_groups)) + n_groups * np.arange(n_rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=n_rows * n_groups).reshape(n_rows, n_groups)
        yield counts[:, members].astype(float)  # (n_rows, n_songs)


def _leave_one_out_weights(members: np.ndarray) -> Iterator[np.ndarray]:
    n_groups = int(members.max()) + 1
    if n_groups == 1:
        yield np.ones((1, len(members)))  # leaving out the only group leaves nothing; `interval` gives NaN
        return
    for start in range(0, n_groups, _BLOCK):
        left_out = np.arange(start, min(start + _BLOCK, n_groups))
        yield (members != left_out[:, None]).astype(float)


def _block_sizes(total: int) -> Iterator[int]:
    for start in range(0, total, _BLOCK):
        yield min(_BLOCK, total - start)


def _centred(values: np.ndarray, tested: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deviations from the mean of each seed, 0 where not tested, and the means, (n_seeds, n_targets)."""
    # Sums of squares lose their digits far from zero, so everything is measured from the overall means.
    means = ratio(np.where(tested, values, 0).sum(axis=1), tested.sum(axis=1))
    return np.where(tested, values - means[:, None], 0.0), means


def _smallest_variance(centred: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Below this, a variance from sums is rounding and the column constant, shape (n_seeds, n_targets)."""
    largest = np.abs(centred).max(axis=1)
    return np.maximum(1e-20 * (np.abs(means) + largest) ** 2, 1e-14 * largest**2)


def over_seeds(by_seed: Statistic, n_songs: int, seed_axis: int) -> Statistic:
    """The mean over seeds of a statistic that keeps them apart.

    A resample may draw none of the songs that a seed tested, or too few for a score: it is then the mean of the other
    seeds. On all songs every seed counts: what is undefined for one of them is undefined.
    """
    whole = np.isnan(by_seed(np.ones((1, n_songs)))).any(axis=seed_axis)  # (1, ...)

    def statistic(weights: np.ndarray) -> np.ndarray:
        values = by_seed(weights)
        defined = ~np.isnan(values)
        mean = ratio(np.where(defined, values, 0).sum(axis=seed_axis), defined.sum(axis=seed_axis))
        return np.where(whole, np.nan, mean)

    return statistic


def _spearman(weights: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Rho of one seed, (rows, n_songs) -> (rows, n_targets); `y_pred` is NaN where the seed did not test the song."""
    tested = ~np.isnan(y_pred).any(axis=1)
    # Songs first, so that putting them in order moves whole rows; float32 holds all counts and half ranks exactly.
    counts = np.ascontiguousarray(weights[:, tested].T, dtype=np.float32)  # (n_tested, rows)
    centre = (counts.sum(axis=0) + 1) / 2  # the mean rank
    found = []
    for true, pred in zip(y_true[tested].T, y_pred[tested].T, strict=True):
        one, other = (_weighted_ranks(counts, values) - centre for values in (true, pred))
        weighted = counts * one
        sums = [np.einsum("ij,ij->j", a, b, dtype=np.float64) for a, b in ((weighted, other), (weighted, one))]
        np.multiply(counts, other, out=weighted)
        sums.append(np.einsum("ij,ij->j", weighted, other, dtype=np.float64))
        found.append(ratio(sums[0], np.sqrt(sums[1]) * np.sqrt(sums[2])))
    return np.clip(np.stack(found, axis=1), -1, 1)


def _weighted_ranks(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Ranks of values that occur so often, ties in the middle, (n_songs, rows)."""
    ascending, tie = np.unique(values, return_inverse=True)
    ends = np.cumsum(np.bincount(tie, minlength=len(ascending)))  # behind the last song of each tie
    below = np.zeros((len(values) + 1, counts.shape[1]), dtype=counts.dtype)
    np.cumsum(counts[np.argsort(values, kind="stable")], axis=0, out=below[1:])
    ranks = below[np.concatenate([[0], ends[:-1]])]  # (n_ties, rows): songs before this tie
    ranks += below[ends]
    ranks += 1
    ranks /= 2
    return ranks[tie]


def _scores_of_means(means: np.ndarray, shift: np.ndarray, smallest: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Scores from weighted means of the seven sums, each (rows, n_seeds, n_targets) -> (rows, n_scores, ...)."""
    true, pred, true_sq, pred_sq, product, error_sq, error_abs = means
    var_true, var_pred = true_sq - true**2, pred_sq - pred**2
    # Not `var > smallest`: the NaN of a resample without any tested song has to stay NaN.
    var_true = np.where(var_true <= smallest[0], 0.0, var_true)
    var_pred = np.where(var_pred <= smallest[1], 0.0, var_pred)
    covariance = np.where((var_true == 0) | (var_pred == 0), 0.0, product - true * pred)
    pearson = ratio(covariance, np.sqrt(var_true) * np.sqrt(var_pred))
    concordance = ratio(2 * covariance, var_true + var_pred + (pred - true + shift) ** 2)
    r2 = 1 - ratio(error_sq, var_true)
    return np.stack([np.sqrt(error_sq), error_abs, r2, np.clip(pearson, -1, 1), concordance], axis=1)
