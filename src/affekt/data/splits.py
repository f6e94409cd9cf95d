"""Who is trained on, who is validated on, who is scored.

A split is drawn from song ids, groups, labels and a seed alone, so two runs that name the same split score the same
songs. Groups (artists) never stand on both sides; folds are stratified on the quadrant as far as groups allow. A song
without a group is a group of its own. `verify` checks all of this again in every run.

Test and validation songs are drawn among parts of the wanted size. Groups stay whole, so sizes can differ from the
wanted ones; where they differ much, the split's rule tells the real ones.

Some kinds test the same songs whatever the seed (`Split.fixed_test`): the seed then draws the validation songs alone,
and scores of several seeds are not scores of several test sets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from affekt.data.base import CREDITS, Dataset, named
from affekt.data.partition import cut, draw_parts, group_labels, parts_for, quadrant_labels
from affekt.data.transfer import Plan, cross_corpus, leave_one_out, long, official_2013
from affekt.digest import digest
from affekt.errors import ConfigError, LeakageError
from affekt.registry import did_you_mean

Kind = Literal["kfold", "holdout", "seed", "leave-one-out", "official-2013", "long", "cross-corpus"]
#: Seed of the founding split, which every run of that split shares.
FOUNDING_SEED = 42
#: Share of the songs outside the test fold that choose the epoch, unless asked otherwise.
VALIDATION = 0.1
#: Of "holdout": so many parts, of which one each is for test and validation.
_HOLDOUT_PARTS = 10
#: Sizes that differ from the wanted ones by more than this share of them, and by more than a song, are told.
_FAR = 0.25
_SIDES = ("train", "validation", "test")


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
        name: kind, settings and seed in one word; another rule has another name.
        rule: how it was drawn, in words.
        group: what never stands on both sides: a column such as "artist", or None.
        folds: one for kinds that test once, several for "kfold" and "leave-one-out"; every song is tested at most once.
        fixed_test: whether every seed tests the same songs, so that seeds must not be counted as further test sets.
        values: of "leave-one-out": what was left out in each fold; empty for other kinds.
    """

    name: str
    rule: str
    group: str | None
    folds: tuple[Fold, ...]
    fixed_test: bool = False
    values: tuple[str, ...] = ()

    @property
    def tested(self) -> tuple[str, ...]:
        """Ids of all songs that are scored."""
        return tuple(song for fold in self.folds for song in fold.test)

    def fingerprint(self) -> str:
        """Hash of the song ids of all folds: the same hash trains, validates and tests on the same songs."""
        return digest([vars(fold) for fold in self.folds])

    def as_dict(self) -> dict[str, Any]:
        """For `split.json`."""
        return asdict(self)


def draw_split(
    dataset: Dataset,
    kind: Kind,
    seed: int,
    n_folds: int = 5,
    group: str | None = "artist",
    validation: float = VALIDATION,
    by: str | None = None,
) -> Split:
    """Draw a split.

    Args:
        dataset: exactly the songs that will be scored.
        kind: what to draw.
            "kfold": grouped, stratified; every song is tested once.
            "holdout": 80/10/10, grouped, stratified.
            "seed": the founding one: 80/10/10, stratified on the first target at or above the scale's centre, seed 42,
            not grouped.
            "leave-one-out": one fold for each value of the column `by`.
            "official-2013": emoMusic's development and evaluation set, not grouped.
            "long": trained on DEAM's clips, tested on its 58 whole songs.
            "cross-corpus": trained on one data set, tested on another; the two are joined (`affekt.data.joined`).
        seed: of the draw; "seed" ignores it, kinds with fixed test songs draw only their validation songs from it.
        n_folds: of "kfold".
        group: column whose values must not be shared by two sides, or None.
        validation: share of the songs outside the test fold that choose the epoch; "holdout" and "seed" fix it.
        by: of "leave-one-out": genre, part, artist, or any other column of the data set.

    Raises:
        ConfigError: too few songs or groups for the number of folds; no such column; a share that is not above 0 and
            below 0.5; or songs that cannot be divided in this way, with the kinds that the data set does serve.
    """
    _check(dataset, kind, group, by, validation)
    if kind == "seed":
        return _founding(dataset)
    if kind == "leave-one-out":
        split = _planned(dataset, leave_one_out(dataset, by, group), group, group, validation, seed)
    elif kind == "official-2013":
        split = _planned(dataset, official_2013(dataset), None, "artist", validation, seed)
    elif kind == "long":
        split = _planned(dataset, long(dataset, group), group, group, validation, seed)
    elif kind == "cross-corpus":
        split = _planned(dataset, cross_corpus(dataset, group), group, group, validation, seed)
    else:
        split = _drawn(dataset, kind, seed, n_folds, group, validation)
    return replace(split, name=_name(kind, n_folds, split.group, validation, by, seed))


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


