"""Predictions in the tags of audio files, where players and tag editors find them.

Names are AFFEKT_VALENCE, AFFEKT_VALENCE_LOW, AFFEKT_VALENCE_HIGH, the same for every target, AFFEKT_QUADRANT and
AFFEKT_MODEL: TXXX frames of ID3 (MP3, AIFF, WAV), Vorbis comments (FLAC, Ogg, Opus), freeform atoms of MP4, and what
WMA, WavPack, Musepack and Monkey's Audio have for them. Values lie on the model's scale, with four digits. Whatever
begins with AFFEKT_ is ours and is replaced; all other tags stay, in the version of ID3 that the file has.

A file is never written to. A copy beside it gets the tags, is read back (the same other tags, the same audio: bytes of
MP3 and FLAC, decoded samples of everything else), is forced to the disk, and only then takes the file's place. So
whatever fails, a full disk and Ctrl-C included, the file is as it was, and nothing is left beside it. Mode, owner and
extended attributes are kept. The time of modification becomes that of writing, as for any change: backups and players
look for it, and padding often hides a new tag from those that look at the size. A file whose tags say all this already
is left alone. A link is followed: its target is replaced. Another hard link to the same file keeps the old content.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from affekt.audio.decode import samples_digest
from affekt.errors import AffektError, AudioError, StorageError
from affekt.files import atomic
from affekt.model.emotion import Remark
from affekt.model.fields import OURS

_COPIED = 1 << 20  # bytes at a time


def write_tags(path: Path, fields: Mapping[str, str]) -> Remark | None:
    """Put fields into a file's tags, in place of those of ours that it has.

    Args:
        path: an audio file, or a link to one.
        fields: name, beginning with `OURS`, to value.

    Returns:
        None where they are in it now; a remark where its format has no tags.

    Raises:
        AudioError: its tags cannot be read or written, or its audio would not be the same.
        StorageError: the file is read-only, its folder cannot be written to, the disk is full, or another program
            changed the file meanwhile.
    """
    place = Path(os.path.realpath(path))
    with _told(path):
        before = place.stat()
        tagged = _opened(place)
        if tagged is None:
            return Remark("untagged", f"{path}: its format has no tags, so none were written.")
        if _fields(tagged) == dict(fields):
            return None
        if not (before.st_mode & 0o222 and os.access(place, os.W_OK)):
            raise StorageError(f"{path}: is read-only, so no tags were written. Make it writable first.")
        with atomic(place) as copy:
            _write_copy(place, copy, tagged, fields)
            _check_copy(path, place, copy, tagged, fields)
            with copy.open("rb+") as file:
                os.fsync(file.fileno())
            now = place.stat()
            if (now.st_mtime_ns, now.st_size, now.st_ino) != (before.st_mtime_ns, before.st_size, before.st_ino):
                raise StorageError(f"{path}: another program changed it meanwhile, so no tags were written. Try again.")
    return None


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Say of every failure that the file is as it was."""
    try:
        yield
    except AffektError as error:
        if isinstance(error.__cause__, OSError):  # of `atomic`, whose advice is for files of our own
            raise _not_written(path, error.__cause__) from None
        raise
    except OSError as error:
        raise _not_written(path, error) from None


def _not_written(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path}: tags cannot be written ({error.strerror or error}). The file is as it was. "
        "Check free space and the permissions of file and folder."
    )


# ---- what the formats have ------------------------------------------------------------------------------------------


class _Dialect(NamedTuple):
    """How a format of tags holds one of ours: what stands before its name, and its value to and from text."""

    prefix: str
    value: Callable[[str, str], Any]
    text: Callable[[Any], str]


