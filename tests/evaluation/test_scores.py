from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from affekt.errors import DataError
from affekt.evaluation import metrics
from affekt.evaluation.factorial import factorial
from affekt.evaluation.results import Prediction, Results
from affekt.evaluation.scores import artists, headline, score, score_table
from affekt.evaluation.statistics import bootstrap_interval, corrected_resampled_t_test, weighted_quadrant_scores


def comparison(n_songs=60, targets=("valence", "arousal"), seeds=(0, 1), n_folds=3, artist=None, **noise):
    """Encoders whose predictions are the annotation plus noise of the given spread; "mean" guesses fold means."""
    rng = np.random.default_rng(0)
    y_true = rng.normal(5, 1, (n_songs, len(targets)))
    folds = np.arange(n_songs) % n_folds
    predictions = []
    for label, spread in noise.items():
        for seed in seeds:
            y_pred = y_true + rng.normal(0, spread or 0, y_true.shape)
            if label == "mean":
                y_pred = np.stack([y_true[folds != fold].mean(axis=0) for fold in folds])
            predictions += [
                Prediction(label, seed, int(folds[i]), f"s{i}", target, float(y_true[i, t]), float(y_pred[i, t]))
                for t, target in enumerate(targets)
                for i in range(n_songs)
            ]
    rng.shuffle(predictions)  # the order of rows in a file means nothing
    return Results(
        dataset={"name": "test"},
        targets=list(targets),
        encoders=[{"label": label} for label in noise],
        songs=[{"id": f"s{i}", "artist": artist(i) if artist else None} for i in range(n_songs)],
        predictions=[Prediction(*p) for p in predictions],
    )


def test_table_holds_the_scores_of_metrics_averaged_over_seeds():
    results = comparison(good=0.3, poor=0.9)
    table = score_table(results).set_index(["encoder", "target"])
    assert list(table.index) == [(e, t) for e in ("good", "poor") for t in ("valence", "arousal")]
    for encoder in ("good", "poor"):
        runs = [results.arrays(encoder, seed)[1:] for seed in (0, 1)]
        by_run = [metrics.evaluate(y_true=y_true, y_pred=y_pred) for y_true, y_pred in runs]
        for name, column in [("rmse",) * 2, ("mae",) * 2, ("r2",) * 2, ("pearson",) * 2, ("concordance", "ccc")]:
            expected = np.mean([values[name] for values in by_run], axis=0)
            np.testing.assert_allclose(table.loc[encoder, column], expected, err_msg=name)
        np.testing.assert_allclose(table.loc[encoder, "spearman"], np.mean([v["spearman"] for v in by_run], axis=0))
    for name in ("r2", "pearson", "ccc"):
        assert (table[f"{name}_low"] < table[name]).all() and (table[name] < table[f"{name}_high"]).all()
    assert (table["n_songs"] == 60).all() and (table["n_seeds"] == 2).all()
    assert table["r2_minus_mean"].isna().all()


def test_difference_to_the_mean_is_paired():
    table = score_table(comparison(mean=0, good=0.3)).set_index(["encoder", "target"])
    expected = table.loc["good", "r2"] - table.loc["mean", "r2"]
    np.testing.assert_allclose(table.loc["good", "r2_minus_mean"], expected)
    assert (table.loc["good", "r2_minus_mean_low"] > 0).all()
    assert table.loc["mean", "r2_minus_mean"].isna().all()


def test_table_is_the_same_twice_and_whatever_the_order_of_rows():
    results = comparison(good=0.3, poor=0.9)
    first = score_table(results)
    results.predictions.reverse()
    pd.testing.assert_frame_equal(first, score_table(results))
    pd.testing.assert_frame_equal(first, results.table())


