"""Artist, title and genre of DEAM's songs, from untidy CSV files and from ID3 tags.

The published copies of `metadata_2013.csv`, `_2014` and `_2015` were never quoted properly: tabs inside the quotes,
a comma within a name spilling it over two cells, a song's tags running on past the last named column, and in 2013
file names cut at the wrong dash ("Kevin MacLeod-Night on the Docks", "Sax"). What matters is that one artist is
always the same string, because folds are grouped by it.

`read_metadata` gives one `Credits` for each song id; `read_tags` asks an audio file, `read_licence` what it says of its
licence.
"""

from __future__ import annotations

import csv
import html
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from affekt.errors import DataError


@dataclass(frozen=True)
class Credits:
    """Who made a song and what it is called; None where unknown."""

    artist: str | None = None
    title: str | None = None
    genre: str | None = None

    def filled(self, other: Credits) -> Credits:
        """These credits, with `other`'s where something is unknown."""
        return Credits(self.artist or other.artist, self.title or other.title, self.genre or other.genre)


# Column names in the copies that are about.
_ID = ("song_id", "songid", "musicid", "id", "track_id")
_ARTIST = ("artist", "artist_name")
_TITLE = ("title", "song title", "track", "song")
_GENRE = ("genre", "genres")
#: Column of emoMusic's songs_info.csv that names the official split, and what stands in it.
OFFICIAL_COLUMN = "Mediaeval 2013 set"
OFFICIAL_SETS = ("development", "evaluation")

_LICENCE_TAGS = ("tcop", "wcop", "copyright", "license", "licence", "cprt", "\u00a9cpy")
_CC_ADDRESS = re.compile(r"creativecommons\.org/licenses/([a-z]+(?:-[a-z]+)*)/(\d\.\d)", re.IGNORECASE)
_PUBLIC_DOMAIN = re.compile(r"creativecommons\.org/publicdomain|public ?domain|\bcc0\b", re.IGNORECASE)
# In the order in which the licences put them.
_CC_WORDS = (("noncommercial", "NC"), ("sharealike", "SA"), ("noderiv", "ND"))

# The genres of the three years. In a row whose cells slipped, nothing else is taken for a genre.
_GENRES = (
    "Blues", "Classical", "Country", "Electronic", "Experimental", "Folk", "Hip-Hop", "Instrumental", "International",
    "Jazz", "Pop", "Rock", "SoulRB", "Spoken", "Acoustic", "Electronic/Fusion", "Groove", "Rap", "Reggae",
    "Singer/Songwriter", "World", "World/Folk",
)  # fmt: skip
_GENRE_BY_KEY = {genre.casefold(): genre for genre in _GENRES} | {"hiphop": "Hip-Hop"}

# Rows that no rule can read. 1459: the album "Live at WFMU on ... September 25, 2011" stands first, spilled, and the
# artist last: the columns are in another order than in the rest of the file.
_MENDED_ROWS = {"1459": ("Live at WFMU", Credits("Bird of Youth", "Sons And Daughters", "Folk"))}


def read_metadata(paths: Sequence[Path], mend: bool = True) -> dict[str, Credits]:
    """Credits by song id from metadata CSV files.

    Artists are mended over all files together, so that each has one spelling (`unify_artists`).

    Args:
        paths: the files.
        mend: whether titles may have slipped into the artists' names, as in DEAM.

    Raises:
        DataError: a file has no column for the song's id or the artist.
    """
    return unify_artists(read_written(paths), mend)


def read_written(paths: Sequence[Path]) -> dict[str, Credits]:
    """Credits by song id as the files spell them; where two files know a song the first one counts.

    Raises:
        DataError: a file has no column for the song's id or the artist.
    """
    return merged([_read_file(path) for path in paths])


def merged(sources: Sequence[Mapping[str, Credits]]) -> dict[str, Credits]:
    """Credits by song id from several sources; what the first does not know, the second fills."""
    found: dict[str, Credits] = {}
    for source in sources:
        for song_id, one in source.items():
            found[song_id] = found[song_id].filled(one) if song_id in found else one
    return found


def read_official_sets(paths: Sequence[Path]) -> dict[str, str]:
    """Which set of MediaEval 2013 each song belongs to, by song id, from the files that have such a column."""
    found: dict[str, str] = {}
    for path in paths:
        rows = _rows(path)
        header = [" ".join(name.split()).casefold() for name in rows[0]] if rows else []
        at = next((header.index(name) for name in _ID if name in header), None)
        if at is None or OFFICIAL_COLUMN.casefold() not in header:
            continue
        for cells in rows[1:]:
            # The column stands behind names that may have spilled over, so the row is asked as a whole, from its end.
            marks = [cell.strip().casefold() for cell in reversed(cells) if cell.strip().casefold() in OFFICIAL_SETS]
            song_id = cells[at].strip() if len(cells) > at else ""
            if marks and song_id.isascii() and song_id.isdigit():
                found[str(int(song_id))] = marks[0]
    return found


