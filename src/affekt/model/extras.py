"""What a library gets besides a table of predictions: tags in its files, and playlists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from affekt.errors import AffektError
from affekt.model.fields import fields_of
from affekt.model.playlist import find_quadrants, write_playlist
from affekt.model.predictor import Model
from affekt.model.rows import Row
from affekt.model.tags import write_tags


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
        said = [*first_of(self.failed), *first_of(self.untagged)]
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


def first_of(lines: Sequence[str], n: int = 10) -> list[str]:
    """As many as anybody reads."""
    return [*lines[:n], *([f"... and {len(lines) - n} more."] if len(lines) > n else [])]
