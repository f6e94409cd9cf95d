"""How well a model follows a song: annotations over time against what was predicted at the same moments.

Conventions, those of MediaEval's task on emotion in music (Aljanaki, Yang & Soleymani 2017, PLoS ONE 12(3):e0173392):
RMSE, Pearson's r and CCC are computed within each song and then averaged over songs; beside them stand the same scores
over all moments of all songs together (*pooled*), which also reward knowing how songs differ. Within a song, where
annotations or predictions do not move, r is undefined and the song is left out of the mean of r; CCC is 0 if one of the
two moves, and undefined if neither does. Songs count alike, however long they are; in the pooled scores moments do.

The unit is the song, as everywhere: intervals are BCa over songs, artists drawn together; seeds are averaged within
each resample; every difference is also held against the corrected t-test over folds with Holm's correction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from affekt.errors import DataError
from affekt.evaluation import metrics
from affekt.evaluation.pairs import contrast_test, pair_row
from affekt.evaluation.statistics import (
    LEVEL,
    SCORES,
    Resampled,
    Statistic,
    bootstrap,
    holm,
    over_seeds,
    weighted_scores,
)
from affekt.evaluation.words import capitalised, listed, with_interval, with_sign

if TYPE_CHECKING:
    from affekt.evaluation.scores import Scores

MEASURES = ("rmse", "pearson", "ccc")
#: What encoders are ranked by: unlike r it also punishes a curve that is shifted or stretched.
RANKED_BY = "ccc"
_METRICS = (metrics.rmse, metrics.pearson, metrics.concordance)
_POOLED = [SCORES.index(measure) for measure in MEASURES]

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class OverTime:
    """A comparison over time, scored. Made by `score_over_time`.

    Attributes:
        scores: the same comparison, each song with its mean over time.
        truth: annotations of each song, in the order of `scores.song_ids`, each (n_frames, n_targets).
        times_s: the moments of each song, each (n_frames,).
        y_pred: for each encoder and seed, predictions of the songs; None where the seed did not test the song.
    """

    scores: Scores
    truth: list[np.ndarray]
    times_s: list[np.ndarray]
    y_pred: dict[str, dict[int, list[np.ndarray | None]]]

    @cached_property
    def per_song(self) -> dict[str, np.ndarray]:
        """For each encoder every measure of every song, (n_seeds, n_songs, n_measures, n_targets); NaN if undefined."""
        return {encoder: np.stack([*map(self._measured, by_seed.values())]) for encoder, by_seed in self.y_pred.items()}

    @cached_property
    def averaged(self) -> Resampled:
        """Measures averaged over songs, (n_encoders, n_measures, n_targets)."""
        return self._resampled([_mean_over_songs(self.per_song[encoder]) for encoder in self.encoders])

    @cached_property
    def pooled(self) -> Resampled:
        """Measures over all moments together, the same shape."""
        return self._resampled([self._pooled(encoder) for encoder in self.encoders])

    @property
    def encoders(self) -> list[str]:
        """Labels, in the order of the experiment."""
        return list(self.y_pred)

    @property
    def n_frames(self) -> int:
        """Moments of all songs together."""
        return sum(map(len, self.times_s))

    def value(self, encoder: str, measure: str, target: str, pooled: bool = False) -> Triple:
        """One measure with the ends of its interval."""
        at = self.encoders.index(encoder), MEASURES.index(measure), self.scores.results.targets.index(target)
        interval = self._pooled_intervals if pooled else self._averaged_intervals
        value, low, high = (float(values[at]) for values in interval)
        return value, low, high

    def ranking(self, target: str) -> list[str]:
        """Encoders by their mean CCC, best first; those without a defined one are left out."""
        values = {encoder: self.value(encoder, RANKED_BY, target)[0] for encoder in self.encoders}
        return sorted((e for e, value in values.items() if not np.isnan(value)), key=lambda e: -values[e])

    def difference(self, first: str, second: str, target: str) -> Triple:
        """Mean CCC of `first` minus that of `second`, with its interval, on the same resamples."""
        column = MEASURES.index(RANKED_BY), self.scores.results.targets.index(target)
        mine, theirs = (self.averaged.select(self.encoders.index(encoder), *column) for encoder in (first, second))
        value, low, high = (float(number) for number in (mine - theirs).interval())
        return value, low, high

    @cached_property
    def pairs(self) -> list[dict[str, Any]]:
        """Every two encoders on every target, the better one first: difference of CCC, verdict, p over folds, Holm."""
        targets = self.scores.results.targets
        rows = [self._pair(target, *pair) for target in targets for pair in combinations(self.ranking(target), 2)]
        for row, p in zip(rows, holm(np.array([row["p_folds"] for row in rows])), strict=True):
            row["p_folds_holm"] = float(p)
        return rows

    def sentences(self) -> list[str]:
        """The verdict: one line for each target."""
        return [f"{capitalised(target)} over time: {self.verdict(target)}" for target in self.scores.results.targets]

    def verdict(self, target: str) -> str:
        """Who follows one target best, and who is not shown to be worse."""
        ranking = self.ranking(target)
        if not ranking:
            return "nothing moves within any song, so there is nothing to follow."
        best, others = ranking[0], ranking[1:]
        reached = with_interval(*self.value(best, RANKED_BY, target))
        r, rmse = (self.value(best, measure, target)[0] for measure in ("pearson", "rmse"))
        beside = f"RMSE {rmse:.3f}" if np.isnan(r) else f"r {r:z.2f}, RMSE {rmse:.3f}"
        first = f"{best} follows it best, CCC {reached} as a mean over songs ({beside})."
        found = [row for row in self.pairs if row["target"] == target and row["first"] == best]
        told = [_against(row) for row in found[:1]]
        beaten = [row["second"] for row in found[1:] if row["verdict"] == "better"]
        open_ = [row["second"] for row in found[1:] if row["verdict"] != "better"]
        return " ".join(
            [
                first,
                *told,
                *([f"It is better than {listed(beaten)}."] if beaten else []),
                *_unconfirmed(found),
                *([f"No difference shown to {listed(open_)}."] if open_ else []),
                *([] if others else ["It ran alone."]),
            ]
        )

    def undefined(self, encoder: str) -> int:
        """How many songs have no r for some target, because a curve does not move."""
        r = self.per_song[encoder][:, :, MEASURES.index("pearson")]  # (n_seeds, n_songs, n_targets)
        tested = self._tested(encoder)
        return int((np.isnan(r).any(axis=2) & tested).any(axis=0).sum())

    @cached_property
    def _averaged_intervals(self) -> Any:
        return self.averaged.interval()

    @cached_property
    def _pooled_intervals(self) -> Any:
        return self.pooled.interval()

    def _measured(self, curves: list[np.ndarray | None]) -> np.ndarray:
        """(n_songs, n_measures, n_targets)."""
        nothing = np.full((len(MEASURES), len(self.scores.results.targets)), np.nan)
        return np.stack(
            [
                nothing if pred is None else np.stack([metric(y_true=true, y_pred=pred) for metric in _METRICS])
                for true, pred in zip(self.truth, curves, strict=True)
            ]
        )

    def _pooled(self, encoder: str) -> Statistic:
        """The scores over moments as a function of song weights: a moment weighs what its song does."""
        song = np.repeat(np.arange(len(self.truth)), [len(true) for true in self.truth])  # (n_frames,)
        y_pred = np.stack([self._filled(curves) for curves in self.y_pred[encoder].values()])
        of_frames = weighted_scores(np.concatenate(self.truth), y_pred)
        return lambda weights: of_frames(weights[:, song])[:, _POOLED]

    def _filled(self, curves: list[np.ndarray | None]) -> np.ndarray:
        """All moments below each other, NaN for songs that were not tested, (n_frames, n_targets)."""
        pairs = zip(self.truth, curves, strict=True)
        return np.concatenate([np.full_like(true, np.nan) if pred is None else pred for true, pred in pairs])

    def _resampled(self, statistics: list[Statistic]) -> Resampled:
        scores = self.scores
        together: Statistic = lambda weights: np.stack([one(weights) for one in statistics], axis=1)  # noqa: E731
        n_resamples = len(scores.resampled.resamples)
        return bootstrap(together, len(scores.song_ids), scores.groups, n_resamples, seed=scores.seed)

    def _tested(self, encoder: str) -> np.ndarray:
        """(n_seeds, n_songs) of bool."""
        return np.array([[pred is not None for pred in curves] for curves in self.y_pred[encoder].values()])

    def _pair(self, target: str, first: str, second: str) -> dict[str, Any]:
        p_folds = self._p_folds(target, first, second)
        return pair_row(target, first, second, self.difference(first, second, target), p_folds=p_folds)

    def _p_folds(self, target: str, first: str, second: str) -> float:
        """Of the corrected resampled t-test of the mean CCC over the test sets that both have."""
        mine, theirs = (self._fold_means(encoder, target) for encoder in (first, second))
        common = [songs for songs in mine if songs in theirs]
        sizes = np.array([mine[songs][0] for songs in common])
        contrast = np.array([mine[songs][1] - theirs[songs][1] for songs in common])
        return contrast_test(self.scores, sizes, contrast, (first, second))

    def _fold_means(self, encoder: str, target: str) -> dict[bytes, tuple[int, float]]:
        """By the songs that were tested together: their number, and their mean CCC, seeds that share them averaged."""
        column = MEASURES.index(RANKED_BY), self.scores.results.targets.index(target)
        found: dict[bytes, list[float]] = {}
        for (seed, _), tested in self.scores.test_sets(encoder).items():
            at = list(self.y_pred[encoder]).index(seed)
            values = self.per_song[encoder][at, tested][:, column[0], column[1]]
            defined = values[~np.isnan(values)]
            found.setdefault(tested.tobytes(), []).append(float(defined.mean()) if len(defined) else np.nan)
        return {songs: (sum(songs), float(np.mean(values))) for songs, values in found.items()}  # a byte is a song


def score_over_time(scores: Scores) -> OverTime | None:
    """Score a comparison over time; None where songs have one annotation each, and for two joined runs.

    Raises:
        DataError: a curve is missing, or has not a value for each moment and target of its song.
    """
    results = scores.results
    if not results.curves:
        return None
    by_id = {song["id"]: song.get("curve") for song in results.songs}
    lacking = [song for song in scores.song_ids if not by_id[song]]
    if lacking:
        raise DataError(f"{len(lacking)} songs have predictions over time and no annotation over time. {_AGAIN}")
    found = [by_id[song] or {} for song in scores.song_ids]
    truth = [_array(curve.get("y_true"), len(results.targets)) for curve in found]
    times_s = [np.asarray(curve.get("times_s"), dtype=float) for curve in found]
    if any(true is None or true.shape[0] != len(times) for true, times in zip(truth, times_s, strict=True)):
        raise DataError(f"Annotations over time do not fit their moments. {_AGAIN}")
    y_pred = {encoder: _predicted(scores, encoder, truth) for encoder in scores.encoders}  # type: ignore[arg-type]
    return OverTime(scores, truth, times_s, y_pred)  # type: ignore[arg-type]


def _against(row: Mapping[str, Any]) -> str:
    amount = with_sign(row["difference"], row["low"], row["high"])
    if row["verdict"] != "better":
        return f"Against the next, {row['second']}: no difference shown ({amount})."
    return f"It is better than the next, {row['second']}, by {amount}."


def _unconfirmed(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whom the best is called better than although the test over folds is not at or below .05 after Holm."""
    doubtful = [row for row in rows if row["verdict"] == "better" and row["p_folds_holm"] > LEVEL]
    against = [f"{row['second']} (p = {row['p_folds_holm']:.2f})" for row in doubtful]
    return [f"The test over folds, after Holm, does not confirm this against {listed(against)}."] if against else []


