"""Handcrafted descriptors: what music psychology measures, as statistics over each clip.

They are the reference that a learned encoder has to beat: timbre (MFCC and their slopes), loudness, brightness,
harmony (pitch classes, major or minor), rhythm (tempo, onsets). Each is a pure function of the samples: no randomness,
no state, nothing learned, the same in any thread.

Conventions: one short-time Fourier transform serves all descriptors (Hann window of 2048 samples, step 512; at 16 kHz
128 ms and 32 ms); arrays are (clip, time, bin), so that what runs over frequency lies together in memory; levels in dB
relative to full scale, with a floor of -100 dB; frequencies in Hz; tempo in beats per minute. Every value is finite for
every finite clip, silence included.
"""

from __future__ import annotations

import itertools
from types import ModuleType

import numpy as np
import scipy.fft
import scipy.signal

from affekt.errors import MissingExtraError, ShapeError

DESCRIPTORS_VERSION = 1  # raise it when a value changes: stored descriptors are then computed anew
N_FFT = 2048
HOP_LENGTH = 512
N_MELS = 64
N_MFCC = 20
SLOPE_FRAMES = 9  # over which the slope of an MFCC is taken
MIN_FRAMES = 16  # a shorter clip is repeated up to here
AMIN = 1e-10  # power: -100 dB
DYNAMIC_RANGE_DB = 80.0  # of the mel spectrum, below the loudest band of a clip
N_CONTRAST_BANDS = 7  # below 200 Hz, five octaves from there, and the rest; Jiang et al. (2002), ICME
CONTRAST_QUANTILE = 0.02  # share of a band's bins that count as its peaks, and as its valleys
ROLLOFF_SHARE = 0.85
SILENCE_DB = -60.0  # quieter frames have no pitch
TEMPO_RANGE_BPM = (40.0, 240.0)
TEMPO_CENTRE_BPM = 120.0  # of a pulse's multiples, the one nearest to this is the tempo; Ellis (2007), JNMR 36(1)
LEAST_CLARITY = 0.1  # autocorrelation below which there is no pulse to speak of
ONSET_DB = 2.0  # least rise of a frame's level, averaged over bands, that counts as an onset
PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
# how well each pitch class fits a key, from its tonic upwards; Krumhansl & Kessler (1982), Psychological Review 89(4)
MAJOR_PROFILE = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR_PROFILE = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)

_SHAPES = ("loudness_db", "zero_crossing_hz", "centroid_hz", "bandwidth_hz", "rolloff_hz", "flatness_db")
_FRAME_WISE = (
    *_SHAPES,
    *(f"contrast_{i}_db" for i in range(N_CONTRAST_BANDS)),
    *(f"mfcc_{i}" for i in range(N_MFCC)),
    *(f"mfcc_slope_{i}" for i in range(N_MFCC)),
    *(f"chroma_{name}" for name in PITCH_CLASSES),
)
_DYNAMICS = ("loudness_range_db", "crest_db")
_HARMONY = ("major_fit", "minor_fit", "major_over_minor", "chroma_change")
_RHYTHM = ("onset_db_mean", "onset_db_std", "onsets_per_s", "tempo_bpm", "pulse_clarity")


