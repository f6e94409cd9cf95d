import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn import metrics as sklearn_metrics

from affekt.errors import ShapeError
from affekt.evaluation import metrics

SCORES = [metrics.rmse, metrics.mae, metrics.r2, metrics.pearson, metrics.spearman, metrics.concordance]
Y_TRUE = np.array([[1.0, 9.0], [2.0, 7.0], [3.0, 8.0], [4.0, 4.0]])
Y_PRED = np.array([[2.0, 8.0], [2.0, 8.0], [4.0, 6.0], [4.0, 5.0]])

values = st.floats(-1e6, 1e6, allow_nan=False, width=32)
pairs = st.integers(2, 30).flatmap(
    lambda n: st.tuples(arrays(float, (n, 2), elements=values), arrays(float, (n, 2), elements=values))
)


def spread_out(*columns):
    return all(np.ptp(column, axis=0).min() > 1e-3 * max(1.0, np.abs(column).max()) for column in columns)


@pytest.mark.parametrize("score", SCORES, ids=lambda s: s.__name__)
def test_a_perfect_estimate_is_perfect(score):
    perfect = 0 if score in (metrics.rmse, metrics.mae) else 1
    np.testing.assert_allclose(score(y_true=Y_TRUE, y_pred=Y_TRUE), perfect, atol=1e-12)


def test_values_computed_by_hand():
    # Valence: errors 1, 0, 1, 0; squares sum to 2, deviations from the mean 2.5 square to 5; var 1.25 and 1, covariance
    # 1, means 2.5 and 3. Arousal: errors -1, 1, -2, 1; variances 3.5 and 1.6875, covariance 1.75, means 7 and 6.75.
    by_hand = {
        "rmse": [np.sqrt(0.5), np.sqrt(7 / 4)],
        "mae": [0.5, 1.25],
        "r2": [0.6, 1 - 7 / 14],
        "pearson": [1 / np.sqrt(1.25), 1.75 / np.sqrt(3.5 * 1.6875)],
        "concordance": [2 / (1.25 + 1 + 0.25), 3.5 / (3.5 + 1.6875 + 0.0625)],
    }
    found = metrics.evaluate(y_true=Y_TRUE, y_pred=Y_PRED)
    for name, expected in by_hand.items():
        np.testing.assert_allclose(found[name], expected, err_msg=name)


def test_agrees_with_scipy_and_sklearn():
    rng = np.random.default_rng(0)
    y_true = rng.normal(5, 1, (200, 3)).round(1)  # rounded: with ties
    y_pred = (0.5 * y_true + rng.normal(2.5, 0.7, y_true.shape)).round(1)
    found = metrics.evaluate(y_true=y_true, y_pred=y_pred)
    expected = {
        "rmse": sklearn_metrics.root_mean_squared_error(y_true, y_pred, multioutput="raw_values"),
        "mae": sklearn_metrics.mean_absolute_error(y_true, y_pred, multioutput="raw_values"),
        "r2": sklearn_metrics.r2_score(y_true, y_pred, multioutput="raw_values"),
        "pearson": [stats.pearsonr(t, p).statistic for t, p in zip(y_true.T, y_pred.T, strict=True)],
        "spearman": [stats.spearmanr(t, p).statistic for t, p in zip(y_true.T, y_pred.T, strict=True)],
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10, err_msg=name)


def test_predicting_the_mean_has_r2_of_zero():
    y_pred = np.broadcast_to(Y_TRUE.mean(axis=0), Y_TRUE.shape)
    np.testing.assert_allclose(metrics.r2(y_true=Y_TRUE, y_pred=y_pred), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "nan"),
    [
        (Y_TRUE, np.full((4, 2), 3.3), {"pearson", "spearman"}),
        (np.full((4, 2), 3.3), Y_PRED, {"r2", "pearson", "spearman"}),
        (np.full((4, 2), 3.3), np.full((4, 2), 3.3), {"r2", "pearson", "spearman", "concordance"}),
        (np.full((4, 2), 3.3), np.full((4, 2), 4.0), {"r2", "pearson", "spearman"}),
    ],
)
def test_constant_columns_are_defined_and_silent(y_true, y_pred, nan):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metrics.evaluate(y_true=y_true, y_pred=y_pred)
    assert {name for name, value in found.items() if np.isnan(value).all()} == nan
    assert all(np.isfinite(value).all() for name, value in found.items() if name not in nan)
    if "concordance" not in nan:
        np.testing.assert_array_equal(found["concordance"], 0)


