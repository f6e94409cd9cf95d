"""What the benchmarks share: interleaved timing, the machine's own yardstick, and tables.

Machines that run benchmarks are noisy, and a time measured today says little about one measured tomorrow. So every
script times all of its candidates in turns within one process and prints ratios of medians. The rate at which the same
process multiplies matrices, measured in the same turns, tells how much of the machine a candidate uses. The order
rotates from turn to turn, and a pause stands before each job: threads of the one before spin on for milliseconds, which
whoever comes next would pay for.

Conventions: times in seconds, rates in floating-point operations per second (a multiply-add counts as two).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

GEMM_SIDE = 1024
#: Products of one turn: a single one is over before a noisy machine shows what it gives on average.
N_PRODUCTS = 8
GEMM_FLOP = 2 * GEMM_SIDE**3 * N_PRODUCTS
#: Idle time before each job.
PAUSE_S = 0.05
#: A median of fewer turns says nothing.
LEAST_ROUNDS = 5

Job = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One comparison: a candidate beside its baseline, both timed in the same turns.

    Attributes:
        job: what both do.
        candidate_s: median time of the candidate.
        baseline_s: median time of the baseline.
        ratio: baseline over candidate; above 1 the candidate is faster.
        gemm_share: share of the process's matrix-product rate that the candidate reaches, where its work is known.
    """

    job: str
    candidate_s: float
    baseline_s: float
    ratio: float
    gemm_share: float | None = None


def median_times(jobs: Mapping[str, Job], rounds: int) -> dict[str, float]:
    """Median time of each job in seconds, all jobs taking turns; the first turn warms up and does not count."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    names = list(jobs)
    for turn in range(rounds + 1):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            job = jobs[name]
            time.sleep(PAUSE_S)
            started = time.perf_counter()
            job()
            if turn:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def compare(job: str, candidate: Job, baseline: Job, rounds: int, flop: float | None = None) -> Row:
    """Time a candidate against a baseline and against the matrix product.

    Args:
        job: what both do.
        candidate: runs once per call.
        baseline: runs once per call, the same work.
        rounds: turns to take the median over.
        flop: floating-point operations of one call of the candidate, if its share of the GEMM rate is of interest.
    """
    jobs = {"candidate": candidate, "baseline": baseline, "gemm": gemm_job()}
    times = median_times(jobs, rounds)
    share = None if flop is None else (flop / times["candidate"]) / (GEMM_FLOP / times["gemm"])
    return Row(job, times["candidate"], times["baseline"], times["baseline"] / times["candidate"], share)


def gemm_job() -> Job:
    """The yardstick: `N_PRODUCTS` fp32 products of two square matrices of side `GEMM_SIDE`."""
    left, right = torch.rand(2, GEMM_SIDE, GEMM_SIDE)
    product = torch.empty(GEMM_SIDE, GEMM_SIDE)

    def job() -> None:
        for _ in range(N_PRODUCTS):
            torch.mm(left, right, out=product)

    return job


def gemm_rate(rounds: int) -> float:
    """Floating-point operations per second that this process reaches in the matrix product."""
    return GEMM_FLOP / median_times({"gemm": gemm_job()}, rounds)["gemm"]


class EpochByEpoch:
    """A fit in a thread of its own that goes on by one epoch for each call, so that others can take turns with it.

    Args:
        fit: trains, and calls what it is given after each epoch.
    """

    def __init__(self, fit: Callable[[Callable[[object], None]], object]) -> None:
        self._fit = fit
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __call__(self) -> None:
        """Train one epoch; the first call sets up as well."""
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._go.release()
        self._done.acquire()
        if self._failure:
            raise self._failure

    def finish(self) -> None:
        """Let the fit predict its test songs and end."""
        self._go.release()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._fit(self._between)
        except BaseException as failure:
            self._failure = failure
            self._done.release()

    def _between(self, history: object) -> None:
        self._done.release()
        self._go.acquire()


def table(rows: Sequence[Row], candidate: str, baseline: str) -> str:
    """Format comparisons as a Markdown table; the last two arguments head the columns of times."""
    lines = [f"| job | {candidate} | {baseline} | ratio | of GEMM rate |", "|---|---|---|---|---|"]
    for row in rows:
        share = "" if row.gemm_share is None else f"{row.gemm_share:.0%}"
        times = f"{1e3 * row.candidate_s:.2f} ms | {1e3 * row.baseline_s:.2f} ms"
        lines.append(f"| {row.job} | {times} | **{row.ratio:.2f}** | {share} |")
    return "\n".join(lines)


def machine() -> dict[str, str | int]:
    """What a reader has to know about the machine to judge the numbers."""
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "processor": platform.machine(),
    }


def write_json(path: Path, rows: Sequence[Row]) -> None:
    """Write comparisons and the machine they ran on."""
    content = {"machine": machine(), "gemm_side": GEMM_SIDE, "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def parse_options(description: str, rounds: int = 7, more: Mapping[str, Mapping[str, Any]] | None = None) -> Any:
    """The options that every script has: `rounds`, and `json`, a path or None.

    Args:
        description: for `--help`.
        rounds: the default.
        more: what one script has beside them, flag to the arguments of `add_argument`.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--rounds", type=int, default=rounds, help=f"turns to take medians over, at least {LEAST_ROUNDS}"
    )
    for flag, arguments in (more or {}).items():
        parser.add_argument(flag, **arguments)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to this file")
    options = parser.parse_args()
    if options.rounds < LEAST_ROUNDS:
        parser.error(f"--rounds {options.rounds}: a median needs at least {LEAST_ROUNDS}.")
    return options
