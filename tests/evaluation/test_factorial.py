import itertools

import numpy as np
import pytest

from affekt.errors import DataError
from affekt.evaluation.factorial import factorial, find_design
from affekt.evaluation.scores import score
from affekt.evaluation.statistics import SCORES

R2 = SCORES.index("r2")
CELLS = list(itertools.product(("waveform", "log-mel"), ("transformer", "mamba")))


def label(cell):
    return "-".join(cell)


def about(cells=CELLS):
    return {label(cell): {"factors": {"input": cell[0], "trunk": cell[1]}} for cell in cells}


def design(noisy, make_results, spreads, n_songs=200, n_targets=2, extra=(), **options):
    """Four encoders with the given spreads of noise, in the order of `CELLS`, among others without factors."""
    noise = {label(cell): spread for cell, spread in zip(CELLS, spreads, strict=True)}
    y_true, y_pred = noisy(n_songs, n_targets=n_targets, **noise, **dict(extra))
    return make_results(y_true, y_pred, about=options.pop("about", about()), **options)


def cell_r2(scores, target=None):
    values = scores.intervals.value[:, R2]
    column = values.mean(axis=1) if target is None else values[:, scores.results.targets.index(target)]
    return {cell: column[scores.encoders.index(label(cell))] for cell in CELLS}


@pytest.mark.parametrize("target", [None, "valence", "arousal"])
def test_effects_are_the_contrasts_of_the_textbook(noisy, make_results, target):
    scores = score(design(noisy, make_results, (0.8, 0.6, 0.5, 0.3), extra={"mean": 1.0}))
    found, r2 = factorial(scores), cell_r2(scores, target)
    waveform, log_mel = ({trunk: r2[i, trunk] for trunk in ("transformer", "mamba")} for i in ("waveform", "log-mel"))
    expected = {
        ("main", "input", None): (sum(waveform.values()) - sum(log_mel.values())) / 2,
        ("main", "trunk", None): (
            waveform["transformer"] + log_mel["transformer"] - waveform["mamba"] - log_mel["mamba"]
        )
        / 2,
        ("interaction", "input x trunk", None): (waveform["transformer"] - log_mel["transformer"])
        - (waveform["mamba"] - log_mel["mamba"]),
        ("simple", "input", "mamba"): waveform["mamba"] - log_mel["mamba"],
        ("simple", "trunk", "waveform"): waveform["transformer"] - waveform["mamba"],
    }
    for (kind, factor, within), value in expected.items():
        effect = found.effect(kind, factor, target, within)
        assert effect.value == pytest.approx(value)
        assert effect.low < effect.value < effect.high
    assert found.effect("main", "input", target).levels == ("waveform", "log-mel")
    assert found.effect("main", "input", target).verdict == "worse"
    assert len(found.effects) == 3 * 7
    cells = {(cell.levels, cell.target): cell.value for cell in found.cells}
    assert all(cells[cell, target] == pytest.approx(r2[cell]) for cell in CELLS)


def test_effects_come_from_the_paired_resamples(noisy, make_results):
    scores = score(design(noisy, make_results, (0.8, 0.6, 0.5, 0.3)))
    simple = factorial(scores).effect("simple", "input", "valence", "mamba")
    paired = scores.difference("waveform-mamba", "log-mel-mamba", "valence")
    np.testing.assert_allclose((simple.value, simple.low, simple.high), paired)


def test_sentences_name_the_better_level_first_and_claim_nothing_that_is_not_shown(noisy, make_results):
    scores = score(design(noisy, make_results, (0.8, 0.8, 0.4, 0.4), n_songs=400))
    averaged, valence, arousal = factorial(scores).sentences()
    assert averaged.startswith("R² averaged over valence and arousal. Input: log-mel over waveform by +0.4")
    assert "Trunk: no difference shown between transformer and mamba (" in averaged
    assert "Interaction of input and trunk: no difference shown (" in averaged
    assert valence.startswith("R² of valence. ") and arousal.startswith("R² of arousal. ")