@settings(deadline=None)
@given(pairs, st.floats(0.1, 10), st.floats(-100, 100))
def test_pearson_ignores_shift_and_scale(pair, scale, shift):
    y_true, y_pred = pair
    if spread_out(y_true, y_pred):
        plain = metrics.pearson(y_true=y_true, y_pred=y_pred)
        np.testing.assert_allclose(metrics.pearson(y_true=y_true, y_pred=scale * y_pred + shift), plain, atol=1e-6)
        np.testing.assert_allclose(metrics.pearson(y_true=y_true, y_pred=-scale * y_pred + shift), -plain, atol=1e-6)


@settings(deadline=None)
@given(pairs)
def test_bounds_and_order_of_the_scores(pair):
    y_true, y_pred = pair
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metrics.evaluate(y_true=y_true, y_pred=y_pred)
    assert (found["mae"] <= found["rmse"] * (1 + 1e-9)).all()
    defined = ~np.isnan(found["pearson"]) & ~np.isnan(found["concordance"])
    assert (np.abs(found["concordance"]) <= np.abs(found["pearson"]) + 1e-6)[defined].all()
    assert (np.abs(found["pearson"])[defined] <= 1).all()
    assert (found["r2"][~np.isnan(found["r2"])] <= 1).all()
    if spread_out(y_true):
        assert (found["r2"] <= np.nan_to_num(found["pearson"] ** 2, nan=0) + 1e-6).all()


@settings(deadline=None)
@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_songs_does_not_matter(pair, random):
    y_true, y_pred = pair
    order = random.sample(range(len(y_true)), len(y_true))
    plain, shuffled = (
        metrics.evaluate(y_true=y_true[rows], y_pred=y_pred[rows]) for rows in (slice(None), np.array(order))
    )
    for name in plain:
        if spread_out(y_true, y_pred):
            np.testing.assert_allclose(plain[name], shuffled[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        (np.ones((3, 2)), np.ones((3, 1)), r"\(3, 2\).*\(3, 1\)"),
        (np.ones(3), np.ones(3), "as a column"),
        (np.ones((1, 2)), np.ones((1, 2)), "at least two"),
        (np.ones((0, 2)), np.ones((0, 2)), "at least two"),
        (np.ones((3, 2)), np.array([[1, 2], [np.nan, 2], [1, np.inf]]), "y_pred holds NaN or infinity .* in 2 of 3"),
        (np.array([[1, 2], [np.nan, 2], [1, 1]]), np.ones((3, 2)), "y_true holds NaN"),
    ],
)
@pytest.mark.parametrize("score", SCORES, ids=lambda s: s.__name__)
def test_unusable_arrays_are_refused(score, y_true, y_pred, message):
    with pytest.raises(ShapeError, match=message):
        score(y_true=y_true, y_pred=y_pred)


def test_quadrants_run_counter_clockwise_and_the_centre_is_high():
    corners = np.array([[8, 8], [2, 8], [2, 2], [8, 2], [5, 5], [5, 4.9], [4.9, 5]])
    assert metrics.quadrants(corners, centre=5).tolist() == [0, 1, 2, 3, 0, 3, 1]
    assert metrics.QUADRANTS[1] == "V- A+"


def test_quadrants_need_two_columns():
    with pytest.raises(ShapeError, match="valence and arousal"):
        metrics.quadrants(np.ones((3, 3)), centre=5)


def test_confusion_counts_every_song_once():
    y_true = np.array([[8, 8], [8, 8], [2, 8], [2, 2], [8, 2]])
    y_pred = np.array([[8, 8], [2, 8], [2, 8], [8, 2], [8, 2]])
    counts = metrics.confusion(y_true=y_true, y_pred=y_pred, centre=5)
    assert counts.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]]
    assert metrics.quadrant_accuracy(y_true=y_true, y_pred=y_pred, centre=5) == 0.6
    expected = sklearn_metrics.confusion_matrix(
        metrics.quadrants(y_true, centre=5), metrics.quadrants(y_pred, centre=5), labels=range(4)
    )
    np.testing.assert_array_equal(counts, expected)


