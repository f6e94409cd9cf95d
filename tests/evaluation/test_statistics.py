import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from affekt.errors import ShapeError
from affekt.evaluation import metrics
from affekt.evaluation.statistics import (
    SCORES,
    bootstrap,
    bootstrap_interval,
    corrected_resampled_t_test,
    holm,
    paired_difference,
    sign_flip_test,
    verdict_words,
    weighted_scores,
)

PLAIN = [metrics.rmse, metrics.mae, metrics.r2, metrics.pearson, metrics.concordance]


def songs(n_songs=60, n_seeds=3, n_targets=2, noise=0.6, seed=0):
    rng = np.random.default_rng(seed)
    y_true = rng.normal(5, 1, (n_songs, n_targets))
    y_pred = 5.5 + 0.6 * (y_true - 5) + rng.normal(0, noise, (n_seeds, n_songs, n_targets))
    return y_true, y_pred


def mean_of(values):
    return lambda weights: weights @ values / weights.sum(axis=1)


@given(st.integers(3, 30), st.integers(1, 3), st.integers(0, 1000))
@settings(max_examples=50)
def test_weighted_scores_are_the_plain_metrics_on_repeated_songs(n_songs, n_seeds, seed):
    y_true, y_pred = songs(n_songs, n_seeds, seed=seed)
    weights = np.random.default_rng(seed).integers(0, 4, (5, n_songs)).astype(float)
    weights[:, :2] = 1  # never fewer than two songs
    found = weighted_scores(y_true, y_pred)(weights)
    assert found.shape == (5, len(SCORES), 2)
    for row, counts in zip(found, weights.astype(int), strict=True):
        rows = np.repeat(np.arange(n_songs), counts)
        for name, plain, values in zip(SCORES, PLAIN, row, strict=True):
            expected = np.mean([plain(y_true=y_true[rows], y_pred=pred[rows]) for pred in y_pred], axis=0)
            np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-12, err_msg=name)


def test_a_seed_is_scored_on_the_songs_that_it_tested():
    y_true, y_pred = songs(30, 2)
    tested = np.arange(30) < 20, np.arange(30) >= 10
    masked = np.stack([np.where(chosen[:, None], pred, np.nan) for chosen, pred in zip(tested, y_pred, strict=True)])
    found = weighted_scores(y_true, masked)(np.ones((1, 30)))[0]
    for values, plain in zip(found, PLAIN, strict=True):
        by_seed = [plain(y_true=y_true[c], y_pred=pred[c]) for c, pred in zip(tested, y_pred, strict=True)]
        np.testing.assert_allclose(values, np.mean(by_seed, axis=0), rtol=1e-9)
    only_untested = (np.arange(30) < 5).astype(float)[None]
    assert np.isnan(weighted_scores(y_true, masked)(only_untested)).all()


def test_weighted_scores_keep_their_digits_far_from_zero():
    y_true, y_pred = songs()
    ones = np.ones((1, len(y_true)))
    near, far = (weighted_scores(y_true + offset, y_pred + offset)(ones) for offset in (0, 1e6))
    np.testing.assert_allclose(near, far, rtol=1e-8)


def test_interval_agrees_with_scipy_bca():
    y_true, y_pred = songs(n_targets=1, n_seeds=1)
    found = bootstrap_interval(weighted_scores(y_true, y_pred), len(y_true), n_resamples=20000, seed=1)
    for k, name in enumerate(SCORES):
        plain = PLAIN[k]
        scipy = stats.bootstrap(
            (y_true[:, 0], y_pred[0, :, 0]),
            lambda t, p, plain=plain: plain(y_true=t[:, None], y_pred=p[:, None])[0],
            paired=True,
            vectorized=False,
            n_resamples=4000,
            method="BCa",
            rng=np.random.default_rng(0),
        ).confidence_interval
        width = scipy.high - scipy.low
        np.testing.assert_allclose([found.low[k, 0], found.high[k, 0]], scipy, atol=0.05 * width, err_msg=name)


