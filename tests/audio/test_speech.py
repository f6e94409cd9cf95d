"""What sounds like speech: syllables, pauses and hisses, made here, against chords and noise."""

from __future__ import annotations

import numpy as np
import pytest

from affekt.audio.speech import sounds_like_speech

RATE_HZ = 16_000


def babble(seed: int, n_s: int = 5) -> np.ndarray:
    """Four to five syllables a second, each a hiss and then a buzz, with a pause now and then, (n_samples,)."""
    rng = np.random.default_rng(seed)
    sound = np.zeros(n_s * RATE_HZ)
    at = 0
    while at < len(sound) - RATE_HZ // 2:
        n = int(rng.uniform(0.18, 0.25) * RATE_HZ)
        n_hiss = n // 4
        pitch_hz = rng.uniform(90, 200)
        t = np.arange(n - n_hiss) / RATE_HZ
        buzz = sum(np.sin(2 * np.pi * k * pitch_hz * t) / k for k in range(1, 20))
        sound[at : at + n_hiss] = 0.04 * rng.standard_normal(n_hiss)
        sound[at + n_hiss : at + n] = 0.4 * np.hanning(n - n_hiss) * buzz
        at += n + (int(0.25 * RATE_HZ) if rng.random() < 0.2 else 0)
    return sound.astype(np.float32)


def chord(n_s: int = 5) -> np.ndarray:
    t = np.arange(n_s * RATE_HZ) / RATE_HZ
    return sum(0.1 * np.sin(2 * np.pi * f * t) for f in (220, 277, 330)).astype(np.float32)


def test_babble_is_speech() -> None:
    assert sounds_like_speech(np.stack([babble(seed) for seed in range(6)]), RATE_HZ)
    assert sounds_like_speech(0.01 * np.stack([babble(seed) for seed in range(6)]), RATE_HZ), "however soft"


@pytest.mark.parametrize("rate_hz", [0.5, 2.0, 4.0, 8.0])
def test_music_is_not(rate_hz: float) -> None:
    """Not even where it beats as often as syllables do."""
    t = np.arange(5 * RATE_HZ) / RATE_HZ
    beat = np.exp(-6 * (t * rate_hz % 1)).astype(np.float32)
    assert not sounds_like_speech((beat * chord())[None], RATE_HZ)


def test_nor_are_noise_silence_and_short_clips() -> None:
    noise = np.random.default_rng(0).standard_normal((3, 5 * RATE_HZ)).astype(np.float32)
    assert not sounds_like_speech(noise, RATE_HZ)
    assert not sounds_like_speech(np.zeros((3, 5 * RATE_HZ), np.float32), RATE_HZ)
    assert not sounds_like_speech(babble(0)[None, :RATE_HZ], RATE_HZ)


def test_a_word_in_a_song_does_not_make_it_speech() -> None:
    clips = np.stack([babble(0), *[chord()] * 4])
    assert not sounds_like_speech(clips, RATE_HZ)
