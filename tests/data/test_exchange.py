from __future__ import annotations

import numpy as np
import pytest

from affekt.data import exchange
from affekt.data.exchange import check_exchange, fingerprint, measure_agreement


def annotations(n=200, first=2, noise=0.3, seed=0):
    """Ids, static (n, 2) and dynamic annotations of made-up songs that agree up to noise."""
    rng = np.random.default_rng(seed)
    truth = rng.multivariate_normal([5, 5], [[1.3, 0.8], [0.8, 1.6]], size=n)
    ids = np.arange(first, first + n)
    heard = (truth - 5) / 4 + rng.normal(0, noise / 4, size=(n, 2))
    return ids, truth, {int(song): (float(v), float(a)) for song, (v, a) in zip(ids, heard, strict=True)}


def check(ids, mean, dynamic):
    return check_exchange(ids, mean, np.ones_like(mean), dynamic)


@pytest.mark.parametrize("n", [20, 96, 744])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_found_and_only_where_it_is(n, seed):
    ids, mean, dynamic = annotations(n, seed=seed)
    assert check(ids, mean, dynamic).state == "straight"
    assert check(ids, mean[:, ::-1], dynamic).state == "exchanged"


def test_correlations_are_numpy_s():
    ids, mean, dynamic = annotations()
    heard = np.array([dynamic[song] for song in ids.tolist()])
    r = np.corrcoef(mean.T, heard.T)[:2, 2:]
    found = measure_agreement(ids, mean, dynamic)
    np.testing.assert_allclose(
        [found.valence_valence, found.valence_arousal, found.arousal_valence, found.arousal_arousal], r.ravel()
    )


def test_exchanging_turns_the_sign_of_the_contrast():
    ids, mean, dynamic = annotations()
    straight = measure_agreement(ids, mean, dynamic)
    exchanged = measure_agreement(ids, mean[:, ::-1], dynamic)
    assert exchanged.contrast == pytest.approx(-straight.contrast)
    assert exchanged.valence_arousal == pytest.approx(straight.arousal_arousal)


def test_unrelated_annotations_decide_nothing():
    ids, mean, _ = annotations()
    _, _, other = annotations(seed=1)
    assert check(ids, mean, other).state == "unclear"


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.95])
def test_partly_mended_copies_are_unclear_and_songs_are_named(share):
    ids, mean, dynamic = annotations(744)
    mended = np.random.default_rng(0).random(len(ids)) < share
    mixed = np.where(mended[:, None], mean, mean[:, ::-1])
    found = check(ids, mixed, dynamic)
    assert found.state == "unclear"
    if share in (0.05, 0.95):
        assert "say the opposite" in found.evidence


def test_few_songs_decide_nothing():
    ids, mean, dynamic = annotations(7)
    assert "too few" in check(ids, mean, dynamic).evidence


def test_songs_after_1000_are_not_in_question():
    ids, mean, dynamic = annotations(first=1001)
    found = check(ids, mean, dynamic)
    assert (found.state, found.n_songs) == ("absent", 0)


def test_constant_annotations_decide_nothing():
    ids, mean, dynamic = annotations()
    assert check(ids, np.full_like(mean, 5.0), dynamic).state == "unclear"


class TestFingerprint:
    def test_it_decides_where_the_dynamic_files_are_missing(self, monkeypatch):
        ids, mean, _ = annotations()
        std = np.ones_like(mean)
        monkeypatch.setattr(exchange, "_AS_DISTRIBUTED", fingerprint(ids, mean, std))
        monkeypatch.setattr(exchange, "_AS_MENDED", fingerprint(ids, mean[:, ::-1], std))
        assert check_exchange(ids, mean, std, {}).state == "exchanged"
        assert check_exchange(ids, mean[:, ::-1], std, {}).state == "straight"
        assert check_exchange(ids, mean + 0.1, std, {}).state == "unclear"

    def test_the_order_of_songs_does_not_matter_and_every_number_does(self):
        ids, mean, _ = annotations(20)
        std = np.ones_like(mean)
        order = np.random.default_rng(0).permutation(20)
        assert fingerprint(ids[order], mean[order], std[order]) == fingerprint(ids, mean, std)
        changed = std.copy()
        changed[3, 1] += 0.01
        assert fingerprint(ids, mean, changed) != fingerprint(ids, mean, std)
