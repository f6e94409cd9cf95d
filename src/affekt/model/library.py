"""A music library through a model: what `affekt predict` does.

Rows go to a table as they come (`affekt.model.rows`), so that whatever ends a run, the next one goes on from there.
`Extras` are what a library gets besides: tags in its files, and playlists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from affekt.audio.silence import native_stderr_silenced
from affekt.errors import AffektError
from affekt.model.batch import Answer, find_files, predict_files
from affekt.model.fields import fields_of
from affekt.model.playlist import find_quadrants, write_playlist
from affekt.model.predictor import Model
from affekt.model.rows import Row, Table, name_of, row_of
from affekt.model.tags import write_tags
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
    extras: Extras | None = None,
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
        extras: gets every file with its row, what the table held already included.

    Returns:
        a row for each file, in the order of `find_files`.

    Raises:
        AffektError: nothing was found, or the table cannot be written or is something else.
        KeyboardInterrupt: on Ctrl-C; the table then holds what is finished.
    """
    paths = find_files(places, recursive)
    each = extras.take if extras else lambda path, row: None
    if out is None:
        rows: dict[str, Row] = {}
        _ask(model, paths, {}, curve, workers, quiet, done, lambda row: rows.update({row["path"]: row}), each)
        return [rows[name_of(path)] for path in paths]
    with Table(out, model.targets, model.fingerprint, curve) as table:
        known = {path: table.rows[name_of(path)] for path in paths if name_of(path) in table.rows}
        lacking = [path for path in paths if path not in known]
        try:
            _ask(model, lacking, known, curve, workers, quiet, done, table.add, each)
        finally:
            table.order(paths)
    return [table.rows[name_of(path)] for path in paths]


def _ask(
    model: Model,
    paths: Sequence[Path],
    known: Mapping[Path, Row],
    curve: bool,
    workers: int,
    quiet: bool,
    done: Callable[[Answer], None],
    add: Callable[[Row], None],
    each: Callable[[Path, Row], None],
) -> None:
    with bar(f"predicting with {model.settings.name}", len(paths) + len(known), quiet, "songs") as advance:
        with native_stderr_silenced():
            for path, row in known.items():
                each(path, row)
                advance(1, timed=False)
        for answer in predict_files(model, paths, curve, workers):
            row = row_of(answer, model.targets, model.fingerprint)
            add(row)  # before its tags: a run that is stopped between the two writes them when it goes on
            done(answer)
            each(answer.path, row)
            advance(1)


class Extras:
    """What a library gets besides a table.

    Args:
        model: who is asked.
        out: the table, beside which playlists are written; the working folder without one.
        tags: whether to write predictions into the files' tags, as `affekt.model.tags` does.
        m3u: quadrants, as `affekt.model.playlist.find_quadrants` takes them, to write a playlist of each.

    Attributes:
        untagged: what was said of files whose format has no tags.
        failed: what was said of files that could not be tagged.

    Raises:
        ConfigError: a quadrant is unknown, or the model has none.
    """

    def __init__(self, model: Model, out: Path | None, tags: bool = False, m3u: Sequence[str] = ()) -> None:
        self._model, self._tags = model, tags
        self._folder = Path() if out is None else out.parent
        self._quadrants = find_quadrants(m3u, model.targets)
        self._songs: list[tuple[Path, Row]] = []
        self._n_tagged = 0
        self.untagged: list[str] = []
        self.failed: list[str] = []

    def take(self, path: Path, row: Row) -> None:
        """A file and its row; one that could not be predicted gets nothing."""
        if row["error"]:
            return
        self._songs.append((path, row))
        if self._tags:
            self._tag(path, row)

    def finish(self) -> list[str]:
        """Write the playlists, and say what became of everything, a line each.

        Raises:
            StorageError: a playlist cannot be written.
        """
        said = [*_first(self.failed), *_first(self.untagged)]
        if self._tags:
            n_lacking = len(self.failed) + len(self.untagged)
            said.append(f"{self._n_tagged} songs have their tags" + (f", {n_lacking} have not." if n_lacking else "."))
        centre = sum(self._model.settings.scale) / 2
        for quadrant in self._quadrants:
            written = write_playlist(self._folder, quadrant, self._songs, centre)
            left = f"; {written.n_left_out} have names that no playlist can hold" if written.n_left_out else ""
            said.append(f"Playlist: {written.path} ({written.n_songs} songs{left})")
        return said

    def _tag(self, path: Path, row: Row) -> None:
        try:
            remark = write_tags(path, fields_of(row, self._model.targets))
        except AffektError as error:
            self.failed.append(str(error))
            return
        if remark is not None:
            self.untagged.append(remark.text)
        self._n_tagged += remark is None


def _first(lines: Sequence[str], n: int = 10) -> list[str]:
    """As many as anybody reads."""
    return [*lines[:n], *([f"... and {len(lines) - n} more."] if len(lines) > n else [])]
