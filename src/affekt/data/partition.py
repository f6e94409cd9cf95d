"""Cutting songs into parts: groups stay whole, parts are alike in their quadrants as far as groups allow.

Songs are numbered in the order of their data set. A *group* is what must not be parted (an artist's songs); a *stratum*
is what every part should have its share of (the songs of a quadrant).
"""

from __future__ import annotations

import warnings

import numpy as np

from affekt.data.base import Dataset
from affekt.errors import ConfigError


def group_labels(dataset: Dataset, group: str | None) -> np.ndarray:
    """An integer a song; songs that share the column's value share the integer, others have one of their own."""
    known: dict[str, int] = {}
    labels = []
    for song in dataset.songs:
        value = song.value(group) if group else None
        labels.append(known.setdefault(f"{group}={value}" if value else f"song={song.id}", len(known)))
    return np.array(labels)


def quadrant_labels(dataset: Dataset) -> np.ndarray:
    """Which side of the scale's centre the first two targets are on, as one integer a song."""
    above = dataset.targets()[:, :2] >= np.mean(dataset.scale)
    return above @ (1 << np.arange(above.shape[1]))


def cut(strata: np.ndarray, groups: np.ndarray, n_parts: int, rng: np.random.Generator, name: str) -> list[np.ndarray]:
    """Indices cut into `n_parts`, groups kept whole, strata balanced where they are large enough.

    Args:
        strata: integer a song, shape (n_songs,).
        groups: integer a song, same shape.
        n_parts: how many parts; none of them comes out empty.
        rng: draws the parts.
        name: of the data set, for the message.

    Raises:
        ConfigError: fewer groups than parts.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    n_groups = len(np.unique(groups))
    if n_groups < n_parts:
        raise ConfigError(
            f"{name}: {n_parts} parts asked for, but there are only {n_groups} groups among {len(groups)} songs. "
            "Use split.kind = kfold with fewer split.folds, or split.group = null if sharing an artist is acceptable."
        )
    counts = np.bincount(strata)
    usable = np.where(counts[strata] >= n_parts, strata, -1)  # rare quadrants share one stratum
    if (usable == -1).sum() < n_parts or len(np.unique(usable)) == 1:
        usable = np.where(usable == -1, strata[np.argmax(counts[strata])], usable)
    folder = StratifiedGroupKFold(n_parts, shuffle=True, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # small strata are handled above
        parts = [test for _, test in folder.split(np.zeros(len(groups)), usable, groups)]
    return parts if all(len(part) for part in parts) else _unstratified(groups, n_parts, rng)


def _unstratified(groups: np.ndarray, n_parts: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Whole groups dealt out at random, as many to each part; for data too small to stratify."""
    from sklearn.model_selection import GroupKFold

    folder = GroupKFold(n_parts, shuffle=True, random_state=int(rng.integers(2**31)))
    return [test for _, test in folder.split(np.zeros(len(groups)), groups=groups)]
