"""A music library through a model: what `affekt predict` does.

Rows go to a table as they come (`affekt.model.rows`), so that whatever ends a run, the next one goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from affekt.model.batch import Answer, find_files, predict_files
from affekt.model.predictor import Model
from affekt.model.rows import Row, Table, name_of, row_of
from affekt.progress import bar


def predict_library(
    model: Model,
    places: Sequence[Path],
    out: Path | None = None,
    curve: bool = False,
    recursive: bool = False,
    workers: int = 0,
    quiet: bool = False,
    done: Callable[[Answer], None] = lambda answer: None,
) -> list[Row]:
    """Predict every file that is named or lies in a named folder.

    Args:
        model: whom to ask.
        places: files and folders.
        out: table to write, or to complete; None to return rows alone.
        curve: whether to follow each file over time.
        recursive: whether to look into folders of folders.
        workers: processes that decode ahead.
        quiet: no progress bar.
        done: called with what is new: not with what the table held already.

    Returns:
        a row for each file, in the order of `find_files`.

    Raises:
        AffektError: nothing was found, or the table cannot be written or is something else.
        KeyboardInterrupt: on Ctrl-C; the table then holds what is finished.
    """
    paths = find_files(places, recursive)
    if out is None:
        rows: dict[str, Row] = {}
        _ask(model, paths, curve, workers, quiet, done, lambda row: rows.update({row["path"]: row}), 0)
        return [rows[name_of(path)] for path in paths]
    with Table(out, model.targets, model.fingerprint, curve) as table:
        lacking = [path for path in paths if name_of(path) not in table.rows]
        try:
            _ask(model, lacking, curve, workers, quiet, done, table.add, len(paths) - len(lacking))
        finally:
            table.order(paths)
    return [table.rows[name_of(path)] for path in paths]


def _ask(
    model: Model,
    paths: Sequence[Path],
    curve: bool,
    workers: int,
    quiet: bool,
    done: Callable[[Answer], None],
    take: Callable[[Row], None],
    n_known: int,
) -> None:
    with bar(f"predicting with {model.settings.name}", len(paths) + n_known, quiet, "songs") as advance:
        if n_known:
            advance(n_known, timed=False)
        for answer in predict_files(model, paths, curve, workers):
            take(row_of(answer, model.targets, model.fingerprint))
            done(answer)
            advance(1)
