"""Ridge regression on frozen embeddings: closed form, one strength of regularisation per target.

Embeddings are averaged over a song's clips, standardised with training statistics and clipped. The strength is
chosen by leave-one-out over the training songs (generalised cross-validation, as in scikit-learn's RidgeCV).
Validation songs train along: a closed form has no epoch to choose.
"""

from __future__ import annotations

import time

import numpy as np

from affekt.training.table import Fitted, Standardiser, Task

ALPHAS = np.logspace(-1, 6, 29)


def fit_ridge(task: Task, clip: float | None = 5.0) -> Fitted:
    """Train on the fold's training and validation songs, predict its test songs.

    Args:
        task: one fold.
        clip: standardised embeddings are clipped to +-this; None for not at all.
    """
    from sklearn.linear_model import RidgeCV

    start = time.perf_counter()
    train = [*task.fold.train, *task.fold.validation]
    x, x_test = (task.table.song_means(songs) for songs in (train, task.fold.test))  # (n_songs, dim)
    labels = Standardiser.fit(task.y(train))
    if x.shape[1] == 0:  # an encoder that hears nothing: the intercept alone
        predicted = np.repeat(labels.mean[None], len(x_test), axis=0)
        return _fitted(task, predicted, n_trainable=labels.mean.size, start=start)
    scale = Standardiser.fit(x)
    model = RidgeCV(ALPHAS, alpha_per_target=True)
    model.fit(scale.apply(x, clip), labels.apply(task.y(train)))
    trained = time.perf_counter()
    predicted = labels.undo(model.predict(scale.apply(x_test, clip)).reshape(len(x_test), -1))
    fitted = _fitted(task, predicted, n_trainable=(x.shape[1] + 1) * predicted.shape[1], start=start)
    fitted.predict_s = time.perf_counter() - trained
    fitted.chosen = {"alpha": np.atleast_1d(model.alpha_).tolist()}
    return fitted


def _fitted(task: Task, predicted: np.ndarray, n_trainable: int, start: float) -> Fitted:
    predictions = dict(zip(task.fold.test, predicted, strict=True))
    return Fitted(predictions, n_trainable=n_trainable, training_s=time.perf_counter() - start)
