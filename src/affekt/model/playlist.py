"""Playlists of the songs of one quadrant: extended M3U in UTF-8, which nearly every player reads.

The songs that lie farthest from the centre come first. Paths are relative to the playlist's folder, so that a library
and its playlists can be moved together. A name that no line can hold (with a line break, or no text at all) is left out
and counted.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from affekt.data.base import VALENCE_AROUSAL
from affekt.data.metadata import read_tags
from affekt.errors import ConfigError
from affekt.evaluation.metrics import QUADRANTS
from affekt.files import write_text
from affekt.model.rows import Row
from affekt.registry import did_you_mean

#: Words for quadrants, in the order of `QUADRANTS`.
WORDS = ("happy", "tense", "sad", "calm")
#: What a line beginning with it would be, instead of a file of the folder: a comment, another drive, an address.
_MISREAD = re.compile(r"[#\s]|[^/\\]*:")


class Written(NamedTuple):
    """A playlist: where it lies, how many songs it holds, and how many have names that it cannot hold."""

    path: Path
    n_songs: int
    n_left_out: int


def find_quadrants(names: Sequence[str], targets: Sequence[str]) -> list[str]:
    """Quadrants as a user names them: "V+ A-", "v+a-" or "calm"; each once.

    Raises:
        ConfigError: an unknown one, or a model that predicts no valence or no arousal.
    """
    if names and not set(VALENCE_AROUSAL) <= set(targets):
        raise ConfigError(
            f"--m3u {names[0]}: quadrants take valence and arousal, and this model predicts {', '.join(targets)}. "
            "Leave --m3u out, or take another model."
        )
    return list(dict.fromkeys(map(_quadrant, names)))


def _quadrant(name: str) -> str:
    plain = re.sub(r"[\s,_]", "", name).lower().replace("\N{MINUS SIGN}", "-")
    known = {quadrant.replace(" ", "").lower(): quadrant for quadrant in QUADRANTS} | dict(
        zip(WORDS, QUADRANTS, strict=True)
    )
    if plain not in known:
        both = ", ".join(f'"{quadrant}" or {word}' for quadrant, word in zip(QUADRANTS, WORDS, strict=True))
        raise ConfigError(f'--m3u "{name}": no such quadrant.{did_you_mean(plain, list(WORDS))} There are {both}.')
    return known[plain]


def write_playlist(folder: Path, quadrant: str, songs: Sequence[tuple[Path, Row]], centre: float) -> Written:
    """Write `<quadrant>.m3u8`, whole or not at all; without a song it is an empty list.

    Args:
        folder: where to.
        quadrant: one of `QUADRANTS`.
        songs: files with their rows; those of other quadrants are left out.
        centre: of the scale of the rows.

    Raises:
        StorageError: it cannot be written.
    """
    chosen = sorted(
        (song for song in songs if song[1].get("quadrant") == quadrant), key=lambda song: -_distance(song[1], centre)
    )
    lines = ["#EXTM3U", f"#PLAYLIST:{quadrant} ({WORDS[QUADRANTS.index(quadrant)]})"]
    n_songs = 0
    for path, row in chosen:
        place = entry(path, folder)
        if place is not None:
            lines += [f"#EXTINF:{round(row['duration_s'])},{_title(path)}", place]
            n_songs += 1
    target = folder / f"{quadrant}.m3u8"
    write_text(target, "\n".join(lines) + "\n")
    return Written(target, n_songs, len(chosen) - n_songs)


def entry(path: Path, folder: Path) -> str | None:
    """The line for a file in a playlist of a folder; None where no line can hold it."""
    try:
        text = os.path.relpath(path.absolute(), folder.resolve())
    except ValueError:  # on another drive
        text = str(path.absolute())
    if re.search(r"[\r\n]", text) or not _is_text(text):
        return None
    return f"./{text}" if _MISREAD.match(text) and not Path(text).is_absolute() else text


def _distance(row: Row, centre: float) -> float:
    return math.hypot(*(row[target] - centre for target in VALENCE_AROUSAL))


def _title(path: Path) -> str:
    """Artist and title as the file's tags have them, or its name; on one line."""
    try:
        credits = read_tags(path)
        text = " - ".join(filter(None, (credits.artist, credits.title))) if credits.title else path.stem
    except Exception:  # mutagen raises whatever it meets in a damaged file, and a name will do
        text = path.stem
    return "".join(char if char.isprintable() else " " for char in text)


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