def test_songs_that_one_encoder_lacks_are_left_out_for_all_and_named():
    results = comparison(good=0.3, poor=0.9)
    results.predictions = [p for p in results.predictions if not (p.encoder == "poor" and p.song_id in ("s3", "s7"))]
    table = score_table(results)
    assert (table["n_songs"] == 58).all()
    assert table.attrs["notes"] == ["Scored on the 58 songs common to all encoders, of 60 predicted (poor lacks 2)."]
    ids, y_true, y_pred = results.arrays("good", 0)
    rows = [i for i, song in enumerate(ids) if song not in ("s3", "s7")]
    one_seed = score(results).y_pred["good"][0]
    np.testing.assert_array_equal(one_seed, y_pred[rows])
    np.testing.assert_array_equal(score(results).y_true, y_true[rows])


def test_encoder_without_predictions_keeps_its_row():
    results = comparison(good=0.3)
    results.encoders.append({"label": "broken"})
    table = score_table(results).set_index("encoder")
    assert table.loc["broken", "r2"].isna().all() and (table.loc["broken", "n_songs"] == 0).all()
    assert table.loc["good", "r2"].notna().all()
    assert table.attrs["notes"] == ["Without any prediction, and so without a score: broken."]


def test_encoders_may_have_run_with_different_seeds():
    results = comparison(mean=0, good=0.3)
    results.predictions = [p for p in results.predictions if not (p.encoder == "mean" and p.seed == 1)]
    table = score_table(results).set_index("encoder")
    assert (table.loc["mean", "n_seeds"] == 1).all() and (table.loc["good", "n_seeds"] == 2).all()
    assert table.loc["good", "r2_minus_mean"].notna().all()


def test_unusable_results_are_refused():
    empty = comparison(good=0.3)
    empty.predictions = []
    with pytest.raises(DataError, match="no prediction"):
        score_table(empty)
    disjoint = comparison(good=0.3, poor=0.9)
    disjoint.predictions = [p for p in disjoint.predictions if (p.encoder == "good") == (int(p.song_id[1:]) < 30)]
    with pytest.raises(DataError, match="0 of 60 songs"):
        score_table(disjoint)
    twice = comparison(good=0.3)
    twice.predictions.append(twice.predictions[0])
    with pytest.raises(DataError, match="1 predictions occur more than once"):
        score_table(twice)


def test_artists_are_the_groups():
    results = comparison(n_songs=60, good=0.5, artist=lambda i: f"a{i % 6}" if i < 30 else None)
    groups = artists(results, ["s0", "s6", "s1", "s40", "s41"])
    assert groups[0] == groups[1] != groups[2] and groups[3] != groups[4]
    assert score(results).resampled.jackknife.shape[0] == 6 + 30


def test_artist_named_like_a_song_is_not_that_song():
    results = comparison(n_songs=4, good=0.5, artist=lambda i: "s3" if i == 0 else None)
    assert len(set(artists(results, ["s0", "s3"]))) == 2


def test_headline_says_who_is_better_where_the_interval_does():
    lines = headline(comparison(n_songs=150, mean=0, good=0.3, poor=0.9))
    assert len(lines) == 2 and lines[0].startswith("Valence: good has the highest R², 0.")
    assert "It is better than the next, poor, by +0." in lines[0]
    assert "no difference shown" not in lines[0]


def test_headline_speaks_of_the_mean_once():
    for line in headline(comparison(mean=0, good=0.3)):
        assert line.endswith("Better than always guessing the mean: good.") and line.count("mean") == 1


def test_headline_names_a_few_and_counts_the_rest():
    noise = {f"e{i}": 0.2 + 0.1 * i for i in range(9)}
    assert all("It is better than" in line or "also better than" in line for line in headline(comparison(**noise)))
    assert all(len(line) < 400 for line in headline(comparison(mean=0, **noise)))


def test_headline_claims_nothing_that_the_interval_does_not_show():
    lines = headline(comparison(n_songs=30, one=0.5, other=0.505))
    assert all("no difference shown" in line and "better" not in line for line in lines)


