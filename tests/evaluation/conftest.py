"""Comparisons made of arrays, for tests of what is computed from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from affekt.evaluation.results import Prediction, Results

TARGETS = ("valence", "arousal")


def results_of(
    y_true: np.ndarray,
    y_pred: Mapping[str, np.ndarray],
    folds: np.ndarray | None = None,
    targets: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    artists: Sequence[str | None] | None = None,
    ids: Sequence[str] | None = None,
    about: Mapping[str, Mapping[str, Any]] | None = None,
    **dataset: Any,
) -> Results:
    """A comparison.

    Args:
        y_true: (n_songs, n_targets).
        y_pred: for each encoder (n_seeds, n_songs, n_targets), NaN where a song was not tested.
        folds: (n_seeds, n_songs); five by default, the same for all seeds.
        targets: names; valence and arousal, or as many letters as needed.
        seeds: 0, 1, ... by default.
        artists: one for each song.
        ids: of the songs; "s0", "s1", ... by default.
        about: further keys of `encoders`, by label.
        dataset: further keys of `dataset`.
    """
    n_songs, n_targets = y_true.shape
    targets = targets or (TARGETS if n_targets == 2 else [chr(ord("a") + t) for t in range(n_targets)])
    ids = ids or [f"s{i}" for i in range(n_songs)]
    predictions = []
    for label, runs in y_pred.items():
        fold_of = np.broadcast_to(np.arange(n_songs) % 5 if folds is None else folds, runs.shape[:2])
        for s, run in enumerate(runs):
            predictions += [
                Prediction(
                    label,
                    seeds[s] if seeds else s,
                    int(fold_of[s, i]),
                    ids[i],
                    name,
                    float(y_true[i, t]),
                    float(run[i, t]),
                )
                for i in range(n_songs)
                for t, name in enumerate(targets)
                if not np.isnan(run[i, t])
            ]
    return Results(
        dataset={"name": "test", **dataset},
        targets=list(targets),
        encoders=[{"label": label, **((about or {}).get(label, {}))} for label in y_pred],
        songs=[{"id": ids[i], "artist": artists[i] if artists else None} for i in range(n_songs)],
        predictions=predictions,
    )


@pytest.fixture
def make_results() -> Callable[..., Results]:
    return results_of


@pytest.fixture
def noisy() -> Callable[..., tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Makes annotations and predictions that are the annotation plus noise of a spread for each encoder."""

    def make(
        n_songs: int = 60, n_seeds: int = 2, n_targets: int = 2, seed: int = 0, **spread: float
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        rng = np.random.default_rng(seed)
        y_true = rng.normal(5, 1, (n_songs, n_targets))
        shape = (n_seeds, n_songs, n_targets)
        return y_true, {label: y_true + rng.normal(0, size, shape) for label, size in spread.items()}

    return make
