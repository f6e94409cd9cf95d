"""From predictions to a verdict: every encoder scored on the same songs, with intervals and paired differences.

Conventions: scores are on the data set's own scale; a score is computed for each seed and then averaged over seeds;
intervals are 95 % BCa over artists (a song without an artist stands for itself). Each seed may have drawn its own
split: a seed is scored on the songs that it tested, and among those on the songs that every encoder predicted, so that
a difference between encoders is never a difference of songs.

`Scores` keeps everything that takes time: score a comparison once and hand the `Scores` on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from affekt.errors import DataError
from affekt.evaluation import metrics, words
from affekt.evaluation.arrange import arrange
from affekt.evaluation.factorial import design_note
from affekt.evaluation.pairs import TestSets, fold_test, pair_rows, test_sets_of
from affekt.evaluation.results import Results
from affekt.evaluation.statistics import (
    N_RESAMPLES,
    SCORES,
    Interval,
    Resampled,
    Statistic,
    bootstrap,
    holm,
    verdict_words,
    weighted_quadrant_scores,
    weighted_scores,
    weighted_spearman,
)

if TYPE_CHECKING:
    import pandas as pd

    from affekt.evaluation.over_time import OverTime

REFERENCE = "mean"
_R2 = SCORES.index("r2")


def score_table(results: Results) -> pd.DataFrame:
    """The scores with their intervals, a row for each encoder and target.

    Columns: encoder, target; r2, rmse, mae, pearson, spearman, ccc and r2_minus_mean (paired difference of R2 to the
    encoder labelled "mean", NaN where there is none), each followed by the ends of its interval as in r2_low, r2_high;
    n_songs, n_seeds. What a reader must know lies in `.attrs["notes"]`.

    Raises:
        DataError: see `score`.
    """
    return score(results).table()


def headline(results: Results) -> list[str]:
    """The verdict in sentences, from intervals alone.

    Raises:
        DataError: see `score`.
    """
    return score(results).headline()


def score(results: Results, n_resamples: int = N_RESAMPLES, seed: int = 0) -> Scores:
    """Score every encoder on the songs that all of them predicted.

    Args:
        results: a whole comparison, or two that `affekt.evaluation.join` made one.
        n_resamples: bootstrap resamples for each interval.
        seed: of the resamples.

    Raises:
        DataError: for some seed fewer than two songs are common to all encoders, a song was predicted twice by one
            run, a song of one run has two annotations, or a number is not finite.
    """
    found = arrange(results)
    statistics = [weighted_scores(found.truth[label], pred) for label, pred in found.y_pred.items()]
    resampled = bootstrap(
        _side_by_side(statistics), len(found.song_ids), artists(results, found.song_ids), n_resamples, seed=seed
    )
    notes = [
        *(results.run.get("join_notes") or []),
        *found.notes,
        *_without_interval(resampled),
        *design_note(results, list(found.truth)),
    ]
    return Scores(
        results=results,
        encoders=list(found.truth),
        song_ids=found.song_ids,
        truth=found.truth,
        y_pred=found.y_pred,
        seeds=found.seeds,
        folds_of=found.folds,
        resampled=resampled,
        notes=notes,
        seed=seed,
    )


def _without_interval(resampled: Resampled) -> list[str]:
    """Where R2 has no interval, "no difference shown" means that nothing could be asked: a reader has to know."""
    r2 = resampled.select(slice(None), _R2, slice(None)).interval()
    lacking = np.isnan(r2.low) & ~np.isnan(r2.value)
    if not lacking.any():
        return []
    return [
        f"{lacking.sum()} of {lacking.size} values of R² have no interval, and their differences no verdict: songs or "
        "artists are too few to draw from."
    ]


def artists(results: Results, song_ids: Sequence[str]) -> list[tuple[str, str]]:
    """The group of each song: its artist, or the song itself where no artist is known."""
    by_id = {song["id"]: song.get("artist") for song in results.songs}
    return [("artist", str(by_id[i])) if by_id[i] else ("song", i) for i in song_ids]


class Run(NamedTuple):
    """What one encoder predicted with one seed: only the songs that the seed's split tested."""

    seed: int
    chosen: np.ndarray  # (n_all_songs,) of bool
    y_true: np.ndarray  # (n_songs, n_targets)
    y_pred: np.ndarray  # (n_songs, n_targets)


class Twin(NamedTuple):
    """What pretraining adds: the R2 of a pretrained encoder minus that of its untrained twin, on the same resamples."""

    encoder: str
    twin: str
    target: str | None  # None: R2 averaged over targets
    value: float
    low: float
    high: float
    verdict: str  # of the pretrained encoder: "better", "worse", "no difference shown"
    words: str  # the same in a sentence


