"""The quick folds are scikit-learn's folds, to the last song."""

from __future__ import annotations

import warnings

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from affekt.data.grouped import QuickStratifiedGroupKFold


def same(strata: np.ndarray, groups: np.ndarray, n_folds: int, seed: int) -> bool:
    folds = []
    for kind in (QuickStratifiedGroupKFold, StratifiedGroupKFold):
        folder = kind(n_folds, shuffle=True, random_state=seed)
        folds.append([test.tolist() for _, test in folder.split(np.zeros(len(groups)), strata, groups)])
    return folds[0] == folds[1]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(2, 12), st.integers(1, 12), st.integers(1, 30), st.integers(0, 2**31 - 1))
def test_wild_groups_and_strata(data: st.DataObject, n_folds: int, n_strata: int, n_groups: int, seed: int) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    n_songs = data.draw(st.integers(n_folds, 120))
    groups = np.concatenate([np.arange(n_folds), rng.integers(n_folds + n_groups, size=n_songs)])
    strata = np.concatenate([np.zeros(n_folds, int), rng.integers(n_strata, size=n_songs) ** 2 // n_strata])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert same(strata, groups, n_folds, seed)


def test_many_small_artists_and_a_giant() -> None:
    """Most groups are alike, so nearly every choice is a tie."""
    rng = np.random.default_rng(0)
    groups = np.concatenate([np.arange(600) // 2, np.full(150, 999)])
    strata = rng.integers(4, size=len(groups))
    for seed in range(3):
        for n_folds in (5, 10, 20):
            assert same(strata, groups, n_folds, seed)


def test_the_method_that_is_replaced_is_still_there() -> None:
    """Otherwise folds are right and slow, and nobody would know."""
    assert "_find_best_fold" in vars(StratifiedGroupKFold)
