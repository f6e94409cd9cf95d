import pytest

from affekt.evaluation.scores import score
from affekt.report.view import View
from affekt.report.words import caveats, verdicts


def said(view, target="valence"):
    return next(verdict for verdict in verdicts(view) if verdict.target == target)


def test_a_clear_winner_is_said_to_be_better(viewed):
    verdict = said(viewed(noise={"mean": 0.0, "good": 0.3, "bad": 1.0}, ceiling=(0.8, 0.9), n_songs=300, n_folds=10))
    assert verdict.claim == "good is better than every other."
    assert verdict.evidence.startswith("good: R² 0.") and verdict.evidence.endswith("of the ceiling 0.80")
    assert verdict.detail.startswith("good has the highest R²")


def test_whom_no_difference_is_shown_to_is_named(viewed):
    view = viewed(noise={"mean": 0.0, "a": 0.50, "b": 0.51, "c": 2.5})
    best, second, *_ = view.scores.ranking("valence")
    assert said(view).claim == f"{best} leads; no difference shown to {second}."


def test_a_baseline_that_wins_is_called_one(viewed):
    view = viewed(noise={"mean": 0.0, "handcrafted-closed": 0.3, "bad": 1.0}, n_songs=300, n_folds=10)
    assert said(view).claim == "handcrafted-closed (baseline) is better than every other."


def test_nobody_beats_the_mean(viewed):
    view = viewed(noise={"mean": 0.0, "a": 1.2, "b": 5.0}, n_songs=20)
    assert said(view).claim == "No encoder is shown to beat guessing the mean."


def test_a_winner_that_the_folds_do_not_confirm_is_not_announced_without_saying_so(comparison):
    # One fold in four is turned around: other songs would not change the verdict, other training sets might.
    results = comparison(noise={"good": 0.3, "poor": 0.6}, n_songs=300, seeds=(0,))
    results.predictions = [
        p._replace(y_pred=p.y_true + 0.7 * (-1) ** len(p.song_id)) if (p.encoder, p.fold) == ("good", 0) else p
        for p in results.predictions
    ]
    view = View(score(results))
    assert view.scores.pair("good", "poor", "valence")["p_folds_holm"] > 0.05
    assert said(view).claim == "good is better than poor; over folds not confirmed."
    third = comparison(noise={"good": 0.3, "poor": 0.6, "poorest": 4.0}, n_songs=300, seeds=(0,))
    results.predictions += [p for p in third.predictions if p.encoder == "poorest"]
    results.encoders += [encoder for encoder in third.encoders if encoder["label"] == "poorest"]
    claim = said(View(score(results))).claim
    assert claim == "good is better than every other; over folds not confirmed against poor."


def test_two_encoders_and_one(viewed):
    assert said(viewed(noise={"good": 0.2, "bad": 1.0}, n_songs=300, n_folds=10)).claim == "good is better than bad."
    assert said(viewed(noise={"only": 0.2})).claim == "only ran alone."


def test_constant_annotations_have_no_verdict(comparison):
    results = comparison(noise={"a": 0.5, "b": 0.6})
    results.predictions = [p._replace(y_true=5.0) if p.target == "valence" else p for p in results.predictions]
    verdict = said(View(score(results)))
    assert verdict.claim == "Undefined: all annotations are the same." and verdict.evidence == ""


def test_sentences_go_to_their_own_target_though_one_name_begins_another(viewed):
    view = viewed(noise={"a": 0.3, "b": 2.0}, targets=("calm", "calm: deep"))
    details = {verdict.target: verdict.detail for verdict in verdicts(view)}
    for target, detail in details.items():
        assert f"{view.scores.r2('a', target)[0]:.2f}" in detail
        assert detail.count("has the highest") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"synthetic": True}, "Synthetic music."),
        ({"noise": {"a-nano": 0.5, "b": 0.6}}, "Not pretrained (random weights): a-nano."),
        ({"seeds": (3,)}, "A single seed"),
        ({}, "The artist of 8 of 40 songs is unknown"),
    ],
)
def test_caveats(viewed, options, words):
    assert any(words in caveat for caveat in caveats(viewed(**options)))
    if options:
        assert not any(words in caveat for caveat in caveats(viewed()))


def test_seeds_that_predict_the_same_count_as_one(comparison):
    results = comparison(noise={"a": 0.5, "b": 0.7}, seeds=(0, 1))
    assert not any("count as one" in caveat for caveat in caveats(View(score(results))))
    first = {(p.encoder, p.song_id, p.target): p.y_pred for p in results.predictions if p.seed == 0}
    results.predictions = [p._replace(y_pred=first[p.encoder, p.song_id, p.target]) for p in results.predictions]
    assert any("count as one" in caveat for caveat in caveats(View(score(results))))


def test_a_control_run_says_so(viewed):
    view = viewed()
    assert not any("shuffled" in caveat for caveat in caveats(view))
    view.experiment["permute_labels"] = True
    (said,) = (caveat for caveat in caveats(view) if "the labels were shuffled" in caveat)
    assert (
        "FAILED for wav2vec2-base on valence, mambavision-s on valence, mambavision-s on arousal" in said
    )  # these encoders hear their labels
    honest = viewed(noise={"a-closed": 8.0})
    honest.experiment["permute_labels"] = True
    assert any(caveat.endswith("R² above 0. Passed.") for caveat in caveats(honest))


def test_a_single_test_set_confirms_nothing(viewed):
    assert any("A single test set" in caveat for caveat in caveats(viewed(n_folds=1)))
    assert not any("A single test set" in caveat for caveat in caveats(viewed()))
