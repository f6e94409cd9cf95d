"""How far predictions are from annotations: one number for each target.

Conventions: `y_true` (annotations) and `y_pred` (predictions) go by keyword, have shape (n_songs, n_targets) and are on
the data set's own scale; the result has shape (n_targets,). Errors are in units of that scale. Higher is better except
for `rmse` and `mae`. Where a number is undefined, because a column is constant, it is NaN and no warning is given.
Quadrants take valence and arousal together and give one number.
"""

from __future__ import annotations

import numpy as np

from affekt.data.base import valence_arousal_columns as valence_arousal_columns
from affekt.errors import ShapeError

# Russell's circumplex, counter-clockwise from the upper right; valence stands first.
QUADRANTS = ("V+ A+", "V- A+", "V- A-", "V+ A-")
QUADRANT_SCORES = ("accuracy", "balanced_accuracy", "macro_f1")

# Squares of larger numbers, and sums of them, overflow; no scale of annotations comes near.
LARGEST = 1e100


def evaluate(*, y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, np.ndarray]:
    """All scores of this module that give one value per target, by name."""
    scores = (rmse, mae, r2, pearson, spearman, concordance)
    return {score.__name__: score(y_true=y_true, y_pred=y_pred) for score in scores}


def rmse(*, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Root mean squared error per target, shape (n_targets,), in units of the scale.

    Raises:
        ShapeError: see `validate`.
    """
    y_true, y_pred = validate(y_true=y_true, y_pred=y_pred)
    return np.sqrt(np.mean((y_pred - y_true) ** 2, axis=0))


def mae(*, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Mean absolute error per target, shape (n_targets,), in units of the scale.

    Raises:
        ShapeError: see `validate`.
    """
    y_true, y_pred = validate(y_true=y_true, y_pred=y_pred)
    return np.mean(np.abs(y_pred - y_true), axis=0)


def r2(*, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Coefficient of determination per target, against the mean of the very songs that are scored.

    Returns:
        1 - squared error / squared deviation from the mean, in (-inf, 1], shape (n_targets,). NaN where the
        annotations of a target are all the same, to within rounding.

    Raises:
        ShapeError: see `validate`.
    """
    y_true, y_pred = validate(y_true=y_true, y_pred=y_pred)
    return 1 - ratio(np.sum((y_pred - y_true) ** 2, axis=0), np.sum(_centred(y_true) ** 2, axis=0))


def pearson(*, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Pearson's correlation per target, in [-1, 1], shape (n_targets,).

    NaN where the annotations or the predictions of a target are all the same: `mean` on a single fold has no
    correlation with anything.

    Raises:
        ShapeError: see `validate`.
    """
    y_true, y_pred = validate(y_true=y_true, y_pred=y_pred)
    return _correlation(y_true, y_pred)


def spearman(*, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation per target, ties at their mean rank, in [-1, 1], shape (n_targets,).

    NaN where the annotations or the predictions of a target are all the same.

    Raises:
        ShapeError: see `validate`.
    """
    from scipy.stats import rankdata  # half a second to import: not for those who only load results

    y_true, y_pred = validate(y_true=y_true, y_pred=y_pred)
    return _correlation(rankdata(y_true, axis=0), rankdata(y_pred, axis=0))


def concordance(*, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Lin's concordance correlation coefficient, one value per target.

    Unlike Pearson's r it also penalises a shifted or stretched prediction.

    Args:
        y_true: annotations, shape (n_songs, n_targets), on the data set's scale.
        y_pred: predictions, same shape and scale.

    Returns:
        CCC in [-1, 1], shape (n_targets,). 0 where one column is constant, NaN where both are the same constant.

    Raises:
        ShapeError: the arrays differ in shape, hold fewer than two songs, or a number that is not finite.

    Source: Lin (1989), Biometrics 45(1):255-268, population (1/n) moments.
    """
    y_true, y_pred = validate(y_true=y_true, y_pred=y_pred)
    true, pred = _centred(y_true), _centred(y_pred)
    shift = y_true.mean(axis=0) - y_pred.mean(axis=0)
    return ratio(2 * np.mean(true * pred, axis=0), np.mean(true**2 + pred**2, axis=0) + shift**2)


def quadrants(valence_arousal: np.ndarray, *, centre: float) -> np.ndarray:
    """The quadrant of each song in the valence-arousal plane.

    Args:
        valence_arousal: shape (n_songs, 2), valence first.
        centre: the middle of the scale (5 on DEAM's 1 to 9); a song exactly on it counts as high.

    Returns:
        Indices into `QUADRANTS`, shape (n_songs,).

    Raises:
        ShapeError: not two columns, or a number that is not finite.
    """
    values = np.asarray(valence_arousal, dtype=float)
    if values.ndim != 2 or values.shape[1] != 2:
        raise ShapeError(f"quadrants need valence and arousal, shape (n_songs, 2); found shape {values.shape}.")
    if not (np.isfinite(values).all() and np.isfinite(centre)):
        raise ShapeError("NaN or infinity has no quadrant; leave such songs out first, and give a finite centre.")
    high_valence, high_arousal = (values >= centre).T
    return np.where(high_arousal, np.where(high_valence, 0, 1), np.where(high_valence, 3, 2))


def confusion(*, y_true: np.ndarray, y_pred: np.ndarray, centre: float) -> np.ndarray:
    """How many songs of each quadrant were predicted into each.

    Args:
        y_true: annotated valence and arousal, shape (n_songs, 2).
        y_pred: predicted, same shape.
        centre: the middle of the scale.

    Returns:
        Counts, shape (4, 4): row = annotated, column = predicted, in the order of `QUADRANTS`.

    Raises:
        ShapeError: see `validate` and `quadrants`.
    """
    y_true, y_pred = validate(y_true=y_true, y_pred=y_pred)
    cells = 4 * quadrants(y_true, centre=centre) + quadrants(y_pred, centre=centre)
    return np.bincount(cells, minlength=16).reshape(4, 4)


def quadrant_accuracy(*, y_true: np.ndarray, y_pred: np.ndarray, centre: float) -> float:
    """Share of songs predicted into their own quadrant, 0 to 1.

    Raises:
        ShapeError: see `validate` and `quadrants`.
    """
    return float(quadrant_scores(confusion(y_true=y_true, y_pred=y_pred, centre=centre))[0])


def quadrant_balanced_accuracy(*, y_true: np.ndarray, y_pred: np.ndarray, centre: float) -> float:
    """Mean over the quadrants that hold songs of the share predicted right, 0 to 1: rare quadrants count as much.

    Raises:
        ShapeError: see `validate` and `quadrants`.
    """
    return float(quadrant_scores(confusion(y_true=y_true, y_pred=y_pred, centre=centre))[1])


def quadrant_macro_f1(*, y_true: np.ndarray, y_pred: np.ndarray, centre: float) -> float:
    """Mean of the quadrants' F1, 0 to 1, over those that any song was annotated or predicted in.

    Raises:
        ShapeError: see `validate` and `quadrants`.
    """
    return float(quadrant_scores(confusion(y_true=y_true, y_pred=y_pred, centre=centre))[2])


def quadrant_scores(counts: np.ndarray) -> np.ndarray:
    """All `QUADRANT_SCORES` of confusion matrices.

    Args:
        counts: shape (..., 4, 4), row = annotated, column = predicted; may be weighted sums.

    Returns:
        Shape (..., 3). NaN where a matrix counts no song.
    """
    right = np.diagonal(counts, axis1=-2, axis2=-1)  # (..., quadrant)
    annotated, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
    recall = ratio(right, annotated)
    f1 = ratio(2 * right, annotated + predicted)
    accuracy = ratio(right.sum(axis=-1), counts.sum(axis=(-2, -1)))
    return np.stack([accuracy, _mean_of_defined(recall), _mean_of_defined(f1)], axis=-1)


def validate(*, y_true: np.ndarray, y_pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as float arrays of shape (n_songs, n_targets).

    Raises:
        ShapeError: the arrays differ in shape or are not two-dimensional, hold fewer than two songs, or a number that
            is not finite or beyond `LARGEST`.
    """
    y_true, y_pred = np.asarray(y_true, dtype=float), np.asarray(y_pred, dtype=float)
    if y_true.shape != y_pred.shape or y_true.ndim != 2:
        raise ShapeError(
            f"y_true has shape {y_true.shape}, y_pred {y_pred.shape}; both must be (n_songs, n_targets). "
            "Give a single target as a column: values[:, None]."
        )
    if len(y_true) < 2:
        raise ShapeError(f"{len(y_true)} song(s) to score; at least two are needed.")
    for name, values in (("y_true", y_true), ("y_pred", y_pred)):
        n_bad = int((~(np.abs(values) <= LARGEST)).any(axis=1).sum())
        if n_bad:
            what = f"NaN or infinity (or more than {LARGEST:g})"
            raise ShapeError(f"{name} holds {what} in {n_bad} of {len(values)} songs; leave them out first.")
    return y_true, y_pred


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise quotient, NaN where the denominator is not above 0 or so small that the quotient overflows."""
    undefined = np.full(np.broadcast_shapes(np.shape(numerator), np.shape(denominator)), np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.divide(numerator, denominator, out=undefined, where=np.asarray(denominator) > 0)
    found[np.isinf(found)] = np.nan
    return found


def scaled(values: np.ndarray) -> np.ndarray:
    """Each column divided by its largest absolute value; a column of zeros stays."""
    largest = np.abs(values).max(axis=0)
    return np.divide(values, largest, out=np.zeros_like(values), where=largest > 0)


def mean_over_seeds(values: np.ndarray) -> np.ndarray:
    """Mean of (n_seeds, n_songs, ...) over the seeds that tested a song (are not NaN); NaN where none did."""
    tested = ~np.isnan(values)
    return ratio(np.where(tested, values, 0).sum(axis=0), tested.sum(axis=0))


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where all is."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    # Scaled to a largest deviation of 1 first, so that squares of tiny deviations do not vanish.
    first, second = (scaled(_centred(values)) for values in (first, second))
    covariance = np.sum(first * second, axis=0)
    return np.clip(ratio(covariance, np.sqrt(np.sum(first**2, axis=0) * np.sum(second**2, axis=0))), -1, 1)


def _centred(values: np.ndarray) -> np.ndarray:
    # Rounding leaves a constant column a hair off its own mean; it has to be exactly 0 to be seen as constant.
    return np.where(np.ptp(values, axis=0) == 0, 0.0, values - values.mean(axis=0))