def read_split(path: Path, dataset: Dataset, seed: int = 0) -> Split:
    """Read a split that an earlier run, or anybody, wrote down.

    Args:
        path: a JSON file: one split as `Split.as_dict` gives it (name, group and folds are needed), or a run's
            `split.json`, which holds one for each seed.
        dataset: the songs that can be scored; those that the split does not name take no part.
        seed: which one of a run's splits; a file with a single split has the same for every seed.

    Raises:
        ConfigError: the file is missing or no split, holds none for this seed, or names songs or a group that `dataset`
            lacks.
        LeakageError: a song or group stands on two sides.
    """
    found = _read_json(path)
    single = "folds" in found
    if not single and str(seed) not in found:
        raise ConfigError(
            f"{path}: no split for seed {seed}. Found: {', '.join(found) or 'nothing'}. Take these as `seeds`."
        )
    split = _parsed(path, found if single else found[str(seed)], fixed_test=single)
    _check_group(dataset, split.group, f"{path}: group")  # a misspelt one would make the check for leaks pass
    missing = sorted({i for fold in split.folds for side in _SIDES for i in getattr(fold, side)} - set(dataset.ids))
    if missing:
        raise ConfigError(
            f"{path}: {len(missing)} songs of the split cannot be used here: {named(missing)}. Use the same data set "
            "and encoders that serve the same songs, or draw a split of your own."
        )
    verify(split, dataset)
    return split


def _check(dataset: Dataset, kind: str, group: str | None, by: str | None, validation: float) -> None:
    _check_group(dataset, group, f"{dataset.name}: split.group")
    if kind not in get_args(Kind):
        raise ConfigError(f'split.kind = "{kind}"; allowed: {", ".join(get_args(Kind))}.')
    if by is not None and kind != "leave-one-out":
        raise ConfigError(f'split.by = {by}: belongs to kind "leave-one-out"; this split is "{kind}".')
    if dataset.test_ids and kind != "cross-corpus":
        raise ConfigError(f'{dataset.name}: two data sets, of which one is tested; split.kind must be "cross-corpus".')
    if not 0 < validation < 0.5:
        raise ConfigError(f"training.validation = {validation:g}; allowed: above 0 and below 0.5.")


def _check_group(dataset: Dataset, group: str | None, where: str) -> None:
    columns = list(dict.fromkeys([*CREDITS[:3], *dataset.columns()]))
    if group is not None and group.casefold() not in [column.casefold() for column in columns]:
        near = did_you_mean(group, columns)
        raise ConfigError(f"{where} = {group}; no such column.{near} Found: {', '.join(columns)}.")


def _name(kind: str, n_folds: int, group: str | None, validation: float, by: str | None, seed: int) -> str:
    """One word for a rule; the usual share of validation songs goes without saying."""
    size = f"{n_folds}" if kind == "kfold" else ""
    column = f"-by-{'_'.join(by.split()).casefold()}" if by else ""
    grouped = "" if kind == "official-2013" else f"-{group or 'ungrouped'}"
    share = f"-validation{validation:g}" if validation != VALIDATION and kind != "holdout" else ""
    return f"{kind}{size}{column}{grouped}{share}-seed{seed}"


