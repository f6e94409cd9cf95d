from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from affekt.errors import DataError
from affekt.evaluation import metrics
from affekt.evaluation.over_time import MEASURES
from affekt.evaluation.results import PredictedCurve, Prediction, Results
from affekt.evaluation.scores import score

TARGETS = ["valence", "arousal"]
N_SONGS = 12


def truth(n_songs=N_SONGS, seed=0):
    """Songs of different length that move."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((8 + 3 * i, 2)).cumsum(axis=0) * 0.1 for i in range(n_songs)]


def results(curves, predicted, artists=None, n_folds=4):
    """A comparison over time.

    Args:
        curves: annotation of each song, (n_frames, 2).
        predicted: for each encoder, for each seed, the curve of each song, None where it was not tested.
    """
    songs = [
        {
            "id": f"s{i}",
            "artist": artists[i] if artists else None,
            "curve": {"times_s": [15 + 0.5 * k for k in range(len(curve))], "y_true": curve.tolist()},
        }
        for i, curve in enumerate(curves)
    ]
    made = Results({"name": "deam", "scale": [-1, 1]}, TARGETS, [{"label": e} for e in predicted], songs, [])
    for encoder, seeds in predicted.items():
        for seed, run in enumerate(seeds):
            for i, curve in enumerate(run):
                if curve is None:
                    continue
                means = zip(TARGETS, curves[i].mean(axis=0), curve.mean(axis=0), strict=True)
                made.predictions += [
                    Prediction(encoder, seed, i % n_folds, f"s{i}", target, float(t), float(p))
                    for target, t, p in means
                ]
                made.curves.append(PredictedCurve(encoder, seed, i % n_folds, f"s{i}", curve.tolist()))
    return made


def noisy(curves, spread, seed=1):
    rng = np.random.default_rng(seed)
    return [curve + spread * rng.standard_normal(curve.shape) for curve in curves]


def over_time(*arguments, **options):
    return score(results(*arguments, **options), n_resamples=200).over_time


def test_a_perfect_curve_scores_one():
    found = over_time(truth(), {"a": [truth()]})
    for target in TARGETS:
        for pooled in (False, True):
            assert found.value("a", "ccc", target, pooled) == pytest.approx((1, 1, 1))
            assert found.value("a", "pearson", target, pooled)[0] == pytest.approx(1)
            assert found.value("a", "rmse", target, pooled)[0] == pytest.approx(0, abs=1e-12)


def test_scores_within_songs_are_averaged_over_songs():
    curves, predicted = truth(), noisy(truth(), 0.2)
    found = over_time(curves, {"a": [predicted]})
    pairs = list(zip(curves, predicted, strict=True))
    for c, target in enumerate(TARGETS):
        r = np.mean([stats.pearsonr(t[:, c], p[:, c]).statistic for t, p in pairs])
        rmse = np.mean([np.sqrt(np.mean((t[:, c] - p[:, c]) ** 2)) for t, p in pairs])
        assert found.value("a", "pearson", target)[0] == pytest.approx(r)
        assert found.value("a", "rmse", target)[0] == pytest.approx(rmse)


def test_pooled_scores_take_all_moments_together():
    curves, predicted = truth(), noisy(truth(), 0.2)
    found = over_time(curves, {"a": [predicted]})
    together = {"y_true": np.concatenate(curves), "y_pred": np.concatenate(predicted)}
    wanted = dict(zip(MEASURES, (metrics.rmse, metrics.pearson, metrics.concordance), strict=True))
    for measure, metric in wanted.items():
        values = [found.value("a", measure, target, pooled=True)[0] for target in TARGETS]
        np.testing.assert_allclose(values, metric(**together))


def test_seeds_are_averaged_and_score_only_what_they_tested():
    curves = truth()
    one, other = noisy(curves, 0.1, 1), noisy(curves, 0.4, 2)
    halves = [[p if i % 2 else None for i, p in enumerate(one)], [None if i % 2 else p for i, p in enumerate(other)]]
    found = over_time(curves, {"a": halves})
    ccc = [
        np.mean([metrics.concordance(y_true=curves[i], y_pred=p) for i, p in enumerate(run) if p is not None], axis=0)
        for run in halves
    ]
    np.testing.assert_allclose([found.value("a", "ccc", t)[0] for t in TARGETS], np.mean(ccc, axis=0))


def test_a_curve_that_does_not_move_has_no_r_and_a_ccc_of_zero():
    curves = truth()
    flat = [np.full_like(curve, 0.1) for curve in curves]
    found = over_time(curves, {"mean": [flat], "a": [noisy(curves, 0.1)]})
    assert np.isnan(found.value("mean", "pearson", "valence")[0])
    assert found.value("mean", "ccc", "valence") == (0, 0, 0)
    assert (found.undefined("mean"), found.undefined("a")) == (N_SONGS, 0)
    assert found.ranking("valence") == ["a", "mean"]


def test_a_song_that_does_not_move_is_left_out_of_the_mean_of_r():
    curves, predicted = truth(), noisy(truth(), 0.2)
    curves[0][:] = 0.3
    found = over_time(curves, {"a": [predicted]})
    r = [metrics.pearson(y_true=t, y_pred=p)[0] for t, p in zip(curves[1:], predicted[1:], strict=True)]
    assert found.value("a", "pearson", "valence")[0] == pytest.approx(np.mean(r))
    assert found.undefined("a") == 1


def test_nothing_moves_and_nothing_is_ranked():
    still = [np.full((6, 2), 0.2) for _ in range(N_SONGS)]
    found = over_time(still, {"a": [still]})
    assert found.ranking("valence") == []
    assert "nothing moves" in found.sentences()[0]


def test_intervals_hold_their_value_and_draw_artists_together():
    curves, predicted = truth(), noisy(truth(), 0.3)
    value, low, high = over_time(curves, {"a": [predicted]}).value("a", "ccc", "arousal")
    assert low < value < high
    one_artist = over_time(curves, {"a": [predicted]}, artists=["x"] * N_SONGS)
    assert np.isnan(one_artist.value("a", "ccc", "arousal")[1])


def test_the_better_of_two_is_named_with_its_difference():
    curves = truth(30)
    found = over_time(curves, {"good": [noisy(curves, 0.02)], "poor": [noisy(curves, 1.0)]})
    value, low, high = found.difference("good", "poor", "valence")
    assert value == pytest.approx(found.value("good", "ccc", "valence")[0] - found.value("poor", "ccc", "valence")[0])
    assert 0 < low < value < high
    (row, other) = found.pairs
    assert (row["first"], row["second"], row["verdict"]) == ("good", "poor", "better")
    assert row["p_folds"] < 0.05
    assert row["p_folds_holm"] >= row["p_folds"]
    assert {row["target"], other["target"]} == set(TARGETS)
    assert "good follows it best" in found.sentences()[0]
    assert "better than the next, poor" in found.sentences()[0]


def test_what_the_folds_do_not_confirm_is_said():
    curves = truth(30)
    spread = [0.02 if i % 4 else 2.0 for i in range(30)]  # the first fold is followed by neither
    rng = np.random.default_rng(5)
    good = [curve + s * rng.standard_normal(curve.shape) for curve, s in zip(curves, spread, strict=True)]
    found = over_time(curves, {"good": [good], "poor": [noisy(curves, 0.5)]})
    (row, _) = found.pairs
    assert row["verdict"] == "better" and row["p_folds_holm"] > 0.05
    assert f"does not confirm this against poor (p = {row['p_folds_holm']:.2f})" in found.sentences()[0]


def test_equals_are_not_told_apart():
    curves = truth(30)
    found = over_time(curves, {"a": [noisy(curves, 0.3, 1)], "b": [noisy(curves, 0.3, 2)]})
    assert {row["verdict"] for row in found.pairs} == {"no difference shown"}
    assert "no difference shown" in found.sentences()[0]


def test_one_annotation_a_song_is_not_scored_over_time():
    curves = truth()
    made = results(curves, {"a": [noisy(curves, 0.1)]})
    made.curves.clear()
    assert score(made, n_resamples=50).over_time is None


@pytest.mark.parametrize("harm", ["missing", "shorter", "nan", "truth", "times"])
def test_damaged_curves_are_one_error(harm):
    curves = truth()
    made = results(curves, {"a": [noisy(curves, 0.1)]})
    if harm == "missing":
        made.curves.pop()
    elif harm == "truth":
        made.songs[3]["curve"]["y_true"] = "?"
    elif harm == "times":
        made.songs[3]["curve"]["times_s"].pop()
    else:
        rows = made.curves[3].y_pred[:-1] if harm == "shorter" else [[float("nan")] * 2, *made.curves[3].y_pred[1:]]
        made.curves[3] = made.curves[3]._replace(y_pred=rows)
    with pytest.raises(DataError, match="affekt compare"):
        score(made, n_resamples=50).over_time


def test_curves_survive_a_file(tmp_path):
    curves = truth()
    made = results(curves, {"a": [noisy(curves, 0.1)]})
    made.save(tmp_path / "results.json")
    read = Results.load(tmp_path / "results.json")
    assert read.curves == made.curves
    assert replace(read).songs == made.songs