@pytest.mark.filterwarnings("ignore::UserWarning:sklearn")  # on classes that are missing on one side
@settings(deadline=None)
@given(arrays(float, (12, 2, 2), elements=st.floats(1, 9)))
def test_quadrant_scores_agree_with_sklearn(songs):
    y_true, y_pred = songs[..., 0], songs[..., 1]
    true, pred = (metrics.quadrants(values, centre=5) for values in (y_true, y_pred))
    expected = {
        metrics.quadrant_accuracy: sklearn_metrics.accuracy_score(true, pred),
        metrics.quadrant_balanced_accuracy: sklearn_metrics.balanced_accuracy_score(true, pred),
        metrics.quadrant_macro_f1: sklearn_metrics.f1_score(true, pred, average="macro"),
    }
    for score, value in expected.items():
        assert score(y_true=y_true, y_pred=y_pred, centre=5) == pytest.approx(value)


def test_quadrant_scores_of_no_song_are_undefined():
    assert np.isnan(metrics.quadrant_scores(np.zeros((2, 4, 4)))).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nothing_has_no_quadrant(bad):
    with pytest.raises(ShapeError, match="no quadrant"):
        metrics.quadrants(np.array([[5.0, bad]]), centre=5)
    with pytest.raises(ShapeError, match="no quadrant"):
        metrics.quadrants(np.array([[5.0, 5.0]]), centre=bad)


wild = st.one_of(
    st.floats(-10, 10),
    st.just(3.3),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([1e9, 1e9 + 1, 1e99, -1e99, 1e-160, 5e-324]),
)
tame = st.one_of(st.just(3.3), st.floats(-10, 10), st.sampled_from([1e9, 1e99, -1e99, 1e-160]))
QUADRANT_FUNCTIONS = [
    metrics.confusion,
    metrics.quadrant_accuracy,
    metrics.quadrant_balanced_accuracy,
    metrics.quadrant_macro_f1,
]


@pytest.mark.filterwarnings("error")
@given(
    st.sampled_from([(0, 2), (1, 2), (2, 2), (3, 1), (4, 0), (5, 2), (3,), (2, 2, 2)]).flatmap(
        lambda shape: st.sampled_from([wild, tame]).flatmap(
            lambda e: st.tuples(arrays(float, shape, elements=e), arrays(float, shape, elements=e))
        )
    )
)
@settings(max_examples=200, deadline=None)
def test_wild_songs_give_a_defined_result_or_one_clear_error(pair):
    y_true, y_pred = pair
    usable = y_true.ndim == 2 and len(y_true) > 1 and (np.abs([y_true, y_pred]) <= metrics.LARGEST).all()
    for score in SCORES:
        if usable:
            found = score(y_true=y_true, y_pred=y_pred)
            assert found.shape == y_true.shape[1:] and not np.isinf(found).any()
        else:
            with pytest.raises(ShapeError):
                score(y_true=y_true, y_pred=y_pred)
    for score in QUADRANT_FUNCTIONS:
        if usable and y_true.shape[1] == 2:
            assert np.isfinite(score(y_true=y_true, y_pred=y_pred, centre=5.0)).all()
        else:
            with pytest.raises(ShapeError):
                score(y_true=y_true, y_pred=y_pred, centre=5.0)


@pytest.mark.parametrize(
    ("targets", "columns"),
    [
        (["valence", "arousal"], (0, 1)),
        (["tension", "arousal", "valence"], (2, 1)),
        (["valence_mean", "arousal_mean"], (0, 1)),
        (["valence_max", "valence", "arousal"], (1, 2)),
        (["valence"], None),
        (["ambivalence", "arousal"], None),
        ([], None),
    ],
)
def test_valence_and_arousal_are_found_by_name(targets, columns):
    assert metrics.valence_arousal_columns(targets) == columns