def _drawn(dataset: Dataset, kind: str, seed: int, n_folds: int, group: str | None, validation: float) -> Split:
    """Test songs drawn by the seed: kfold and holdout."""
    groups, strata = group_labels(dataset, group), quadrant_labels(dataset)
    n_parts = n_folds if kind == "kfold" else _HOLDOUT_PARTS
    rng = np.random.default_rng([seed, n_parts])
    parts = cut(strata, groups, n_parts, rng, dataset.name)
    if kind == "holdout":
        folds = [_held_out(dataset, parts, rng)]
        words = f"holdout, 1 fold(s), 80/10/10, {_grouped(dataset, group)}"
        sizes = _real_sizes(folds, 1 / n_parts, 1 / (n_parts - 1))
    else:
        rests = [np.setdiff1d(np.arange(len(groups)), part) for part in parts]
        folds = [
            _inner(dataset, strata, groups, part, rest, validation, rng)
            for part, rest in zip(parts, rests, strict=True)
        ]
        words = (
            f"kfold, {len(folds)} fold(s), {_percent(validation)} of the songs outside a test fold are validation "
            f"songs, {_grouped(dataset, group)}"
        )
        sizes = _real_sizes(folds, 1 / n_parts, validation)
    return Split(kind, f"{words}, stratified on the quadrant, seed {seed}{sizes}", group, tuple(folds))


def _held_out(dataset: Dataset, parts: Sequence[np.ndarray], rng: np.random.Generator) -> Fold:
    """Test and validation songs out of ten parts, about a tenth of the songs each."""
    wanted = len(dataset) / len(parts)
    # Half of the parts stay for the rest: an artist with nearly all songs leaves parts of a single song to join.
    places = draw_parts(parts, wanted, rng, at_most=len(parts) // 2)
    others = [part for place, part in enumerate(parts) if place not in places]
    inner = draw_parts(others, wanted, rng)
    test = np.concatenate([parts[place] for place in places])
    validation = np.concatenate([others[place] for place in inner])
    train = np.setdiff1d(np.arange(len(dataset)), np.concatenate([test, validation]))
    return _fold(_ids(dataset), train, validation, test)


def _planned(
    dataset: Dataset, plan: Plan, group: str | None, inner_group: str | None, validation: float, seed: int
) -> Split:
    """Test songs that the data set names; the seed draws the validation songs, `inner_group` kept whole."""
    groups, strata = group_labels(dataset, inner_group), quadrant_labels(dataset)
    rng = np.random.default_rng([seed, len(plan.tests)])
    folds = [
        _inner(dataset, strata, groups, test, rest, validation, rng)
        for test, rest in zip(plan.tests, plan.rests, strict=True)
    ]
    words = (
        f"{plan.words}. Test songs are the same for every seed; {_percent(validation)} of the others are validation "
        f"songs, {_grouped(dataset, inner_group)}, stratified on the quadrant, seed {seed}"
        f"{_real_sizes(folds, None, validation)}"
    )
    return Split("", words, group, tuple(folds), fixed_test=True, values=plan.values)


def _grouped(dataset: Dataset, group: str | None) -> str:
    """By what songs are grouped, and how many have a value where some have none: those are groups of their own."""
    if group is None:
        return "grouped by nothing"
    n_with = sum(bool(song.value(group)) for song in dataset.songs)
    counted = "" if n_with == len(dataset) else f" ({n_with} of {len(dataset)} songs have one)"
    return f"grouped by {group}{counted}"


def _real_sizes(folds: Sequence[Fold], test: float | None, validation: float) -> str:
    """The real sizes of sides of which one fold's is far from the wanted one, as a sentence; else nothing.

    Args:
        folds: as drawn.
        test: wanted share of all songs; None where the data set names the test songs.
        validation: wanted share of the songs outside the test fold.
    """
    outside = [len(fold.train) + len(fold.validation) for fold in folds]
    sides = [("validation", [len(fold.validation) for fold in folds], [validation * n for n in outside])]
    if test is not None:
        totals = [n + len(fold.test) for n, fold in zip(outside, folds, strict=True)]
        sides.insert(0, ("test", [len(fold.test) for fold in folds], [test * n for n in totals]))
    words = [
        f"{_span(found)} {side} songs in a fold instead of {_span(wanted)}"
        for side, found, wanted in sides
        if any(abs(n - aim) > max(1, _FAR * aim) for n, aim in zip(found, wanted, strict=True))
    ]
    return f". Real sizes: {', '.join(words)}" if words else ""


def _span(numbers: Sequence[float]) -> str:
    low, high = round(min(numbers)), round(max(numbers))
    return f"{low}" if low == high else f"{low} to {high}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _founding(dataset: Dataset) -> Split:
    from sklearn.model_selection import train_test_split

    ids = _ids(dataset)
    strata = dataset.targets()[:, 0] >= np.mean(dataset.scale)
    if min(strata.sum(), (~strata).sum()) < 10:
        raise ConfigError(
            f"{dataset.name}: the founding split needs at least ten songs on each side of the scale's centre, found "
            f"{strata.sum()} above and {(~strata).sum()} below. Use split.kind = kfold."
        )
    rest, test = train_test_split(np.arange(len(ids)), test_size=0.1, stratify=strata, random_state=FOUNDING_SEED)
    train, validation = train_test_split(rest, test_size=1 / 9, stratify=strata[rest], random_state=FOUNDING_SEED)
    rule = f"80/10/10, stratified on the first target at or above the centre, not grouped, seed {FOUNDING_SEED}"
    return Split("seed", rule, None, (_fold(ids, train, validation, test),), fixed_test=True)


def _inner(
    dataset: Dataset,
    strata: np.ndarray,
    groups: np.ndarray,
    test: np.ndarray,
    rest: np.ndarray,
    validation: float,
    rng: np.random.Generator,
) -> Fold:
    """One fold: the given test songs, and a grouped validation set out of the rest."""
    n_parts = min(parts_for(validation), len(np.unique(groups[rest])))
    if n_parts < 2:
        raise ConfigError(
            f"{dataset.name}: {len(rest)} songs of {n_parts} group(s) are left outside a test fold of {len(test)} "
            "songs, too few groups to train on and to keep some for validation. Lower split.folds, leave out another "
            "column, or choose split.group = null."
        )
    parts = cut(strata[rest], groups[rest], n_parts, rng, dataset.name)
    part = rest[np.concatenate([parts[place] for place in draw_parts(parts, validation * len(rest), rng)])]
    return _fold(_ids(dataset), np.setdiff1d(rest, part), part, test)


def _ids(dataset: Dataset) -> np.ndarray:
    return np.array(dataset.ids, dtype=object)  # numpy's own strings lose a zero byte at the end


def _fold(ids: np.ndarray, train: np.ndarray, validation: np.ndarray, test: np.ndarray) -> Fold:
    train_ids, validation_ids, test_ids = (tuple(ids[np.sort(part)].tolist()) for part in (train, validation, test))
    return Fold(train_ids, validation_ids, test_ids)


def _disjoint(what: str, left: Iterable[str], right: Iterable[str]) -> None:
    both = sorted(set(left) & set(right))
    if both:
        raise LeakageError(f"{len(both)} {what}: {named(both)}. This split must not be scored.")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file. A run writes its splits to split.json.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error}). A run writes its splits to split.json.") from None
    return found if isinstance(found, dict) else {}