def handcrafted(clips: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Describe each clip by statistics of timbre, loudness, brightness, harmony and rhythm.

    Args:
        clips: mono samples, full scale at 1, shape (n, n_samples).
        sample_rate_hz: their rate, 8000 or more.

    Returns:
        float32, shape (n, len(descriptor_names())), columns in the order of `descriptor_names()`.

    Raises:
        ShapeError: `clips` does not have two axes, or no samples.
        MissingExtraError: librosa is not installed.
    """
    frames = _frames(_long_enough(clips))  # (n, time, sample)
    power = _power(frames)  # (n, time, bin)
    loudness_db = _db(np.einsum("nts,nts->nt", frames, frames) / N_FFT)[..., None]  # (n, time, 1)
    mel, pitch_classes = _filtered(power, sample_rate_hz)  # (n, time, mel), (n, time, 12)
    mel_db = _audible_db(mel)
    chroma = _chroma(pitch_classes, loudness_db)
    frame_wise = [
        loudness_db,
        _zero_crossing_hz(frames, sample_rate_hz),
        *_spectral_shape(power, sample_rate_hz),
        _contrast_db(power, sample_rate_hz),
        *_mfcc(mel_db),
        chroma,
    ]
    columns = [
        _mean_and_std(np.concatenate(frame_wise, axis=2)),
        _dynamics(loudness_db[..., 0], frames),
        _harmony(chroma),
        _rhythm(mel_db, sample_rate_hz),
    ]
    return np.concatenate(columns, axis=1).astype(np.float32)  # (n, dim)


def descriptor_names() -> list[str]:
    """The name of each column, for example "mfcc_3_std" or "tempo_bpm"."""
    statistics = [f"{name}_{statistic}" for statistic in ("mean", "std") for name in _FRAME_WISE]
    return [*statistics, *_DYNAMICS, *_HARMONY, *_RHYTHM]


# ---- frames ---------------------------------------------------------------------------------------------------------


def _long_enough(clips: np.ndarray) -> np.ndarray:
    if clips.ndim != 2 or clips.shape[1] == 0:
        raise ShapeError(f"clips have shape {clips.shape}; (n, n_samples) with 1 sample or more is needed.")
    n_least = HOP_LENGTH * (MIN_FRAMES - 1)
    repeats = -(-n_least // clips.shape[1])
    return np.tile(clips, repeats).astype(np.float32, copy=False)


def _frames(clips: np.ndarray) -> np.ndarray:
    """Overlapping excerpts around every `HOP_LENGTH`-th sample, shape (n, time, N_FFT); a view of the padded clips."""
    padded = np.pad(clips, ((0, 0), (N_FFT // 2, N_FFT // 2)))
    return np.lib.stride_tricks.sliding_window_view(padded, N_FFT, axis=1)[:, ::HOP_LENGTH]


def _power(frames: np.ndarray) -> np.ndarray:
    window = scipy.signal.get_window("hann", N_FFT).astype(np.float32)
    spectra = scipy.fft.rfft(frames * window, axis=2)  # (n, time, bin)
    return spectra.real**2 + spectra.imag**2


def _filtered(power: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Power in mel bands and in pitch classes, by one matrix product."""
    filters = _librosa().filters
    mel = filters.mel(sr=sample_rate_hz, n_fft=N_FFT, n_mels=N_MELS)  # (mel, bin)
    chroma = filters.chroma(sr=sample_rate_hz, n_fft=N_FFT, tuning=0.0)  # (12, bin)
    both = np.concatenate([mel, chroma]).T.astype(np.float32)  # (bin, mel + 12)
    n, n_frames, n_bins = power.shape
    products = (power.reshape(-1, n_bins) @ both).reshape(n, n_frames, -1)
    return products[..., :N_MELS], products[..., N_MELS:]


def _audible_db(mel: np.ndarray) -> np.ndarray:
    """Levels, those far below a clip's loudest raised to a floor: what cannot be heard must not look like onsets."""
    db = _db(mel)
    return np.maximum(db, db.max(axis=(1, 2), keepdims=True) - DYNAMIC_RANGE_DB)


def _db(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, AMIN))


def _mean_and_std(values: np.ndarray) -> np.ndarray:
    """Over time: (n, time, value) to (n, 2 * value)."""
    return np.concatenate([values.mean(axis=1), values.std(axis=1)], axis=1)


# ---- frame by frame, each (n, time, 1 or more) ----------------------------------------------------------------------


