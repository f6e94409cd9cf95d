"""From rows of predictions to arrays: which songs are scored, with which annotations, seed by seed.

Conventions: songs stand in the order of `Results.songs`, targets in that of `Results.targets`. A seed is scored on the
songs that it tested, and among those on the songs that every encoder of the run predicted with it, so that a difference
between encoders is never a difference of songs. Where two runs are joined (`affekt.evaluation.join`), each keeps its
own seeds, folds and annotations, and the songs are those common to both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from affekt.data.base import named
from affekt.errors import DataError
from affekt.evaluation.results import Prediction, Results

RunSeed = tuple[str | None, int]  # the run (None where nothing was joined) and the seed


class Arranged(NamedTuple):
    """Predictions as arrays; the dictionaries have an entry for each encoder that predicted anything."""

    song_ids: list[str]
    truth: dict[str, np.ndarray]  # (n_songs, n_targets)
    y_pred: dict[str, np.ndarray]  # (n_seeds, n_songs, n_targets), NaN where the seed did not test the song
    seeds: dict[str, list[int]]
    folds: dict[str, dict[int, np.ndarray]]  # by seed: (n_songs,), -1 where the seed did not test the song
    notes: list[str]


class Cube(NamedTuple):
    """All predictions of one encoder, for all songs of the results."""

    seeds: list[int]
    y_true: np.ndarray  # (n_seeds, n_songs, n_targets), NaN where there is none
    y_pred: np.ndarray  # the same
    folds: np.ndarray  # (n_seeds, n_songs), -1 where there is none

    @property
    def tested(self) -> np.ndarray:
        """Where every target was predicted, (n_seeds, n_songs) of bool."""
        return ~np.isnan(self.y_pred).any(axis=2)


def arrange(results: Results) -> Arranged:
    """The arrays behind a comparison.

    Raises:
        DataError: see `affekt.evaluation.scores.score`.
    """
    cubes = _cubes(results)
    run_of = {label: results.run_of(label) for label in cubes}
    truth = _truth(results, cubes, run_of)
    tested = _common(cubes, run_of)
    by_run = {run: _any(mask for (name, _), mask in tested.items() if name == run) for run in run_of.values()}
    kept = np.all(list(by_run.values()), axis=0)
    tested = {key: mask & kept for key, mask in tested.items()}
    _check(tested, cubes)
    chosen = {
        label: np.array([tested[run_of[label], seed][kept] for seed in cube.seeds]) for label, cube in cubes.items()
    }
    return Arranged(
        song_ids=[song["id"] for song, keep in zip(results.songs, kept, strict=True) if keep],
        truth={label: truth[run_of[label]][kept] for label in cubes},
        y_pred={
            label: np.where(chosen[label][..., None], cube.y_pred[:, kept], np.nan) for label, cube in cubes.items()
        },
        seeds={label: cube.seeds for label, cube in cubes.items()},
        folds={label: dict(zip(cube.seeds, cube.folds[:, kept], strict=True)) for label, cube in cubes.items()},
        notes=_notes(results, cubes, tested, kept),
    )


def _cubes(results: Results) -> dict[str, Cube]:
    if not results.predictions:
        raise DataError("The results hold no prediction, so there is nothing to score. Run `affekt compare` again.")
    encoder, seed, fold, song, target, y_true, y_pred = zip(*results.predictions, strict=True)
    songs = _numbers(song, [row["id"] for row in results.songs], "song")
    targets = _numbers(target, results.targets, "target")
    labels = _numbers(encoder, results.labels, "encoder")
    values = np.array([y_true, y_pred], dtype=float)  # (2, n_predictions)
    _check_finite(results.predictions, values)
    seeds, folds = np.array(seed, dtype=int), np.array(fold, dtype=int)
    _check_once(results.predictions, labels, np.unique(seeds, return_inverse=True)[1], songs, targets)
    shape = len(results.songs), len(results.targets)
    cubes = {}
    for number, label in enumerate(results.labels):
        mine = labels == number
        if mine.any():
            rows = (seeds[mine], songs[mine], targets[mine])
            cubes[label] = _cube(*rows, values[:, mine], folds[mine], shape)
    return cubes


def _cube(
    seeds: np.ndarray, songs: np.ndarray, targets: np.ndarray, values: np.ndarray, folds: np.ndarray, shape: tuple
) -> Cube:
    runs, run = np.unique(seeds, return_inverse=True)
    y_true, y_pred = np.full((2, len(runs), *shape), np.nan)
    tested_in = np.full((len(runs), shape[0]), -1)
    y_true[run, songs, targets], y_pred[run, songs, targets] = values
    tested_in[run, songs] = folds
    return Cube(runs.tolist(), y_true, y_pred, tested_in)


def _numbers(names: Sequence[str], known: Sequence[str], kind: str) -> np.ndarray:
    """Where each name stands among the known ones."""
    number_of = {name: number for number, name in enumerate(known)}
    unknown = sorted({str(name) for name in names if name not in number_of})
    if unknown:
        raise DataError(
            f"There are predictions for {len(unknown)} {kind}(s) that the results do not list: {named(unknown)}. "
            "Run `affekt compare` again."
        )
    return np.array([number_of[name] for name in names])


def _check_finite(predictions: Sequence[Prediction], values: np.ndarray) -> None:
    bad = np.flatnonzero(~np.isfinite(values).all(axis=0)).tolist()
    if bad:
        where = [f"{predictions[i].encoder}, song {predictions[i].song_id}" for i in bad]
        raise DataError(
            f"{len(bad)} predictions hold an annotation or a value that is not a finite number: {named(where, 3)}. "
            "Leave songs without annotation out of the data set, and run `affekt compare` again."
        )


def _check_once(predictions: Sequence[Prediction], *keys: np.ndarray) -> None:
    cells = np.ravel_multi_index(keys, [int(key.max()) + 1 for key in keys])
    times = np.bincount(cells)
    if (times > 1).any():
        songs = sorted({predictions[i].song_id for i in np.flatnonzero(times[cells] > 1).tolist()})
        raise DataError(
            f"{(times > 1).sum()} predictions occur more than once for the same encoder, seed and target: songs "
            f"{named(songs)}. A song is tested once; run `affekt compare` again."
        )


def _truth(results: Results, cubes: dict[str, Cube], run_of: dict[str, str | None]) -> dict[str | None, np.ndarray]:
    """Annotations of each run, (n_songs, n_targets), NaN where nothing was predicted."""
    found = {}
    for run in dict.fromkeys(run_of.values()):
        stacked = np.concatenate([cube.y_true for label, cube in cubes.items() if run_of[label] == run])
        lowest, highest = np.fmin.reduce(stacked), np.fmax.reduce(stacked)
        unlike = np.flatnonzero((lowest < highest).any(axis=1))
        if len(unlike):
            ids = [results.songs[i]["id"] for i in unlike]
            raise DataError(
                f"{len(unlike)} songs have more than one annotation: {named(ids)}. The encoders of a run share their "
                "annotations; use `affekt report A B` to compare runs that differ in them."
            )
        found[run] = lowest
    return found


def _common(cubes: dict[str, Cube], run_of: dict[str, str | None]) -> dict[RunSeed, np.ndarray]:
    """For each run and seed, the songs that every encoder which ran with it predicted, shape (n_songs,) of bool."""
    common: dict[RunSeed, np.ndarray] = {}
    for label, cube in cubes.items():
        for seed, tested in zip(cube.seeds, cube.tested, strict=True):
            key = run_of[label], seed
            common[key] = common[key] & tested if key in common else tested
    return common


def _check(tested: dict[RunSeed, np.ndarray], cubes: dict[str, Cube]) -> None:
    for (run, seed), mask in tested.items():
        if mask.sum() < 2:
            where = f"with seed {seed}" + (f" in {run}" if run else "")
            raise DataError(
                f"{mask.sum()} of {len(mask)} songs were predicted by every encoder {where}; at least two "
                f"are needed to score {', '.join(cubes)}. Run the comparison again for those that lack songs."
            )


def _notes(results: Results, cubes: dict[str, Cube], tested: dict[RunSeed, np.ndarray], kept: np.ndarray) -> list[str]:
    notes = []
    by_encoder = {label: cube.tested.any(axis=0) for label, cube in cubes.items()}
    anywhere = _any(by_encoder.values())
    lacking = {label: int((anywhere & ~mine).sum()) for label, mine in by_encoder.items()}
    if kept.sum() < anywhere.sum():
        names = ", ".join(f"{label} lacks {n}" for label, n in lacking.items() if n)
        notes.append(
            f"Scored on the {kept.sum()} songs common to all encoders, of {anywhere.sum()} predicted ({names})."
        )
    if any((mask != kept).any() for mask in tested.values()):
        mean = np.mean([mask.sum() for mask in tested.values()])
        notes.append(f"Each seed tested songs of its own: {mean:.0f} on average, {kept.sum()} in all.")
    silent = [label for label in results.labels if label not in cubes]
    if silent:
        notes.append(f"Without any prediction, and so without a score: {', '.join(silent)}.")
    return notes


def _any(masks: object) -> np.ndarray:
    return np.any(list(masks), axis=0)  # type: ignore[call-overload]
