from __future__ import annotations

import numpy as np
import pytest

from affekt.data import known
from affekt.data.exchange import check_exchange, measure_agreement


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


def three_parts(seed=0, n=(300, 300, 60)):
    """Annotations as they are distributed: those of the first part exchanged, arousal spread more than valence."""
    rng = np.random.default_rng(seed)
    ids = np.concatenate([np.arange(first, first + count) for first, count in zip((2, 1001, 2001), n, strict=True)])
    truth = rng.multivariate_normal([5, 5], [[1.0, 0.8], [0.8, 1.7]], size=len(ids))
    heard = (truth - 5) / 4.5 + rng.normal(0, 0.08, size=(len(ids), 2))
    dynamic = {int(song): (float(v), float(a)) for song, (v, a) in zip(ids, heard, strict=True)}
    mean = np.where(ids[:, None] <= 1000, truth[:, ::-1], truth).round(1)
    return ids, mean, rng.uniform(0.5, 2, size=mean.shape).round(2), dynamic


class TestAgreementInEveryPart:
    def test_a_copy_as_distributed(self):
        assert check_exchange(*three_parts()).state == "exchanged"

    @pytest.mark.parametrize("first", [2, 1001, 2001])
    @pytest.mark.parametrize("share", [0.1, 0.3, 1.0])
    def test_labels_that_changed_places_within_a_part_are_noticed(self, first, share):
        ids, mean, std, dynamic = three_parts()
        part = np.flatnonzero((ids >= first) & (ids < first + 999))
        moved = np.random.default_rng(1).permutation(part)[: int(share * len(part))]
        mean[moved] = mean[np.roll(moved, 1)]
        found = check_exchange(ids, mean, std, dynamic)
        assert found.state == "unclear" and found.dynamic_doubt
        assert {2: "part 2013", 1001: "part 2014", 2001: "part 2015"}[first] in found.evidence
        assert "changed places" in found.evidence or "belonged to other songs" in found.evidence

    @pytest.mark.parametrize("factor", [0.5, 2.0])
    def test_another_scale_is_noticed(self, factor):
        ids, mean, std, dynamic = three_parts()
        other = {song: (factor * v, a) for song, (v, a) in dynamic.items()}
        assert "times as far" in check_exchange(ids, mean, std, other).evidence

    def test_one_song_without_dynamic_annotations_is_one_too_many(self):
        ids, mean, std, dynamic = three_parts()
        del dynamic[1005]
        assert (
            "1 songs have no dynamic annotations to compare with: 1005"
            in check_exchange(ids, mean, std, dynamic).evidence
        )

    def test_all_files_exchanged_alike_are_noticed_by_the_spread(self):
        ids, mean, std, dynamic = three_parts()
        other = {song: (a, v) for song, (v, a) in dynamic.items()}
        found = check_exchange(ids, mean[:, ::-1], std, other)
        assert found.state == "unclear" and "valence spreads more than arousal over 660 songs" in found.evidence


class TestByNumbers:
    @pytest.fixture(autouse=True)
    def recognised(self, monkeypatch):
        ids, mean, std, self.dynamic = three_parts()
        self.copy = ids, mean, std
        monkeypatch.setattr(known, "CHECKSUMS", known.make_checksums(ids, mean, std))

    def check(self, change, dynamic=None):
        ids, mean, std = (values.copy() for values in self.copy)
        change(ids, mean, std)
        return check_exchange(ids, mean, std, self.dynamic if dynamic is None else dynamic)

    def test_they_decide_where_dynamic_annotations_are_missing(self):
        found = self.check(lambda ids, mean, std: None, {})
        assert (found.state, found.n_songs, found.dynamic_doubt) == ("exchanged", 300, None)
        assert "numbers are those of the distributed file" in found.evidence

    def test_a_mended_copy(self):
        def mend(ids, mean, std):
            for values in (mean, std):
                values[ids <= 1000] = values[ids <= 1000, ::-1]

        found = self.check(mend)
        assert (found.state, found.dynamic_doubt) == ("straight", None) and "put right" in found.evidence

    def test_a_copy_that_lacks_songs_and_its_order(self):
        ids, mean, std = self.copy
        chosen = np.random.default_rng(0).permutation(len(ids))[:40]
        assert check_exchange(ids[chosen], mean[chosen], std[chosen], {}).state == "exchanged"

    @pytest.mark.parametrize("which", [1, 2])
    def test_one_changed_number_is_named(self, which):
        def change(*copy):
            copy[which][copy[0] == 1005, 1] += 0.1

        found = self.check(change)
        assert (found.state, found.altered) == ("unclear", (1005,))
        assert "1 of the 360 songs above id 1000 are not those of the distributed file: 1005" in found.evidence

    def test_some_songs_mended_and_others_not(self):
        def mend(ids, mean, std):
            for values in (mean, std):
                values[:7] = values[:7, ::-1]

        found = self.check(mend, {})
        assert found.altered == tuple(range(2, 9)) and "some were mended and others not" in found.evidence

    @pytest.mark.parametrize(
        ("columns", "words"),
        [((1,), "means of valence"), ((2,), "standard deviations of valence"), ((1, 2), "have their valence and")],
    )
    def test_exchanged_columns_of_later_songs(self, columns, words):
        def exchange(*copy):
            for column in columns:
                copy[column][copy[0] > 1000] = copy[column][copy[0] > 1000, ::-1]

        found = self.check(exchange, {})
        assert found.state == "unclear" and words in found.evidence

    def test_labels_at_other_songs_even_where_the_dynamic_files_moved_with_them(self):
        ids, mean, std = self.copy
        order = np.random.default_rng(0).permutation(len(ids))
        moved = {int(song): self.dynamic[int(other)] for song, other in zip(ids, ids[order], strict=True)}
        for dynamic in ({}, moved):
            found = check_exchange(ids, mean[order], std[order], dynamic)
            assert found.state == "unclear" and "those of the distributed file at other songs" in found.evidence

    def test_labels_stay_certain_where_the_dynamic_files_are_in_doubt(self):
        exchanged = {song: (a, v) for song, (v, a) in self.dynamic.items()}
        found = self.check(lambda *copy: None, exchanged)
        assert found.state == "exchanged"
        assert "valence.csv and arousal.csv stand for each other in part 2013 and 2014 and 2015" in found.dynamic_doubt
        mixed = dict(zip(self.dynamic, [*self.dynamic.values()][::-1], strict=True))
        found = self.check(lambda *copy: None, mixed)
        assert found.state == "exchanged" and "as if they belonged to other songs" in found.dynamic_doubt

    def test_annotations_over_time_of_few_songs_are_not_vouched_for(self):
        few = {song: self.dynamic[song] for song in (2, 3, 4)}
        found = self.check(lambda *copy: None, few)
        assert found.state == "exchanged"
        assert found.dynamic_doubt == "part 2013: only 3 songs have dynamic annotations, which is too few to tell"

    def test_songs_of_the_user_s_own_among_them(self):
        ids, mean, std = self.copy
        ids, mean, std = np.append(ids, 3001), np.vstack([mean, [5, 5]]), np.vstack([std, [1, 1]])
        found = check_exchange(ids, mean, std, self.dynamic)
        assert found.state == "unclear" and found.altered == (3001,)