def test_headline_says_who_does_not_beat_the_mean():
    lines = headline(comparison(n_songs=200, mean=0, good=0.3, close=0.97, awful=3.0))
    for line in lines:
        assert "Better than always guessing the mean: good." in line
        assert "Not shown to differ from guessing the mean: close." in line
        assert "Worse than guessing the mean: awful." in line
    assert all("Every encoder beats" in line for line in headline(comparison(mean=0, good=0.3, fair=0.4)))


def test_headline_of_a_single_encoder_and_of_constant_annotations():
    assert all("it ran alone" in line for line in headline(comparison(good=0.3)))
    results = comparison(good=0.3)
    results.predictions = [p._replace(y_true=5.0) if p.target == "arousal" else p for p in results.predictions]
    lines = headline(results)
    assert "Valence: good reaches R²" in lines[0] and lines[1].endswith("R² is undefined.")


def test_pairs_list_every_two_encoders_once_per_target():
    table = score(comparison(n_songs=90, mean=0, good=0.3, poor=0.9)).pairs()
    assert len(table) == 2 * 3
    assert (table["difference"] >= 0).all()
    clear = table[(table["first"] == "good") & (table["second"] == "mean")]
    assert (clear["verdict"] == "better").all()
    assert (clear["p_songs_holm"] < 0.05).all() and (clear["p_folds"] < 0.05).all()
    assert (table["p_songs_holm"] >= table["p_songs"]).all() and (table["p_folds_holm"] >= table["p_folds"]).all()


def test_a_single_fold_has_no_test_over_folds():
    table = score(comparison(n_folds=1, good=0.3, poor=0.9)).pairs()
    assert table["p_folds"].isna().all() and table["p_songs"].notna().all()


def test_r2_of_each_fold_is_against_its_own_mean():
    results = comparison(good=0.3, seeds=(0,))
    ids, y_true, y_pred = results.arrays("good", 0)
    chosen = [i for i in range(len(ids)) if i % 3 == 1]
    expected = metrics.r2(y_true=y_true[chosen], y_pred=y_pred[chosen])
    np.testing.assert_allclose(score(results).fold_r2("good")[0, 1], expected)


@pytest.mark.filterwarnings("error")
def test_two_songs_and_five_targets_are_scored_without_intervals():
    results = comparison(n_songs=2, n_folds=1, targets=tuple("abcde"), good=0.3, poor=0.9)
    table = score_table(results)
    assert len(table) == 10 and table["r2"].notna().all() and table["r2_low"].isna().all()
    assert all("no difference shown" in line for line in headline(results))


def own_splits(results, kind):
    """Each seed with a split of its own: other folds, or other test songs altogether."""
    rng = np.random.default_rng(5)
    n_songs = len(results.songs)
    order = {seed: rng.permutation(n_songs) for seed in results.seeds}
    fold = {(seed, f"s{i}"): int(place % 3) for seed in order for place, i in enumerate(order[seed])}
    predictions = [p._replace(fold=fold[p.seed, p.song_id]) for p in results.predictions]
    if kind == "holdout":
        predictions = [p._replace(fold=0) for p in predictions if p.fold == 0]
    results.predictions = predictions
    return results


def test_folds_of_each_seed_are_its_own():
    results = own_splits(comparison(good=0.3, poor=0.9), "kfold")
    found = score(results).fold_r2("good")
    assert sorted(found) == [(seed, fold) for seed in (0, 1) for fold in (0, 1, 2)]
    for (seed, fold), r2 in found.items():
        rows = [p for p in results.predictions if (p.encoder, p.seed, p.fold) == ("good", seed, fold)]
        valence = sorted((p.song_id, p.y_true, p.y_pred) for p in rows if p.target == "valence")
        y_true, y_pred = np.array([row[1:] for row in valence]).T[:, :, None]
        assert r2[0] == pytest.approx(metrics.r2(y_true=y_true, y_pred=y_pred)[0])


