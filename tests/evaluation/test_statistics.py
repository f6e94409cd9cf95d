import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
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
    weighted_quadrant_scores,
    weighted_scores,
    weighted_spearman,
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
@settings(max_examples=50, deadline=None)
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
            np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-9, err_msg=name)


def test_a_seed_is_scored_on_the_songs_that_it_tested():
    y_true, y_pred = songs(30, 2)
    tested = np.arange(30) < 20, np.arange(30) >= 10
    masked = np.stack([np.where(chosen[:, None], pred, np.nan) for chosen, pred in zip(tested, y_pred, strict=True)])
    found = weighted_scores(y_true, masked)(np.ones((1, 30)))[0]
    for values, plain in zip(found, PLAIN, strict=True):
        by_seed = [plain(y_true=y_true[c], y_pred=pred[c]) for c, pred in zip(tested, y_pred, strict=True)]
        np.testing.assert_allclose(values, np.mean(by_seed, axis=0), rtol=1e-9)
    # A resample without any song of the second seed is scored by the first one alone.
    first_alone = (np.arange(30) < 5).astype(float)[None]
    np.testing.assert_array_equal(
        weighted_scores(y_true, masked)(first_alone), weighted_scores(y_true, masked[:1])(first_alone)
    )
    nobody = np.zeros((1, 30))
    assert np.isnan(weighted_scores(y_true, masked)(nobody)).all()


def test_spearman_of_weighted_songs_is_that_of_repeated_ones():
    rng = np.random.default_rng(3)
    y_true = rng.integers(1, 6, (25, 2)).astype(float)  # with ties
    y_pred = np.round(y_true + rng.normal(0, 1.5, (2, 25, 2)))
    y_pred[1, :5] = np.nan  # not tested with this seed
    weights = rng.integers(0, 4, (6, 25)).astype(float)
    found = weighted_spearman(y_true, y_pred)(weights)
    for row, counts in zip(found, weights.astype(int), strict=True):
        tested = [np.repeat(songs, counts[songs]) for songs in (np.arange(25), np.arange(5, 25))]
        plain = [metrics.spearman(y_true=y_true[r], y_pred=p[r]) for r, p in zip(tested, y_pred, strict=True)]
        np.testing.assert_allclose(row, np.mean(plain, axis=0))
    assert np.isnan(weighted_spearman(y_true, np.ones((1, 25, 2)))(weights)).all()


def test_seeds_that_test_few_artists_keep_their_interval():
    # Each seed tests one artist in five; hardly any resample draws some of all three seeds' artists.
    y_true, y_pred = songs(60, 3)
    artist = np.arange(60) // 4
    for seed in range(3):
        y_pred[seed, artist % 5 != seed] = np.nan
    value, low, high = bootstrap_interval(weighted_scores(y_true, y_pred), 60, artist.tolist(), 500, seed=0)
    assert np.isfinite([value, low, high]).all() and (low <= high).all()


def test_weighted_scores_keep_their_digits_far_from_zero():
    y_true, y_pred = songs()
    ones = np.ones((1, len(y_true)))
    near, far = (weighted_scores(y_true + offset, y_pred + offset)(ones) for offset in (0, 1e6))
    np.testing.assert_allclose(near, far, rtol=1e-8)


def test_plain_interval_agrees_with_scipy_bca():
    y_true, y_pred = songs(n_targets=1, n_seeds=1)
    drawn = bootstrap(weighted_scores(y_true, y_pred), len(y_true), n_resamples=20000, seed=1)
    found = drawn.interval(widened=False)
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


@pytest.mark.parametrize("n_songs", [10, 30])
def test_interval_of_a_mean_of_few_songs_is_as_wide_as_students_t(n_songs):
    # Evenly spread values support all n - 1 degrees of freedom; the bootstrap's own width lacks sqrt(n / (n - 1)).
    values = np.random.default_rng(0).uniform(size=(n_songs, 400))
    drawn = bootstrap(lambda weights: weights @ values / n_songs, n_songs, n_resamples=4000, seed=0)
    t = 2 * stats.t.ppf(0.975, n_songs - 1) * stats.sem(values)
    widened, plain = ((i.high - i.low) / t for i in (drawn.interval(), drawn.interval(widened=False)))
    assert 0.93 < widened.mean() < 1.03
    assert (plain < widened).all() and plain.mean() < 1 - 0.8 / n_songs


