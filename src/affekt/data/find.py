"""Finding the files of a data set by name, wherever they lie below the folder that the user named.

Archives are unpacked by hand in many ways, so names count and nesting does not. Names are compared in lower case;
linked folders are entered once, hidden ones and macOS's never. Two files of one name must be the same, byte by byte.
"""

from __future__ import annotations

import filecmp
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from affekt.data.tables import Mistakes
from affekt.errors import DataError

#: The folder in which a download or an unpacking goes on; while it is there, what lies beside it may not be whole.
UNFINISHED = ".affekt-download"
AUDIO_SUFFIXES = (".mp3", ".wav", ".flac", ".ogg")  # in the order of preference


def found_below(
    root: Path, wanted: Callable[[Path], bool], advice: str, mistakes: Mistakes | None = None
) -> dict[str, Path]:
    """The wanted files below `root`, by their name in lower case.

    Args:
        root: the folder that the user named.
        wanted: whether a file is needed; of its path only what stands below `root` should count.
        advice: what to do where there is no such folder.
        mistakes: takes files that lie there twice with different contents; without it they are an error.

    Raises:
        DataError: `root` is no folder, a file lies there twice with different contents, or a download into it has not
            finished.
    """
    if not root.is_dir():
        raise DataError(f"{root}: {'a file, no folder' if root.exists() else 'no such folder'}. {advice}")
    _refuse_unfinished(root)
    found: dict[str, list[Path]] = {}
    for path in walk(root):
        if wanted(path) and path.is_file():  # a link may lead nowhere
            found.setdefault(path.name.lower(), []).append(path)
    noted = Mistakes(str(root)) if mistakes is None else mistakes
    one = {name: _only(paths, noted) for name, paths in found.items()}
    if mistakes is None:
        noted.raise_any()
    return one


def is_numbered_audio(name: str) -> bool:
    """Whether a file's name is a song's number and a suffix of audio."""
    stem, suffix = Path(name).stem, Path(name).suffix.lower()
    return suffix in AUDIO_SUFFIXES and stem.isascii() and stem.isdigit()


def audio_by_id(found: dict[str, Path]) -> dict[str, Path]:
    """Audio file by song id; where a song lies there in several formats the first of `AUDIO_SUFFIXES` is taken."""
    audio: dict[str, Path] = {}
    for suffix in reversed(AUDIO_SUFFIXES):
        audio |= {Path(name).stem: path for name, path in found.items() if name.endswith(suffix)}
    return audio


def walk(root: Path) -> Iterable[Path]:
    """All files below `root` in a fixed order."""
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _refuse_unfinished(root: Path) -> None:
    work = root / UNFINISHED
    if not work.is_dir():
        return
    try:
        command = (work / "command.txt").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        command = "the command that began it"
    raise DataError(
        f"{root}: a download or an unpacking into this folder has not finished, so files may be missing. Go on with: "
        f"{command}; or delete {work} to take the folder as it is."
    )


def _only(paths: list[Path], mistakes: Mistakes) -> Path:
    """The first of several files of one name, if they are all the same."""
    for other in paths[1:]:
        if not filecmp.cmp(paths[0], other, shallow=False):
            mistakes.found.append(f"{paths[0]} and {other} differ. Take the wrong one away, or name a narrower root.")
    return paths[0]
