from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affekt.data.demo import draw_corpus
from affekt.data.synthesis import CUE_NAMES, SAMPLE_RATE_HZ, STYLES, Cues, Piece, compose, frequency_hz, render

LENGTH_S = 12.0
NEUTRAL = Cues(mode=1.0, tempo=0.0, loudness=0.0, articulation=0.0, register=0.0, brightness=0.0)


def piece(style=0, seed=3, **cues):
    return Piece(replace(NEUTRAL, **cues), style, (1.0, 0.9, 1.1), seed)


@pytest.fixture(scope="module")
def drawn():
    """Cues (n_songs, 6) and sound (n_songs, time) of 16 pieces drawn as in the corpus."""
    corpus = draw_corpus(16, seed=5)
    return corpus.cues, np.stack([render(song.piece, LENGTH_S) for song in corpus.songs])


def spectra(sound):
    frames = np.lib.stride_tricks.sliding_window_view(sound, 1024)[::256] * np.hanning(1024)
    return np.abs(np.fft.rfft(frames, axis=-1))  # (frame, bin)


def centroid_hz(sound):
    power = np.abs(np.fft.rfft(sound)) ** 2
    return (power * np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE_HZ)).sum() / power.sum()


def onsets_per_s(sound):
    """Peaks of spectral flux above its mean, per second."""
    log = np.log(spectra(sound / sound.std()) + 1e-2)
    flux = np.maximum(np.diff(log, axis=0), 0).sum(axis=1)
    flux = np.convolve(flux, np.ones(5) / 5, "same")
    peaks = (flux[1:-1] > flux[:-2]) & (flux[1:-1] >= flux[2:]) & (flux[1:-1] > flux.mean() + 0.5 * flux.std())
    return peaks.sum() / LENGTH_S


def pitch_class_energy(sound, midi):
    """Energy at a pitch in five octaves around it."""
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE_HZ)
    centres = [frequency_hz(midi + 12 * octave) for octave in range(-2, 3)]
    return sum(power[np.abs(hz - f) < 0.015 * f].sum() for f in centres)


def test_same_piece_same_samples():
    one, other = render(piece(style=3), 3.0), render(piece(style=3), 3.0)
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, render(piece(style=3, seed=4), 3.0))


@settings(max_examples=15, deadline=None)
@given(
    st.builds(
        Piece,
        st.builds(Cues, st.sampled_from([-1.0, 1.0]), *[st.floats(-2, 2)] * (len(CUE_NAMES) - 1)),
        st.integers(0, len(STYLES) - 1),
        st.tuples(st.floats(0.2, 3), st.floats(0.2, 3)),
        st.integers(0, 2**62),
    ),
    st.floats(0.5, 3.0),
)
def test_any_cues_give_sound_of_the_length_asked_for(any_piece, length_s):
    sound = render(any_piece, length_s)
    assert sound.shape == (round(length_s * SAMPLE_RATE_HZ),)
    assert sound.dtype == np.float32
    assert np.abs(sound).max() < 1.0
    assert sound.std() > 0.01


@pytest.mark.parametrize("style", range(len(STYLES)))
@pytest.mark.parametrize("loudness", [-2.0, 0.0, 1.0])
def test_rms_is_the_loudness_drawn(style, loudness):
    drawn = piece(style, loudness=loudness)
    rms_db = 20 * np.log10(render(drawn, 4.0).std())
    assert rms_db == pytest.approx(drawn.cues.loudness_dbfs, abs=0.1)


def test_rms_follows_loudness(drawn):
    cues, sounds = drawn
    assert np.corrcoef(np.log(sounds.std(axis=1)), cues[:, CUE_NAMES.index("loudness")])[0, 1] > 0.98


def test_centroid_follows_brightness_and_register(drawn):
    cues, sounds = drawn
    measured = np.log([centroid_hz(sound) for sound in sounds])
    named = cues[:, [CUE_NAMES.index("brightness"), CUE_NAMES.index("register")]]
    weights, *_ = np.linalg.lstsq(np.column_stack([named, np.ones(len(named))]), measured, rcond=None)
    assert (weights[:2] > 0.1).all()
    predicted = np.column_stack([named, np.ones(len(named))]) @ weights
    assert np.corrcoef(predicted, measured)[0, 1] > 0.8


def test_onset_rate_follows_tempo(drawn):
    cues, sounds = drawn
    measured = [onsets_per_s(sound) for sound in sounds]
    assert np.corrcoef(measured, cues[:, CUE_NAMES.index("tempo")])[0, 1] > 0.75


@pytest.mark.parametrize("style", range(len(STYLES)))
@pytest.mark.parametrize("register", [-2.0, 0.0, 1.3])
def test_third_above_the_tonic_tells_the_mode(style, register):
    for mode in (1.0, -1.0):
        drawn = piece(style, mode=mode, register=register)
        sound = render(drawn, 20.0)
        minor, major = (pitch_class_energy(sound, drawn.cues.tonic_midi + third) for third in (3, 4))
        assert (major > 2 * minor) if mode > 0 else (minor > 2 * major)


@pytest.mark.parametrize("style", range(len(STYLES)))
def test_staccato_leaves_silence_between_notes(style):
    def quiet(articulation):
        sound = render(piece(style, articulation=articulation), LENGTH_S)
        level = np.sqrt((sound[: len(sound) // 256 * 256].reshape(-1, 256) ** 2).mean(axis=1))
        return (level < 0.1 * level.max()).mean()

    assert quiet(2.0) > quiet(0.0) >= quiet(-2.0)
    assert quiet(2.0) > 0.2


def test_nothing_folds_back_from_above_the_nyquist_frequency():
    sound = render(piece(brightness=2.0, register=2.0, articulation=-2.0), 8.0)
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE_HZ)
    assert power[hz > 0.47 * SAMPLE_RATE_HZ].sum() < 1e-4 * power.sum()
    # Below the lowest bass note there is nothing that could sound but aliases.
    assert power[hz < 60].sum() < 1e-3 * power.sum()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**62), st.integers(0, len(STYLES) - 1), st.sampled_from([1.0, -1.0]))
def test_score_is_whole_and_in_key(seed, style, mode):
    drawn = piece(style, seed, mode=mode)
    score = compose(drawn)
    melody = [note for note in score if note.voice == "melody"]
    bars = groupby(melody, key=lambda note: note.onset_beats // 4)
    assert [sum(note.duration_beats for note in bar) for _, bar in bars] == [4.0] * 8
    scale = {0, 2, 4, 5, 7, 9, 11} if mode > 0 else {0, 2, 3, 5, 7, 8, 10}
    tonal = {(note.midi - drawn.cues.tonic_midi) % 12 for note in score if note.midi}
    assert tonal <= scale
    assert {0, 4 if mode > 0 else 3, 7} <= tonal
    assert all(26 <= note.midi <= 108 for note in score if note.midi)