@dataclass(frozen=True)
class Scores:
    """A comparison, scored. Made by `score`.

    Attributes:
        results: what was scored.
        encoders: labels of the encoders that predicted anything, in the order of the experiment.
        song_ids: the songs that all of them predicted with some seed, in the order of `results.songs`.
        truth: for each encoder, the annotations that it is scored against, shape (n_songs, n_targets). They differ
            between encoders only where two runs with different annotations were joined; `y_true` is the common one.
        y_pred: for each encoder, predictions of shape (n_seeds, n_songs, n_targets); NaN where the seed did not test
            the song.
        seeds: for each encoder, the seeds it ran with.
        folds_of: for each encoder and seed, the fold in which each song was tested, shape (n_songs,); -1 where it was
            not.
        resampled: all scores of all encoders, of shape (n_encoders, n_scores, n_targets), on all resamples.
        notes: what a reader of the scores must know.
        seed: of the resamples.
    """

    results: Results
    encoders: list[str]
    song_ids: list[str]
    truth: dict[str, np.ndarray]
    y_pred: dict[str, np.ndarray]
    seeds: dict[str, list[int]]
    folds_of: dict[str, dict[int, np.ndarray]]
    resampled: Resampled
    notes: list[str]
    seed: int

    @cached_property
    def same_annotations(self) -> bool:
        """Whether all encoders are scored against the same annotations."""
        first, *others = self.truth.values()
        return all(np.array_equal(first, other) for other in others)

    @property
    def y_true(self) -> np.ndarray:
        """The annotations that all encoders share, shape (n_songs, n_targets).

        Raises:
            DataError: two runs with different annotations were joined; `truth` has those of each encoder.
        """
        if not self.same_annotations:
            raise DataError("The joined runs have different annotations. Ask for those of one encoder: scores.truth.")
        return next(iter(self.truth.values()))

    @cached_property
    def over_time(self) -> OverTime | None:
        """The comparison scored moment by moment; None where each song has one annotation."""
        from affekt.evaluation.over_time import score_over_time

        return score_over_time(self)

    @cached_property
    def folds(self) -> dict[int, np.ndarray]:
        """For each seed, the fold in which the first encoder that ran with it tested each song; see `folds_of`."""
        return {seed: fold for by_seed in reversed(self.folds_of.values()) for seed, fold in by_seed.items()}

    @cached_property
    def groups(self) -> list[tuple[str, str]]:
        """The group of each song: what resamples draw and permutations turn together."""
        return artists(self.results, self.song_ids)

    @cached_property
    def intervals(self) -> Interval:
        """Every score with its interval, shape (n_encoders, n_scores, n_targets); scores in the order of `SCORES`."""
        return self.resampled.interval()

    @cached_property
    def averaged(self) -> Interval:
        """Every score averaged over targets, with its interval, shape (n_encoders, n_scores)."""
        return self.resampled.apply(lambda values: values.mean(axis=-1)).interval()

    @cached_property
    def centre(self) -> float:
        """The middle of the data set's scale; of the annotations where no scale is recorded."""
        annotations = list(self.truth.values())
        low, high = self.results.dataset.get("scale") or (np.min(annotations), np.max(annotations))
        return float(low + high) / 2

    @cached_property
    def quadrants(self) -> Interval | None:
        """Every quadrant score with its interval, shape (n_encoders, 3), in the order of `metrics.QUADRANT_SCORES`.

        None where valence and arousal are not both among the targets.
        """
        return self._quadrants.interval() if self._quadrants else None

    def quadrant_accuracy(self, encoder: str) -> tuple[float, float, float]:
        """Share of songs predicted into their own quadrant, with the ends of its interval; see `quadrant_score`."""
        return self.quadrant_score(encoder, "accuracy")

    def quadrant_score(self, encoder: str, name: str) -> tuple[float, float, float]:
        """One of `metrics.QUADRANT_SCORES` with the ends of its interval; all NaN without valence and arousal."""
        if self.quadrants is None:
            return np.nan, np.nan, np.nan
        return _at(self.quadrants, self.encoders.index(encoder), metrics.QUADRANT_SCORES.index(name))

    def r2(self, encoder: str, target: str) -> tuple[float, float, float]:
        """R2 with the ends of its interval."""
        return _at(self.intervals, self.encoders.index(encoder), _R2, self.results.targets.index(target))

    def spearman(self, encoder: str, target: str | None = None) -> tuple[float, float, float]:
        """Spearman's rho with the ends of its interval; without a target averaged over targets."""
        columns = slice(None) if target is None else [self.results.targets.index(target)]
        rho = self._spearman.select(self.encoders.index(encoder), slice(None))
        return _at(rho.apply(lambda values: values[..., columns].mean(axis=-1)).interval())

    def difference(self, first: str, second: str, target: str | None = None) -> tuple[float, float, float]:
        """R2 of `first` minus R2 of `second` on the same resamples, with the ends of its interval.

        Without a target: of R2 averaged over targets.
        """
        return self.contrast({first: 1.0, second: -1.0} if first != second else {first: 0.0}, target)

    def contrast(self, weights: Mapping[str, float], target: str | None = None) -> tuple[float, float, float]:
        """A weighted sum of the encoders' R2 on the same resamples, with the ends of its interval.

        Without a target: of R2 averaged over targets.
        """
        rows = [self.encoders.index(encoder) for encoder in weights]
        columns = slice(None) if target is None else [self.results.targets.index(target)]

        def combined(values: np.ndarray) -> np.ndarray:
            by_target = np.tensordot(list(weights.values()), values[..., rows, _R2, :], axes=(0, -2))
            return by_target[..., columns].mean(axis=-1)

        return _at(self.resampled.apply(combined).interval())

    def twins(self) -> list[Twin]:
        """What pretraining adds to each encoder that has an untrained twin: each target, then their average.

        The interval covers other songs; the twin's weights are one draw.
        """
        scored = set(self.encoders)
        pairs = [(str(e["twin_of"]), e["label"]) for e in self.results.encoders if e.get("twin_of")]
        targets = [*self.results.targets, *([None] if len(self.results.targets) > 1 else [])]
        return [self._twin(*pair, target) for pair in pairs if scored.issuperset(pair) for target in targets]

    def reference(self, encoder: str) -> str | None:
        """The encoder that guesses the mean in the run that this one comes from; None where there is none."""
        run = self.results.run_of(encoder)
        means = (label for label in self.encoders if self.is_reference(label) and self.results.run_of(label) == run)
        return next(means, None)

    def is_reference(self, encoder: str) -> bool:
        """Whether this encoder always guesses the mean: labelled "mean", in its own run where two were joined."""
        about = self.results.describe(encoder)
        return about.get("own_label", encoder) == REFERENCE

    def ranking(self, target: str) -> list[str]:
        """Encoders by R2, best first; those without a defined R2 are left out."""
        values = {encoder: self.r2(encoder, target)[0] for encoder in self.encoders}
        return sorted((e for e in self.encoders if not np.isnan(values[e])), key=lambda e: -values[e])

    def table(self) -> pd.DataFrame:
        """See `score_table`."""
        import pandas as pd

        table = pd.DataFrame(self._rows, columns=_COLUMNS)
        table.attrs["notes"] = list(self.notes)
        return table

    def headline(self) -> list[str]:
        """See `headline`."""
        return words.verdicts(self)

    def pairs(self) -> pd.DataFrame:
        """Every two encoders on every target: the paired difference of R2 and whether chance alone could make it.

        Columns: target, first (the one with the higher R2), second, difference, low, high, verdict, p_songs (sign-flip
        permutation of squared errors, artists together; NaN where the two have different annotations), p_folds
        (corrected resampled t-test of the R2 of each test set; NaN with fewer than two test sets in common),
        p_songs_holm and p_folds_holm (adjusted for all rows of the table).
        """
        import pandas as pd

        return pd.DataFrame(self._pairs, columns=[*_PAIR_COLUMNS, "p_songs_holm", "p_folds_holm"])

    def pair(self, first: str, second: str, target: str) -> dict[str, Any]:
        """The row of `pairs` for two encoders on one target, whichever stands first; empty where there is none."""
        wanted = target, {first, second}
        return next((row for row in self._pairs if (row["target"], {row["first"], row["second"]}) == wanted), {})

    def p_folds(self, weights: Mapping[str, float], target: str | None = None) -> float:
        """The corrected resampled t-test of a weighted sum of the encoders' R2, unadjusted; as in `pairs`.

        Without a target: of R2 averaged over targets. NaN with fewer than two test sets in common.
        """
        return fold_test(self, weights, target)

    def runs(self, encoder: str) -> list[Run]:
        """The encoder's predictions, seed by seed."""
        tested = ~np.isnan(self.y_pred[encoder]).any(axis=2)  # (n_seeds, n_songs)
        by_seed = zip(self.seeds[encoder], tested, self.y_pred[encoder], strict=True)
        return [Run(seed, chosen, self.truth[encoder][chosen], pred[chosen]) for seed, chosen, pred in by_seed]

    def test_sets(self, encoder: str) -> dict[tuple[int, int], np.ndarray]:
        """For each seed and fold, which songs it tested, shape (n_songs,) of bool."""
        found: dict[tuple[int, int], np.ndarray] = {}
        for run in self.runs(encoder):
            folds = np.where(run.chosen, self.folds_of[encoder][run.seed], -1)
            found |= {(run.seed, int(fold)): folds == fold for fold in np.unique(folds[run.chosen])}
        return found

    def fold_r2(self, encoder: str) -> dict[tuple[int, int], np.ndarray]:
        """R2 against the fold's own mean for each seed and fold, shape (n_targets,); folds of one song are left out."""
        true, by_seed = self.truth[encoder], dict(zip(self.seeds[encoder], self.y_pred[encoder], strict=True))
        return {
            (seed, fold): metrics.r2(y_true=true[tested], y_pred=by_seed[seed][tested])
            for (seed, fold), tested in self.test_sets(encoder).items()
            if tested.sum() > 1
        }

    @cached_property
    def r2_of_test_sets(self) -> dict[str, TestSets]:
        """For each encoder, R2 on each set of songs that was tested together; see `affekt.evaluation.pairs`."""
        return {encoder: test_sets_of(self, encoder) for encoder in self.encoders}

    @cached_property
    def _quadrants(self) -> Resampled | None:
        columns = metrics.valence_arousal_columns(self.results.targets)
        if columns is None:
            return None
        statistics = [
            weighted_quadrant_scores(self.truth[e][:, columns], self.y_pred[e][..., columns], centre=self.centre)
            for e in self.encoders
        ]
        return self._resampled_again(statistics)

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        return [self._row(encoder, target) for encoder in self.results.labels for target in self.results.targets]

    @cached_property
    def _pairs(self) -> list[dict[str, Any]]:
        rows = pair_rows(self)
        for test in ("p_songs", "p_folds"):
            for row, p in zip(rows, holm(np.array([row[test] for row in rows])), strict=True):
                row[f"{test}_holm"] = float(p)
        return rows

    @cached_property
    def _spearman(self) -> Resampled:
        """Spearman's rho of every encoder, shape (n_encoders, n_targets)."""
        return self._resampled_again([weighted_spearman(self.truth[e], self.y_pred[e]) for e in self.encoders])

    def _resampled_again(self, statistics: Sequence[Statistic]) -> Resampled:
        """One statistic of each encoder on the resamples of all other scores: the same seed draws the same ones."""
        n_resamples = len(self.resampled.resamples)
        return bootstrap(_side_by_side(statistics), len(self.song_ids), self.groups, n_resamples, seed=self.seed)

    def _row(self, encoder: str, target: str) -> dict[str, Any]:
        row: dict[str, Any] = {"encoder": encoder, "target": target}
        if encoder not in self.encoders:
            return {**row, "n_songs": 0, "n_seeds": 0}
        at, column = self.encoders.index(encoder), self.results.targets.index(target)
        found = {name: _at(self.intervals, at, k, column) for k, name in enumerate(SCORES)}
        for name, values in {**found, "spearman": self.spearman(encoder, target)}.items():
            row |= dict(zip(with_ends(name), values, strict=True))
        mean = self.reference(encoder)
        if mean is not None and encoder != mean:
            row.update(zip(_OVER_MEAN, self.difference(encoder, mean, target), strict=True))
        tested = ~np.isnan(self.y_pred[encoder]).any(axis=2)  # (n_seeds, n_songs)
        n_songs = int(tested.any(axis=0).sum())
        return {**row, "n_songs": n_songs, "n_seeds": len(tested)}

    def _twin(self, encoder: str, twin: str, target: str | None) -> Twin:
        difference = self.difference(encoder, twin, target)
        verdict, p = verdict_words(difference[1:]), self.p_folds({encoder: 1.0, twin: -1.0}, target)
        amount, r2 = words.with_sign(*difference), words.over_what(target, self.results.targets)
        said = {
            "better": f"Pretraining adds {amount} to the {r2} of {encoder}",
            "worse": f"Pretraining takes from the {r2} of {encoder}: {amount}",
        }.get(verdict, f"What pretraining adds to the {r2} of {encoder} is not shown: {amount}")
        return Twin(
            encoder, twin, target, *difference, verdict, f"{said} over its untrained twin{words.doubt(verdict, p)}."
        )


def with_ends(name: str) -> tuple[str, str, str]:
    """What the columns of a score and of the ends of its interval are called."""
    return name, f"{name}_low", f"{name}_high"


_OVER_MEAN = with_ends("r2_minus_mean")
_COLUMNS = [
    *("encoder", "target"),
    *(column for name in ("r2", "rmse", "mae", "pearson", "spearman", "ccc") for column in with_ends(name)),
    *(*_OVER_MEAN, "n_songs", "n_seeds"),
]
_PAIR_COLUMNS = ["target", "first", "second", "difference", "low", "high", "verdict", "p_songs", "p_folds"]


def _side_by_side(statistics: Sequence[Statistic]) -> Statistic:
    """One statistic of shape (rows, n_encoders, ...) from that of each encoder."""
    return lambda weights: np.stack([statistic(weights) for statistic in statistics], axis=1)


def _at(interval: Interval, *index: int) -> tuple[float, float, float]:
    value, low, high = (float(values[index]) for values in interval)
    return value, low, high