def read_tags(path: Path) -> Credits:
    """Credits from an audio file's own tags (ID3 TPE1, TIT2, TCON, or what other formats have for them)."""
    import mutagen

    try:
        tags = mutagen.File(path, easy=True)
    except (mutagen.MutagenError, OSError):
        return Credits()
    if tags is None or not hasattr(tags, "get"):
        return Credits()
    first = {name: _tidy(str((_listed(tags, name) or [""])[0])) for name in ("artist", "title", "genre")}
    return Credits(first["artist"], first["title"], _main_genre(first["genre"] or "") or first["genre"])


def fill_from_tags(credits: Mapping[str, Credits], audio: Mapping[str, Path], mend: bool = True) -> dict[str, Credits]:
    """Credits by song id, filled from the audio's tags where no artist is known; each artist in one spelling."""
    found = dict(credits)
    for song_id, path in audio.items():
        known = found.get(song_id, Credits())
        if known.artist is None:
            found[song_id] = known.filled(read_tags(path))
    return unify_artists(found, mend)


def read_licence(path: Path) -> str | None:
    """The licence that an audio file's own tags state, in short: "CC BY-NC-SA 3.0"; None where they state none.

    Asked are ID3's TCOP and WCOP, and what other formats have for them.
    """
    import mutagen

    try:
        tags = mutagen.File(path)
    except (mutagen.MutagenError, OSError):
        return None
    found = getattr(tags, "tags", None)
    said = [] if found is None else [str(value) for key, value in _items(found) if key.casefold() in _LICENCE_TAGS]
    return short_licence(" ".join(said))


def short_licence(text: str) -> str | None:
    """What a statement of copyright comes to: "Attribution-Noncommercial 3.0 ...: http://..." is CC BY-NC 3.0."""
    said = _tidy(text)
    if said is None:
        return None
    address = _CC_ADDRESS.search(said)
    if address:
        return f"CC {address.group(1).upper()} {address.group(2)}"
    if _PUBLIC_DOMAIN.search(said):
        return "CC0 or public domain"
    words = said.casefold()
    if "attribution" in words:
        terms = [short for word, short in _CC_WORDS if word in words.replace("-", "").replace(" ", "")]
        version = re.search(r"\d\.\d", said)
        return " ".join(["CC", "-".join(["BY", *terms]), *([version.group()] if version else [])])
    return "FMA-Limited" if "fma" in words and "limited" in words else said[:60]


def disagreements(one: Credits, other: Credits) -> dict[str, tuple[str, str]]:
    """Where two sources name another artist or title: (first, second) by "artist" and "title".

    Case, spaces, punctuation, the forms of Unicode and "&" for "and" make no difference, nor does a value that is not
    known.
    """
    found = {}
    for name in ("artist", "title"):
        mine, yours = getattr(one, name), getattr(other, name)
        if mine and yours and not _alike(mine, yours):
            found[name] = (mine, yours)
    return found


def _alike(one: str, other: str) -> bool:
    a, b = (re.sub(r"[\W_]+", "", artist_key(name).replace(" and ", "")) for name in (one, other))
    return a == b or not a or not b


def _items(tags: Any) -> list[tuple[str, Any]]:
    """Tags of any format as pairs; ID3's values are frames, those of others lists."""
    pairs = tags.items() if hasattr(tags, "items") else list(tags)
    return [(str(key).split(":")[0], value[0] if isinstance(value, list) and value else value) for key, value in pairs]


def artist_key(name: str) -> str:
    """What two spellings of one artist have in common: "My Bubba & Mi" and "My Bubba and Mi" have the same key."""
    text = unicodedata.normalize("NFKC", html.unescape(name)).casefold().replace("&", " and ")
    return " ".join(text.split())


def unify_artists(credits: Mapping[str, Credits], mend: bool = True) -> dict[str, Credits]:
    """Give each artist one spelling, the most frequent, and, to mend it, cut off titles that slipped into the name.

    Over DEAM's three files 948 distinct names become 927 artists: names that carry part of a title
    ("Circus Marcus-Aux puces nº2") join their artist's, one row has its columns in another order, one pair differs in
    "&" and "and". A joint project ("Cooper-Moore & Assif Tsahar") stays an artist of its own.
    """
    mended = _cut_titles(credits) if mend else dict(credits)
    spellings: dict[str, Counter[str]] = {}
    for one in mended.values():
        if one.artist:
            spellings.setdefault(artist_key(one.artist), Counter())[one.artist] += 1
    display = {key: max(sorted(names), key=names.__getitem__) for key, names in spellings.items()}
    return {
        song: replace(one, artist=display[artist_key(one.artist)]) if one.artist else one
        for song, one in mended.items()
    }


def _read_file(path: Path) -> dict[str, Credits]:
    rows = _rows(path)
    header = [" ".join(name.split()).casefold() for name in rows[0]] if rows else []
    columns = {
        kind: next((header.index(name) for name in names if name in header), None)
        for kind, names in (("id", _ID), ("artist", _ARTIST), ("title", _TITLE), ("genre", _GENRE))
    }
    if columns["id"] is None or columns["artist"] is None:
        found = ", ".join(filter(None, header)) or "nothing"
        raise DataError(
            f"{path}: needs a column song_id and a column artist; found: {found}. "
            "Mend the first line, or take the file away: artists are then read from the audio files."
        )
    n_named = len([name for name in header if name])
    credits = {}
    for cells in rows[1:]:
        song_id = cells[columns["id"]].strip() if len(cells) > columns["id"] else ""
        if song_id.isascii() and song_id.isdigit():
            credits[str(int(song_id))] = _read_row(str(int(song_id)), cells, columns, n_named)
    return credits