def _dialect(tags: Any) -> _Dialect | None:
    from mutagen.apev2 import APEv2
    from mutagen.asf import ASFTags
    from mutagen.id3 import TXXX, ID3Tags
    from mutagen.mp4 import AtomDataType, MP4FreeForm, MP4Tags

    if isinstance(tags, ID3Tags):
        return _Dialect("TXXX:", lambda name, text: TXXX(encoding=3, desc=name, text=[text]), lambda frame: str(frame))
    if isinstance(tags, MP4Tags):
        return _Dialect(
            "----:com.apple.iTunes:",
            lambda name, text: [MP4FreeForm(text.encode(), AtomDataType.UTF8)],
            lambda values: bytes(values[0]).decode(errors="replace"),
        )
    if isinstance(tags, APEv2):
        return _Dialect("", lambda name, text: text, lambda value: str(value))
    if isinstance(tags, ASFTags) or _is_vorbis(tags):
        return _Dialect("", lambda name, text: [text], lambda values: str(values[0]))
    return None


def _is_vorbis(tags: Any) -> bool:
    from mutagen._vorbis import VCommentDict

    return isinstance(tags, VCommentDict)


class _Tagged(NamedTuple):
    """A file with tags, read by mutagen."""

    audio: Any
    dialect: _Dialect


def _opened(place: Path) -> _Tagged | None:
    """A file and its tags, which may be new; None where the format has none.

    Raises:
        AudioError: they cannot be read.
    """
    with _read_by_mutagen(place):
        import mutagen

        found = mutagen.File(place)
        return None if found is None else _read(place, type(found))


def _read(place: Path, kind: Any) -> _Tagged | None:
    """ID3 as it stands: neither translated to the newest version, nor filled from ID3v1."""
    import mutagen
    from mutagen.id3 import ID3FileType, ID3Tags

    audio = kind(place)
    if issubclass(kind, ID3FileType) or isinstance(audio.tags, ID3Tags):
        audio = kind(place, translate=False, load_v1=False)
        if audio.tags is not None and audio.tags.version < (2, 3):
            audio.tags.update_to_v23()  # nobody writes version 2.2
    if audio.tags is None:
        try:
            audio.add_tags()
        except (mutagen.MutagenError, NotImplementedError):
            return None
    dialect = _dialect(audio.tags)
    return None if dialect is None else _Tagged(audio, dialect)


@contextlib.contextmanager
def _read_by_mutagen(path: Path) -> Iterator[None]:
    """Its parsers raise whatever they meet in a damaged file."""
    try:
        yield
    except (AffektError, OSError):
        raise
    except Exception as error:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, OSError):
            raise cause from None
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise AudioError(f"{path}: its tags cannot be read or written ({reason}). The file is as it was.") from None


def _is_ours(key: str, dialect: _Dialect) -> bool:
    return key.startswith(dialect.prefix) and key[len(dialect.prefix) :].upper().startswith(OURS)


def _fields(tagged: _Tagged) -> dict[str, str]:
    """Those tags that are ours, by name."""
    audio, dialect = tagged
    return {
        str(key)[len(dialect.prefix) :].upper(): dialect.text(value)
        for key, value in audio.tags.items()
        if _is_ours(str(key), dialect)
    }


def _others(tagged: _Tagged) -> dict[str, str]:
    """Everything else that must stay: other tags, and the pictures, cue sheets and stream information of FLAC."""
    audio, dialect = tagged
    found = {
        str(key): re.sub(r"encoding=<Encoding\.\w+: \d>", "", repr(value))  # it follows the version of ID3
        for key, value in audio.tags.items()
        if not _is_ours(str(key), dialect)
    }
    blocks = [block for block in getattr(audio, "metadata_blocks", []) if block.code not in (1, 4)]  # padding, comments
    return found | {f"block {i}": f"{block.code} {block.write()!r}" for i, block in enumerate(blocks)}


# ---- the copy -------------------------------------------------------------------------------------------------------


