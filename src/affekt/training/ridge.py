"""Ridge regression on frozen embeddings: closed form, one strength of regularisation per target.

Embeddings are averaged over a song's clips, standardised with training statistics and clipped. The strength is
chosen by leave-one-out over the training songs (generalised cross-validation, as in scikit-learn's RidgeCV).
Validation songs train along: a closed form has no epoch to choose.

Over time a frame is an example. Frames of a song are alike, so leaving out one of them says nothing: the strength is
chosen by leaving out a fifth of the training songs at a time.

The numbers are those of scikit-learn's RidgeCV, GridSearchCV and Ridge (tests hold them to each other). These solve
anew for every strength; here embeddings are decomposed once, and every strength is then a product of small matrices.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from affekt.training.table import Fitted, Standardiser, Task

ALPHAS = np.logspace(-1, 6, 29)
#: Into how many parts training songs are dealt to choose the strength over time.
N_PARTS = 5
# Directions in which embeddings spread less than this share of the most are none.
_NO_SPREAD = 1e-12


def fit_ridge(task: Task, clip: float | None = 5.0) -> Fitted:
    """Train on the fold's training and validation songs, predict its test songs.

    Args:
        task: one fold.
        clip: standardised embeddings are clipped to +-this; None for not at all.
    """
    start = time.perf_counter()
    x_test, _ = task.x(task.fold.test)  # (n, dim); over time n counts frames
    ridge = solve(task, clip)
    trained = time.perf_counter()
    fitted = _fitted(task, ridge.predict(x_test), n_trainable=ridge.n_weights, start=start)
    if ridge.alphas is not None:
        fitted.predict_s = time.perf_counter() - trained
        fitted.chosen = {"alpha": ridge.alphas.tolist()}
    return fitted


class Ridge(NamedTuple):
    """A solved ridge regression, from embeddings to the data set's scale.

    Attributes:
        scale: of embeddings.
        clip: standardised embeddings are clipped to +-this; None for not at all.
        line: on standardised embeddings; None where they have no dimensions, and only the mean is left.
        labels: of annotations.
        alphas: the strength for each target, (n_targets,); None without dimensions.
    """

    scale: Standardiser
    clip: float | None
    line: Line | None
    labels: Standardiser
    alphas: np.ndarray | None

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Embeddings (n, dim) to values on the data set's scale, (n, n_targets)."""
        if self.line is None:
            return np.repeat(self.labels.mean[None], len(x), axis=0)
        return self.labels.undo(self.line.predict(self.scale.apply(x, self.clip)))

    @property
    def n_weights(self) -> int:
        """Number of weights, intercepts included."""
        return (self.scale.mean.size + 1) * self.labels.mean.size


def solve(task: Task, clip: float | None = 5.0, alphas: np.ndarray | None = None) -> Ridge:
    """Fit on the fold's training and validation songs.

    Args:
        task: one fold.
        clip: as of `fit_ridge`.
        alphas: strengths that are decided already, (n_targets,); None to choose them.
    """
    train = [*task.fold.train, *task.fold.validation]
    x, song = task.x(train)
    labels, scale = Standardiser.fit(task.y(train)), Standardiser.fit(x)
    if x.shape[1] == 0:  # an encoder that hears nothing: the intercept alone
        return Ridge(scale, clip, None, labels, None)
    z, y = scale.apply(x, clip), labels.apply(task.y(train))
    whole = decompose(z)
    if alphas is None:
        errors = errors_by_parts(z, y, _parts(song, task.seed)) if task.over_time else errors_by_single_songs(whole, y)
        alphas = ALPHAS[np.argmin(errors, axis=0)]
    return Ridge(scale, clip, fit_line(whole, y, alphas), labels, alphas)


class Line(NamedTuple):
    """A linear map: `(x - mean_x) @ slopes + mean_y`."""

    mean_x: np.ndarray  # (dim,)
    mean_y: np.ndarray  # (target,)
    slopes: np.ndarray  # (dim, target)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """(n, dim) -> (n, target)."""
        predicted: np.ndarray = (x - self.mean_x) @ self.slopes + self.mean_y
        return predicted