def test_interval_of_a_mean_agrees_with_students_t():
    values = np.random.default_rng(0).normal(size=500)
    interval = bootstrap_interval(mean_of(values), 500, n_resamples=10000, seed=0)
    expected = stats.t.interval(0.95, 499, values.mean(), stats.sem(values))
    np.testing.assert_allclose([interval.low, interval.high], expected, atol=0.05 * (expected[1] - expected[0]))


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        interval = bootstrap_interval(mean_of(rng.exponential(size=50)), 50, n_resamples=500, confidence=0.9, seed=0)
        hits += bool(interval.low <= 1 <= interval.high)
    assert 0.84 <= hits / 300 <= 0.95


def test_songs_of_an_artist_are_drawn_together():
    y_true, y_pred = songs(40)
    copies = np.repeat(np.arange(40), 5)
    statistic = weighted_scores(y_true[copies], y_pred[:, copies])
    once = bootstrap_interval(weighted_scores(y_true, y_pred), 40, seed=0)
    grouped = bootstrap_interval(statistic, 200, groups=copies, seed=0)
    apart = bootstrap_interval(statistic, 200, seed=0)
    # Five copies of a song by one artist carry the information of one song, and no more.
    for mine, expected in zip(grouped, once, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-9)
    assert (apart.high - apart.low < 0.7 * (grouped.high - grouped.low)).all()


def test_group_labels_may_be_anything_and_their_order_does_not_matter():
    y_true, y_pred = songs(6)
    statistic = weighted_scores(y_true, y_pred)
    named = bootstrap(statistic, 6, groups=["b", None, "b", ("x", 1), "c", "c"], seed=0)
    numbered = bootstrap(statistic, 6, groups=[7, 3, 7, 1, 0, 0], seed=0)
    np.testing.assert_array_equal(named.resamples, numbered.resamples)
    assert named.jackknife.shape == (4, len(SCORES), 2)


def test_jackknife_leaves_each_artist_out_once():
    values = np.array([1.0, 2.0, 6.0, 9.0])
    left_out = bootstrap(mean_of(values), 4, groups=["a", "a", "b", "c"], seed=0).jackknife
    np.testing.assert_allclose(left_out, [7.5, 4.0, 3.0])


def test_same_seed_same_interval_other_seed_another():
    y_true, y_pred = songs()
    first, again, other = (bootstrap_interval(weighted_scores(y_true, y_pred), 60, seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(first.low, again.low)
    assert (first.low != other.low).any()
    np.testing.assert_array_equal(first.value, other.value)


def test_paired_difference_is_much_surer_than_two_intervals():
    y_true, y_pred = songs(200)
    slightly_worse = y_pred + np.random.default_rng(1).normal(0, 0.3, y_pred.shape)
    first, second = weighted_scores(y_true, y_pred), weighted_scores(y_true, slightly_worse)
    difference = paired_difference(first, second, 200, seed=0)
    alone = bootstrap_interval(first, 200, seed=0), bootstrap_interval(second, 200, seed=0)
    r2 = SCORES.index("r2")
    np.testing.assert_allclose(difference.value, alone[0].value - alone[1].value)
    assert (difference.low[r2] > 0).all()
    assert (alone[0].low[r2] < alone[1].high[r2]).all()  # their own intervals overlap


def test_difference_to_itself_is_exactly_zero():
    y_true, y_pred = songs()
    statistic = weighted_scores(y_true, y_pred)
    difference = paired_difference(statistic, statistic, 60, seed=0)
    assert all((part == 0).all() for part in difference)
    assert verdict_words((float(difference.low[0, 0]), float(difference.high[0, 0]))) == "no difference shown"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", ["one artist", "constant prediction", "constant annotation", "two songs", "perfect"])
def test_degenerate_data_gives_documented_values_and_no_warning(case):
    y_true, y_pred = songs(20)
    groups = None
    if case == "one artist":
        groups = ["same"] * 20
    elif case == "constant prediction":
        y_pred = np.full_like(y_pred, 3.3)
    elif case == "constant annotation":
        y_true = np.full_like(y_true, 3.3)
    elif case == "two songs":
        y_true, y_pred = y_true[:2], y_pred[:, :2]
    else:
        y_pred = np.stack([y_true] * 3)
    interval = bootstrap_interval(weighted_scores(y_true, y_pred), len(y_true), groups, seed=0)
    value, low, high = (dict(zip(SCORES, part, strict=True)) for part in interval)
    assert np.isfinite(value["rmse"]).all()
    if case == "one artist":
        assert np.isnan(interval.low).all() and np.isnan(interval.high).all() and np.isfinite(interval.value).all()
    elif case == "constant prediction":
        assert np.isnan(value["pearson"]).all() and np.isnan(low["pearson"]).all()
        assert (value["ccc"] == 0).all() and np.isfinite(low["r2"]).all()
    elif case == "constant annotation":
        assert np.isnan(value["r2"]).all() and np.isnan(high["r2"]).all()
    elif case == "two songs":
        assert np.isfinite(value["r2"]).all() and np.isnan(low["r2"]).all()
    else:
        np.testing.assert_allclose([low["r2"], high["r2"]], 1)
        np.testing.assert_allclose([low["rmse"], high["rmse"]], 0)


def test_unusable_input_is_refused():
    y_true, y_pred = songs(5)
    with pytest.raises(ShapeError, match="single seed as y_pred"):
        weighted_scores(y_true, y_pred[0])
    statistic = weighted_scores(y_true, y_pred)
    with pytest.raises(ShapeError, match="at least two"):
        bootstrap_interval(statistic, 1, seed=0)
    with pytest.raises(ShapeError, match="3 group labels for 5 songs"):
        bootstrap_interval(statistic, 5, groups=[1, 2, 3], seed=0)


def test_whole_deam_takes_far_less_than_two_seconds():
    y_true, y_pred = songs(1802)
    started = time.perf_counter()
    bootstrap_interval(weighted_scores(y_true, y_pred), 1802, seed=0)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((0.01, 0.2), "better"),
        ((-0.2, -0.01), "worse"),
        ((-0.1, 0.2), "no difference shown"),
        ((0.0, 0.2), "no difference shown"),
        ((np.nan, np.nan), "no difference shown"),
    ],
)
def test_verdict_follows_from_the_interval_alone(interval, words):
    assert verdict_words(interval) == words