def _write_copy(place: Path, copy: Path, tagged: _Tagged, fields: Mapping[str, str]) -> None:
    """A copy of a file with other tags of ours."""
    from mutagen.id3 import ID3FileType, ID3Tags

    with _read_by_mutagen(place):
        changed = _read(place, type(tagged.audio))
        assert changed is not None  # it was read before
        tags = changed.audio.tags
        _replace(tags, changed.dialect, fields)
        options = _id3_version(tags) if isinstance(tags, ID3Tags) else {}
        if isinstance(changed.audio, ID3FileType):  # the tag alone: mutagen would rewrite one of ID3v1 as well
            head = io.BytesIO()
            tags.save(head, v1=0, **options)
            _copy(place, copy, head.getvalue())
        else:
            _copy(place, copy)
            (tags if options else changed.audio).save(copy, **options)


def _replace(tags: Any, dialect: _Dialect, fields: Mapping[str, str]) -> None:
    for key in [key for key in tags.keys() if _is_ours(str(key), dialect)]:  # noqa: SIM118 (some are lists)
        del tags[key]
    for name, text in fields.items():
        tags[f"{dialect.prefix}{name}"] = dialect.value(name, text)


def _copy(place: Path, copy: Path, id3: bytes | None = None) -> None:
    """The whole file, or what stands behind its ID3 tag behind another; with its mode, owner and attributes."""
    with place.open("rb") as source, copy.open("xb") as target:
        if id3 is not None:
            target.write(id3)
        source.seek(0 if id3 is None else _id3_bytes(source))
        shutil.copyfileobj(source, target, _COPIED)
    owner = place.stat()
    shutil.copystat(place, copy)
    os.utime(copy)
    if hasattr(os, "chown"):
        with contextlib.suppress(OSError):  # only root can give files away
            os.chown(copy, owner.st_uid, owner.st_gid)


def _id3_version(tags: Any) -> dict[str, Any]:
    """As the file has it; several values of one frame stay apart."""
    return {"v2_version": 3 if tags.version < (2, 4) else 4, "v23_sep": None}


def _check_copy(path: Path, place: Path, copy: Path, tagged: _Tagged, fields: Mapping[str, str]) -> None:
    """Read the copy back.

    Raises:
        AudioError: it is not the same but for our tags.
    """
    with _read_by_mutagen(path):
        found = _read(copy, type(tagged.audio))
    if found is None or _fields(found) != dict(fields) or _others(found) != _others(tagged):
        raise AudioError(
            f"{path}: a copy with new tags would lose others, so none were written. The file is as it was."
        )
    if _essence(place, tagged) != _essence(copy, found):
        raise AudioError(
            f"{path}: with new tags its audio would not be the same, so none were written. The file is as it was."
        )


def _essence(place: Path, tagged: _Tagged) -> str:
    """Hash of the audio: of its bytes where they lie in one piece, otherwise of its samples."""
    from mutagen.flac import FLAC
    from mutagen.id3 import ID3FileType

    if not isinstance(tagged.audio, ID3FileType | FLAC):
        return samples_digest(place)
    sha = hashlib.sha256()
    with place.open("rb") as file:
        file.seek(_flac_start(file) if isinstance(tagged.audio, FLAC) else _id3_bytes(file))
        while block := file.read(_COPIED):
            sha.update(block)
    return sha.hexdigest()


def _id3_bytes(file: BinaryIO) -> int:
    """How many bytes the ID3v2 tag at the head of a file takes; 0 where there is none."""
    file.seek(0)
    head = file.read(10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    has_footer = head[3] == 4 and head[5] & 0x10
    return 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) + 10 * bool(has_footer)


def _flac_start(file: BinaryIO) -> int:
    """Where the frames begin, behind a tag that does not belong there and the blocks of metadata."""
    at, last = _id3_bytes(file) + len(b"fLaC"), False
    while not last:
        file.seek(at)
        head = file.read(4)
        last = len(head) < 4 or head[0] & 0x80 > 0
        at += 4 + int.from_bytes(head[1:], "big")
    return at
