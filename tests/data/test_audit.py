from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from affekt.data.audit import audit_artists, audit_deam
from affekt.data.base import Song


def test_a_copy_as_distributed(small_deam, copies):
    copies.write_audio(small_deam.root, [2, 1001])
    audit = audit_deam(small_deam.root)
    assert (audit.n_songs, audit.n_with_audio) == (72, 2)
    assert [(part.part, part.n_songs, part.n_with_audio) for part in audit.parts] == [
        ("2013", 30, 1),
        ("2014", 30, 1),
        ("2015", 12, 0),
    ]
    assert audit.exchange.state == "exchanged"
    early, later = audit.parts[0].agreement, audit.parts[1].agreement
    assert early.valence_arousal > 0.9 > early.valence_valence
    assert later.valence_valence > 0.9 > later.valence_arousal
    assert "exchanged for 30 songs" in audit.verdict
    assert "1730 of DEAM's 1802 songs" in audit.verdict
    assert [one.songs for one in audit.ceilings] == ["2013", "2014", "2015", "2013 and 2014", "all"]


def test_ceilings_are_those_of_the_corrected_labels(small_deam):
    audit = audit_deam(small_deam.root)
    labels = np.array([small_deam.truth[song] for song in small_deam.truth if song <= 1000])
    std = np.array([small_deam.std[song] for song in small_deam.truth if song <= 1000])
    expected = 1 - (std**2 / 9).mean(axis=0) / labels.var(axis=0, ddof=1)
    found = audit.ceilings[0]
    np.testing.assert_allclose((found.valence.r2, found.arousal.r2), expected)


def test_single_ratings_give_a_second_ceiling(small_deam, copies):
    copies.write_ratings(small_deam)
    audit = audit_deam(small_deam.root)
    n = len(audit.ceilings) // 2
    assert [one.method for one in audit.ceilings] == ["rater deviations"] * n + ["split-half"] * n
    assert [one.songs for one in audit.ceilings[:n]] == [one.songs for one in audit.ceilings[n:]]
    lines = audit.summary_lines()
    assert "Noise ceiling from the raters' disagreement (labels put right)" in lines
    assert "Noise ceiling from single ratings, split in halves (labels put right)" in lines
    assert json.loads(json.dumps(audit.as_dict(), allow_nan=False))["ceilings"][-1]["method"] == "split-half"


def test_a_mended_copy(tmp_path, copies):
    copies.make_deam(tmp_path, exchanged=lambda song: False)
    audit = audit_deam(tmp_path)
    assert audit.exchange.state == "straight"
    assert "the right way round" in audit.verdict


def test_an_undecided_copy_is_a_finding_and_not_an_error(small_deam):
    small_deam.dynamic_files[0].unlink()
    audit = audit_deam(small_deam.root)
    assert audit.exchange.state == "unclear"
    assert "cannot be told: no dynamic annotations" in audit.verdict
    assert "as the files have them" in "\n".join(audit.summary_lines())
    assert json.loads(json.dumps(audit.as_dict(), allow_nan=False))["parts"][0]["agreement"]["contrast"] is None


def test_a_generated_copy_says_so(tmp_path, copies):
    copies.make_deam(tmp_path, n_2014=0, n_2015=0, exchanged=lambda song: False)
    copies.write_mark(tmp_path)
    audit = audit_deam(tmp_path)
    assert audit.synthetic and "synthetic music" in audit.summary_lines()[0]
    assert "1802" not in audit.verdict


def test_every_number_is_in_the_printed_lines(small_deam):
    audit = audit_deam(small_deam.root)
    text = "\n".join(audit.summary_lines())
    for part in audit.parts:
        assert f"{part.agreement.valence_arousal:.3f}" in text
    for one in audit.ceilings:
        assert f"{one.arousal.standard_error:.3f}" in text
    assert audit.verdict in text
    assert json.loads(json.dumps(audit.as_dict(), allow_nan=False))["n_songs"] == 72


def song(number, artist):
    return Song(str(number), None, (5.0, 5.0), artist=artist)


def test_artists_are_counted():
    names = ["Anna", "Anna", "Bert", None, "Cleo", "Cleo", "Cleo"]
    audit = audit_artists([song(998 + i, name) for i, name in enumerate(names)])
    assert (audit.n_known, audit.n_artists, audit.n_sharing, audit.n_sharing_2013) == (6, 3, 5, 2)


def test_the_expected_leak_is_what_random_splits_leak():
    rng = np.random.default_rng(0)
    artists = rng.integers(0, 25, size=50)
    audit = audit_artists([song(i, str(artist)) for i, artist in enumerate(artists)])
    leaks = []
    for _ in range(4000):
        order = rng.permutation(50)
        leaks.append(np.isin(artists[order[:10]], artists[order[10:]]).mean())
    assert audit.expected_leak == pytest.approx(np.mean(leaks), abs=4 * np.std(leaks) / math.sqrt(4000))


def test_no_artists_leak_nothing():
    assert audit_artists([song(i, None) for i in range(5)]).expected_leak == 0.0


@pytest.mark.skipif("AFFEKT_TEST_DATA" not in os.environ, reason="needs the real data")
def test_real_copy():
    audit = audit_deam(Path(os.environ["AFFEKT_TEST_DATA"]) / "DEAM")
    assert (audit.n_songs, audit.n_with_audio, audit.exchange.n_songs) == (1802, 10, 744)
    assert (audit.exchange.state, audit.artists.n_known, audit.artists.n_artists) == ("exchanged", 1802, 927)
    correlations = [
        (a.valence_valence, a.valence_arousal, a.arousal_arousal, a.arousal_valence)
        for a in (part.agreement for part in audit.parts)
    ]
    expected = [(0.575, 0.956, 0.570, 0.949), (0.912, 0.591, 0.942, 0.570), (0.984, 0.050, 0.929, -0.101)]
    np.testing.assert_allclose(correlations, expected, atol=5.01e-4)
    ceilings = {one.songs: (one.valence.r2, one.arousal.r2) for one in audit.ceilings}
    for songs, r2 in {
        "2013": (0.83, 0.85),
        "2014": (0.73, 0.85),
        "2015": (0.83, 0.55),
        "2013 and 2014": (0.79, 0.85),
    }.items():
        np.testing.assert_allclose(ceilings[songs], r2, atol=5.01e-3)
