"""A music library through a model: what `affekt predict` does.

Rows go to a table as they come (`affekt.model.table`), so that whatever ends a run, the next one goes on from there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from affekt.audio.silence import native_stderr_silenced
from affekt.features.cluster import Cluster, torch_threads
from affekt.model.batch import Answer, find_files, predict_files
from affekt.model.cluster import predicted as predicted_there
from affekt.model.extras import Extras
from affekt.model.predictor import Model
from affekt.model.rows import Row, name_of, row_of
from affekt.model.table import Table
from affekt.progress import Advance, bar

#: Rows as they are found, some at a time.
Blocks = Generator[Sequence[Row]]


def predict_library(
    model: Model,
    places: Sequence[Path],
    out: Path | None = None,
    curve: bool = False,
    recursive: bool = False,
    workers: int = 0,
    quiet: bool = False,
    done: Callable[[Answer], None] = lambda answer: None,
    threads: int | None = None,
    cluster: Cluster | None = None,
    extras: Extras | None = None,
) -> list[Row]:
    """Predict every file that is named or lies in a named folder.

    Args:
        model: whom to ask.
        places: files and folders.
        out: table to write, or to complete; None to return rows alone.
        curve: whether to follow each file over time.
        recursive: whether to look into folders of folders.
        workers: processes that decode ahead; not used by a cluster.
        quiet: no progress bar.
        done: called with what is new: not with what the table held already, nor with what a cluster says.
        threads: of torch; None for as many as it takes. Not used by a cluster, which has its own.
        cluster: where to predict; None for this process. The rows are the same.
        extras: gets every file with its row, what the table held already included.

    Returns:
        a row for each file, in the order of `find_files`.

    Raises:
        AffektError: nothing was found, or the table cannot be written or is something else.
        KeyboardInterrupt: on Ctrl-C; the table then holds what is finished.
    """
    paths = find_files(places, recursive)
    path_of = {name_of(path): path for path in paths}

    def each(row: Row) -> None:
        if extras is not None:
            extras.take(path_of[row["path"]], row)

    def predicted(lacking: Sequence[Path]) -> Blocks:
        if cluster is not None:
            return predicted_there(cluster, model, lacking, curve)
        return _here(model, lacking, curve, workers, threads, done)

    with bar(f"predicting with {model.settings.name}", len(paths), quiet, "songs") as advance:
        if out is None:
            rows: dict[str, Row] = {}
            _take(predicted(paths), lambda found: rows.update({row["path"]: row for row in found}), each, advance)
            return [rows[name] for name in path_of]
        with Table(out, model.targets, model.fingerprint, curve) as table:
            known = [table.rows[name] for name in path_of if name in table.rows]
            _give(known, each, advance)
            take = table.add_all if cluster is None else table.add_part
            try:
                _take(
                    predicted([path for name, path in path_of.items() if name not in table.rows]), take, each, advance
                )
            finally:
                table.order(paths)
        return [table.rows[name] for name in path_of]


def _here(
    model: Model,
    paths: Sequence[Path],
    curve: bool,
    workers: int,
    threads: int | None,
    done: Callable[[Answer], None],
) -> Blocks:
    """Predict in this process, a row at a time."""
    with torch_threads(threads):
        for answer in predict_files(model, paths, curve, workers):
            yield [row_of(answer, model.targets, model.fingerprint)]
            done(answer)


def _give(known: Sequence[Row], each: Callable[[Row], None], advance: Advance) -> None:
    """Hand on what the table held already."""
    with native_stderr_silenced():
        for row in known:
            each(row)
            advance(1, timed=False)


def _take(blocks: Blocks, take: Callable[[Sequence[Row]], None], each: Callable[[Row], None], advance: Advance) -> None:
    """Have rows written down as they come, then handed on: a run that is stopped between the two hands on the rest."""
    with contextlib.closing(blocks):  # on Ctrl-C, everything that runs ends first
        for rows in blocks:
            take(rows)
            for row in rows:
                each(row)
            advance(len(rows))
