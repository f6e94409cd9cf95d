"""Progress of long work on standard error: a bar with time left on a terminal, single lines elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

#: Call it for each finished step, `(0, text)` to say only what goes on.
Advance = Callable[..., None]


def console() -> Console:
    """Where progress and remarks go: standard error, so that results can be piped."""
    return Console(stderr=True, highlight=False, markup=False)


@contextlib.contextmanager
def bar(description: str, total: int, quiet: bool = False) -> Iterator[Advance]:
    """Show progress over `total` steps.

    Yields:
        a function: call it for each finished step; `advance(0, "what goes on")` only changes the description.
    """
    where = console()
    if quiet or total == 0:
        yield lambda n=1, text=None: None
        return
    if not where.is_terminal:
        where.print(f"{description}: {total}", soft_wrap=True)
        yield lambda n=1, text=None: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, TextColumn("left"), TimeRemainingColumn(), console=where, speed_estimate_period=3600
    ) as progress:
        task = progress.add_task(description, total=total)

        def advance(n: float = 1, text: str | None = None) -> None:
            progress.update(task, advance=n, description=description if text is None else f"{description} {text}")

        yield advance
