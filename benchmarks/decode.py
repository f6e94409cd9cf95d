"""How fast does a song become 16 kHz mono samples, against librosa.load?

Both read the same files: 45 s, 44.1 kHz, mono and stereo, as MP3, FLAC and WAV, made here from noise and tones so that
the script runs anywhere. Run from anywhere:

    python benchmarks/decode.py --rounds 7 --json decode.json
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import librosa
import numpy as np
import soundfile

from affekt.audio.decode import decode
from common import Row, compare, gemm_rate, machine, parse_options, table, write_json

RATE_HZ = 44_100
TARGET_RATE_HZ = 16_000
DURATION_S = 45
FILES = [("mp3", 2), ("mp3", 1), ("flac", 2), ("wav", 2)]  # extension, channels


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    options = parse_options("Time decoding against librosa.load.")
    print(f"{machine()}, matrix product {gemm_rate(options.rounds) / 1e9:.0f} GFLOP/s, {options.rounds} rounds\n")
    with tempfile.TemporaryDirectory() as folder:
        rows = [_row(Path(folder), extension, channels, options.rounds) for extension, channels in FILES]
    print(table(rows, "affekt.audio.decode", "librosa.load"))
    if options.json:
        write_json(options.json, rows)


def _row(folder: Path, extension: str, n_channels: int, rounds: int) -> Row:
    path = folder / f"song{n_channels}.{extension}"
    soundfile.write(path, _song(n_channels), RATE_HZ)
    ours, theirs = decode(path, TARGET_RATE_HZ), librosa.load(path, sr=TARGET_RATE_HZ)[0]
    difference = np.abs(ours - theirs).max()
    if difference > 1e-4:
        warnings.warn(f"{path.name}: the two results differ by {difference:.2g}", stacklevel=2)
    return compare(
        f"{DURATION_S} s {extension.upper()}, {n_channels} channel{'s' * (n_channels > 1)}",
        candidate=lambda: decode(path, TARGET_RATE_HZ),
        baseline=lambda: librosa.load(path, sr=TARGET_RATE_HZ),
        rounds=rounds,
    )


def _song(n_channels: int) -> np.ndarray:
    """Tones under a slow envelope with noise, different in each channel, shape (n_frames, n_channels)."""
    time_s = np.arange(DURATION_S * RATE_HZ) / RATE_HZ
    noise = np.random.default_rng(0).normal(scale=0.02, size=(len(time_s), n_channels))
    tones = sum(np.sin(2 * np.pi * hz * time_s) for hz in (220, 277, 330, 660, 1320, 5000))
    return noise + (0.1 * tones * (1 + np.sin(np.pi * time_s)) / 2)[:, None]


if __name__ == "__main__":
    main()
