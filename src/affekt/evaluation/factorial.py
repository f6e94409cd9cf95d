"""A controlled 2 x 2 analysed as one: what each of two factors does to R2, and whether they act on their own.

Conventions: an encoder belongs to the design by its `factors`, such as {"input": "waveform", "trunk": "mamba"}; four
encoders, one for each combination of two levels of two factors, make it complete. An effect is a difference of R2: the
first level minus the second, in the order in which the levels first occur among the encoders.

- main effect: the difference averaged over both levels of the other factor;
- simple effect: the difference at one level of the other factor;
- interaction: the simple effect of the first factor at the other factor's first level minus that at its second.

All are contrasts of the same bootstrap resamples, with BCa intervals; they speak of other songs, and of these four
encoders as they were trained, not of other ways to build a trunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from affekt.errors import DataError
from affekt.evaluation import words
from affekt.evaluation.statistics import verdict_words

if TYPE_CHECKING:
    from affekt.evaluation.results import Results
    from affekt.evaluation.scores import Scores

Cell = tuple[str, str]  # a level of the first factor, and one of the second


class Design(NamedTuple):
    """Four encoders that differ in two things."""

    factors: dict[str, tuple[str, str]]  # both levels of each
    encoders: dict[Cell, str]  # the label of the encoder in each cell


class Effect(NamedTuple):
    """One effect on the R2 of one target (None: averaged over targets), with its interval.

    `value` is that of `levels[0]` minus that of `levels[1]`. Of an interaction, `factor` names both factors, and
    `levels` are those of the second, between which the effect of the first is compared.
    """

    kind: str  # "main", "simple" or "interaction"
    factor: str
    levels: tuple[str, str]
    within: str | None  # of a simple effect: the level of the other factor
    target: str | None
    value: float
    low: float
    high: float
    verdict: str  # of `levels[0]`: "better", "worse", "no difference shown"
    p_folds: float  # corrected resampled t-test over folds; NaN with fewer than two test sets


class CellValue(NamedTuple):
    """R2 of one cell on one target (None: averaged over targets), with its interval."""

    levels: Cell
    encoder: str
    target: str | None
    value: float
    low: float
    high: float


def factorial(scores: Scores) -> Factorial | None:
    """The analysis of the 2 x 2 among the encoders of a comparison.

    Returns:
        None where no complete design is found; `scores.notes` then says what it lacks, if any encoder has factors.

    Raises:
        DataError: two encoders stand in the same cell, or there are two complete designs.
    """
    design, _ = find_design(scores.results, scores.encoders)
    return None if design is None else Factorial(scores, design)


@dataclass(frozen=True)
class Factorial:
    """A complete 2 x 2, analysed. Made by `factorial`.

    Attributes:
        scores: the comparison that it is part of.
        design: factors, levels and encoders.
    """

    scores: Scores
    design: Design

    @property
    def targets(self) -> list[str | None]:
        """What effects are given for: None, the average over targets, where there are several; then each target."""
        targets = self.scores.results.targets
        return [*([None] if len(targets) > 1 else []), *targets]

    @cached_property
    def cells(self) -> list[CellValue]:
        """R2 of each cell, for each of `targets`."""
        return [
            CellValue(levels, label, target, *self.scores.contrast({label: 1.0}, target))
            for target in self.targets
            for levels, label in self.design.encoders.items()
        ]

    @cached_property
    def effects(self) -> list[Effect]:
        """For each of `targets`: both main effects, the interaction, and the four simple effects."""
        first, second = self.design.factors
        found = []
        for target in self.targets:
            found += [self._effect("main", factor, None, target) for factor in (first, second)]
            found.append(self._interaction(target))
            found += [self._effect("simple", first, level, target) for level in self.design.factors[second]]
            found += [self._effect("simple", second, level, target) for level in self.design.factors[first]]
        return found

    def effect(self, kind: str, factor: str | None, target: str | None, within: str | None = None) -> Effect:
        """One of `effects`; an interaction needs no factor."""
        wanted = [
            e
            for e in self.effects
            if (e.kind, e.target, e.within) == (kind, target, within) and factor in (e.factor, None)
        ]
        if len(wanted) != 1:
            raise DataError(f"{len(wanted)} effects of kind {kind}, factor {factor}, target {target}, within {within}.")
        return wanted[0]

    def sentences(self) -> list[str]:
        """The analysis in words: a paragraph for each of `targets`."""
        return [self._paragraph(target) for target in self.targets]

    def _effect(self, kind: str, factor: str, within: str | None, target: str | None) -> Effect:
        levels = self.design.factors[factor]
        position = list(self.design.factors).index(factor)
        cells = {cell: label for cell, label in self.design.encoders.items() if within in (None, cell[1 - position])}
        share = 2 / len(cells)
        weights = {label: share if cell[position] == levels[0] else -share for cell, label in cells.items()}
        return self._contrast(kind, factor, levels, within, target, weights)

    def _interaction(self, target: str | None) -> Effect:
        (first, (level, _)), (second, levels) = self.design.factors.items()
        weights = {
            label: 1.0 if (cell[0] == level) == (cell[1] == levels[0]) else -1.0
            for cell, label in self.design.encoders.items()
        }
        return self._contrast("interaction", f"{first} x {second}", levels, None, target, weights)

    def _contrast(
        self,
        kind: str,
        factor: str,
        levels: tuple[str, str],
        within: str | None,
        target: str | None,
        weights: dict[str, float],
    ) -> Effect:
        value, low, high = self.scores.contrast(weights, target)
        p_folds = self.scores.p_folds(weights, target)
        return Effect(kind, factor, levels, within, target, value, low, high, verdict_words((low, high)), p_folds)

    def _paragraph(self, target: str | None) -> str:
        about = words.capitalised(words.over_what(target, self.scores.results.targets))
        main = [self.effect("main", factor, target) for factor in self.design.factors]
        if any(np.isnan(effect.value) for effect in main):
            return f"{about} is undefined: all annotations are the same."
        said = [_main_words(effect) for effect in main]
        return f"{about}. {' '.join(said)} {self._interaction_words(target)}"

    def _interaction_words(self, target: str | None) -> str:
        between = self.effect("interaction", None, target)
        first, second = self.design.factors
        if between.verdict == "no difference shown":
            return f"Interaction of {first} and {second}: no difference shown ({_amount(between)})."
        step = " over ".join(self.design.factors[first])
        between = between if between.value >= 0 else _turned(between)
        inside = (self.effect("simple", first, target, level) for level in between.levels)
        each = " and ".join(f"{_amount(effect)} with {effect.within}" for effect in inside)
        more, less = between.levels
        return (
            f"Interaction: {step} is worth more with {more} than with {less}, by {_amount(between)} ({each})"
            f"{words.doubt(between.verdict, between.p_folds)}; the effects above are averages over unlike cases."
        )


def find_design(results: Results, scored: Sequence[str]) -> tuple[Design | None, str | None]:
    """The complete 2 x 2 among the scored encoders, or what it lacks.

    Untrained twins and encoders without factors do not belong to a design.

    Returns:
        the design and None; or None and a note; or None and None where no encoder has factors.

    Raises:
        DataError: see `factorial`.
    """
    members = [e for e in results.encoders if e.get("factors") and not e.get("twin_of")]
    by_names: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for member in members:
        by_names.setdefault(tuple(sorted(member["factors"])), []).append(member)
    found = [_try_design(group, scored, joined="joined" in results.run) for group in by_names.values()]
    designs = [design for design, _ in found if design]
    if len(designs) > 1:
        names = "; ".join(", ".join(design.factors) for design in designs)
        raise DataError(f"{len(designs)} complete designs among the factors of the encoders ({names}); one is allowed.")
    if designs:
        return designs[0], None
    notes = [note for _, note in found if note]
    return None, f"Factors are not analysed: {' '.join(notes)}" if notes else None


def design_note(results: Results, scored: Sequence[str]) -> list[str]:
    """What keeps the factors of the encoders from being analysed, as a list of at most one sentence."""
    try:
        note = find_design(results, scored)[1]
    except DataError as error:
        note = f"Factors are not analysed: {error}"
    return [note] if note else []


def _try_design(
    members: Sequence[dict[str, Any]], scored: Sequence[str], joined: bool
) -> tuple[Design | None, str | None]:
    names = list(members[0]["factors"])
    if len(names) != 2:
        return None, f"a design needs two factors, found {words.listed(names)}."
    levels = {name: tuple(dict.fromkeys(str(member["factors"][name]) for member in members)) for name in names}
    cells: dict[Cell, str] = {}
    for member in members:
        first, second = (str(member["factors"][name]) for name in names)
        if (first, second) in cells:
            said = f"{cells[first, second]} and {member['label']} both have {names[0]} {first} and {names[1]} {second}."
            if joined:
                return None, f"{said} The report of each run has its own analysis."
            raise DataError(f"{said} A design has one encoder in each cell; give only one of them `factors`.")
        cells[first, second] = member["label"]
    many = [f"{name} has {words.listed(found)}" for name, found in levels.items() if len(found) != 2]
    if many:
        return None, f"each factor needs two levels, but {words.listed(many)}."
    missing = [
        f"{names[0]} {first} with {names[1]} {second}"
        for first, second in product(*levels.values())
        if cells.get((first, second)) not in scored
    ]
    if missing:
        return None, f"without a score: {words.listed(missing)}."
    ordered = {(first, second): cells[first, second] for first, second in product(*levels.values())}
    return Design({name: (found[0], found[1]) for name, found in levels.items()}, ordered), None


def _main_words(effect: Effect) -> str:
    if effect.verdict == "no difference shown":
        return (
            f"{words.capitalised(effect.factor)}: no difference shown between {' and '.join(effect.levels)} "
            f"({_amount(effect)})."
        )
    turned = effect if effect.value >= 0 else _turned(effect)
    said = f"{words.capitalised(effect.factor)}: {' over '.join(turned.levels)} by {_amount(turned)}"
    return f"{said}{words.doubt(effect.verdict, effect.p_folds)}."


def _turned(effect: Effect) -> Effect:
    """The same effect, told from the other level."""
    verdict = {"better": "worse", "worse": "better"}.get(effect.verdict, effect.verdict)
    first, second = effect.levels
    return effect._replace(
        levels=(second, first), value=-effect.value, low=-effect.high, high=-effect.low, verdict=verdict
    )


def _amount(effect: Effect) -> str:
    return words.with_sign(effect.value, effect.low, effect.high)