def test_sign_flip_test_agrees_with_scipy():
    differences = np.random.default_rng(0).normal(0.25, 1, 80)
    mine = sign_flip_test(differences, n_permutations=9999, seed=0)
    scipy = stats.permutation_test((differences,), np.mean, permutation_type="samples", rng=np.random.default_rng(0))
    assert mine == pytest.approx(scipy.pvalue, abs=0.01)


def test_sign_flip_test_knows_groups_and_targets():
    copies = np.repeat(np.random.default_rng(0).normal(0.2, 1, 30), 6)
    both = np.stack([copies, -copies], axis=1)
    apart, together = sign_flip_test(both, seed=0), sign_flip_test(both, groups=np.repeat(range(30), 6), seed=0)
    assert apart.shape == (2,)
    assert (apart < together).all()
    np.testing.assert_allclose(together[0], together[1], atol=0.02)
    # With four groups only 16 patterns exist, and the observed one and its mirror are always as extreme.
    assert sign_flip_test(np.ones(8), groups=[0, 0, 1, 1, 2, 2, 3, 3], seed=0) == pytest.approx(2 / 16, abs=0.02)
    assert sign_flip_test(np.zeros(8), seed=0) == 1


def test_corrected_resampled_t_test():
    differences = np.array([0.02, 0.05, 0.01, 0.04, 0.03])
    # Nadeau & Bengio: t = mean / sqrt((1/k + n_test/n_train) * var) = 0.03 / sqrt((0.2 + 0.25) * 0.00025)
    expected = 2 * stats.t.sf(0.03 / np.sqrt(0.45 * 0.00025), df=4)
    assert corrected_resampled_t_test(differences, n_train=800, n_test=200) == pytest.approx(expected)
    plain = stats.ttest_1samp(differences, 0).pvalue
    assert corrected_resampled_t_test(differences, n_train=1e12, n_test=1) == pytest.approx(plain)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(corrected_resampled_t_test(np.ones((1, 2)), 10, 10)).all()
        assert np.isnan(corrected_resampled_t_test(np.full((3, 2), 0.1), 10, 10)).all()


def test_holm_by_hand():
    found = holm(np.array([0.01, np.nan, 0.04, 0.03, 0.5]))
    np.testing.assert_allclose(found, [0.04, np.nan, 0.09, 0.09, 0.5])
    assert holm(np.array([])).shape == (0,)
    assert holm(np.array([0.6, 0.9])).tolist() == [1, 1]
