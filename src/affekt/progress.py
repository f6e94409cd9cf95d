"""Progress of long work on standard error: a bar on a terminal, single lines elsewhere, both with time left.

Conventions: seconds. A step that cost nothing (`timed=False`), such as a song that was stored already, counts as done
but not for the pace, from which the time left follows.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import Task

#: Call it for each finished step, `(0, text)` to say only what goes on, with `timed=False` for steps that cost nothing.
Advance = Callable[..., None]

#: Without a terminal a line is printed at each tenth, but not sooner after the last than this ...
SOONEST_S = 2.0
#: ... and with the first step behind this time, however slow the work is.
LATEST_S = 30.0


def console() -> Console:
    """Where progress and remarks go: standard error, so that results can be piped."""
    return Console(stderr=True, highlight=False, markup=False)


@contextlib.contextmanager
def bar(description: str, total: int, quiet: bool = False, unit: str = "") -> Iterator[Advance]:
    """Show progress over `total` steps.

    Args:
        description: what goes on.
        total: number of steps.
        quiet: show nothing.
        unit: what a step is, in the plural; steps a minute are then told as well.

    Yields:
        a function: call it for each finished step; `advance(0, "what goes on")` only changes the description.
    """
    where = console()
    if quiet or total == 0:
        yield lambda n=1, text=None, timed=True: None
        return
    pace = Pace(total, unit)
    if not where.is_terminal:
        lines = Lines(description, pace, lambda line: where.print(line, soft_wrap=True))
        yield lines.advance
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, _PaceColumn(pace), console=where) as progress:
        task = progress.add_task(description, total=total)

        def advance(n: int = 1, text: str | None = None, timed: bool = True) -> None:
            pace.count(n, timed)
            progress.update(task, advance=n, description=description if text is None else f"{description} {text}")

        yield advance


class Pace:
    """Counts steps, and foretells from those that took time how long the others will.

    Args:
        total: number of steps.
        unit: what a step is; "" to tell no rate.
        clock: seconds that only grow.
    """

    def __init__(self, total: int, unit: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = 0
        self.now = clock
        self._unit = unit
        self._n_timed = 0
        self._started = clock()

    def count(self, n: int, timed: bool) -> None:
        """Note `n` finished steps."""
        self.done += n
        self._n_timed += n if timed else 0

    def __str__(self) -> str:
        """Rate and time left, as far as they are known: "38 songs a minute, 12 min left"."""
        seconds = self.now() - self._started
        if not self._n_timed or seconds <= 0:
            return ""
        left_s = seconds / self._n_timed * (self.total - self.done)
        words = [f"{60 * self._n_timed / seconds:.3g} {self._unit} a minute"] if self._unit else []
        return ", ".join([*words, f"{duration(left_s)} left"] if self.done < self.total else words)


class Lines:
    """Progress as lines, for files and pipes: few for quick work, one each half minute for slow work.

    Args:
        description: what goes on.
        pace: of the work.
        say: prints a line.
    """

    def __init__(self, description: str, pace: Pace, say: Callable[[str], None]) -> None:
        self._description = description
        self._pace = pace
        self._say = say
        self._told_at, self._tenth = pace.now(), 0
        say(f"{description}: {pace.total}")

    def advance(self, n: int = 1, text: str | None = None, timed: bool = True) -> None:
        """Count finished steps, and say so now and then."""
        self._pace.count(n, timed)
        waited_s = self._pace.now() - self._told_at
        tenth = 10 * self._pace.done // self._pace.total
        if n and (waited_s >= LATEST_S or (waited_s >= SOONEST_S and tenth > self._tenth)):
            self._told_at, self._tenth = self._pace.now(), tenth
            words = ", ".join(filter(None, [f"{self._pace.done} of {self._pace.total}", str(self._pace)]))
            self._say(f"{self._description}: {words}")


class _PaceColumn(ProgressColumn):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def render(self, task: Task) -> Text:
        """Rate and time left, anew each time the bar is drawn."""
        return Text(str(self._pace))


def duration(seconds: float) -> str:
    """A time in the unit that a person would use: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