def _zero_crossing_hz(frames: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Half the rate of sign changes: the frequency, if the clip is a sine."""
    negative = np.signbit(frames)
    crossings = np.count_nonzero(negative[..., 1:] != negative[..., :-1], axis=2)
    return (crossings * (sample_rate_hz / (2 * N_FFT)))[..., None].astype(np.float32)


def _spectral_shape(power: np.ndarray, sample_rate_hz: int) -> list[np.ndarray]:
    """Centroid, bandwidth, rolloff (Hz) and flatness (dB) of the power spectrum."""
    hz = np.linspace(0, sample_rate_hz / 2, power.shape[2], dtype=np.float32)
    share = power / np.maximum(power.sum(axis=2, keepdims=True), AMIN)  # (n, time, bin), sums to 1
    centroid, square = (np.einsum("ntb,b->nt", share, weights)[..., None] for weights in (hz, hz**2))
    bandwidth = np.sqrt(np.maximum(square - centroid**2, 0))
    reached = np.cumsum(share, axis=2)
    rolloff = hz[np.argmax(reached >= ROLLOFF_SHARE * reached[..., -1:], axis=2)][..., None]
    flatness_db = _db(power).mean(axis=2, keepdims=True) - _db(power.mean(axis=2, keepdims=True))
    return [centroid, bandwidth, rolloff, flatness_db]


def _contrast_db(power: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """How far the peaks of each octave stand above its valleys: high for tones, low for noise."""
    lowest_hz = min(200.0, sample_rate_hz / 80)  # six octaves must fit below half the rate
    edges_hz = np.array([0.0, *lowest_hz * 2.0 ** np.arange(N_CONTRAST_BANDS - 1), sample_rate_hz / 2])
    edges = np.rint(edges_hz / sample_rate_hz * N_FFT).astype(int)
    contrasts = []
    for first, last in itertools.pairwise(edges):
        band = np.sort(power[..., first : last + 1], axis=2)
        n_bins = max(1, round(CONTRAST_QUANTILE * band.shape[2]))
        contrasts.append(_db(band[..., -n_bins:].mean(axis=2)) - _db(band[..., :n_bins].mean(axis=2)))
    return np.stack(contrasts, axis=2)


def _mfcc(mel_db: np.ndarray) -> list[np.ndarray]:
    """Cepstral coefficients and their slopes per frame."""
    mfcc = scipy.fft.dct(mel_db, axis=2, norm="ortho")[..., :N_MFCC]
    return [mfcc, scipy.signal.savgol_filter(mfcc, SLOPE_FRAMES, polyorder=1, deriv=1, axis=1)]


def _chroma(pitch_classes: np.ndarray, loudness_db: np.ndarray) -> np.ndarray:
    """Strength of each pitch class, the strongest at 1; zeros where a frame is silent."""
    strongest = np.maximum(pitch_classes.max(axis=2, keepdims=True), AMIN)
    return np.where(loudness_db > SILENCE_DB, pitch_classes / strongest, 0)


# ---- over the whole clip, each (n, columns) -------------------------------------------------------------------------


def _dynamics(loudness_db: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """From quiet to loud (5th to 95th percentile of frames), and from the mean level to the peak, in dB."""
    quiet, loud = np.percentile(loudness_db, [5, 95], axis=1)
    apart = frames[:, :: N_FFT // HOP_LENGTH]  # every sample once is enough
    peak_db = _db(np.maximum(apart.max(axis=(1, 2)), -apart.min(axis=(1, 2))) ** 2)
    mean_db = _db(np.mean(10 ** (loudness_db / 10), axis=1))
    return np.stack([loud - quiet, peak_db - mean_db], axis=1)


def _harmony(chroma: np.ndarray) -> np.ndarray:
    """Fit of the best major and the best minor key (correlations), their difference, and the change from frame on."""
    rotations = [np.roll(profile, tonic) for profile in (MAJOR_PROFILE, MINOR_PROFILE) for tonic in range(12)]
    fits = _unit(chroma.mean(axis=1)) @ _unit(np.array(rotations)).T  # (n, 24)
    major, minor = fits[:, :12].max(axis=1), fits[:, 12:].max(axis=1)
    change = np.abs(np.diff(chroma, axis=1)).mean(axis=(1, 2))
    return np.stack([major, minor, major - minor, change], axis=1)


def _unit(x: np.ndarray) -> np.ndarray:
    """Centred rows of length 1, so that products are correlations; constant rows become zeros."""
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)


def _rhythm(mel_db: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Onset strength (mean rise of level over bands, dB per frame), onsets, tempo and how clear the pulse is."""
    onset_db = np.maximum(np.diff(mel_db, axis=1), 0).mean(axis=2)  # (n, time - 1)
    frames_per_s = sample_rate_hz / HOP_LENGTH
    n_onsets = [len(scipy.signal.find_peaks(each, prominence=ONSET_DB)[0]) for each in onset_db]
    onsets_per_s = np.array(n_onsets) / (onset_db.shape[1] / frames_per_s)
    tempo, clarity = _tempo(onset_db, frames_per_s)
    return np.stack([onset_db.mean(axis=1), onset_db.std(axis=1), onsets_per_s, tempo, clarity], axis=1)


def _tempo(onset_db: np.ndarray, frames_per_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Tempo in beats per minute and its autocorrelation in [-1, 1], each (n,); without a pulse `TEMPO_CENTRE_BPM`."""
    n_frames = onset_db.shape[1]
    # a pulse that falls between two frames would lose to its half, whose peak is as sharp and on a frame
    smooth = scipy.signal.convolve(onset_db, [[0.25, 0.5, 0.25]], mode="same", method="direct")
    centred = smooth - smooth.mean(axis=1, keepdims=True)
    spectrum = np.abs(scipy.fft.rfft(centred, n=2 * n_frames, axis=1)) ** 2
    products = scipy.fft.irfft(spectrum, axis=1)[:, :n_frames]  # (n, lag)
    correlation = products / np.maximum(products[:, :1], 1e-6)
    lags = np.arange(1, n_frames - 1)
    bpm = 60 * frames_per_s / lags
    preference = np.exp(-0.5 * np.log2(bpm / TEMPO_CENTRE_BPM) ** 2)  # one octave is one standard deviation
    allowed = (bpm >= TEMPO_RANGE_BPM[0]) & (bpm <= TEMPO_RANGE_BPM[1])
    lag = lags[np.argmax(np.where(allowed, correlation[:, 1:-1] * preference, -np.inf), axis=1)]  # (n,)
    before, peak, after = (np.take_along_axis(correlation, (lag + i)[:, None], axis=1)[:, 0] for i in (-1, 0, 1))
    bend = before - 2 * peak + after
    shift = np.where(bend < -1e-6, (before - after) / np.where(bend < -1e-6, 2 * bend, 1), 0)  # top of the parabola
    tempo = np.clip(60 * frames_per_s / (lag + np.clip(shift, -0.5, 0.5)), *TEMPO_RANGE_BPM)
    return np.where(peak > LEAST_CLARITY, tempo, TEMPO_CENTRE_BPM), peak


def _librosa() -> ModuleType:
    try:
        import librosa
    except ImportError as error:
        raise MissingExtraError("the handcrafted encoder", "handcrafted") from error
    return librosa
