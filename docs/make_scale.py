"""Measures what docs/scale.md tells: processor time a song, alone and in a pool of actors, and where it goes.

    python docs/make_scale.py models/deam ~/Music --n 40

Other programs slow a run down, but hardly change the processor time that it takes: that is what costs are made of.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from affekt.audio.silence import native_stderr_silenced
from affekt.features.cluster import Cluster, torch_threads
from affekt.features.prepare import Task, sound
from affekt.model.batch import Answer, find_files, predict_files
from affekt.model.cluster import predicted
from affekt.model.predictor import Model, load_model

TICKS_HZ = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of a model")
    parser.add_argument("songs", type=Path, help="folder of songs")
    parser.add_argument("--n", type=int, default=40, help="songs to take")
    options = parser.parse_args()
    model, paths = load_model(options.model), find_files([options.songs])[: options.n]
    print(steps(model, paths))
    print(f"{'engine':14} {'start s':>8} {'songs a s':>10} {'processor s a song':>19} {'songs a core s':>15}")
    print(told("local", ([answer] for answer in alone(model, paths))))
    for n in (1, 2):
        print(told(f"ray, {n} actors", predicted(Cluster(n_actors=n), model, paths)))


def steps(model: Model, paths: list[Path]) -> str:
    """Where the time of one song goes, in one thread, in seconds of processor time."""
    plan = model.plan(curve=False)
    spent = {"decode": 0.0, "encode": 0.0}
    minutes, n_bytes = 0.0, 0
    with native_stderr_silenced(), model.running(), torch_threads(1):
        model.read(sound(Task(paths[0], plan), model.sample_rate_hz), False)  # imports, caches
        for path in paths:
            started = time.process_time()
            found = sound(Task(path, plan), model.sample_rate_hz)
            decoded = time.process_time()
            model.read(found, False)
            spent["decode"] += decoded - started
            spent["encode"] += time.process_time() - decoded
            minutes += found.n_samples / model.sample_rate_hz / 60
            n_bytes += path.stat().st_size
    each = ", ".join(f"{name} {1e3 * value / len(paths):.0f} ms" for name, value in spent.items())
    return (
        f"{len(paths)} songs of {60 * minutes / len(paths):.0f} s, {n_bytes / len(paths) / 1e6:.2f} MB each: {each}; "
        f"decoding a minute of music takes {1e3 * spent['decode'] / minutes:.0f} ms"
    )


def alone(model: Model, paths: list[Path]) -> Iterator[Answer]:
    """What the local engine does, with one thread of torch."""
    with torch_threads(1):
        yield from predict_files(model, paths)


def told(name: str, blocks: Iterator[Sequence[object]]) -> str:
    """A line of the table: a run from its first rows to its last; what stands before them is its start."""
    begun = time.perf_counter()
    points = [(time.perf_counter(), processor_s(), len(rows)) for rows in blocks]
    (first, first_used, _), (last, last_used, _) = points[0], points[-1]
    n = sum(size for _, _, size in points[1:])
    wall_s, used_s = last - first, last_used - first_used
    return f"{name:14} {first - begun:8.1f} {n / wall_s:10.2f} {used_s / n:19.2f} {n / used_s:15.2f}"


def processor_s() -> float:
    """Processor time of this process, and of all below it, those that ended included."""
    found = 0
    for number in family(os.getpid()):
        try:
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended, and its parent counts for it
            continue
        found += sum(map(int, fields[11:15]))
    return found / TICKS_HZ


def family(number: int) -> set[int]:
    """A process and all that it started, by number."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = {number}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


if __name__ == "__main__":
    main()