def test_seeds_that_test_other_songs_are_each_scored_on_their_own():
    results = own_splits(comparison(mean=0, good=0.3, poor=0.9), "holdout")
    table = score_table(results).set_index(["encoder", "target"])
    runs = [results.arrays("good", seed) for seed in (0, 1)]
    by_seed = [metrics.evaluate(y_true=y_true, y_pred=y_pred) for _, y_true, y_pred in runs]
    for name, column in (("r2", "r2"), ("rmse", "rmse"), ("spearman", "spearman"), ("concordance", "ccc")):
        np.testing.assert_allclose(table.loc["good", column], np.mean([v[name] for v in by_seed], axis=0))
    tested = set(runs[0][0]) | set(runs[1][0])
    assert 20 < len(tested) < 40
    assert (table["n_songs"] == len(tested)).all()
    assert table.attrs["notes"] == [f"Each seed tested songs of its own: 20 on average, {len(tested)} in all."]
    assert table.loc["good", "r2_low"].notna().all()
    pairs = score(results).pairs()
    assert pairs[["p_songs", "p_folds"]].notna().all(axis=None)


def test_the_first_place_over_folds_unconfirmed_is_said():
    # One fold in three is turned around: other songs would not change the verdict, other training sets might.
    results = comparison(n_songs=300, good=0.3, poor=0.5, seeds=(0,))
    rng = np.random.default_rng(1)
    results.predictions = [
        p._replace(y_pred=p.y_true + 0.55 * rng.normal()) if (p.encoder, p.fold) == ("good", 0) else p
        for p in results.predictions
    ]
    scores = score(results)
    for target, line in zip(results.targets, scores.headline(), strict=True):
        p = scores.pair("good", "poor", target)["p_folds_holm"]
        assert "It is better than the next, poor" in line and p > 0.05
        assert f"The test over folds, after Holm, does not confirm this against poor (p = {p:.2f})." in line
    assert all("does not confirm" not in line for line in headline(comparison(n_songs=300, good=0.3, poor=0.5)))
    one_fold = comparison(n_songs=300, n_folds=1, good=0.3, poor=0.5)
    assert all("does not confirm" not in line for line in headline(one_fold))


