"""Ridge regression: scikit-learn's own, on embeddings that were averaged, standardised and bounded."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import PredefinedSplit, cross_val_score

from affekt.data.splits import Fold
from affekt.training import ridge
from affekt.training.ridge import ALPHAS, fit_ridge
from affekt.training.table import ClipTable, Task

N_SONGS, DIM = 60, 8
SONGS = tuple(f"song{i}" for i in range(N_SONGS))
FOLD = Fold(SONGS[:40], SONGS[40:48], SONGS[48:])


def make(noise: float = 0.0, n_targets: int = 2, seed: int = 0) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Embeddings of one to four clips a song, and labels that are linear in their mean."""
    rng = np.random.default_rng(seed)
    arrays = {s: (7 + 3 * rng.normal(size=(rng.integers(1, 5), DIM))).astype(np.float32) for s in SONGS}
    weights = rng.normal(size=(DIM, n_targets))
    means = np.stack([array.mean(axis=0, dtype=np.float64) for array in arrays.values()])
    y = 5 + (means - 7) @ weights / 3 + noise * rng.normal(size=(N_SONGS, n_targets))
    return arrays, dict(zip(SONGS, y, strict=True))


def task(arrays: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray], fold: Fold = FOLD) -> Task:
    return Task(ClipTable(arrays), labels, fold, seed=0)