def test_a_shown_interaction_tells_both_simple_effects(noisy, make_results):
    # Log-mel helps the transformer a lot and mamba not at all.
    scores = score(design(noisy, make_results, (0.9, 0.5, 0.5, 0.5), n_songs=400, n_targets=1))
    found = factorial(scores)
    (sentence,) = found.sentences()
    between = found.effect("interaction", None, "a")
    assert between.verdict == "worse"  # waveform over log-mel: worse with the transformer than with mamba
    assert "waveform over log-mel is worth more with mamba than with transformer" in sentence
    assert f"by +{-between.value:.3f}" in sentence and "averages over unlike cases" in sentence
    simple = found.effect("simple", "input", "a", "transformer")
    assert f"{simple.value:+.3f} [{simple.low:.3f}, {simple.high:.3f}] with transformer" in sentence


def test_without_factors_there_is_nothing_to_analyse(noisy, make_results):
    scores = score(make_results(*noisy(one=0.5, other=0.6)))
    assert factorial(scores) is None and scores.notes == []


def drop_cell(results):
    results.encoders = [e for e in results.encoders if e["label"] != "log-mel-mamba"]
    results.predictions = [p for p in results.predictions if p.encoder != "log-mel-mamba"]


def without_score(results):
    results.predictions = [p for p in results.predictions if p.encoder != "log-mel-mamba"]


def third_level(results):
    results.encoders[0]["factors"]["input"] = "image"


def one_factor(results):
    for encoder in results.encoders:
        del encoder["factors"]["trunk"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (drop_cell, "without a score: input log-mel with trunk mamba."),
        (without_score, "without a score: input log-mel with trunk mamba."),
        (third_level, "each factor needs two levels, but input has image, waveform and log-mel."),
        (one_factor, "a design needs two factors, found input."),
    ],
)
def test_an_incomplete_design_is_none_and_a_note(noisy, make_results, spoil, said):
    results = design(noisy, make_results, (0.8, 0.6, 0.5, 0.3), n_songs=30)
    spoil(results)
    scores = score(results)
    assert factorial(scores) is None
    assert scores.notes[-1] == f"Factors are not analysed: {said}"


def test_two_encoders_in_a_cell_are_an_error_that_names_them(noisy, make_results):
    results = design(noisy, make_results, (0.8, 0.6, 0.5, 0.3), n_songs=30, extra={"again": 0.5})
    results.encoders[-1]["factors"] = {"input": "log-mel", "trunk": "mamba"}
    scores = score(results)  # everything else can still be told
    with pytest.raises(DataError, match="log-mel-mamba and again both have input log-mel and trunk mamba"):
        factorial(scores)
    assert "again both have" in scores.notes[-1]


def test_untrained_twins_stand_in_no_cell(noisy, make_results):
    results = design(noisy, make_results, (0.8, 0.6, 0.5, 0.3), n_songs=30, extra={"twin": 0.9})
    results.encoders[-1] |= {"factors": {"input": "log-mel", "trunk": "mamba"}, "twin_of": "log-mel-mamba"}
    found = factorial(score(results))
    assert "twin" not in found.design.encoders.values()


def test_two_complete_designs_are_an_error(noisy, make_results):
    second = {f"x{cell}": 0.5 for cell in range(4)}
    results = design(noisy, make_results, (0.8, 0.6, 0.5, 0.3), n_songs=30, extra=second)
    for number, encoder in enumerate(results.encoders[4:]):
        encoder["factors"] = {"depth": number // 2, "width": number % 2}
    with pytest.raises(DataError, match=r"2 complete designs .*input, trunk; depth, width"):
        find_design(results, results.labels)
    # An encoder with factors of its own does not disturb a complete design.
    results.encoders = results.encoders[:5]
    assert find_design(results, results.labels)[0].factors == {
        "input": ("waveform", "log-mel"),
        "trunk": ("transformer", "mamba"),
    }


@pytest.mark.filterwarnings("error")
def test_constant_annotations_and_two_songs_are_told_without_a_claim(noisy, make_results):
    results = design(noisy, make_results, (0.8, 0.6, 0.5, 0.3), n_songs=30)
    results.predictions = [p._replace(y_true=5.0) if p.target == "arousal" else p for p in results.predictions]
    averaged, valence, arousal = factorial(score(results)).sentences()
    assert arousal == "R² of arousal is undefined: all annotations are the same."
    assert "is undefined" in averaged and "Input:" in valence
    few = factorial(score(design(noisy, make_results, (0.8, 0.6, 0.5, 0.3), n_songs=2, folds=np.zeros((2, 2), int))))
    assert all(" over " not in line.split(". ", 1)[1] for line in few.sentences())
    assert all(effect.verdict == "no difference shown" for effect in few.effects)
