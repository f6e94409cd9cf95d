"""How do time and memory of decoding a song into its clips grow with its length, against holding the whole song?

Songs of 5 s to an hour, 44.1 kHz stereo FLAC, into six clips of 5 s at 16 kHz, the two ways in turns. Memory is the
highest that arrays and Python's own objects took, measured in a run of its own. Run from anywhere:

    python benchmarks/length.py --rounds 5 --json length.json
"""

from __future__ import annotations

import functools
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import soundfile

from affekt.audio.clips import ClipPlan
from affekt.audio.decode import decode
from affekt.features.prepare import Task, sound
from common import Job, compare, gemm_rate, machine, parse_options, write_json

RATE_HZ = 44_100
LENGTHS_S = (5, 45, 300, 1200, 3600)
CLIP_RATE_HZ = 16_000
PLAN = ClipPlan(6, 5.0)


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    options = parse_options("Time and memory of decoding by the length of a song.", rounds=5)
    print(f"{machine()}, matrix product {gemm_rate(options.rounds) / 1e9:.0f} GFLOP/s, {options.rounds} rounds\n")
    print("| length | in pieces | whole song | in pieces, memory | whole song, memory |\n|---|---|---|---|---|")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for length_s in LENGTHS_S:
            path = song(Path(folder), length_s)
            pieces = functools.partial(sound, Task(path, PLAN), CLIP_RATE_HZ)
            whole = functools.partial(_cut_whole, path)
            rows.append(compare(f"clips of {length_s} s", pieces, whole, options.rounds))
            times = f"{1e3 * rows[-1].candidate_s:.0f} ms | {1e3 * rows[-1].baseline_s:.0f} ms"
            print(f"| {length_s} s | {times} | {_peak_mb(pieces):.0f} MB | {_peak_mb(whole):.0f} MB |", flush=True)
            path.unlink()
    if options.json:
        write_json(options.json, rows)


def _cut_whole(path: Path) -> np.ndarray:
    return PLAN.cut(decode(path, CLIP_RATE_HZ), CLIP_RATE_HZ)


def _peak_mb(job: Job) -> float:
    """The most memory that a job holds, in megabytes."""
    tracemalloc.start()
    job()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def song(folder: Path, length_s: int) -> Path:
    """Noise around a tone, a minute of it again and again."""
    rng = np.random.default_rng(0)
    path = folder / f"{length_s}.flac"
    minute = 0.2 * np.sin(np.arange(60 * RATE_HZ) * 0.06)[:, None] + rng.normal(0, 0.02, (60 * RATE_HZ, 2))
    with soundfile.SoundFile(path, "w", RATE_HZ, 2) as file:
        for begin_s in range(0, length_s, 60):
            file.write(minute[: min(60, length_s - begin_s) * RATE_HZ])
    return path


if __name__ == "__main__":
    main()
