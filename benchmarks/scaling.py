"""How do time and memory of extraction's preparing scale with worker processes and with the length of songs?

Four songs of equal length, 44.1 kHz stereo FLAC, are decoded into six clips of 5 s at 16 kHz by the crew that works
ahead of every encoder, in one worker process and in two, taking turns; workers run before the clock starts. Memory is
the highest that a worker held, its interpreter and libraries included (on Linux alone). Run from anywhere:

    python benchmarks/scaling.py --rounds 5 --json scaling.json
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from affekt.encoders.base import Cut
from affekt.features.crew import Crew
from affekt.features.prepare import Recipe, Task
from common import Job, Row, gemm_job, gemm_rate, machine, median_times, parse_options, write_json
from length import CLIP_RATE_HZ, LENGTHS_S, PLAN, song

N_SONGS = 4
WORKERS = (1, 2)


def main() -> None:
    """Measure, print the table, and write it if asked to."""
    options = parse_options("Time and memory of preparing songs, by workers and length.", rounds=5)
    print(f"{machine()}, matrix product {gemm_rate(options.rounds) / 1e9:.0f} GFLOP/s, {options.rounds} rounds\n")
    print("| length | 1 worker | 2 workers | ratio | memory of a worker |\n|---|---|---|---|---|")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for length_s in LENGTHS_S:
            path = song(Path(folder), length_s)
            rows.append(_row([Task(path, PLAN)] * N_SONGS, length_s, options.rounds))
            path.unlink()
    if options.json:
        write_json(options.json, rows)


def _row(tasks: Sequence[Task], length_s: int, rounds: int) -> Row:
    """One line of the table: songs of one length, with one worker and with two."""
    recipe = Recipe(CLIP_RATE_HZ, None, Cut(0, "none", frozen=False))
    with Crew(recipe, 1) as one, Crew(recipe, 2) as two:
        jobs = {f"{n}": _job(crew, tasks) for n, crew in zip(WORKERS, (one, two), strict=True)}
        times = median_times({**jobs, "gemm": gemm_job()}, rounds)
        peak_mb = max(map(_peak_mb, [*one.process_ids, *two.process_ids]), default=float("nan"))
    row = Row(
        f"{N_SONGS} songs of {length_s} s, two workers against one", times["2"], times["1"], times["1"] / times["2"]
    )
    print(
        f"| {length_s} s | {times['1']:.2f} s | {times['2']:.2f} s | {row.ratio:.2f} | {peak_mb:.0f} MB |", flush=True
    )
    return row


def _job(crew: Crew, tasks: Sequence[Task]) -> Job:
    crew.start()
    return lambda: [future.result() for future in [crew.submit(task) for task in tasks]]


def _peak_mb(process_id: int) -> float:
    try:
        status = Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return float("nan")
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    return int(found[1]) / 1e3 if found else float("nan")


if __name__ == "__main__":
    main()
