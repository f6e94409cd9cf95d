from __future__ import annotations

import numpy as np

from affekt.data import known
from affekt.data.known import known_ids, make_checksums, recognise


def numbers(n=50, seed=0):
    rng = np.random.default_rng(seed)
    return np.arange(1, n + 1), rng.uniform(1, 9, (n, 2)).round(1), rng.uniform(0, 3, (n, 2)).round(2)


def test_the_ids_of_deam_are_known():
    ids = np.array(known_ids())
    counts = [int(((ids > low) & (ids <= high)).sum()) for low, high in ((0, 1000), (1000, 2000), (2000, 2058))]
    assert (counts, ids.min(), ids.max()) == ([744, 1000, 58], 2, 2058)


def test_made_up_numbers_are_not_recognised():
    for seed in range(20):
        assert recognise(*numbers(seed=seed)).variant is None
    assert recognise(np.zeros(0, int), np.zeros((0, 2)), np.zeros((0, 2))).n_known == 0


def test_every_change_of_a_number_is_seen(monkeypatch):
    ids, mean, std = numbers()
    monkeypatch.setattr(known, "CHECKSUMS", make_checksums(ids, mean, std))
    assert recognise(ids, mean, std).n_known == 50
    for row in range(50):
        for values in (mean, std):
            for column in (0, 1):
                values[row, column] += 0.01
                assert recognise(ids, mean, std).altered == (row + 1,)
                values[row, column] -= 0.01


def test_a_checksum_does_not_depend_on_how_a_number_is_written():
    ids, mean, std = numbers()
    assert make_checksums(ids, mean + 1e-9, std) == make_checksums(ids, mean, std)


def test_an_id_without_a_song_has_no_checksum():
    ids, mean, std = numbers(3)
    made = make_checksums(ids * 2, mean, std)
    assert len(made) == 12
    assert [made[2 * i : 2 * i + 2] != b"\0\0" for i in range(6)] == [False, True, False, True, False, True]
