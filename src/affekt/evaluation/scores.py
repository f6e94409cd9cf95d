"""From predictions to a verdict: every encoder scored on the same songs, with intervals and paired differences.

Conventions: scores are on the data set's own scale; a score is computed for each seed and then averaged over seeds;
intervals are 95 % BCa over artists (a song without an artist stands for itself). Each seed may have drawn its own
split: a seed is scored on the songs that it tested, and among those on the songs that every encoder predicted, so that
a difference between encoders is never a difference of songs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

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
        DataError: for some seed fewer than two songs are common to all encoders, or a song was predicted twice by one
            run.
    """
    frame = _frame(results)
    ids = [song["id"] for song in results.songs]
    encoders = [label for label in results.labels if label in set(frame["encoder"])]
    seeds = {label: sorted(frame.loc[frame["encoder"] == label, "seed"].unique().tolist()) for label in encoders}
    predicted = _predicted(frame, seeds, ids, results.targets)
    common = _common(predicted, seeds)
    kept = np.any(list(common.values()), axis=0)
    y_pred = {
        label: np.where([common[run][kept, None] for run in seeds[label]], predicted[label][:, kept], np.nan)
        for label in encoders
    }
    truth = frame.drop_duplicates(["song_id", "target"]).pivot(index="song_id", columns="target", values="y_true")
    y_true = truth.reindex(index=ids, columns=results.targets).to_numpy(dtype=float)[kept]
    song_ids = [song for song, keep in zip(ids, kept, strict=True) if keep]
    statistics = [weighted_scores(y_true, pred) for pred in y_pred.values()]
    resampled = bootstrap(
        lambda weights: np.stack([statistic(weights) for statistic in statistics], axis=1),
        len(song_ids),
        artists(results, song_ids),
        n_resamples,
        seed=seed,
    )
    notes = _notes(results, predicted, common)
    return Scores(results, encoders, song_ids, y_true, y_pred, seeds, _folds(frame, song_ids), resampled, notes, seed)


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


