"""Unpacking a zip archive that somebody else made: every wanted file whole and checked, or none at all.

An archive is refused as a whole if one of its members would land outside the target folder, is a link, occurs twice,
is encrypted or damaged, or if it would unpack to more than any data set of this project holds. Sizes are in bytes.
Member paths are relative, with "/" between their parts.
"""

from __future__ import annotations

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from affekt.data.tables import Mistakes
from affekt.errors import DataError, StorageError
from affekt.files import storage_errors
from affekt.progress import Advance, bar

#: A whole DEAM has about 9000 files; with openSMILE features and single ratings it unpacks to about 3 GB.
MAX_MEMBERS = 100_000
MAX_BYTES = 32 * 1024**3
#: Annotations shrink to a tenth, audio hardly; a bomb shrinks to a thousandth.
MAX_RATIO = 100
#: Below this size no ratio is suspicious.
_HARMLESS_BYTES = 100 * 1024**2
_CHUNK_BYTES = 1024**2
_ENCRYPTED = 0x1
#: What zipfile raises where an archive is damaged, or packed in a way that it does not know.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


@dataclass(frozen=True)
class Member:
    """A file of an archive.

    Attributes:
        path: where it belongs, relative to the folder that the archive is unpacked into.
        n_bytes: its size.
        crc32: its checksum.
    """

    path: PurePosixPath
    n_bytes: int
    crc32: int


def unpack(archive: Path, folder: Path, wanted: Callable[[PurePosixPath], bool], quiet: bool = False) -> list[Member]:
    """Unpack the wanted files of a zip archive into an empty folder.

    Args:
        archive: the zip file.
        folder: where to; on an error it may hold some files, and is the caller's to remove.
        wanted: which files, by their path in the archive.
        quiet: no progress bar.

    Returns:
        what was unpacked; empty where the archive holds nothing that is wanted.

    Raises:
        DataError: the archive is no zip, damaged, encrypted or unsafe; names every member at fault.
        StorageError: it cannot be written, or the disk has too little room for it.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _checked(archive, opened, wanted)
            check_room(f"{archive}: to unpack it", folder, sum(info.file_size for _, info in members))
            with bar(f"Unpacking {archive.name}", len(members), quiet) as advance:
                return [_write(opened, info, folder, path, archive, advance) for path, info in members]
    except _DAMAGED as error:
        raise DataError(f"{archive}: no zip archive, or damaged ({_reason(error)}). Get it again.") from error


def holds(archive: Path, wanted: Callable[[PurePosixPath], bool]) -> bool:
    """Whether a zip archive lists a wanted file; False for what cannot be read."""
    try:
        with zipfile.ZipFile(archive) as opened:
            return any(wanted(PurePosixPath(info.filename)) for info in opened.infolist())
    except (OSError, *_DAMAGED):
        return False


def checksum(path: Path) -> int:
    """CRC-32 of a file."""
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            value = zlib.crc32(chunk, value)
    return value


def _checked(
    archive: Path, opened: zipfile.ZipFile, wanted: Callable[[PurePosixPath], bool]
) -> list[tuple[PurePosixPath, zipfile.ZipInfo]]:
    """The wanted members, after all members were looked at."""
    infos = opened.infolist()
    if len(infos) > MAX_MEMBERS:
        raise DataError(f"{archive}: {len(infos)} members; allowed: {MAX_MEMBERS}. This is not an archive of music.")
    faults = {id(info): fault for info in infos if (fault := _fault(info))}
    named = [(PurePosixPath(_name(info)), info) for info in infos if not info.is_dir() and id(info) not in faults]
    chosen = [(path, info) for path, info in named if wanted(path)]
    mistakes = Mistakes(f"{archive}, which was not unpacked; get it from where DEAM is published")
    mistakes.found += faults.values()
    mistakes.found += [f"{str(path)!r}: encrypted" for path, info in chosen if info.flag_bits & _ENCRYPTED]
    mistakes.found += _clashes([path for path, _ in chosen])
    mistakes.raise_any()
    _check_size(archive, sum(info.file_size for _, info in chosen))
    return chosen


def _name(info: zipfile.ZipInfo) -> str:
    return info.orig_filename.replace("\\", "/")


def _fault(info: zipfile.ZipInfo) -> str | None:
    """Why a member must not be unpacked; None for a harmless one."""
    name = _name(info)
    shown = repr(info.orig_filename)
    if not name.isprintable():
        return f"{shown}: control characters in its name"
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        return f"{shown}: its path leads out of the folder"
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return f"{shown}: neither a file nor a folder but a link or a device"
    return None


def _clashes(paths: Sequence[PurePosixPath]) -> list[str]:
    """Files of one name, also where upper and lower case are one, and files that are folders of others."""
    seen: set[str] = set()
    found = []
    for path in paths:
        key = str(path).casefold()
        if key in seen:
            found.append(f"{str(path)!r}: occurs twice")
        seen.add(key)
    found += [f"{str(p)!r}: lies in a file" for p in paths if any(str(up).casefold() in seen for up in p.parents)]
    return found


def _check_size(archive: Path, n_bytes: int) -> None:
    ratio = n_bytes / max(archive.stat().st_size, 1)
    if n_bytes > MAX_BYTES or (n_bytes > _HARMLESS_BYTES and ratio > MAX_RATIO):
        raise DataError(
            f"{archive}: unpacks to {megabytes(n_bytes)}, {ratio:.0f} times its size; allowed: "
            f"{megabytes(MAX_BYTES)} and {MAX_RATIO} times. It was not unpacked; get it from where DEAM is published."
        )


def check_room(what: str, folder: Path, n_bytes: int) -> None:
    """Raise a StorageError where the disk of a folder has less room than `what` needs."""
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise StorageError(
            f"{what} needs {megabytes(n_bytes)}, and the disk has {megabytes(free)} free. Free some space, or name a "
            "folder on another disk."
        )


def _write(
    opened: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path, path: PurePosixPath, archive: Path, advance: Advance
) -> Member:
    """Write one member; zipfile compares its checksum at the end."""
    n_bytes = 0
    target = folder / path
    with storage_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(info) as source, target.open("xb") as file:
            while chunk := source.read(_CHUNK_BYTES):
                file.write(chunk)
                n_bytes += len(chunk)
    if n_bytes != info.file_size:
        raise DataError(
            f"{archive}: {path} has {n_bytes} bytes, its entry promises {info.file_size}. The archive is damaged; "
            "get it again."
        )
    advance()
    return Member(path, n_bytes, info.CRC)


def megabytes(n_bytes: float) -> str:
    """A size in words."""
    return f"{n_bytes / 1e6:,.0f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e6:.3f} MB"


def _reason(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__