def _parsed(path: Path, value: Any, fixed_test: bool) -> Split:
    """A split out of plain data.

    Raises:
        ConfigError: a part is missing or of another kind.
    """
    if not _is_split(value):
        raise ConfigError(
            f'{path}: not a split. Expected {{"name": "...", "group": "artist" or null, "folds": [{{"train": [...], '
            '"validation": [...], "test": [...]}, ...]}, each of the three a list of different song ids, not empty.'
        )
    folds = tuple(Fold(*(tuple(fold[side]) for side in _SIDES)) for fold in value["folds"])
    values = value.get("values")
    return Split(
        name=value["name"],
        rule=str(value.get("rule") or f"read from {path.name}"),
        group=value["group"],
        folds=folds,
        fixed_test=fixed_test or value.get("fixed_test") is True,
        values=tuple(values) if _is_ids(values) and len(values) == len(folds) else (),
    )


def _is_split(value: Any) -> bool:
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        return False
    group, folds = value.get("group", 0), value.get("folds")
    if not isinstance(group, str | None) or not isinstance(folds, list) or not folds:
        return False
    return all(isinstance(fold, Mapping) and all(_is_ids(fold.get(side)) for side in _SIDES) for fold in folds)


def _is_ids(value: Any) -> bool:
    """Whether these are different strings, at least one."""
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        return False
    return len(value) == len(set(value)) > 0
