"""Handcrafted descriptors: known sounds have known values, and no sound breaks them."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("librosa")

from affekt.audio.descriptors import descriptor_names, handcrafted
from affekt.errors import ShapeError

RATE_HZ = 16_000
TIME_S = np.arange(5 * RATE_HZ) / RATE_HZ


def described(clip: np.ndarray, rate_hz: int = RATE_HZ) -> dict[str, float]:
    """Descriptors of one clip by name; a warning fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = handcrafted(clip[None].astype(np.float32), rate_hz)
    assert values.shape == (1, len(descriptor_names())) and values.dtype == np.float32
    assert np.isfinite(values).all()
    return dict(zip(descriptor_names(), values[0].tolist(), strict=True))


def sine(hz: float, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * TIME_S)


def chord(*semitones_above_c: int) -> np.ndarray:
    """Tones with four harmonics each."""
    tones = [261.63 * 2 ** (semitone / 12) for semitone in semitones_above_c]
    return sum((sine(hz * k, 0.1 / k) for hz in tones for k in (1, 2, 3, 4)), np.zeros_like(TIME_S))


def noise(level: float = 0.1) -> np.ndarray:
    return np.random.default_rng(0).normal(scale=level, size=len(TIME_S))


def beats(bpm: float) -> np.ndarray:
    """Short bursts of noise."""
    since_beat_s = TIME_S % (60 / bpm)
    return noise(0.3) * np.exp(-since_beat_s / 0.03)


def test_names_are_unique() -> None:
    names = descriptor_names()
    assert len(names) == len(set(names))


def test_a_sine() -> None:
    values = described(sine(1000))
    assert values["loudness_db_mean"] == pytest.approx(-9.03, abs=0.1)  # 0.5 / sqrt(2)
    assert values["loudness_range_db"] < 0.1
    assert values["crest_db"] == pytest.approx(3.01, abs=0.1)
    assert values["centroid_hz_mean"] == pytest.approx(1000, abs=5)
    assert values["rolloff_hz_mean"] == pytest.approx(1000, abs=16)
    assert values["zero_crossing_hz_mean"] == pytest.approx(1000, abs=20)
    assert values["bandwidth_hz_mean"] < 20


def test_white_noise_is_flat_and_centred() -> None:
    values = described(noise())
    assert values["centroid_hz_mean"] == pytest.approx(4000, abs=100)
    assert values["bandwidth_hz_mean"] == pytest.approx(8000 / 12**0.5, abs=100)
    assert values["rolloff_hz_mean"] == pytest.approx(0.85 * 8000, abs=150)
    assert values["flatness_db_mean"] == pytest.approx(-2.5, abs=0.2)  # Euler's constant times 10 / ln(10)
    assert values["loudness_db_mean"] == pytest.approx(-20, abs=0.2)


def test_a_tone_has_more_contrast_than_noise() -> None:
    tones, hiss = described(chord(0, 4, 7)), described(noise())
    assert all(tones[f"contrast_{i}_db_mean"] > hiss[f"contrast_{i}_db_mean"] for i in (2, 3, 4))


@pytest.mark.parametrize("semitone", range(12))
def test_each_pitch_class_is_found(semitone: int) -> None:
    values = described(sine(523.25 * 2 ** (semitone / 12)))
    chroma = [value for name, value in values.items() if name.startswith("chroma_") and name.endswith("_mean")]
    assert np.argmax(chroma[:12]) == semitone


@pytest.mark.parametrize("tonic", range(12))
def test_a_major_cadence_is_more_major_than_a_minor_one(tonic: int) -> None:
    def cadence(third: int, sixth: int) -> np.ndarray:
        chords = [(0, third, 7), (5, sixth, 12), (7, 11, 14), (0, third, 7)]
        parts = [chord(*(tonic + tone for tone in tones)) for tones in chords]
        return np.concatenate([part[: len(TIME_S) // 4] for part in parts])

    major, minor = described(cadence(4, 9)), described(cadence(3, 8))
    assert major["major_over_minor"] > minor["major_over_minor"] + 0.1
    assert major["chroma_change"] > described(chord(0, 4, 7))["chroma_change"]


@pytest.mark.parametrize("bpm", [75, 90, 100, 125, 150, 160])
def test_tempo(bpm: float) -> None:
    values = described(beats(bpm))
    assert values["tempo_bpm"] == pytest.approx(bpm, rel=0.04)
    assert values["onsets_per_s"] == pytest.approx(bpm / 60, abs=0.3)
    assert values["pulse_clarity"] > 0.5 > described(noise())["pulse_clarity"]


def test_a_gain_moves_loudness_and_little_else() -> None:
    song = chord(0, 3, 7) + beats(100) + noise(0.02)
    loud, quiet = described(song), described(song / 4)
    for name, value in quiet.items():
        moved_db = {"loudness_db_mean": 12.04, "mfcc_0_mean": 12.04 * 64**0.5}.get(name, 0)  # 64 bands, orthonormal
        assert value + moved_db == pytest.approx(loud[name], rel=0.02, abs=0.3), name


def test_silence_and_a_click_are_finite() -> None:
    silence, click = np.zeros_like(TIME_S), np.zeros_like(TIME_S)
    click[40_000] = 1.0
    assert described(silence)["loudness_db_mean"] == pytest.approx(-100)
    assert described(click)["loudness_db_mean"] < -90
    described(np.full_like(TIME_S, 0.5))
    described(np.sign(sine(50)))


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 96_000])
def test_other_rates(rate_hz: int) -> None:
    described(np.sin(np.arange(2 * rate_hz) / 20), rate_hz)


@pytest.mark.parametrize("n_samples", [1, 2, 511, 3_000])
def test_short_clips_are_repeated(n_samples: int) -> None:
    described(sine(440)[:n_samples])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), level=st.floats(0, 1e4), n_samples=st.integers(1, 20_000))
def test_any_clip_is_finite(seed: int, level: float, n_samples: int) -> None:
    described(np.random.default_rng(seed).uniform(-level, level, size=n_samples))


def test_the_same_alone_in_a_batch_and_in_threads() -> None:
    clips = np.stack([sine(440), noise(), beats(100), chord(0, 4, 7)]).astype(np.float32)
    together = handcrafted(clips, RATE_HZ)
    assert np.array_equal(handcrafted(clips, RATE_HZ), together)
    with ThreadPoolExecutor(4) as pool:
        alone = np.concatenate(list(pool.map(lambda clip: handcrafted(clip[None], RATE_HZ), clips)))
    assert np.allclose(alone, together, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("shape", [(16_000,), (2, 0), (1, 2, 16_000)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="n_samples"):
        handcrafted(np.zeros(shape, np.float32), RATE_HZ)
