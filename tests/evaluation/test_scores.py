import numpy as np
import pandas as pd
import pytest

from affekt.errors import DataError
from affekt.evaluation import metrics
from affekt.evaluation.results import Prediction, Results
from affekt.evaluation.scores import artists, headline, score, score_table


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
