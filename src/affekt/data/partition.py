"""Cutting songs into parts: groups stay whole, parts are alike in their quadrants as far as groups allow.

Songs are numbered in the order of their data set. A *group* is what must not be parted (an artist's songs); a *stratum*
is what every part should have its share of (the songs of a quadrant).

Groups are dealt into parts in the order of their spread, so a part's place tells how large its groups are: the first
holds the largest one. A test or validation set must therefore be drawn among the parts (`draw_parts`), never taken from
a fixed place.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from affekt.data.base import Dataset, valence_arousal_columns
from affekt.errors import ConfigError

#: A set of songs is near the wanted size when it is larger or smaller by no more than this factor.
NEAR = 1.5
#: Parts that are cut to be joined again; smaller ones have too few songs to hold their share of each quadrant.
MOST_PARTS = 20
#: How many sets are drawn before one that is not near the wanted size is taken.
_TRIES = 20


def group_labels(dataset: Dataset, group: str | None) -> np.ndarray:
    """An integer a song; songs that share the column's value share the integer, others have one of their own."""
    known: dict[str, int] = {}
    labels = []
    for song in dataset.songs:
        value = song.value(group) if group else None
        labels.append(known.setdefault(f"{group}={value}" if value else f"song={song.id}", len(known)))
    return np.array(labels)


def quadrant_labels(dataset: Dataset) -> np.ndarray:
    """Which side of the scale's centre valence and arousal are on, as one integer a song, shape (n_songs,).

    Where targets of these names are not both present, the first two targets stand for them.
    """
    columns = valence_arousal_columns(dataset.target_names) or (0, 1)
    above = dataset.targets()[:, list(columns)[: len(dataset.target_names)]] >= np.mean(dataset.scale)
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
    from affekt.data.grouped import QuickStratifiedGroupKFold  # loads scikit-learn

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
    folder = QuickStratifiedGroupKFold(n_parts, shuffle=True, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # small strata are handled above
        parts = [test for _, test in folder.split(np.zeros(len(groups)), usable, groups)]
    return parts if all(len(part) for part in parts) else _unstratified(groups, n_parts, rng)


def parts_for(share: float) -> int:
    """Into how many parts songs are cut so that some of them joined are this share: 10 for 0.1, 5 for 0.4, 20 for 0.45.

    Args:
        share: above 0, below 0.5.
    """
    if share < 1 / MOST_PARTS:
        return round(1 / share)  # a single one of them
    return Fraction(share).limit_denominator(MOST_PARTS).denominator


def draw_parts(
    parts: Sequence[np.ndarray], wanted: float, rng: np.random.Generator, at_most: int | None = None
) -> list[int]:
    """Which parts to join so that together they hold about the wanted number of songs.

    Every part has its chance, unless it alone is far too large: a part with a giant artist is drawn only where nothing
    smaller comes as near.

    Args:
        parts: song indices of each part.
        wanted: number of songs, less than half of those in `parts`; some parts then always stay out.
        rng: draws the parts.
        at_most: how many parts are joined at most; any number by default.

    Returns:
        Places in `parts`, at least one; near the wanted number (`NEAR`) wherever a single part is.
    """
    sizes = np.array([len(part) for part in parts])  # (n_parts,)
    orders = [rng.permutation(len(parts)) for _ in range(_TRIES)]
    drawn = [_joined(sizes, wanted, order, at_most or len(parts)) for order in orders]
    drawn += [[place] for place in orders[0].tolist()]
    near = (places for places in drawn if wanted / NEAR <= sizes[places].sum() <= wanted * NEAR)
    return next(near, None) or min(drawn, key=lambda places: abs(sizes[places].sum() - wanted))


def _joined(sizes: np.ndarray, wanted: float, order: np.ndarray, at_most: int) -> list[int]:
    """Each part in turn is taken if it brings the sum nearer to the wanted one; the nearest one if none does."""
    taken: list[int] = []
    total = 0
    for place in order.tolist():
        if len(taken) < at_most and abs(total + sizes[place] - wanted) < abs(total - wanted):
            taken.append(place)
            total += int(sizes[place])
    return taken or [min(order.tolist(), key=lambda place: abs(sizes[place] - wanted))]


def _unstratified(groups: np.ndarray, n_parts: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Whole groups dealt out at random, as many to each part; for data too small to stratify."""
    from sklearn.model_selection import GroupKFold

    folder = GroupKFold(n_parts, shuffle=True, random_state=int(rng.integers(2**31)))
    return [test for _, test in folder.split(np.zeros(len(groups)), groups=groups)]
