from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from affekt.data.audit.findings import about_audio
from affekt.data.audit.loudness import measure_loudness
from affekt.data.audit.records import AudioAudit
from affekt.data.audit.sound import Sound
from affekt.data.base import Dataset, Song


def songs_and_sounds(n, follows, seed=0):
    """Songs whose level goes with one target, and somewhat with the other."""
    rng = np.random.default_rng(seed)
    labels = rng.multivariate_normal([5, 5], [[1, 0.4], [0.4, 1]], size=n).clip(1, 9)
    levels = -20 + 3 * labels[:, follows] + rng.normal(0, 2, n)
    songs = [Song(str(i), None, tuple(row), part="2013" if i % 2 else "2014") for i, row in enumerate(labels)]
    sounds = [Sound(str(i), Path("x"), duration_s=45, level_db=level) for i, level in enumerate(levels)]
    return Dataset("deam", tuple(songs)), sounds, labels, levels


def says(loudness):
    audio = AudioAudit(0, 0, 0, {}, {}, {}, (loudness,))
    (finding,) = about_audio([], {}, audio)
    return finding


def test_correlations_are_scipy_s():
    dataset, sounds, labels, levels = songs_and_sounds(60, 1)
    whole = [*measure_loudness(sounds, dataset)][-1]
    assert (whole.songs, whole.n_songs, whole.interval) == ("all songs", 60, None)
    assert whole.valence == pytest.approx(spearmanr(levels, labels[:, 0]).statistic)
    assert whole.arousal == pytest.approx(spearmanr(levels, labels[:, 1]).statistic)


@pytest.mark.parametrize(
    ("follows", "level", "words"), [(1, "note", "follows arousal, as it should"), (0, "warning", "more than arousal")]
)
def test_what_loudness_follows(follows, level, words):
    dataset, sounds, _, _ = songs_and_sounds(400, follows)
    found = [*measure_loudness(sounds, dataset)]
    assert [one.songs for one in found] == ["2014", "2013", "all songs"]
    finding = says(found[-1])
    assert finding.level == level and words in finding.what


def test_few_clips_prove_nothing():
    dataset, sounds, _, _ = songs_and_sounds(10, 0)
    finding = says([*measure_loudness(sounds, dataset)][-1])
    assert finding.level == "note" and "too few to prove anything" in finding.what


def test_silent_and_too_few_songs_are_left_out():
    dataset, sounds, _, _ = songs_and_sounds(3, 1)
    silent = [Sound("0", Path("x")), *sounds[1:]]
    assert [*measure_loudness(silent, dataset)] == []
    level = [Sound(one.song_id, Path("x"), level_db=-20.0) for one in sounds]
    assert [*measure_loudness(level, dataset)][-1].arousal == 0.0