def _rows(path: Path) -> list[list[str]]:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # never fails; some copies were saved by a Windows spreadsheet
    try:
        return [row for row in csv.reader(text.splitlines(keepends=True)) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise DataError(f"{path}: not a CSV file ({error}). Take it away, or mend it.") from error


def _read_row(song_id: str, cells: list[str], columns: Mapping[str, int | None], n_named: int) -> Credits:
    """Credits of one row, spilled cells put together again."""
    start, mended = _MENDED_ROWS.get(song_id, ("", Credits()))
    if start and any(cell.strip().startswith(start) for cell in cells[1:2]):
        return mended
    whole = _rejoined(cells)
    if len(whole) < n_named:
        whole = cells  # nothing ran over: in a file without spare columns a space at the front is only a space

    def cell(kind: str, row: Sequence[str]) -> str:
        at = columns[kind]
        return row[at] if at is not None and at < len(row) else ""

    # Two cells put together move the genre to the left, unless the published row had made room for it.
    genre = _main_genre(cell("genre", cells)) or _main_genre(cell("genre", whole))
    if genre is None and len(whole) == len(cells):
        genre = _tidy(cell("genre", cells))
    title = cell("title", whole)
    if _all_genres(title) and len(whole) < len(cells):
        title = ""  # the spill pushed the title out of the row and the genre into its place
    return Credits(_tidy(cell("artist", whole)), _tidy(title), genre)


def _rejoined(cells: Sequence[str]) -> list[str]:
    """Put a cell that begins with a space back onto the one before it: it was cut at a comma within a name."""
    whole: list[str] = []
    for cell in cells:
        if whole and cell[:1] == " " and cell.strip():
            whole[-1] = f"{whole[-1].rstrip()},{cell}"
        else:
            whole.append(cell)
    return whole


def _main_genre(cell: str) -> str | None:
    """The first genre of a combination ("Pop-Experimental-Rock" is Pop: the one the song was chosen for), or None."""
    text = " ".join(cell.split()).casefold()
    if text in _GENRE_BY_KEY:
        return _GENRE_BY_KEY[text]
    starts = [key for key in _GENRE_BY_KEY if text.startswith(f"{key}-")]
    return _GENRE_BY_KEY[max(starts, key=len)] if starts and _all_genres(cell) else None


def _all_genres(cell: str) -> bool:
    text = " ".join(cell.split()).casefold().replace("hip-hop", "hiphop")
    return all(part in _GENRE_BY_KEY for part in text.split("-"))


def _cut_titles(credits: Mapping[str, Credits]) -> dict[str, Credits]:
    """Split "Artist-Part of a title" where what stands before the dash is known to be an artist.

    Known is a name that stands alone somewhere else, or that begins two names that go on differently ("Advent Chamber
    Orchestra-Dvorak" and "-Handel"). Where one of them goes on where the other ends ("Cooper-Moore" and "Cooper-Moore &
    Assif Tsahar") the dash belongs to the name.
    """
    alone = {artist_key(one.artist) for one in credits.values() if one.artist}
    starts: dict[str, list[str]] = {}
    for name in {one.artist for one in credits.values() if one.artist and "-" in one.artist}:
        starts.setdefault(artist_key(name.split("-", 1)[0]), []).append(artist_key(name))
    known = {start for start, names in starts.items() if start and (start in alone or _go_on_differently(names))}
    return {song: _cut_title(one, known) for song, one in credits.items()}


def _go_on_differently(names: Sequence[str]) -> bool:
    ordered = sorted(set(names))
    return len(ordered) > 1 and not any(b.startswith(a) for a, b in itertools.pairwise(ordered))


def _cut_title(one: Credits, known: set[str]) -> Credits:
    start, dash, rest = (one.artist or "").partition("-")
    if not dash or artist_key(start) not in known:
        return one
    title = " - ".join(part for part in (rest.strip(), one.title) if part)
    return replace(one, artist=start.strip(), title=title)


def _tidy(text: str) -> str | None:
    """Text without tabs, repeated spaces and HTML entities; None for nothing and for "n/a"."""
    plain = unicodedata.normalize("NFC", html.unescape(text).replace("\u00ad", ""))  # \u00ad: a soft hyphen
    tidy = " ".join(plain.split())
    if len(tidy) > 1 and tidy[0] == tidy[-1] == '"':
        tidy = tidy[1:-1].replace('""', '"')  # quoted once more after it had been quoted
    return None if tidy.casefold() in ("", "n/a", "none", "unknown", "unknown artist") else tidy


def _listed(tags: Mapping[str, list[str]], name: str) -> list[str] | None:
    try:
        return tags.get(name)
    except (KeyError, ValueError):
        return None  # a format without this tag: mutagen raises its own KeyErrors for names it does not know