def test_a_few_loud_artists_widen_the_interval_more_than_many_equal_ones():
    equal, loud = np.tile([-1.0, 1.0], 50), np.r_[np.tile([-1.0, 1.0], 48), 12.0, -12, 9, -9]
    widths = {}
    for name, values in (("equal", equal), ("loud", loud)):
        drawn = bootstrap(mean_of(values), 100, n_resamples=4000, seed=0)
        wide, plain = drawn.interval(), drawn.interval(widened=False)
        widths[name] = (wide.high - wide.low) / (plain.high - plain.low)
    assert widths["equal"] < 1.05 < 1.1 < widths["loud"]


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, 95, np.nan])
def test_a_confidence_outside_0_and_1_is_refused(confidence):
    with pytest.raises(ShapeError, match="between 0 and 1"):
        bootstrap_interval(mean_of(np.arange(5.0)), 5, confidence=confidence, seed=0)


def test_a_wider_confidence_is_a_wider_interval():
    drawn = bootstrap(mean_of(np.random.default_rng(0).normal(size=40)), 40, seed=0)
    lows, highs = zip(*(drawn.interval(c)[1:] for c in (0.5, 0.8, 0.95, 0.999)), strict=True)
    assert list(lows) == sorted(lows, reverse=True) and list(highs) == sorted(highs)


