"""How fast do clips become log-mel images and handcrafted descriptors, against librosa?

Both sides do the same work on 6 clips of 5 s at 16 kHz: the log-mel spectrogram of the founding recipe (2048 samples,
step 512, 256 bands, dB), and descriptors of the same kinds from librosa's own functions. Run from anywhere:

    python benchmarks/frontend.py --rounds 7 --json frontend.json
"""

from __future__ import annotations

import librosa
import numpy as np
import torch

from affekt.audio.descriptors import handcrafted
from affekt.audio.spectrogram import LogMel
from common import Row, compare, gemm_rate, machine, parse_options, table, write_json

N_CLIPS = 6
CLIP_S = 5
SPEC = LogMel()


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    options = parse_options("Time log-mel spectrograms and descriptors against librosa.")
    print(f"{machine()}, matrix product {gemm_rate(options.rounds) / 1e9:.0f} GFLOP/s, {options.rounds} rounds\n")
    clips = _clips()  # (n, samples)
    rows = [_log_mel_row(clips, options.rounds), _descriptors_row(clips, options.rounds)]
    print(table(rows, "affekt.audio", "librosa"))
    if options.json:
        write_json(options.json, rows)


def _clips() -> np.ndarray:
    noise = np.random.default_rng(0).normal(scale=0.1, size=(N_CLIPS, CLIP_S * SPEC.sample_rate_hz))
    return noise.astype(np.float32)


def _log_mel_row(clips: np.ndarray, rounds: int) -> Row:
    samples = torch.from_numpy(clips)
    n_frames = 1 + clips.shape[1] // SPEC.hop_length
    # the bands' product and five n log2 n for each real transform's half
    transform_flop = 2.5 * SPEC.n_fft * np.log2(SPEC.n_fft)
    product_flop = 2 * SPEC.n_mels * (1 + SPEC.n_fft // 2)
    return compare(
        f"log-mel, {N_CLIPS} x {CLIP_S} s, {SPEC.n_mels} bands",
        candidate=lambda: SPEC.log_mel(samples),
        baseline=lambda: _librosa_log_mel(clips),
        rounds=rounds,
        flop=N_CLIPS * n_frames * (transform_flop + product_flop),
    )


def _descriptors_row(clips: np.ndarray, rounds: int) -> Row:
    return compare(
        f"descriptors, {N_CLIPS} x {CLIP_S} s",
        candidate=lambda: handcrafted(clips, SPEC.sample_rate_hz),
        baseline=lambda: _librosa_descriptors(clips),
        rounds=rounds,
    )


def _librosa_log_mel(clips: np.ndarray) -> np.ndarray:
    mel = librosa.feature.melspectrogram(
        y=clips,
        sr=SPEC.sample_rate_hz,
        n_fft=SPEC.n_fft,
        hop_length=SPEC.hop_length,
        n_mels=SPEC.n_mels,
        fmax=SPEC.f_max_hz,
    )
    return librosa.power_to_db(mel, amin=SPEC.amin, top_db=SPEC.dynamic_range_db)


def _librosa_descriptors(clips: np.ndarray) -> list[np.ndarray]:
    """The same kinds of descriptors, sharing one transform as far as librosa lets them."""
    rate_hz, feature = SPEC.sample_rate_hz, librosa.feature
    magnitude = np.abs(librosa.stft(clips, n_fft=SPEC.n_fft, hop_length=SPEC.hop_length))
    power = magnitude**2
    mel_db = librosa.power_to_db(feature.melspectrogram(S=power, sr=rate_hz, n_mels=64))
    mfcc = feature.mfcc(S=mel_db, n_mfcc=20)
    onsets = librosa.onset.onset_strength(S=mel_db, sr=rate_hz)
    return [
        mfcc,
        librosa.feature.delta(mfcc),
        feature.chroma_stft(S=power, sr=rate_hz, tuning=0.0),
        feature.rms(S=magnitude),
        feature.zero_crossing_rate(clips),
        feature.spectral_centroid(S=magnitude, sr=rate_hz),
        feature.spectral_bandwidth(S=magnitude, sr=rate_hz),
        feature.spectral_rolloff(S=magnitude, sr=rate_hz),
        feature.spectral_flatness(S=magnitude),
        feature.spectral_contrast(S=magnitude, sr=rate_hz, n_bands=5),
        feature.tempo(onset_envelope=onsets, sr=rate_hz),
    ]


if __name__ == "__main__":
    main()