def fit_line(x: Decomposed, y: np.ndarray, alphas: np.ndarray) -> Line:
    """Ridge regression with an intercept and a strength for each target, as scikit-learn's `Ridge(alpha=alphas)`.

    Args:
        x: embeddings of n examples.
        y: annotations, (n, n_targets).
        alphas: (n_targets,).
    """
    mean_y = y.mean(axis=0)
    reached = x.along.T @ (y - mean_y) / (x.spread[:, None] + alphas)  # (direction, target)
    return Line(x.mean, mean_y, x.directions @ reached)


class Decomposed(NamedTuple):
    """Embeddings as places along the directions of their spread."""

    mean: np.ndarray  # (dim,)
    along: np.ndarray  # (n, direction)
    spread: np.ndarray  # (direction,): sum of squares along each
    directions: np.ndarray  # (dim, direction)


def decompose(x: np.ndarray) -> Decomposed:
    """Embeddings, (n, dim), by the smaller of the two matrices of products, of dimensions or of examples."""
    mean = x.mean(axis=0)
    centred = x - mean
    if len(x) >= x.shape[1]:
        spread, directions = np.linalg.eigh(centred.T @ centred)
        return Decomposed(mean, centred @ directions, spread.clip(min=0.0), directions)
    spread, places = np.linalg.eigh(centred @ centred.T)
    kept = spread > _NO_SPREAD * max(float(spread[-1]), 0.0)
    root = np.sqrt(spread[kept])
    return Decomposed(mean, places[:, kept] * root, spread[kept], centred.T @ places[:, kept] / root)


def errors_by_single_songs(x: Decomposed, y: np.ndarray) -> np.ndarray:
    """Mean squared error of each song as predicted from all others, for every strength, (n_alphas, n_targets).

    What is left out of the fit follows from the fit on all: residual / (1 - leverage), the mean's own leverage, 1 / n,
    included (Golub, Heath & Wahba 1979, Technometrics 21(2):215-223).
    """
    centred = y - y.mean(axis=0)
    reached = x.along.T @ centred  # (direction, target)
    shrunk = 1 / (x.spread + ALPHAS[:, None])  # (alpha, direction)
    leverage = x.along**2 @ shrunk.T + 1 / len(y)  # (n, alpha)
    predicted = x.along @ (shrunk[..., None] * reached)  # (alpha, n, target)
    residual = (centred - predicted) / (1 - leverage.T)[..., None]
    errors: np.ndarray = (residual**2).mean(axis=1)
    return errors


def _parts(song: np.ndarray, seed: int) -> np.ndarray:
    """The part of each frame, songs dealt as a whole, (n_frames,)."""
    n_songs = int(song.max()) + 1
    parts: np.ndarray = np.random.default_rng(seed).permutation(n_songs)[song] % min(N_PARTS, n_songs)
    return parts


def errors_by_parts(x: np.ndarray, y: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Squared error on parts left out one at a time, summed, for every strength, (n_alphas, n_targets).

    Args:
        x: embeddings, (n, dim).
        y: annotations, (n, n_targets).
        part: the number of each row's part, (n,); two parts at least.
    """
    errors: np.ndarray = sum(_errors_on(x, y, part == number) for number in np.unique(part))  # type: ignore[assignment]
    return errors


def _errors_on(x: np.ndarray, y: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    one, mean_y = decompose(x[~left_out]), y[~left_out].mean(axis=0)
    reached = one.along.T @ (y[~left_out] - mean_y)  # (direction, target)
    along = (x[left_out] - one.mean) @ one.directions  # (frame, direction)
    missed = y[left_out] - mean_y  # (frame, target)
    errors = [along @ (reached / (one.spread + alpha)[:, None]) - missed for alpha in ALPHAS]
    return np.array([(error**2).sum(axis=0) for error in errors])


def _fitted(task: Task, predicted: np.ndarray, n_trainable: int, start: float) -> Fitted:
    songs = task.fold.test
    predictions = task.by_song(songs, predicted) if task.over_time else dict(zip(songs, predicted, strict=True))
    return Fitted(predictions, n_trainable=n_trainable, training_s=time.perf_counter() - start)
