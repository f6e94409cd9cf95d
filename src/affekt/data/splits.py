"""Who is trained on, who is validated on, who is scored.

A split is drawn from song ids, groups, labels and a seed alone, so two runs that name the same split score the same
songs. Groups (artists) never stand on both sides; folds are stratified on the quadrant as far as groups allow. A song
without a group is a group of its own. `verify` checks all of this again in every run.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from affekt.data.base import Dataset, named
from affekt.errors import ConfigError, LeakageError

Kind = Literal["kfold", "holdout", "seed"]
#: Seed of the founding split, which every run of that split shares.
FOUNDING_SEED = 42


@dataclass(frozen=True)
class Fold:
    """Song ids of one fold; the three are disjoint."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Split:
    """A named division of a data set.

    Attributes:
        name: kind, settings and seed in one word.
        rule: how it was drawn, in words.
        group: what never stands on both sides: "artist", "genre", or None.
        folds: one for "holdout" and "seed", several for "kfold"; every song is tested at most once.
    """

    name: str
    rule: str
    group: str | None
    folds: tuple[Fold, ...]

    def as_dict(self) -> dict[str, Any]:
        """For `split.json`."""
        return asdict(self)


def draw_split(
    dataset: Dataset, kind: Kind, seed: int, n_folds: int = 5, group: str | None = "artist", validation: float = 0.1
) -> Split:
    """Draw a split.

    Args:
        dataset: exactly the songs that will be scored.
        kind: "kfold" (grouped, stratified), "holdout" (80/10/10, grouped, stratified), or "seed" (the founding one:
            80/10/10, stratified on the first target at or above the scale's centre, seed 42, not grouped).
        seed: of the draw; "seed" ignores it.
        n_folds: of "kfold".
        group: attribute of `Song` that must not be shared, or None.
        validation: share of the songs outside the test fold that choose the epoch.

    Raises:
        ConfigError: too few songs or groups for the number of folds.
    """
    ids = np.array(dataset.ids)
    if kind == "seed":
        return _founding(dataset, ids)
    groups = group_labels(dataset, group)
    strata = quadrant_labels(dataset)
    n_parts = n_folds if kind == "kfold" else 10
    rng = np.random.default_rng([seed, n_parts])
    parts = _parts(strata, groups, n_parts, rng, dataset.name)
    n_validation = max(2, round(1 / validation))
    if kind == "holdout":
        rest = np.flatnonzero(~np.isin(np.arange(len(ids)), [*parts[0], *parts[1]]))
        folds = [_fold(ids, rest, parts[1], parts[0])]
    else:
        folds = [_inner(ids, strata, groups, part, n_validation, rng, dataset.name) for part in parts]
    name = f"{kind}{n_folds if kind == 'kfold' else ''}-{group or 'ungrouped'}-seed{seed}"
    words = f"{kind}, {len(folds)} fold(s), grouped by {group or 'nothing'}, stratified on the quadrant, seed {seed}"
    return Split(name, words, group, tuple(folds))


def verify(split: Split, dataset: Dataset) -> None:
    """Check that no song, and no group, stands on two sides of any fold and no song is tested twice.

    Raises:
        LeakageError: it does; names the songs or groups.
    """
    group_of = dict(zip(dataset.ids, group_labels(dataset, split.group), strict=True))
    tested: set[str] = set()
    for number, fold in enumerate(split.folds):
        sides = {"train": fold.train, "validation": fold.validation, "test": fold.test}
        for left, right in (("train", "validation"), ("train", "test"), ("validation", "test")):
            _disjoint(f"fold {number}: songs in {left} and {right}", sides[left], sides[right])
            _disjoint(
                f"fold {number}: {split.group or 'songs'} in {left} and {right}",
                (str(group_of[i]) for i in sides[left]),
                (str(group_of[i]) for i in sides[right]),
            )
        _disjoint(f"fold {number}: songs tested before", tested, fold.test)
        tested.update(fold.test)


def group_labels(dataset: Dataset, group: str | None) -> np.ndarray:
    """An integer a song; songs that share the attribute share the integer, others have one of their own."""
    known: dict[str, int] = {}
    labels = []
    for song in dataset.songs:
        value = getattr(song, group, None) if group else None
        labels.append(known.setdefault(f"{group}={value}" if value else f"song={song.id}", len(known)))
    return np.array(labels)


def quadrant_labels(dataset: Dataset) -> np.ndarray:
    """Which side of the scale's centre the first two targets are on, as one integer a song."""
    above = dataset.targets()[:, :2] >= np.mean(dataset.scale)
    return above @ (1 << np.arange(above.shape[1]))


def _founding(dataset: Dataset, ids: np.ndarray) -> Split:
    from sklearn.model_selection import train_test_split

    strata = dataset.targets()[:, 0] >= np.mean(dataset.scale)
    if min(strata.sum(), (~strata).sum()) < 10:
        raise ConfigError(
            f"{dataset.name}: the founding split needs at least ten songs on each side of the scale's centre, found "
            f"{strata.sum()} above and {(~strata).sum()} below. Use split.kind = kfold."
        )
    rest, test = train_test_split(np.arange(len(ids)), test_size=0.1, stratify=strata, random_state=FOUNDING_SEED)
    train, validation = train_test_split(rest, test_size=1 / 9, stratify=strata[rest], random_state=FOUNDING_SEED)
    rule = f"80/10/10, stratified on the first target at or above the centre, not grouped, seed {FOUNDING_SEED}"
    return Split("seed", rule, None, (_fold(ids, train, validation, test),))


def _parts(
    strata: np.ndarray, groups: np.ndarray, n_parts: int, rng: np.random.Generator, name: str
) -> list[np.ndarray]:
    """Indices cut into `n_parts`, groups kept whole, strata balanced where they are large enough."""
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


def _inner(
    ids: np.ndarray,
    strata: np.ndarray,
    groups: np.ndarray,
    test: np.ndarray,
    n_validation: int,
    rng: np.random.Generator,
    name: str,
) -> Fold:
    """One fold: the given test songs, and a grouped validation set out of the rest."""
    rest = np.setdiff1d(np.arange(len(ids)), test)
    n_parts = min(n_validation, len(np.unique(groups[rest])))
    if n_parts < 2:
        raise ConfigError(f"{name}: too few groups outside the test fold to keep some for validation. Lower the folds.")
    validation = rest[_parts(strata[rest], groups[rest], n_parts, rng, name)[0]]
    return _fold(ids, np.setdiff1d(rest, validation), validation, test)


def _fold(ids: np.ndarray, train: np.ndarray, validation: np.ndarray, test: np.ndarray) -> Fold:
    train_ids, validation_ids, test_ids = (tuple(ids[np.sort(part)].tolist()) for part in (train, validation, test))
    return Fold(train_ids, validation_ids, test_ids)


def _disjoint(what: str, left: Iterable[str], right: Iterable[str]) -> None:
    both = sorted(set(left) & set(right))
    if both:
        raise LeakageError(f"{len(both)} {what}: {named(both)}. This split must not be scored.")