def r2(predictions: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> np.ndarray:
    y = np.stack([labels[song] for song in predictions])
    p = np.stack(list(predictions.values()))
    return 1 - ((y - p) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0)


@pytest.mark.parametrize("n_targets", [1, 2, 3])
@pytest.mark.parametrize("clip", [5.0, 1.0, None])
def test_it_is_scikit_learns(n_targets: int, clip: float | None) -> None:
    arrays, labels = make(noise=0.5, n_targets=n_targets)
    fitted = fit_ridge(task(arrays, labels), clip)
    train = [*FOLD.train, *FOLD.validation]
    x, x_test = (np.stack([arrays[s].mean(axis=0, dtype=float) for s in songs]) for songs in (train, FOLD.test))
    mean, std, bound = x.mean(axis=0), x.std(axis=0), clip or np.inf
    y = np.stack([labels[song] for song in train])
    for target in range(n_targets):  # each target alone, unlike in the code under test
        model = RidgeCV(ALPHAS).fit(((x - mean) / std).clip(-bound, bound), y[:, target] - y[:, target].mean())
        wanted = model.predict(((x_test - mean) / std).clip(-bound, bound)) + y[:, target].mean()
        found = [fitted.predictions[song][target] for song in FOLD.test]
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
        assert fitted.chosen["alpha"][target] == pytest.approx(model.alpha_)
    assert fitted.n_trainable == (DIM + 1) * n_targets
    assert fitted.history == []


def test_it_finds_a_linear_relation() -> None:
    arrays, labels = make()
    fitted = fit_ridge(task(arrays, labels), clip=None)
    assert list(fitted.predictions) == list(FOLD.test)
    assert (r2(fitted.predictions, labels) > 0.99).all()


def test_each_target_has_its_own_strength() -> None:
    arrays, labels = make()
    rng = np.random.default_rng(1)
    half = {song: np.array([y[0], rng.normal()]) for song, y in labels.items()}
    strengths = fit_ridge(task(arrays, half)).chosen["alpha"]
    assert strengths[0] < strengths[1] / 100


def test_hearing_nothing_is_the_mean_of_the_training_labels() -> None:
    _, labels = make()
    fitted = fit_ridge(task({song: np.zeros((1, 0), np.float32) for song in SONGS}, labels))
    wanted = np.mean([labels[song] for song in (*FOLD.train, *FOLD.validation)], axis=0)
    for predicted in fitted.predictions.values():
        np.testing.assert_allclose(predicted, wanted)
    assert fitted.n_trainable == 2


def test_embeddings_that_never_change_are_the_mean_too() -> None:
    _, labels = make()
    fitted = fit_ridge(task({song: np.full((2, 3), 0.1, np.float32) for song in SONGS}, labels))
    wanted = np.mean([labels[song] for song in (*FOLD.train, *FOLD.validation)], axis=0)
    np.testing.assert_allclose(list(fitted.predictions.values()), [wanted] * len(FOLD.test))


@pytest.mark.parametrize("where", ["test", "train"])
def test_one_wild_song_does_not_wreck_the_fold(where: str) -> None:
    arrays, labels = make(noise=0.2)
    wild = getattr(FOLD, where)[0]
    spoilt = {**arrays, wild: np.full_like(arrays[wild], 60_000)}
    calm = r2(fit_ridge(task(arrays, labels)).predictions, labels)
    predictions = fit_ridge(task(spoilt, labels)).predictions
    if where == "test":
        assert np.abs(predictions[wild] - 5).max() < 5 * DIM, "bounded, although its embedding is ten thousand away"
        predictions = {song: y for song, y in predictions.items() if song != wild}
        assert (r2(predictions, labels) > calm - 0.1).all()
        unbounded = fit_ridge(task(spoilt, labels), clip=None).predictions[wild]
        assert np.abs(unbounded).max() > 1000, "what the bound is for"
    else:
        assert all(np.isfinite(y).all() and (np.abs(y - 5) < 10).all() for y in predictions.values())


def test_labels_of_test_songs_are_not_looked_at() -> None:
    arrays, labels = make(noise=0.5)
    other = {song: -y if song in FOLD.test else y for song, y in labels.items()}
    for song, y in fit_ridge(task(arrays, labels)).predictions.items():
        np.testing.assert_array_equal(y, fit_ridge(task(arrays, other)).predictions[song])


def test_labels_dealt_out_at_random_cannot_be_predicted() -> None:
    arrays, labels = make(noise=0.2)
    folds = [Fold(tuple(s for s in SONGS if s not in test), (), test) for test in (SONGS[i::5] for i in range(5))]

    def score(dealt: Mapping[str, np.ndarray]) -> np.ndarray:
        predictions: dict[str, np.ndarray] = {}
        for fold in folds:
            predictions |= fit_ridge(task(arrays, dealt, fold)).predictions
        return r2(predictions, dealt)

    assert (score(labels) > 0.9).all()
    rng = np.random.default_rng(0)
    permuted = [
        score({s: labels[SONGS[i]] for s, i in zip(SONGS, rng.permutation(N_SONGS), strict=True)}) for _ in range(8)
    ]
    assert np.mean(permuted) <= 0
    assert np.max(permuted) < 0.1


def test_it_is_the_same_every_time() -> None:
    arrays, labels = make(noise=0.5)
    first, second = (fit_ridge(task(arrays, labels)).predictions for _ in range(2))
    np.testing.assert_array_equal(list(first.values()), list(second.values()))


# --- over time ----------------------------------------------------------------------------------------------------


def make_over_time(noise: float = 0.0, seed: int = 0) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Songs of three to nine frames, each with its annotation; songs lie apart, frames of a song together."""
    rng = np.random.default_rng(seed)
    places = {s: rng.normal(size=DIM) for s in SONGS}
    arrays = {s: (places[s] + 0.3 * rng.normal(size=(rng.integers(3, 10), DIM))).astype(np.float32) for s in SONGS}
    weights = rng.normal(size=(DIM, 2))
    own = {s: noise * rng.normal(size=2) for s in SONGS}  # what no embedding of the song knows
    return arrays, {s: x.astype(float) @ weights + own[s] for s, x in arrays.items()}


def test_over_time_a_frame_is_an_example() -> None:
    arrays, labels = make_over_time()
    fitted = fit_ridge(task(arrays, labels), clip=None)
    for song in FOLD.test:
        assert fitted.predictions[song].shape == labels[song].shape
        np.testing.assert_allclose(fitted.predictions[song], labels[song], atol=0.01)


def test_over_time_the_strength_is_chosen_by_songs_left_out() -> None:
    arrays, labels = make_over_time(noise=2.0)
    x = np.concatenate([arrays[s] for s in FOLD.train]).astype(float)
    y = np.concatenate([labels[s] for s in FOLD.train])
    song = np.repeat(np.arange(len(FOLD.train)), [len(arrays[s]) for s in FOLD.train])
    part = np.random.default_rng(3).permutation(len(FOLD.train))[song] % ridge.N_PARTS
    np.testing.assert_array_equal(ridge._parts(song, seed=3), part)
    found = ALPHAS[np.argmin(ridge.errors_by_parts(x, y, part), axis=0)]
    for target in range(2):
        errors = [
            -cross_val_score(
                Ridge(alpha=alpha), x, y[:, target], cv=PredefinedSplit(part), scoring="neg_mean_squared_error"
            )
            @ np.bincount(part)
            for alpha in ALPHAS
        ]
        assert found[target] == pytest.approx(ALPHAS[np.argmin(errors)])
    by_frames = RidgeCV(ALPHAS, alpha_per_target=True).fit(x, y)
    assert (found > by_frames.alpha_).any()  # frames of a song speak for each other


def test_over_time_nothing_heard_is_the_mean_of_all_frames() -> None:
    arrays, labels = make_over_time()
    fitted = fit_ridge(task({s: x[:, :0] for s, x in arrays.items()}, labels))
    train = np.concatenate([labels[s] for s in (*FOLD.train, *FOLD.validation)])
    for song in FOLD.test:
        np.testing.assert_allclose(fitted.predictions[song], np.broadcast_to(train.mean(axis=0), labels[song].shape))


@pytest.mark.parametrize(("n", "dim"), [(60, 8), (8, 60), (30, 30), (40, 1)])
def test_every_shape_is_scikit_learns(n: int, dim: int) -> None:
    rng = np.random.default_rng(n + dim)
    x = rng.standard_normal((n, dim)) * rng.uniform(0.1, 3, dim) + 5
    x[:, dim // 2] = x[:, 0]  # two columns alike
    y = x @ rng.standard_normal((dim, 2)) + rng.standard_normal((n, 2))
    plain = RidgeCV(ALPHAS, alpha_per_target=True, store_cv_results=True).fit(x, y)
    found = ridge.errors_by_single_songs(ridge.decompose(x), y)
    np.testing.assert_allclose(found, plain.cv_results_.mean(axis=0).T, rtol=1e-6)
    alphas = ALPHAS[np.argmin(found, axis=0)]
    np.testing.assert_allclose(alphas, plain.alpha_)
    new = rng.standard_normal((7, dim)) + 5
    np.testing.assert_allclose(
        ridge.fit_line(ridge.decompose(x), y, alphas).predict(new), plain.predict(new), rtol=1e-6
    )


def test_embeddings_that_are_all_the_same_give_the_mean() -> None:
    y = np.random.default_rng(0).standard_normal((12, 2))
    for dim in (3, 20):
        line = ridge.fit_line(ridge.decompose(np.ones((12, dim))), y, np.array([1.0, 10.0]))
        np.testing.assert_allclose(line.predict(np.ones((2, dim))), np.broadcast_to(y.mean(axis=0), (2, 2)), atol=1e-9)
