"""What the numbers say, in sentences: who is better, by how much, and what is not shown.

Conventions: every claim follows from an interval alone, by `verdict_words`. An interval speaks of other songs, not of
heads trained on other songs, and not of how many encoders were compared. The test over folds knows the one, Holm's
correction the other; so where something is called better and the test does not confirm it, the sentence says so. A
difference has three decimals, so that an interval that ends just above 0 is not printed as one that touches it; a score
has two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from affekt.evaluation.statistics import LEVEL, verdict_words

if TYPE_CHECKING:
    from affekt.evaluation.scores import Scores


def verdicts(scores: Scores) -> list[str]:
    """The verdict of a comparison: one line for each target, beginning with its name and a colon."""
    return [_verdict(scores, target) for target in scores.results.targets]


def unconfirmed(scores: Scores, target: str, best: str) -> list[str]:
    """Encoders that `best` is called better than although the test over folds is not at or below .05 after Holm.

    In the order of their R2. A guess of the mean is left out, and so is a pair without a p: with a single test set
    nothing can be said.
    """
    others = [other for other in scores.ranking(target) if other != best and not scores.is_reference(other)]
    beaten = [other for other in others if verdict_words(scores.difference(best, other, target)[1:]) == "better"]
    return [other for other in beaten if scores.pair(best, other, target)["p_folds_holm"] > LEVEL]


def doubt(verdict: str, p_folds: float) -> str:
    """What stands behind a difference that its interval shows and the test over folds does not; else nothing."""
    shown = verdict in ("better", "worse") and p_folds > LEVEL
    return f"; the test over folds does not confirm it (p = {p_folds:.2f})" if shown else ""


def with_interval(value: float, low: float, high: float) -> str:
    """A score: '0.52 [0.47, 0.57]', or '0.52' where it has no interval."""
    return f"{value:z.2f}" if np.isnan(low) else f"{value:z.2f} [{low:z.2f}, {high:z.2f}]"


def with_sign(value: float, low: float, high: float) -> str:
    """A difference: '+0.052 [0.011, 0.093]'."""
    return f"{value:+z.3f}" if np.isnan(low) else f"{value:+z.3f} [{low:z.3f}, {high:z.3f}]"


def listed(names: Sequence[str], at_most: int = 4) -> str:
    """'a, b and c', with the last ones counted where there are many."""
    if len(names) > at_most:
        return f"{', '.join(names[: at_most - 1])} and {len(names) - at_most + 1} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def capitalised(text: str) -> str:
    """The text with its first letter large and the others as they are."""
    return text[:1].upper() + text[1:]


def over_what(target: str | None, targets: Sequence[str]) -> str:
    """What an R2 is of: 'R² of valence', or 'R² averaged over valence and arousal'."""
    return f"R² of {target}" if target is not None else f"R² averaged over {listed(targets)}"


def _verdict(scores: Scores, target: str) -> str:
    ranking = scores.ranking(target)
    if not ranking:
        return f"{capitalised(target)}: all annotations are the same, so R² is undefined."
    best, others = ranking[0], ranking[1:]
    reached = with_interval(*scores.r2(best, target))
    if not others:
        return f"{capitalised(target)}: {best} reaches R² {reached}; it ran alone."
    rivals = [other for other in others if not scores.is_reference(other)]
    return " ".join(
        [
            f"{capitalised(target)}: {best} has the highest R², {reached}.",
            *(_against_others(scores, target, best, rivals) if rivals else []),
            *_against_mean(scores, target),
        ]
    )


def _against_others(scores: Scores, target: str, best: str, others: list[str]) -> list[str]:
    differences = {other: scores.difference(best, other, target) for other in others}
    words = {other: verdict_words(difference[1:]) for other, difference in differences.items()}
    following = others[0]
    amount = with_sign(*differences[following])
    if words[following] == "better":
        first = f"It is better than the next, {following}, by {amount}."
    else:
        first = f"Against the next, {following}: no difference shown ({amount})."
    beaten = [other for other in others[1:] if words[other] == "better"]
    open_ = [other for other in others[1:] if words[other] != "better"]
    also = "also " if words[following] == "better" else ""
    whom = ("all others" if also else "all the rest") if len(beaten) > 2 and not open_ else listed(beaten)
    return [
        first,
        *([f"It is {also}better than {whom}."] if beaten else []),
        *_unconfirmed_words(scores, target, best),
        *([f"No difference shown to {listed(open_)}."] if open_ else []),
    ]


def _unconfirmed_words(scores: Scores, target: str, best: str) -> list[str]:
    doubtful = unconfirmed(scores, target, best)
    against = [f"{other} (p = {scores.pair(best, other, target)['p_folds_holm']:.2f})" for other in doubtful]
    return [f"The test over folds, after Holm, does not confirm this against {listed(against)}."] if doubtful else []


def _against_mean(scores: Scores, target: str) -> list[str]:
    referred = {e: scores.reference(e) for e in scores.ranking(target) if not scores.is_reference(e)}
    words = {e: verdict_words(scores.difference(e, mean, target)[1:]) for e, mean in referred.items() if mean}
    better, worse, neither = (
        [e for e, word in words.items() if word == said] for said in ("better", "worse", "no difference shown")
    )
    if len(better) == len(referred) > 1:
        return ["Every encoder beats always guessing the mean."]
    return [
        *([f"Better than always guessing the mean: {listed(better)}."] if better else []),
        *([f"Not shown to differ from guessing the mean: {listed(neither)}."] if neither else []),
        *([f"Worse than guessing the mean: {listed(worse)}."] if worse else []),
    ]