def test_quadrant_scores_have_intervals_from_the_same_resamples(make_results, noisy):
    y_true, y_pred = noisy(90, good=0.3, poor=1.5)
    scores = score(make_results(y_true, y_pred, scale=[1, 9], artists=[f"a{i // 3}" for i in range(90)]))
    for encoder in ("good", "poor"):
        for name in metrics.QUADRANT_SCORES:
            plain = getattr(metrics, f"quadrant_{name}")
            value, low, high = scores.quadrant_score(encoder, name)
            assert value == pytest.approx(
                np.mean([plain(y_true=y_true, y_pred=run, centre=5.0) for run in y_pred[encoder]])
            )
            assert 0 <= low < value < high <= 1
        assert scores.quadrant_accuracy(encoder) == scores.quadrant_score(encoder, "accuracy")
    statistic = weighted_quadrant_scores(y_true, y_pred["poor"], centre=5.0)
    expected = bootstrap_interval(statistic, 90, [i // 3 for i in range(90)], seed=scores.seed)  # artists together
    np.testing.assert_array_equal([part[1] for part in scores.quadrants], expected)


def test_quadrants_need_valence_and_arousal(make_results, noisy):
    y_true, y_pred = noisy(30, n_targets=3, good=0.3)
    scores = score(make_results(y_true, y_pred))
    assert scores.quadrants is None
    assert np.isnan(scores.quadrant_accuracy("good")).all()
    named = score(make_results(y_true, y_pred, targets=("arousal", "tension", "valence")))
    expected = metrics.quadrant_accuracy(
        y_true=y_true[:, [2, 0]], y_pred=y_pred["good"][0][:, [2, 0]], centre=named.centre
    )
    one_seed = score(make_results(y_true, {"good": y_pred["good"][:1]}, targets=("arousal", "tension", "valence")))
    assert one_seed.quadrant_accuracy("good")[0] == expected


def test_the_centre_is_that_of_the_scale_or_of_the_annotations(make_results, noisy):
    y_true, y_pred = noisy(30, good=0.3)
    assert score(make_results(y_true, y_pred, scale=[0, 1])).centre == 0.5
    assert score(make_results(y_true, y_pred)).centre == pytest.approx((y_true.min() + y_true.max()) / 2)


def test_twins_say_what_pretraining_adds(make_results, noisy):
    y_true, y_pred = noisy(150, net=0.4, same=0.7, twin=0.8, same_twin=0.7, lonely=0.5)
    y_pred["same_twin"] = y_pred["same"] + np.random.default_rng(0).normal(0, 0.05, y_pred["same"].shape)
    about = {"twin": {"twin_of": "net"}, "same_twin": {"twin_of": "same"}, "lonely": {"twin_of": "not here"}}
    scores = score(make_results(y_true, y_pred, about=about))
    rows = scores.twins()
    assert [(row.encoder, row.twin, row.target) for row in rows] == [
        (encoder, twin, target)
        for encoder, twin in (("net", "twin"), ("same", "same_twin"))
        for target in ("valence", "arousal", None)
    ]
    for row in rows:
        assert (row.value, row.low, row.high) == scores.difference(row.encoder, row.twin, row.target)
    assert rows[0].verdict == "better"
    assert rows[0].words.startswith(f"Pretraining adds +{rows[0].value:.3f} [")
    assert rows[0].words.endswith("to the R² of valence of net over its untrained twin.")
    assert "R² averaged over valence and arousal of net" in rows[2].words
    about = {"net": {"twin_of": "twin"}}
    (turned, *_) = score(make_results(y_true, {k: y_pred[k] for k in ("net", "twin")}, about=about)).twins()
    assert turned.verdict == "worse" and turned.words.startswith("Pretraining takes from the R² of valence of twin: -")
    few = {label: runs[:, :20] for label, runs in y_pred.items()}
    about = {"same_twin": {"twin_of": "same"}}
    (unshown, *_) = score(make_results(y_true[:20], few, about=about)).twins()
    assert unshown.verdict == "no difference shown" and unshown.words.startswith("What pretraining adds to the R² of")


def test_a_contrast_is_the_weighted_sum_on_the_same_resamples(make_results, noisy):
    scores = score(make_results(*noisy(60, a=0.4, b=0.6, c=0.8)))
    value, low, high = scores.contrast({"a": 1, "b": -0.5, "c": -0.5}, "arousal")
    r2 = {encoder: scores.r2(encoder, "arousal")[0] for encoder in "abc"}
    assert value == pytest.approx(r2["a"] - (r2["b"] + r2["c"]) / 2) and low < value < high
    assert scores.contrast({"a": 1}, "arousal") == pytest.approx(scores.r2("a", "arousal"))
    assert scores.difference("a", "a") == (0, 0, 0)


def shared_test_set(make_results, noisy, n_folds, n_seeds, copies=False):
    """Seeds that test the same folds: other heads on the same songs, or the very same predictions again."""
    y_true, y_pred = noisy(60, n_seeds=1 if copies else n_seeds, good=0.3, poor=0.6)
    if copies:
        y_pred = {label: np.stack([runs[0]] * n_seeds) for label, runs in y_pred.items()}
    return y_true, y_pred, make_results(y_true, y_pred, folds=np.arange(60) % n_folds)


def test_a_test_set_that_seeds_share_counts_once(make_results, noisy):
    y_true, y_pred, results = shared_test_set(make_results, noisy, n_folds=6, n_seeds=4)
    found = score(results).p_folds({"good": 1, "poor": -1}, "valence")
    differences = []
    for fold in range(6):
        inside = np.arange(60) % 6 == fold
        r2 = {
            label: np.mean([metrics.r2(y_true=y_true[inside], y_pred=run[inside])[0] for run in runs])
            for label, runs in y_pred.items()
        }
        differences.append(r2["good"] - r2["poor"])
    assert found == pytest.approx(float(corrected_resampled_t_test(np.array(differences), 50, 10)))
    assert score(results).p_folds({"poor": 1, "good": -1}, "valence") == found


def test_the_test_over_folds_knows_how_many_songs_a_fit_has_seen(make_results, noisy):
    results = shared_test_set(make_results, noisy, n_folds=6, n_seeds=2)[2]
    few = [{"encoder": encoder, "n_train": 18, "n_validation": 2} for encoder in ("good", "poor")]
    scores = [score(replace(results, fits=fits)) for fits in ([], few)]
    differences = [
        one[0] - other[0] for one, other in zip(*map(mean_by_fold, (scores[0],) * 2, ("good", "poor")), strict=True)
    ]
    for one, n_train in zip(scores, (50, 20), strict=True):
        expected = corrected_resampled_t_test(np.array(differences), n_train, 10)
        assert one.p_folds({"good": 1, "poor": -1}, "valence") == pytest.approx(float(expected))


def mean_by_fold(scores, encoder):
    found = scores.fold_r2(encoder)
    return [np.mean([found[seed, fold] for seed in (0, 1)], axis=0) for fold in range(6)]


def test_the_same_predictions_four_times_are_no_evidence(make_results, noisy):
    once, again = (
        score(shared_test_set(make_results, noisy, 6, n_seeds, copies=True)[2]).pairs() for n_seeds in (1, 4)
    )
    np.testing.assert_allclose(once["p_folds"], again["p_folds"])
    np.testing.assert_allclose(once["p_songs"], again["p_songs"])


def test_one_test_set_for_all_seeds_has_no_test_over_folds(make_results, noisy):
    # As in the kinds "seed", "official-2013" and "long".
    table = score(shared_test_set(make_results, noisy, n_folds=1, n_seeds=5)[2]).pairs()
    assert table["p_folds"].isna().all() and table["p_songs"].notna().all()


def test_encoders_that_share_no_tested_song_have_no_p(make_results, noisy):
    y_true, y_pred = noisy(60, n_seeds=1, good=0.3, poor=0.6)
    half = np.arange(60) < 30
    apart = {
        "good": np.where(half[:, None], y_pred["good"], np.nan),
        "poor": np.where(half[:, None], np.nan, y_pred["poor"]),
    }
    first, second = (make_results(y_true, {k: v}, seeds=[s]) for s, (k, v) in enumerate(apart.items()))
    first.predictions += second.predictions
    first.encoders += second.encoders
    table = score(first).pairs()
    assert table[["p_songs", "p_folds"]].isna().all(axis=None) and table["difference"].notna().all()


def test_results_that_contradict_themselves_are_refused():
    def spoilt(**changes):
        results = comparison(good=0.3)
        results.predictions[5] = results.predictions[5]._replace(**changes)
        return results

    for value in (np.nan, np.inf):
        with pytest.raises(DataError, match="1 predictions hold an annotation or a value that is not a finite number"):
            score(spoilt(y_true=value))
        with pytest.raises(DataError, match="not a finite number: good, song s"):
            score(spoilt(y_pred=value))
    with pytest.raises(DataError, match="1 songs have more than one annotation"):
        score(spoilt(y_true=3.21))
    for key, kind in (("song_id", "song"), ("encoder", "encoder"), ("target", "target")):
        with pytest.raises(DataError, match=rf"1 {kind}\(s\) that the results do not list: unheard-of"):
            score(spoilt(**{key: "unheard-of"}))
    with pytest.raises(DataError, match="no such encoder"):
        score(comparison(good=0.3)).reference("unheard-of")


def everything(scores):
    """Whatever can be asked of scores."""
    pairs, table = scores.pairs(), scores.table()
    factorial(scores)
    said = [scores.headline(), scores.notes, [row.words for row in scores.twins()]]
    numbers = [scores.intervals, scores.averaged, scores.quadrants, scores.centre, scores.folds]
    for encoder in scores.encoders:
        numbers += [scores.quadrant_accuracy(encoder), scores.fold_r2(encoder), scores.runs(encoder)]
        numbers.append(scores.difference(encoder, scores.encoders[0]))
    return pairs, table, said, numbers


@st.composite
def wild_results(draw, make_results):
    n_songs, n_seeds = draw(st.integers(2, 9)), draw(st.integers(1, 3))
    elements = draw(st.sampled_from([st.floats(1, 9), st.just(5.0), st.floats(1e9, 1e9 + 1), st.floats(-1e99, 1e99)]))
    y_true = draw(arrays(float, (n_songs, 2), elements=elements))
    labels = draw(st.sampled_from([["a"], ["mean", "a"], ["a", "b", "mean"]]))
    y_pred = {label: draw(arrays(float, (n_seeds, n_songs, 2), elements=elements)) for label in labels}
    folds = draw(st.sampled_from([np.zeros(n_songs, int), np.arange(n_songs), np.arange(n_songs) % 2]))
    artists_of = draw(st.sampled_from([None, ["same"] * n_songs, [f"a{i // 2}" for i in range(n_songs)]]))
    about = {labels[-1]: {"twin_of": labels[0], "factors": {"input": 1}}} if len(labels) > 1 else {}
    scale = draw(st.sampled_from([{}, {"scale": [1, 9]}]))
    return make_results(y_true, y_pred, folds=folds, artists=artists_of, about=about, **scale)


@given(st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.filterwarnings("error")
def test_wild_results_are_scored_without_a_warning(make_results, data):
    pairs, table, (lines, notes, twins), _ = everything(score(data.draw(wild_results(make_results)), n_resamples=60))
    assert len(lines) == 2 and all(isinstance(text, str) for text in [*lines, *notes, *twins])
    numbers = [*table.select_dtypes("number").to_numpy().ravel(), *pairs.select_dtypes("number").to_numpy().ravel()]
    assert not np.isinf(np.array(numbers, dtype=float)).any()
    assert pairs["p_songs"].dropna().between(0, 1).all() and pairs["p_folds"].dropna().between(0, 1).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "case", ["constant prediction", "two songs", "one artist", "one song a fold", "constant annotation", "huge offset"]
)
def test_a_poor_comparison_has_a_defined_result(make_results, noisy, case):
    n_songs = 2 if case == "two songs" else 24
    y_true, y_pred = noisy(n_songs, mean=0.4, good=0.3, poor=0.9)
    folds = np.zeros(n_songs, int) if case == "two songs" else np.arange(n_songs) % (24 if "fold" in case else 4)
    if case == "constant prediction":
        y_pred["poor"] = np.full_like(y_pred["poor"], 3.3)
    elif case == "constant annotation":
        y_true = np.full_like(y_true, 3.3)
    elif case == "huge offset":
        y_true, y_pred = y_true + 1e9, {label: runs + 1e9 for label, runs in y_pred.items()}
    owners = ["same"] * n_songs if case == "one artist" else None
    scores = score(make_results(y_true, y_pred, folds=folds, artists=owners, scale=[1, 9]))
    pairs, table, (lines, _, _), _ = everything(scores)
    poor = table.set_index(["encoder", "target"]).loc[("poor", "valence")]
    if case == "constant prediction":
        assert np.isnan(poor["pearson"]) and poor["ccc"] == 0 and np.isfinite(poor["r2_low"])
    elif case == "constant annotation":
        assert pairs.empty and all("undefined" in line for line in lines)
    elif case in ("two songs", "one artist"):
        assert (
            np.isfinite(poor["r2"]) and np.isnan(poor["r2_low"]) and (pairs["verdict"] == "no difference shown").all()
        )
    elif case == "one song a fold":
        assert pairs["p_folds"].isna().all() and pairs["p_songs"].notna().all()
    else:
        assert poor["r2"] == pytest.approx(
            np.mean([metrics.r2(y_true=y_true, y_pred=run)[0] for run in y_pred["poor"]]), abs=1e-3
        )
        assert pairs["p_songs"].notna().all()