@dataclass(frozen=True)
class Scores:
    """A comparison, scored. Made by `score`.

    Attributes:
        results: what was scored.
        encoders: labels of the encoders that predicted anything, in the order of the experiment.
        song_ids: the songs that all of them predicted with some seed, in the order of `results.songs`.
        y_true: annotations, shape (n_songs, n_targets).
        y_pred: for each encoder, predictions of shape (n_seeds, n_songs, n_targets); NaN where the seed did not test
            the song.
        seeds: for each encoder, the seeds it ran with.
        folds: for each seed, the fold in which each song was tested, shape (n_songs,); -1 where it was not.
        resampled: all scores of all encoders, of shape (n_encoders, n_scores, n_targets), on all resamples.
        notes: what a reader of the scores must know.
        seed: of the resamples.
    """

    results: Results
    encoders: list[str]
    song_ids: list[str]
    y_true: np.ndarray
    y_pred: dict[str, np.ndarray]
    seeds: dict[str, list[int]]
    folds: dict[int, np.ndarray]
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

    def difference(self, first: str, second: str, target: str | None = None) -> tuple[float, float, float]:
        """R2 of `first` minus R2 of `second` on the same resamples, with the ends of its interval.

        Without a target: of R2 averaged over targets.
        """
        targets = self.results.targets
        column = slice(None) if target is None else slice(targets.index(target), targets.index(target) + 1)
        one, other = (self.resampled.select(self.encoders.index(e), _R2, column) for e in (first, second))
        averaged = Resampled(*(values.mean(axis=-1) for values in one - other))
        value, low, high = (float(values) for values in averaged.interval())
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
        NaN with a single one), p_songs_holm and p_folds_holm (adjusted for all rows of the table).
        """
        import pandas as pd

        names = [(target, *pair) for target in self.results.targets for pair in combinations(self.ranking(target), 2)]
        table = pd.DataFrame([self._pair(*name) for name in names], columns=_PAIR_COLUMNS)
        for test in ("p_songs", "p_folds"):
            table[f"{test}_holm"] = holm(table[test].to_numpy(dtype=float))
        return table

    def runs(self, encoder: str) -> list[Run]:
        """The encoder's predictions, seed by seed."""
        tested = ~np.isnan(self.y_pred[encoder]).any(axis=2)  # (n_seeds, n_songs)
        by_seed = zip(self.seeds[encoder], tested, self.y_pred[encoder], strict=True)
        return [Run(seed, chosen, self.y_true[chosen], pred[chosen]) for seed, chosen, pred in by_seed]

    def fold_r2(self, encoder: str) -> dict[tuple[int, int], np.ndarray]:
        """R2 against the fold's own mean for each seed and fold, shape (n_targets,); folds of one song are left out."""
        found = {}
        for run in self.runs(encoder):
            folds = self.folds[run.seed][run.chosen]
            for fold in np.unique(folds):
                inside = folds == fold
                if inside.sum() > 1:
                    r2 = metrics.r2(y_true=run.y_true[inside], y_pred=run.y_pred[inside])
                    found[run.seed, int(fold)] = r2
        return found

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
        runs = self.runs(encoder)
        by_seed = [metrics.spearman(y_true=run.y_true, y_pred=run.y_pred)[column] for run in runs]
        n_songs = int(np.any([run.chosen for run in runs], axis=0).sum())
        return {**row, "spearman": float(np.mean(by_seed)), "n_songs": n_songs, "n_seeds": len(runs)}

    def _verdicts(self, target: str) -> list[str]:
        ranking = self.ranking(target)
        if not ranking:
            return [f"{_title(target)}: all annotations are the same, so R² is undefined."]
        best, others = ranking[0], ranking[1:]
        sentences = [f"{_title(target)}: {best} has the highest R², {_with_interval(*self.r2(best, target))}."]
        if not others:
            return [f"{_title(target)}: {best} reaches R² {_with_interval(*self.r2(best, target))}; it ran alone."]
        rivals = [other for other in others if other != REFERENCE]
        sentences += self._against_others(target, best, rivals) if rivals else []
        sentences += self._against_mean(target)
        return [" ".join(sentences)]

    def _against_others(self, target: str, best: str, others: list[str]) -> list[str]:
        differences = {other: self.difference(best, other, target) for other in others}
        verdicts = {other: verdict_words(difference[1:]) for other, difference in differences.items()}
        following = others[0]
        amount = _with_sign(*differences[following])
        if verdicts[following] == "better":
            first = f"It is better than the next, {following}, by {amount}."
        else:
            first = f"Against the next, {following}: no difference shown ({amount})."
        beaten = [other for other in others[1:] if verdicts[other] == "better"]
        open_ = [other for other in others[1:] if verdicts[other] != "better"]
        also = "also " if verdicts[following] == "better" else ""
        whom = "all others" if len(beaten) > 2 and not open_ else _listed(beaten)
        return [
            first,
            *([f"It is {also}better than {whom}."] if beaten else []),
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
        losses = [metrics.mean_over_seeds((self.y_pred[e] - self.y_true) ** 2)[:, column] for e in (first, second)]
        gain = losses[1] - losses[0]
        both = np.flatnonzero(~np.isnan(gain))
        groups = artists(self.results, [self.song_ids[i] for i in both])
        return {
            "target": target,
            "first": first,
            "second": second,
            "difference": value,
            "low": low,
            "high": high,
            "verdict": verdict_words((low, high)),
            "p_songs": float(sign_flip_test(gain[both], groups, seed=self.seed)),
            "p_folds": self._p_folds(first, second, column),
        }

    def _p_folds(self, first: str, second: str, column: int) -> float:
        one, other = self.fold_r2(first), self.fold_r2(second)
        shared = [key for key in one if key in other]
        sizes = [int((self.folds[seed] == fold).sum()) for seed, fold in shared]
        n_test = float(np.mean(sizes)) if sizes else np.nan
        differences = np.array([one[key][column] - other[key][column] for key in shared])
        return float(corrected_resampled_t_test(differences, len(self.results.songs) - n_test, n_test))


_OVER_MEAN = ["r2_minus_mean", "r2_minus_mean_low", "r2_minus_mean_high"]
_COLUMNS = [
    *("encoder", "target", "rmse", "mae", "r2", "r2_low", "r2_high", "pearson", "pearson_low", "pearson_high"),
    *("spearman", "ccc", "ccc_low", "ccc_high", *_OVER_MEAN, "n_songs", "n_seeds"),
]
_PAIR_COLUMNS = ["target", "first", "second", "difference", "low", "high", "verdict", "p_songs", "p_folds"]


def _frame(results: Results) -> pd.DataFrame:
    frame = results.frame()
    if frame.empty:
        raise DataError("The results hold no prediction, so there is nothing to score. Run `affekt compare` again.")
    twice = frame[frame.duplicated(["song_id", "encoder", "seed", "target"])]
    if len(twice):
        raise DataError(
            f"{len(twice)} predictions occur more than once for the same encoder, seed and target: songs "
            f"{named(sorted(set(twice['song_id'])))}. A song is tested once; run `affekt compare` again."
        )
    return frame


def _predicted(
    frame: pd.DataFrame, seeds: dict[str, list[int]], ids: list[str], targets: list[str]
) -> dict[str, np.ndarray]:
    """Predictions of each encoder, shape (n_seeds, n_songs, n_targets), NaN where there is none."""
    wide = frame.pivot(index="song_id", columns=["encoder", "seed", "target"], values="y_pred").reindex(ids)
    return {
        label: np.stack([wide[label][run].reindex(columns=targets).to_numpy(dtype=float) for run in seeds[label]])
        for label in seeds
    }


def _common(predicted: dict[str, np.ndarray], seeds: dict[str, list[int]]) -> dict[int, np.ndarray]:
    """For each seed, the songs that every encoder which ran with it predicted, shape (n_songs,) of bool."""
    common: dict[int, np.ndarray] = {}
    for label, by_seed in predicted.items():
        for run, y_pred in zip(seeds[label], by_seed, strict=True):
            tested = ~np.isnan(y_pred).any(axis=1)
            common[run] = common.get(run, True) & tested
    for run, tested in common.items():
        if tested.sum() < 2:
            raise DataError(
                f"{tested.sum()} of {len(tested)} songs were predicted by every encoder with seed {run}; at least two "
                f"are needed to score {', '.join(predicted)}. Run the comparison again for those that lack songs."
            )
    return common


def _folds(frame: pd.DataFrame, song_ids: list[str]) -> dict[int, np.ndarray]:
    tested = frame.drop_duplicates(["seed", "song_id"]).pivot(index="song_id", columns="seed", values="fold")
    tested = tested.reindex(song_ids).fillna(-1).astype(int)
    return {int(run): tested[run].to_numpy() for run in tested.columns}


def _notes(results: Results, predicted: dict[str, np.ndarray], common: dict[int, np.ndarray]) -> list[str]:
    notes = []
    by_encoder = {label: (~np.isnan(y_pred).any(axis=2)).any(axis=0) for label, y_pred in predicted.items()}
    anywhere, kept = (np.any(list(masks.values()), axis=0) for masks in (by_encoder, common))
    lacking = {label: int((anywhere & ~mine).sum()) for label, mine in by_encoder.items()}
    if kept.sum() < anywhere.sum():
        names = ", ".join(f"{label} lacks {n}" for label, n in lacking.items() if n)
        notes.append(
            f"Scored on the {kept.sum()} songs common to all encoders, of {anywhere.sum()} predicted ({names})."
        )
    if any((tested != kept).any() for tested in common.values()):
        mean = np.mean([tested.sum() for tested in common.values()])
        notes.append(f"Each seed tested songs of its own: {mean:.0f} on average, {kept.sum()} in all.")
    silent = [label for label in results.labels if label not in predicted]
    if silent:
        notes.append(f"Without any prediction, and so without a score: {', '.join(silent)}.")
    return notes


def _with_interval(value: float, low: float, high: float) -> str:
    return f"{value:z.2f}" if np.isnan(low) else f"{value:z.2f} [{low:z.2f}, {high:z.2f}]"


def _with_sign(value: float, low: float, high: float) -> str:
    # Three decimals: an interval that ends just above 0 is not to be printed as one that touches it.
    return f"{value:+z.3f}" if np.isnan(low) else f"{value:+z.3f} [{low:z.3f}, {high:z.3f}]"


def _listed(names: Sequence[str], at_most: int = 4) -> str:
    if len(names) > at_most:
        return f"{', '.join(names[: at_most - 1])} and {len(names) - at_most + 1} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _title(target: str) -> str:
    return target[:1].upper() + target[1:]
