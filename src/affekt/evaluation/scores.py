"""From predictions to a verdict: every encoder scored on the same songs, with intervals and paired differences.

Conventions: scores are on the data set's own scale; a score is computed for each seed and then averaged over seeds;
intervals are 95 % BCa over artists (a song without an artist stands for itself). All encoders are scored on the songs
that every one of them predicted, so that a difference is never a difference of songs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from affekt.data.base import named
from affekt.errors import DataError
from affekt.evaluation import metrics
from affekt.evaluation.results import Results
from affekt.evaluation.statistics import (
    N_RESAMPLES,
    SCORES,
    Interval,
    Resampled,
    bootstrap,
    corrected_resampled_t_test,
    holm,
    sign_flip_test,
    verdict_words,
    weighted_scores,
)

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "mean"
_R2 = SCORES.index("r2")


def score_table(results: Results) -> pd.DataFrame:
    """The scores with their intervals, a row for each encoder and target.

    Columns: encoder, target, rmse, mae, r2, r2_low, r2_high, pearson, pearson_low, pearson_high, spearman, ccc,
    ccc_low, ccc_high, r2_minus_mean, r2_minus_mean_low, r2_minus_mean_high (paired difference of R2 to the encoder
    labelled "mean", NaN where there is none), n_songs, n_seeds. What a reader must know lies in `.attrs["notes"]`.

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
        results: a whole comparison.
        n_resamples: bootstrap resamples for each interval.
        seed: of the resamples.

    Raises:
        DataError: fewer than two songs are common to all encoders, or a song was predicted twice by one run.
    """
    wide = _wide(results)
    encoders = [label for label in results.labels if label in wide["y_pred"].columns.get_level_values("encoder")]
    common = wide["y_pred"].dropna(axis=0).index
    ids = [song["id"] for song in results.songs if song["id"] in common]
    if len(ids) < 2:
        raise DataError(
            f"{len(ids)} of {len(wide)} songs were predicted by every encoder; at least two are needed to score "
            f"{', '.join(encoders)}. Run the comparison again for the encoders that lack songs."
        )
    first = wide["y_true"].T.groupby(level="target", sort=False).first().T
    y_true = first.loc[ids, results.targets].to_numpy()
    by_encoder = {label: wide.loc[ids, "y_pred"][label] for label in encoders}
    y_pred = {label: _seeds_first(table, results.targets) for label, table in by_encoder.items()}
    resampled = _bootstrap(y_true, y_pred, artists(results, ids), n_resamples, seed)
    folds = _folds(results, ids)
    notes = _notes(results, encoders, ids, wide)
    return Scores(results, encoders, ids, y_true, y_pred, folds, resampled, notes, seed)


def artists(results: Results, song_ids: Sequence[str]) -> list[tuple[str, str]]:
    """The group of each song: its artist, or the song itself where no artist is known."""
    by_id = {song["id"]: song.get("artist") for song in results.songs}
    return [("artist", str(by_id[i])) if by_id[i] else ("song", i) for i in song_ids]


@dataclass(frozen=True)
class Scores:
    """A comparison, scored. Made by `score`.

    Attributes:
        results: what was scored.
        encoders: labels of the encoders that predicted anything, in the order of the experiment.
        song_ids: the songs that all of them predicted, in the order of `results.songs`.
        y_true: annotations, shape (n_songs, n_targets).
        y_pred: for each encoder, predictions of shape (n_seeds, n_songs, n_targets).
        folds: the fold in which each song was tested, shape (n_songs,).
        resampled: all scores of all encoders, of shape (n_encoders, n_scores, n_targets), on all resamples.
        notes: what a reader of the scores must know.
        seed: of the resamples.
    """

    results: Results
    encoders: list[str]
    song_ids: list[str]
    y_true: np.ndarray
    y_pred: dict[str, np.ndarray]
    folds: np.ndarray
    resampled: Resampled
    notes: list[str]
    seed: int

    @cached_property
    def intervals(self) -> Interval:
        """Every score with its interval, shape (n_encoders, n_scores, n_targets); scores in the order of `SCORES`."""
        return self.resampled.interval()

    @cached_property
    def averaged(self) -> Interval:
        """Every score averaged over targets, with its interval, shape (n_encoders, n_scores)."""
        return Resampled(*(values.mean(axis=-1) for values in self.resampled)).interval()

    def r2(self, encoder: str, target: str) -> tuple[float, float, float]:
        """R2 with the ends of its interval."""
        at = self.encoders.index(encoder), _R2, self.results.targets.index(target)
        value, low, high = (float(values[at]) for values in self.intervals)
        return value, low, high

    def difference(self, first: str, second: str, target: str) -> tuple[float, float, float]:
        """R2 of `first` minus R2 of `second` on the same resamples, with the ends of its interval."""
        column = self.results.targets.index(target)
        one, other = (self.resampled.select(self.encoders.index(e), _R2, column) for e in (first, second))
        value, low, high = (float(values) for values in (one - other).interval())
        return value, low, high

    def ranking(self, target: str) -> list[str]:
        """Encoders by R2, best first; those without a defined R2 are left out."""
        values = {encoder: self.r2(encoder, target)[0] for encoder in self.encoders}
        return sorted((e for e in self.encoders if not np.isnan(values[e])), key=lambda e: -values[e])

    def table(self) -> pd.DataFrame:
        """See `score_table`."""
        import pandas as pd

        rows = [self._row(encoder, target) for encoder in self.results.labels for target in self.results.targets]
        table = pd.DataFrame(rows, columns=_COLUMNS)
        table.attrs["notes"] = list(self.notes)
        return table

    def headline(self) -> list[str]:
        """See `headline`."""
        return [sentence for target in self.results.targets for sentence in self._verdicts(target)]

    def pairs(self) -> pd.DataFrame:
        """Every two encoders on every target: the paired difference of R2 and whether chance alone could make it.

        Columns: target, first (the one with the higher R2), second, difference, low, high, verdict, p_songs (sign-flip
        permutation of squared errors, artists together), p_folds (corrected resampled t-test of the R2 of each fold;
        NaN with one fold), p_songs_holm and p_folds_holm (adjusted for all rows of the table).
        """
        import pandas as pd

        names = [(target, *pair) for target in self.results.targets for pair in combinations(self.ranking(target), 2)]
        table = pd.DataFrame([self._pair(*name) for name in names], columns=_PAIR_COLUMNS)
        for test in ("p_songs", "p_folds"):
            table[f"{test}_holm"] = holm(table[test].to_numpy(dtype=float))
        return table

    def fold_r2(self, encoder: str) -> np.ndarray:
        """R2 of each fold against that fold's own mean, averaged over seeds, shape (n_folds, n_targets).

        NaN for a fold of fewer than two songs.
        """
        return np.array([self._r2_of(encoder, self.folds == fold) for fold in np.unique(self.folds)])

    def _row(self, encoder: str, target: str) -> dict[str, Any]:
        row: dict[str, Any] = {"encoder": encoder, "target": target}
        if encoder not in self.encoders:
            return {**row, "n_songs": 0, "n_seeds": 0}
        column = self.results.targets.index(target)
        for k, name in enumerate(SCORES):
            row[name], row[f"{name}_low"], row[f"{name}_high"] = (
                float(values[self.encoders.index(encoder), k, column]) for values in self.intervals
            )
        if REFERENCE in self.encoders and encoder != REFERENCE:
            row.update(zip(_OVER_MEAN, self.difference(encoder, REFERENCE, target), strict=True))
        by_seed = [metrics.spearman(y_true=self.y_true, y_pred=pred)[column] for pred in self.y_pred[encoder]]
        n_seeds = len(self.y_pred[encoder])
        return {**row, "spearman": float(np.mean(by_seed)), "n_songs": len(self.song_ids), "n_seeds": n_seeds}

    def _verdicts(self, target: str) -> list[str]:
        ranking = self.ranking(target)
        if not ranking:
            return [f"{_title(target)}: all annotations are the same, so R² is undefined."]
        best, others = ranking[0], ranking[1:]
        sentences = [f"{_title(target)}: {best} has the highest R², {_with_interval(*self.r2(best, target))}."]
        if not others:
            return [f"{_title(target)}: {best} reaches R² {_with_interval(*self.r2(best, target))}; it ran alone."]
        sentences += self._against_others(target, best, others)
        sentences += self._against_mean(target)
        return [" ".join(sentences)]

    def _against_others(self, target: str, best: str, others: list[str]) -> list[str]:
        differences = {other: self.difference(best, other, target) for other in others}
        verdicts = {other: verdict_words(difference[1:]) for other, difference in differences.items()}
        following = others[0]
        amount = _with_interval(*differences[following], signed=True)
        if verdicts[following] == "better":
            first = f"It is better than the next, {following}, by {amount}."
        else:
            first = f"Against the next, {following}: no difference shown ({amount})."
        beaten = [other for other in others[1:] if verdicts[other] == "better"]
        open_ = [other for other in others[1:] if verdicts[other] != "better"]
        return [
            first,
            *([f"It is also better than {_listed(beaten)}."] if beaten and verdicts[following] == "better" else []),
            *([f"It is better than {_listed(beaten)}."] if beaten and verdicts[following] != "better" else []),
            *([f"No difference shown to {_listed(open_)}."] if open_ else []),
        ]

    def _against_mean(self, target: str) -> list[str]:
        if REFERENCE not in self.encoders:
            return []
        rivals = [encoder for encoder in self.ranking(target) if encoder != REFERENCE]
        words = {rival: verdict_words(self.difference(rival, REFERENCE, target)[1:]) for rival in rivals}
        better, worse, neither = (
            [rival for rival in rivals if words[rival] == word] for word in ("better", "worse", "no difference shown")
        )
        if better == rivals and len(rivals) > 1:
            return ["Every encoder beats always guessing the mean."]
        return [
            *([f"Better than always guessing the mean: {_listed(better)}."] if better else []),
            *([f"Not shown to differ from guessing the mean: {_listed(neither)}."] if neither else []),
            *([f"Worse than guessing the mean: {_listed(worse)}."] if worse else []),
        ]

    def _pair(self, target: str, first: str, second: str) -> dict[str, Any]:
        column = self.results.targets.index(target)
        value, low, high = self.difference(first, second, target)
        losses = [((self.y_pred[encoder] - self.y_true) ** 2).mean(axis=0)[:, column] for encoder in (first, second)]
        groups = artists(self.results, self.song_ids)
        by_fold = self.fold_r2(first)[:, column] - self.fold_r2(second)[:, column]
        n_test = len(self.song_ids) / len(by_fold)
        p_folds = corrected_resampled_t_test(by_fold, n_train=len(self.song_ids) - n_test, n_test=n_test)
        return {
            "target": target,
            "first": first,
            "second": second,
            "difference": value,
            "low": low,
            "high": high,
            "verdict": verdict_words((low, high)),
            "p_songs": float(sign_flip_test(losses[1] - losses[0], groups, seed=self.seed)),
            "p_folds": float(p_folds),
        }

    def _r2_of(self, encoder: str, chosen: np.ndarray) -> np.ndarray:
        if chosen.sum() < 2:
            return np.full(len(self.results.targets), np.nan)
        y_true = self.y_true[chosen]
        return np.mean([metrics.r2(y_true=y_true, y_pred=pred[chosen]) for pred in self.y_pred[encoder]], axis=0)


_OVER_MEAN = ["r2_minus_mean", "r2_minus_mean_low", "r2_minus_mean_high"]
_COLUMNS = [
    *("encoder", "target", "rmse", "mae", "r2", "r2_low", "r2_high", "pearson", "pearson_low", "pearson_high"),
    *("spearman", "ccc", "ccc_low", "ccc_high", *_OVER_MEAN, "n_songs", "n_seeds"),
]
_PAIR_COLUMNS = ["target", "first", "second", "difference", "low", "high", "verdict", "p_songs", "p_folds"]


def _wide(results: Results) -> pd.DataFrame:
    """A row for each song, columns (y_true | y_pred, encoder, seed, target)."""
    frame = results.frame()
    if frame.empty:
        raise DataError("The results hold no prediction, so there is nothing to score. Run `affekt compare` again.")
    key = ["song_id", "encoder", "seed", "target"]
    twice = frame[frame.duplicated(key)]
    if len(twice):
        raise DataError(
            f"{len(twice)} predictions occur more than once for the same encoder, seed and target: songs "
            f"{named(sorted(set(twice['song_id'])))}. A song is tested once; run `affekt compare` again."
        )
    return frame.pivot(index="song_id", columns=key[1:], values=["y_true", "y_pred"])


def _seeds_first(table: pd.DataFrame, targets: list[str]) -> np.ndarray:
    seeds = sorted(table.columns.get_level_values("seed").unique())
    return np.stack([table[seed][targets].to_numpy(dtype=float) for seed in seeds])  # (n_seeds, n_songs, n_targets)


def _bootstrap(
    y_true: np.ndarray, y_pred: dict[str, np.ndarray], groups: list[tuple[str, str]], n_resamples: int, seed: int
) -> Resampled:
    statistics = [weighted_scores(y_true, pred) for pred in y_pred.values()]

    def all_encoders(weights: np.ndarray) -> np.ndarray:
        return np.stack([statistic(weights) for statistic in statistics], axis=1)

    return bootstrap(all_encoders, len(y_true), groups, n_resamples, seed=seed)


def _folds(results: Results, song_ids: list[str]) -> np.ndarray:
    by_id = {prediction.song_id: prediction.fold for prediction in results.predictions}
    return np.array([by_id[i] for i in song_ids])


def _notes(results: Results, encoders: list[str], song_ids: list[str], wide: pd.DataFrame) -> list[str]:
    notes = []
    if len(song_ids) < len(wide):
        lacking = {
            label: int(wide["y_pred"][label].isna().any(axis=1).sum())
            for label in encoders
            if wide["y_pred"][label].isna().any(axis=None)
        }
        names = ", ".join(f"{label} lacks {count}" for label, count in lacking.items())
        notes.append(f"Scored on the {len(song_ids)} songs common to all encoders, of {len(wide)} predicted ({names}).")
    silent = [label for label in results.labels if label not in encoders]
    if silent:
        notes.append(f"Without any prediction, and so without a score: {', '.join(silent)}.")
    return notes


def _with_interval(value: float, low: float, high: float, signed: bool = False) -> str:
    number = f"{value:+z.2f}" if signed else f"{value:z.2f}"
    return number if np.isnan(low) else f"{number} [{low:z.2f}, {high:z.2f}]"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _title(target: str) -> str:
    return target[:1].upper() + target[1:]
