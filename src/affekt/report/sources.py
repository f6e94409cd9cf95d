"""What a report can be made of: results in memory, scored or not, a results file, or a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from affekt.errors import DataError
from affekt.evaluation.join import join
from affekt.evaluation.results import Results
from affekt.evaluation.scores import Scores, score

RESULTS_NAME = "results.json"

#: A comparison in memory, one that was scored already, its `results.json`, or the run folder that holds one.
Source = Results | Scores | Path | str


def scored(source: Source) -> Scores:
    """The scores of a source; nothing is scored twice.

    Raises:
        DataError: the results cannot be read or scored.
    """
    if isinstance(source, Scores):
        return source
    return score(source if isinstance(source, Results) else Results.load(_file(Path(source))))


def run_folder(source: Source) -> Path | None:
    """The folder that a source was read from; None for results in memory."""
    return None if isinstance(source, Results | Scores) else _file(Path(source)).parent


def open_runs(paths: Sequence[Path]) -> tuple[Results, Path]:
    """One run, or two as one, and the folder where a report of it belongs.

    Two are named after their folders, and their report goes into a folder beside the first.

    Args:
        paths: one or two run folders or results files.

    Raises:
        DataError: more than two, or results that cannot be read or joined.
    """
    files = [_file(path) for path in paths]
    if len(files) == 1:
        return Results.load(files[0]), files[0].parent
    if len(files) > 2:
        raise DataError(f"{len(files)} runs: one is reported, or two are compared. Name one or two.")
    first, second = (_run_name(file) for file in files)
    if first == second:
        first, second = (f"{file.parent.resolve().parent.name}/{_run_name(file)}" for file in files)
    results = join(Results.load(files[0]), Results.load(files[1]), (first, second))
    return results, files[0].parent.resolve().parent / f"{first}-and-{second}".replace("/", "-")


def _run_name(file: Path) -> str:
    return file.parent.resolve().name


def _file(path: Path) -> Path:
    return path / RESULTS_NAME if path.is_dir() else path
