"""Getting DEAM into a folder of the user's choice: from Kaggle, or from zip archives that lie on the disk.

What arrives is whole, or the folder says that it is not: as long as work goes on it lies in the hidden folder
`UNFINISHED`, which every loader refuses; the same command goes on from there. Files are moved to their place when all
of them are unpacked and checked. `RECORD_NAME` then tells where they came from, with size and CRC-32 of each. Nothing
that was there before is overwritten, and nothing is written outside the folder.

Of a whole DEAM, annotations, audio and metadata are unpacked; the openSMILE features on demand. Sizes are in bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from affekt.data.archive import checksum, holds, unpack
from affekt.data.base import named
from affekt.data.deam import STATIC_NAMES, is_wanted
from affekt.data.find import UNFINISHED, walk
from affekt.data.kaggle import KAGGLE_HANDLE, KAGGLE_PAGE, fetch
from affekt.errors import ConfigError, DataError, StorageError
from affekt.files import storage_errors, write_json, write_text
from affekt.progress import console

RECORD_NAME = "affekt-download.json"

_SCHEMA = 1
_KAGGLE = f"kaggle:{KAGGLE_HANDLE}"


@dataclass(frozen=True)
class Source:
    """Where files came from.

    Attributes:
        name: "kaggle:<owner>/<name>/versions/<n>", or the name of a zip archive.
        sha256: of the archive.
        features: whether openSMILE features were unpacked.
        files: path below the folder to (size, CRC-32).
    """

    name: str
    sha256: str
    features: bool
    files: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class _Archive:
    """An archive to unpack: where it lies, the folder for its files below the root, and what it is called."""

    path: Path
    level: str
    name: str


def get_deam(
    folder: str | Path, from_zips: Sequence[str | Path] = (), features: bool = False, quiet: bool = False
) -> Path:
    """Put a whole DEAM into a folder, or what some of its archives hold.

    Args:
        folder: where to; made if it is not there. It may hold other files.
        from_zips: the authors' zip files, or others that hold files of DEAM; none to download DEAM from Kaggle.
        features: unpack the openSMILE features, too (1.2 GB).
        quiet: no progress bar for unpacking.

    Returns:
        the folder, which now serves as `root`.

    Raises:
        DataError: Kaggle refused or could not be reached; an archive is damaged or unsafe; a file of another content
            is in the way.
        StorageError: the disk is full, or the folder cannot be written to.
        MissingExtraError: nothing but `folder` is given, and the extra `kaggle` is not installed.
    """
    root = Path(folder).expanduser()
    paths = [Path(archive).expanduser() for archive in from_zips]
    _check_folder(root, paths)
    command = command_for(root, paths, features)
    if not paths:
        known = _recorded_kaggle(root, features)
        if known:
            console().print(f"{root}: whole already, {len(known.files)} files as they came.", soft_wrap=True)
            return root
        _refuse_second_copy(root)
    with _workplace(root, command) as work:
        archives = [_Archive(path, level, path.name) for path, level in zip(paths, _levels(paths), strict=True)]
        archives = archives or [_Archive(fetch(work), "", _KAGGLE)]
        _place(root, work, _unpack_all(work, archives, features, quiet))
    return root


def obtain(
    name: str, root: Path | None, folder: Path | None, archives: Sequence[Path], features: bool, quiet: bool = False
) -> Path:
    """What `affekt data NAME --download DIR --from ZIP` does before it looks at the data set; arguments as there.

    Raises:
        ConfigError: options that do not go together.
        DataError, StorageError, MissingExtraError: as `get_deam`.
    """
    if name != "deam":
        raise ConfigError(f"--download, --from and --features get deam; {name} is not downloaded. Leave them out.")
    if root is not None:
        raise ConfigError("--root names a copy that is there, --download makes one. Leave one of them out.")
    if folder is None:
        raise ConfigError("--from and --features need the folder to unpack into: add --download DIR.")
    return get_deam(folder, archives, features, quiet)


def command_for(folder: Path, archives: Sequence[Path] = (), features: bool = False) -> str:
    """The command line that gets DEAM into a folder."""
    words = ["affekt", "data", "deam"]
    for path in archives:
        words += ["--from", str(path)]
    return shlex.join([*words, *(["--features"] if features else []), "--download", str(folder)])


def unpacking_advice(root: Path, lacking: Callable[[str], bool] | None = None) -> str:
    """How to unpack the archives that a root is or holds; empty where they hold none of the files that are lacking."""
    if root.is_file():
        archives, folder = [root], root.parent / "deam"
    else:
        archives, folder = [path for path in walk(root) if path.suffix.lower() == ".zip"], root
    archives = [path for path in archives if holds(path, lambda member: _is_lacking(member, lacking))]
    if not archives:
        return ""
    verb = "is" if len(archives) == 1 else "are"
    return f"{named([path.name for path in archives])} {verb} still packed. Unpack: {command_for(folder, archives)}"


def _is_lacking(member: PurePosixPath, lacking: Callable[[str], bool] | None) -> bool:
    return wanted_members(False)(member) and (lacking is None or lacking(member.name.lower()))


def wanted_members(features: bool) -> Callable[[PurePosixPath], bool]:
    """Which files of an archive are taken out: those that `deam` reads, and the openSMILE features if asked for."""

    def wanted(path: PurePosixPath) -> bool:
        if any(part.startswith((".", "__MACOSX")) for part in path.parts):
            return False
        return is_wanted(path.name.lower()) or (features and _is_feature(path))

    return wanted


def _is_feature(path: PurePosixPath) -> bool:
    return path.suffix.lower() == ".csv" and path.stem.isdigit() and path.parent.name.lower() == "features"


# --- the folder ---------------------------------------------------------------------------------------------------


def _check_folder(root: Path, archives: Sequence[Path]) -> None:
    missing = [str(path) for path in archives if not path.is_file()]
    if missing:
        raise DataError(f"{', '.join(missing)}: no such file. Name the zip archives that you have.")
    if root.exists() and not root.is_dir():
        raise StorageError(f"{root}: a file, where a folder is needed. Name another folder.")
    if (root / UNFINISHED).is_symlink():
        raise StorageError(f"{root / UNFINISHED}: a link, which is not followed. Remove it, or name another folder.")


def _refuse_second_copy(root: Path) -> None:
    """A download beside a copy that somebody made by hand would leave every file there twice."""
    there = [path for path in (walk(root) if root.is_dir() else ()) if path.name.lower() in STATIC_NAMES]
    if there and not (root / UNFINISHED).exists() and not (root / RECORD_NAME).exists():
        raise DataError(
            f"{root}: holds a copy of DEAM already ({there[0].relative_to(root)}). Look at it: "
            f"{shlex.join(['affekt', 'data', 'deam', '--root', str(root)])}; or name another folder."
        )


@contextlib.contextmanager
def _workplace(root: Path, command: str) -> Iterator[Path]:
    """The hidden folder that work goes on in; what is left of it on an error can be gone on from, or is nothing."""
    work = root / UNFINISHED
    was_there = root.is_dir()
    with storage_errors(root):
        work.mkdir(parents=True, exist_ok=True)
    try:
        write_text(work / "command.txt", command + "\n")
        yield work
    except BaseException:
        _tidy(root, work, was_there)
        raise
    with storage_errors(root):
        shutil.rmtree(work)


def _tidy(root: Path, work: Path, was_there: bool) -> None:
    """Keep a part of a transfer, and the mark where files were placed already; remove everything else."""
    with contextlib.suppress(OSError):  # what made the work stop is told, not this
        shutil.rmtree(work / "unpacked", ignore_errors=True)
        for part in work.glob("*.archive"):
            if part.stat().st_size == 0:
                part.unlink()
        if list(work.glob("*.archive")) or (work / "placing").exists():
            return
        shutil.rmtree(work)
        if not was_there:
            root.rmdir()


def _unpack_all(work: Path, archives: Sequence[_Archive], features: bool, quiet: bool) -> list[Source]:
    """Unpack every archive into a folder of its own; those from Kaggle straight below `unpacked`."""
    with storage_errors(work):
        shutil.rmtree(work / "unpacked", ignore_errors=True)  # left by a process that was killed
    sources = []
    for archive in archives:
        try:
            sources.append(_unpack_one(archive, work / "unpacked", features, quiet))
        except DataError as error:
            if archive.name != _KAGGLE:
                raise
            archive.path.unlink()  # what is wrong with it would be so the next time
            raise DataError(
                f"What came from Kaggle cannot be used and was removed. {error} The same command downloads it again; "
                f"if it ends here once more, get the zip from {KAGGLE_PAGE} in a browser and name it with --from ZIP."
            ) from error
    return sources


def _unpack_one(archive: _Archive, unpacked: Path, features: bool, quiet: bool) -> Source:
    with storage_errors(unpacked):
        (unpacked / archive.level).mkdir(parents=True, exist_ok=True)
    members = unpack(archive.path, unpacked / archive.level, wanted_members(features), quiet)
    if not members:
        raise DataError(f"{archive.path}: {_empty(archive.path, features)}")
    with archive.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    files = {str(PurePosixPath(archive.level, member.path)): (member.n_bytes, member.crc32) for member in members}
    return Source(archive.name, digest, features, files)


def _levels(paths: Sequence[Path]) -> list[str]:
    """A folder for each archive, named after it; hidden ones would not be found by a loader."""
    levels: list[str] = []
    for path in paths:
        stem = path.stem.strip(". ") or "archive"
        levels.append(stem if stem not in levels else f"{stem}-{len(levels) + 1}")
    return levels


def _empty(archive: Path, features: bool) -> str:
    if not features and holds(archive, wanted_members(True)):
        return "it holds openSMILE features alone. Add --features to unpack them."
    return (
        f"it holds no file of DEAM. Looked for {STATIC_NAMES[0]}, valence.csv, metadata_2013.csv, <song id>.mp3 "
        "and the like. Name the authors' DEAM_Annotations.zip, DEAM_audio.zip or metadata.zip."
    )


# --- moving to their place ----------------------------------------------------------------------------------------


def _place(root: Path, work: Path, sources: Sequence[Source]) -> None:
    """Move unpacked files to where they belong; files that lie there already must be the same."""
    files = {path: entry for source in sources for path, entry in source.files.items()}
    in_the_way = [path for path, entry in files.items() if _is_another(root, path, entry)]
    if in_the_way:
        raise DataError(
            f"{root}: {len(in_the_way)} files have another content than those of the archive, and nothing is "
            f"overwritten: {named(in_the_way)}. Name another folder, or take these files away."
        )
    record = {"schema": _SCHEMA, "sources": [*_kept(root, sources), *map(_as_json, sources)]}
    with storage_errors(root):
        (work / "placing").touch()
        for path in files:
            if not (root / path).exists():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (work / "unpacked" / path).rename(root / path)
    write_json(root / RECORD_NAME, record)


def _is_another(root: Path, path: str, entry: tuple[int, int]) -> bool:
    """Whether a path is taken by something else, or leads out of the folder through a link."""
    target = root / path
    if not target.resolve().is_relative_to(root.resolve()):
        return True
    if target.is_file():
        return not _is_same(target, entry)
    return target.exists() or any(up.is_file() for up in target.parents)


def _is_same(path: Path, entry: tuple[int, int]) -> bool:
    n_bytes, crc32 = entry
    return path.stat().st_size == n_bytes and checksum(path) == crc32


def _as_json(source: Source) -> dict[str, Any]:
    files = {path: {"n_bytes": n, "crc32": f"{crc:08x}"} for path, (n, crc) in sorted(source.files.items())}
    return {"name": source.name, "sha256": source.sha256, "features": source.features, "files": files}


def _kept(root: Path, replaced: Sequence[Source]) -> list[dict[str, Any]]:
    return [_as_json(old) for old in read_record(root) if old.name not in {source.name for source in replaced}]


def read_record(root: Path) -> list[Source]:
    """Where the files of a folder came from, as far as this module put them there.

    Raises:
        DataError: the record is damaged.
    """
    path = root / RECORD_NAME
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != _SCHEMA:
            raise ValueError(f"schema {content['schema']}")
        return [
            Source(
                one["name"],
                one["sha256"],
                one["features"],
                {name: (int(file["n_bytes"]), int(file["crc32"], 16)) for name, file in one["files"].items()},
            )
            for one in content["sources"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read as a record of a download ({error}). Delete it.") from error


def _recorded_kaggle(root: Path, features: bool) -> Source | None:
    """The finished download of a folder, if all its files are still as they came.

    Raises:
        DataError: some were changed since.
    """
    if (root / UNFINISHED).exists():
        return None
    source = next((one for one in read_record(root) if one.name == _KAGGLE), None)
    if source is None:
        return None
    changed = [
        path for path, entry in source.files.items() if (root / path).exists() and not _is_same(root / path, entry)
    ]
    if changed:
        raise DataError(
            f"{root}: {len(changed)} files were changed since they were downloaded, and nothing is overwritten: "
            f"{named(changed)}. Take them away to get them again, or name another folder."
        )
    whole = all((root / path).exists() for path in source.files)
    return source if whole and (source.features or not features) else None
