"""How do time and memory of decoding a song into its clips grow with its length, against holding the whole song?

Songs of 5 s to an hour, 44.1 kHz stereo FLAC, into six clips of 5 s at 16 kHz. Each measurement is a process of its
own, the two ways in turns, since memory can only be told as the highest that a process ever used; what the process uses
before it begins is taken off. Run from anywhere:

    python benchmarks/length.py --rounds 5 --json length.json
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from common import Row, gemm_rate, machine, parse_options, write_json

RATE_HZ = 44_100
LENGTHS_S = (5, 45, 300, 1200, 3600)
#: The two ways, as a program that prints seconds and the bytes that it needed beyond its start.
_PROGRAM = """
import resource, sys, time
from pathlib import Path
from affekt.audio.clips import ClipPlan
from affekt.audio.decode import decode
from affekt.features.extract import _cut
path, plan, way = Path(sys.argv[1]), ClipPlan(6, 5.0), sys.argv[2]
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, start = peak(), time.perf_counter()
_cut(path, plan, 16000) if way == "pieces" else plan.cut(decode(path, 16000), 16000)
print(time.perf_counter() - start, 1024 * (peak() - before))
"""


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    options = parse_options("Time and memory of decoding by the length of a song.", rounds=5)
    print(f"{machine()}, matrix product {gemm_rate(options.rounds) / 1e9:.0f} GFLOP/s, {options.rounds} rounds\n")
    print("| length | in pieces | whole song | in pieces, memory | whole song, memory |\n|---|---|---|---|---|")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for length_s in LENGTHS_S:
            path = _song(Path(folder), length_s)
            found = _measured(path, options.rounds)
            (pieces_s, pieces_mb), (whole_s, whole_mb) = found["pieces"], found["whole"]
            times = f"{1e3 * pieces_s:.0f} ms | {1e3 * whole_s:.0f} ms"
            print(f"| {length_s} s | {times} | {pieces_mb:.0f} MB | {whole_mb:.0f} MB |")
            rows.append(Row(f"clips of {length_s} s", pieces_s, whole_s, whole_s / pieces_s))
            path.unlink()
    if options.json:
        write_json(options.json, rows)


def _measured(path: Path, rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds and megabytes of both ways."""
    found: dict[str, list[tuple[float, float]]] = {"pieces": [], "whole": []}
    for _ in range(rounds):
        for way, values in found.items():
            command = [sys.executable, "-c", _PROGRAM, str(path), way]
            seconds, n_bytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            values.append((float(seconds), float(n_bytes) / 1e6))
    return {
        way: (statistics.median(seconds for seconds, _ in values), statistics.median(size for _, size in values))
        for way, values in found.items()
    }


def _song(folder: Path, length_s: int) -> Path:
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