@pytest.mark.filterwarnings("error")
def test_an_acceleration_without_room_ends_at_the_last_resample():
    # One song carries everything: the widened quantile leaves BCa's formula no room, and a plain ratio would turn sign.
    values = np.r_[np.zeros(7), 1000.0]
    drawn = bootstrap(mean_of(values), 8, n_resamples=500, seed=0)
    interval = drawn.interval(0.999)
    assert drawn.resamples.min() <= interval.low <= 125 <= interval.high == drawn.resamples.max()


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
    with pytest.raises(ShapeError, match="0 resamples"):
        bootstrap_interval(statistic, 5, n_resamples=0, seed=0)
    for bad in (np.nan, np.inf, 1e200):
        with pytest.raises(ShapeError, match="y_true: 1 number"):
            weighted_scores(np.where(np.arange(10).reshape(5, 2) == 3, bad, y_true), y_pred)
    with pytest.raises(ShapeError, match="y_pred: 1 number"):
        weighted_scores(y_true, np.where(np.arange(30).reshape(3, 5, 2) == 3, -np.inf, y_pred))
    with pytest.raises(ShapeError, match=r"1 song\(s\)"):
        weighted_scores(y_true[:1], y_pred[:, :1])
    for values in (np.array([0.1, np.nan, 0.2]), np.array([0.1, np.inf])):
        with pytest.raises(ShapeError, match="1 of"):
            sign_flip_test(values, seed=0)
    with pytest.raises(ShapeError, match="1 of 2 differences are infinite"):
        corrected_resampled_t_test(np.array([0.1, np.inf]), 10, 10)
    for p_values in (np.array([0.1, 1.2]), np.array([-0.1]), np.ones((2, 2))):
        with pytest.raises(ShapeError, match="between 0 and 1, or NaN"):
            holm(p_values)


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
    # Few songs: scipy counts all sign patterns, which is what ours estimates.
    few = differences[:10]
    exact = stats.permutation_test((few,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_test(few, n_permutations=100_000, seed=0) == pytest.approx(exact.pvalue, abs=0.005)


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
        assert np.isnan(corrected_resampled_t_test(differences, 0, 10)).all()
        partly = np.stack([differences, np.where(differences > 0.04, np.nan, differences)], axis=1)
        assert np.isnan(corrected_resampled_t_test(partly, 800, 200)).tolist() == [False, True]


def test_holm_by_hand():
    found = holm(np.array([0.01, np.nan, 0.04, 0.03, 0.5]))
    np.testing.assert_allclose(found, [0.04, np.nan, 0.09, 0.09, 0.5])
    assert holm(np.array([])).shape == (0,)
    assert holm(np.array([0.6, 0.9])).tolist() == [1, 1]


p_values = st.lists(st.floats(0, 1), max_size=8).map(np.array)


@given(p_values)
@settings(deadline=None)
def test_holm_is_the_step_down_of_its_definition(p):
    # Reject the smallest p at alpha / m, the next at alpha / (m - 1), ... and stop at the first that is too large:
    # the adjusted value is the smallest alpha at which a hypothesis is rejected.
    found = holm(p)
    order = np.argsort(p, kind="stable")
    for place, i in enumerate(order):
        needed = max([p[j] * (len(p) - rank) for rank, j in enumerate(order[: place + 1])])
        assert found[i] == pytest.approx(min(needed, 1))


def test_holm_agrees_with_statsmodels(monkeypatch):
    multitest = pytest.importorskip("statsmodels.stats.multitest")  # loaded once: it takes its time
    monkeypatch.setattr("gc.collect", lambda: 0)  # which it calls each time, and which takes longer the more is loaded

    @given(p_values)
    def agrees(p):
        if len(p):
            np.testing.assert_allclose(holm(p), multitest.multipletests(p, method="holm")[1])

    agrees()


def quadrant_songs(n_songs=40, n_seeds=2, seed=0):
    rng = np.random.default_rng(seed)
    y_true = rng.normal(5, 1, (n_songs, 2))
    return y_true, y_true + rng.normal(0, 1.2, (n_seeds, n_songs, 2))


@given(st.integers(2, 12), st.integers(1, 3), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_weighted_quadrant_scores_are_the_plain_ones_on_repeated_songs(n_songs, n_seeds, seed):
    y_true, y_pred = quadrant_songs(n_songs, n_seeds, seed)
    weights = np.random.default_rng(seed).integers(0, 4, (5, n_songs)).astype(float)
    weights[:, :2] = 1
    found = weighted_quadrant_scores(y_true, y_pred, centre=5)(weights)
    plain = (metrics.quadrant_accuracy, metrics.quadrant_balanced_accuracy, metrics.quadrant_macro_f1)
    for row, counts in zip(found, weights.astype(int), strict=True):
        rows = np.repeat(np.arange(n_songs), counts)
        expected = [np.mean([one(y_true=y_true[rows], y_pred=p[rows], centre=5) for p in y_pred]) for one in plain]
        np.testing.assert_allclose(row, expected)


def test_quadrants_of_a_seed_count_the_songs_that_it_tested():
    y_true, y_pred = quadrant_songs()
    masked = np.where((np.arange(40) < 25)[:, None], y_pred, np.nan)
    found = weighted_quadrant_scores(y_true, masked, centre=5)
    np.testing.assert_allclose(
        found(np.ones((1, 40))), weighted_quadrant_scores(y_true[:25], y_pred[:, :25], centre=5)(np.ones((1, 25)))
    )
    assert np.isnan(found((np.arange(40) >= 25).astype(float)[None])).all()


# Whatever comes in: a defined result, NaN where it is undefined, or one clear error; never a warning.
wild = st.one_of(
    st.floats(-10, 10),
    st.just(3.3),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(1e9, 1e9 + 1),
    st.sampled_from([1e99, -1e99, 1e-160, 5e-324, 0.0]),
)


@st.composite
def wild_songs(draw):
    shape = draw(st.sampled_from([(0, 2), (1, 2), (2, 2), (3, 1), (5, 2), (8, 2)]))
    elements = draw(st.sampled_from([wild, st.floats(-10, 10), st.just(3.3)]))
    y_true = draw(arrays(float, shape, elements=elements))
    y_pred = draw(arrays(float, (draw(st.integers(0, 2)), *shape), elements=elements))
    groups = draw(st.sampled_from([None, ["same"] * shape[0], [i // 2 for i in range(shape[0])], list(range(3))]))
    return y_true, y_pred, groups


@given(wild_songs())
@settings(max_examples=150, deadline=None)
@pytest.mark.filterwarnings("error")
def test_wild_songs_give_defined_results_or_one_clear_error(drawn):
    y_true, y_pred, groups = drawn
    for make in (weighted_scores, lambda true, pred: weighted_quadrant_scores(true, pred, centre=5)):
        try:
            interval = bootstrap_interval(make(y_true, y_pred), len(y_true), groups, n_resamples=50, seed=0)
        except ShapeError as error:
            assert len(str(error)) > 20
            continue
        assert not any(np.isinf(values).any() for values in interval)
        has_interval = ~np.isnan(interval.low)
        assert (has_interval == ~np.isnan(interval.high)).all()
        assert (interval.low[has_interval] <= interval.high[has_interval]).all()


@given(arrays(float, st.sampled_from([(0,), (1,), (2,), (5,), (4, 2)]), elements=wild), st.integers(-1, 3))
@settings(max_examples=150, deadline=None)
@pytest.mark.filterwarnings("error")
def test_wild_differences_give_a_p_value_or_one_clear_error(differences, n_train):
    tests = (
        lambda: sign_flip_test(differences, n_permutations=19, seed=0),
        lambda: sign_flip_test(differences, ["same"] * len(differences), n_permutations=19, seed=0),
        lambda: corrected_resampled_t_test(differences, n_train, 2),
        lambda: holm(differences),
    )
    for test in tests:
        try:
            p = test()
        except ShapeError:
            continue
        defined = p[~np.isnan(p)]
        assert ((defined >= 0) & (defined <= 1)).all()
