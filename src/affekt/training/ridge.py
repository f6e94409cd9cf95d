"""Ridge regression on frozen embeddings: closed form, one strength of regularisation per target.

Embeddings are averaged over a song's clips, standardised with training statistics and clipped. The strength is
chosen by leave-one-out over the training songs (generalised cross-validation, as in scikit-learn's RidgeCV).
Validation songs train along: a closed form has no epoch to choose.

Over time a frame is an example. Frames of a song are alike, so leaving out one of them says nothing: the strength is
chosen by leaving out a fifth of the training songs at a time.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from affekt.training.table import Fitted, Standardiser, Task

ALPHAS = np.logspace(-1, 6, 29)
#: Into how many parts training songs are dealt to choose the strength over time.
N_PARTS = 5


def fit_ridge(task: Task, clip: float | None = 5.0) -> Fitted:
    """Train on the fold's training and validation songs, predict its test songs.

    Args:
        task: one fold.
        clip: standardised embeddings are clipped to +-this; None for not at all.
    """
    start = time.perf_counter()
    train = [*task.fold.train, *task.fold.validation]
    (x, song), (x_test, _) = task.x(train), task.x(task.fold.test)  # (n, dim); over time n counts frames
    labels = Standardiser.fit(task.y(train))
    if x.shape[1] == 0:  # an encoder that hears nothing: the intercept alone
        predicted = np.repeat(labels.mean[None], len(x_test), axis=0)
        return _fitted(task, predicted, n_trainable=labels.mean.size, start=start)
    scale = Standardiser.fit(x)
    z, y = scale.apply(x, clip), labels.apply(task.y(train))
    model = _by_parts_of_songs(z, y, song, task.seed) if task.over_time else _by_single_songs(z, y)
    trained = time.perf_counter()
    predicted = labels.undo(model.predict(scale.apply(x_test, clip)).reshape(len(x_test), -1))
    fitted = _fitted(task, predicted, n_trainable=(x.shape[1] + 1) * predicted.shape[1], start=start)
    fitted.predict_s = time.perf_counter() - trained
    alphas = model.alpha_ if hasattr(model, "alpha_") else model.alpha
    fitted.chosen = {"alpha": np.atleast_1d(alphas).tolist()}
    return fitted


def _by_single_songs(x: np.ndarray, y: np.ndarray) -> Any:
    from sklearn.linear_model import RidgeCV

    return RidgeCV(ALPHAS, alpha_per_target=True).fit(x, y)


def _by_parts_of_songs(x: np.ndarray, y: np.ndarray, song: np.ndarray, seed: int) -> Any:
    """The model with the strength, one for each target, that has the lowest squared error on songs left out.

    Args:
        x: embeddings of frames, (n_frames, dim).
        y: their annotations, (n_frames, n_targets).
        song: the number of each frame's song, (n_frames,).
        seed: deals the songs into parts.
    """
    from sklearn.linear_model import Ridge

    n_songs = int(song.max()) + 1
    part = np.random.default_rng(seed).permutation(n_songs)[song] % min(N_PARTS, n_songs)  # (n_frames,)
    return Ridge(alpha=choose_strengths(x, y, part)).fit(x, y)


def choose_strengths(x: np.ndarray, y: np.ndarray, part: np.ndarray) -> np.ndarray:
    """The strength with the lowest squared error on parts left out one at a time, for each target.

    Args:
        x: embeddings, (n, dim).
        y: annotations, (n, n_targets).
        part: the number of each row's part, (n,); two parts at least.
    """
    errors = sum(_squared_errors(x, y, part == number) for number in np.unique(part))  # (alpha, target)
    best: np.ndarray = ALPHAS[np.argmin(errors, axis=0)]
    return best


def _squared_errors(x: np.ndarray, y: np.ndarray, left_out: np.ndarray) -> np.ndarray:
    """Sum over the frames left out, for every strength at once, (n_alphas, n_targets).

    scikit-learn would decompose the same matrix anew for each of the strengths.
    """
    mean_x, mean_y = x[~left_out].mean(axis=0), y[~left_out].mean(axis=0)
    inner, outer = x[~left_out] - mean_x, x[left_out] - mean_x
    strengths, directions = np.linalg.eigh(inner.T @ inner)  # (dim,), (dim, dim)
    slopes = directions.T @ (inner.T @ (y[~left_out] - mean_y))  # (dim, target)
    along = outer @ directions  # (frame, dim)
    missed = y[left_out] - mean_y  # (frame, target)
    errors = [along @ (slopes / (strengths + alpha)[:, None]) - missed for alpha in ALPHAS]
    return np.array([(error**2).sum(axis=0) for error in errors])


def _fitted(task: Task, predicted: np.ndarray, n_trainable: int, start: float) -> Fitted:
    songs = task.fold.test
    predictions = task.by_song(songs, predicted) if task.over_time else dict(zip(songs, predicted, strict=True))
    return Fitted(predictions, n_trainable=n_trainable, training_s=time.perf_counter() - start)