_AGAIN = "Run `affekt compare` again."


def _predicted(scores: Scores, encoder: str, truth: list[np.ndarray]) -> dict[int, list[np.ndarray | None]]:
    """By seed, the curve of each song that the seed is scored on."""
    known = {(c.seed, c.song_id): c.y_pred for c in scores.results.curves if c.encoder == encoder}
    found: dict[int, list[np.ndarray | None]] = {}
    for run in scores.runs(encoder):
        found[run.seed] = [None] * len(truth)
        for i in np.flatnonzero(run.chosen).tolist():
            curve = _array(known.get((run.seed, scores.song_ids[i])), truth[i].shape[1])
            if curve is None or curve.shape != truth[i].shape:
                raise DataError(
                    f"{encoder}, song {scores.song_ids[i]}, seed {run.seed}: {len(truth[i])} moments are annotated, "
                    f"{0 if curve is None else len(curve)} predicted. {_AGAIN}"
                )
            found[run.seed][i] = curve
    return found


def _array(rows: Any, n_targets: int) -> np.ndarray | None:
    """(n_frames, n_targets); None for anything else."""
    try:
        values = np.asarray(rows, dtype=float)
    except (TypeError, ValueError):
        return None
    fits = values.ndim == 2 and values.shape[1] == n_targets and len(values) > 1 and np.isfinite(values).all()
    return values if fits else None


def _mean_over_songs(values: np.ndarray) -> Statistic:
    """Mean over songs as a function of their weights, seeds averaged.

    Args:
        values: (n_seeds, n_songs, n_measures, n_targets), NaN where undefined.
    """
    by_song = np.moveaxis(values, 1, 0)  # (n_songs, n_seeds, n_measures, n_targets)
    flat = by_song.reshape(len(by_song), -1)
    defined = ~np.isnan(flat)

    def by_seed(weights: np.ndarray) -> np.ndarray:
        means = metrics.ratio(weights @ np.where(defined, flat, 0.0), weights @ defined.astype(float))
        return means.reshape(len(weights), *by_song.shape[1:])

    return over_seeds(by_seed, len(by_song), seed_axis=1)
