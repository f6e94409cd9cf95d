"""The sentences of a report: the verdict first, and what a reader must know before believing it.

Every claim follows from an interval alone, as `affekt.evaluation.statistics.verdict_words` puts it; a winner whom the
test over folds does not confirm is not announced without saying so.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from affekt.evaluation.statistics import verdict_words
from affekt.evaluation.words import capitalised, listed, unconfirmed
from affekt.report.tables import interval_text, percent
from affekt.report.view import RANDOM_WEIGHTS, View

SYNTHETIC = (
    "The songs and their ratings were generated. These numbers show that the comparison works; they say nothing about "
    "real music."
)


class Verdict(NamedTuple):
    """The answer for one target."""

    target: str
    claim: str  # in one sentence
    evidence: str  # the numbers behind it
    detail: str  # the whole verdict


def verdicts(view: View) -> list[Verdict]:
    """The answer for each target, in the data set's order."""
    details = [
        line.removeprefix(f"{capitalised(target)}: ")
        for target, line in zip(view.targets, view.scores.headline(), strict=True)
    ]
    return [Verdict(t, _claim(view, t), _evidence(view, t), d) for t, d in zip(view.targets, details, strict=True)]


def caveats(view: View) -> list[str]:
    """What a reader of any number must know; that the music is synthetic comes first."""
    untrained = [label for label in view.order if view.untrained(label) and not view.parent(label)]
    return [
        *([f"Synthetic music. {SYNTHETIC}"] if view.synthetic else []),
        *([f"Not pretrained ({RANDOM_WEIGHTS}): {', '.join(untrained)}."] if untrained else []),
        *_control(view),
        *view.scores.notes,
        *_unknown_artists(view),
        *_one_training(view),
        *_one_test_set(view),
    ]


def _control(view: View) -> list[str]:
    """A control run is judged: with shuffled labels, R2 shown to be above 0 hints at a leak; one in forty is chance."""
    if not view.experiment.get("permute_labels"):
        return []
    said = "Control run: the labels were shuffled among the songs, so that no encoder can reach an R² above 0."
    leaks = [f"{row['encoder']} on {row['target']}" for row in view.rows if row["r2_low"] > 0]
    if not leaks:
        return [f"{said} Passed."]
    chance = "one such interval in forty lies above 0 by chance"
    return [f"{said} FAILED for {', '.join(leaks)}: something may leak ({chance})."]


def _one_test_set(view: View) -> list[str]:
    """With a single test set there is no test over folds, and so no reservation where one might be due."""
    n_test_sets = max((len(view.scores.r2_of_test_sets[label]) for label in view.order), default=0)
    return ["A single test set: no test over folds can confirm a difference."] if n_test_sets == 1 else []


def _one_training(view: View) -> list[str]:
    """A single seed, or several that predict the same: a closed form on a split that every seed shares."""
    unsaid = "how much a score changes from one training to the next is not in its interval."
    if len(view.scores.results.seeds) == 1:
        return [f"A single seed: {unsaid}"]
    by_seed = [view.scores.y_pred[label] for label in view.order]
    if all(np.array_equal(one, y_pred[0], equal_nan=True) for y_pred in by_seed for one in y_pred):
        return [f"All seeds tested the same songs and predicted the same, so they count as one: {unsaid}"]
    return []


def _unknown_artists(view: View) -> list[str]:
    unknown = sum(not song.get("artist") for song in view.songs)
    if not unknown:
        return []
    return [
        f"The artist of {unknown} of {len(view.songs)} songs is unknown. Songs of one artist may then stand on both "
        "sides of a fold, and an interval may be too narrow."
    ]


def _claim(view: View, target: str) -> str:
    ranking = view.ranking(target)
    if not ranking:
        return "Undefined: all annotations are the same."
    best, others = ranking[0], ranking[1:]
    if not others:
        return f"{best} ran alone."
    tied = [other for other in others if _verdict(view, best, other, target) != "better"]
    if not _beat_the_mean(view, target):
        return "No encoder is shown to beat guessing the mean."
    if not tied:
        said = f"{_named(view, best)} is better than {'every other' if len(others) > 1 else others[0]}"
        doubtful = unconfirmed(view.scores, target, best)
        rivals = [other for other in others if not view.scores.is_reference(other)]
        whom = "" if len(doubtful) == len(rivals) else f" against {listed(doubtful, 3)}"
        return f"{said}; over folds not confirmed{whom}." if doubtful else f"{said}."
    return f"{_named(view, best)} leads; no difference shown to {listed(tied, 3)}."


def _beat_the_mean(view: View, target: str) -> bool:
    """Whether any encoder is shown to; also where none guesses the mean, so that nothing was asked."""
    means = {label: view.scores.reference(label) for label in view.ranking(target)}
    asked = {label: mean for label, mean in means.items() if mean not in (None, label)}
    return not asked or any(_verdict(view, label, str(mean), target) == "better" for label, mean in asked.items())


def _named(view: View, label: str) -> str:
    """The winner, with what must be known of it: that a baseline wins is news."""
    roles = ", ".join(view.roles(label))
    return f"{label} ({roles})" if roles else label


def _evidence(view: View, target: str) -> str:
    ranking = view.ranking(target)
    if not ranking:
        return ""
    value, low, high = view.scores.r2(ranking[0], target)
    ceiling = view.ceiling.get(target)
    share = f", {percent(value / ceiling)} of the ceiling {ceiling:.2f}" if ceiling and ceiling > 0 else ""
    return f"{ranking[0]}: R² {interval_text(value, low, high)}{share}"


def _verdict(view: View, first: str, second: str, target: str) -> str:
    return verdict_words(view.scores.difference(first, second, target)[1:])
