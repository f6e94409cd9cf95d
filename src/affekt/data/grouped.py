"""scikit-learn's `StratifiedGroupKFold`, the same folds in a fraction of the time.

It deals groups out one after the other, each to the fold where strata come out most even, and asks every fold in turn.
Here a group asks all folds at once. Sums are taken in the same order, so the folds are the same to the last song. The
method that is replaced is not public: should it be renamed, scikit-learn's own comes back, and only time is lost.
"""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold


class QuickStratifiedGroupKFold(StratifiedGroupKFold):
    """Grouped, stratified folds."""

    def _find_best_fold(self, y_counts_per_fold: np.ndarray, y_cnt: np.ndarray, group_y_counts: np.ndarray) -> int:
        """The fold that a group goes to.

        Args:
            y_counts_per_fold: songs so far, shape (n_folds, n_strata).
            y_cnt: songs of each stratum, shape (n_strata,).
            group_y_counts: songs of the group, shape (n_strata,).
        """
        n_folds = len(y_counts_per_fold)
        tried = np.repeat(y_counts_per_fold[None], n_folds, axis=0)  # (n_folds where it goes, n_folds, n_strata)
        tried[np.arange(n_folds), np.arange(n_folds)] += group_y_counts
        unevenness = (tried / y_cnt).std(axis=1).mean(axis=1)  # (n_folds,)
        sizes = y_counts_per_fold.sum(axis=1)
        best = 0
        for fold in range(1, n_folds):
            gap, least = unevenness[fold] - unevenness[best], unevenness[best]
            alike = abs(gap) <= 1e-8 + 1e-5 * abs(least)  # np.isclose
            if gap < 0 or (alike and sizes[fold] < sizes[best]):
                best = fold
        return best
