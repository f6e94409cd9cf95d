"""What an audit finds, as records: findings with what to do about them, and the numbers behind them.

Conventions: valence stands before arousal; correlations name the static annotation first. A *fault* is wrong and must
be mended or left out, a *warning* changes what results mean, a *note* is good to know.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from affekt.data.ceiling import DEVIATIONS, Ceiling
from affekt.data.exchange import Agreement, Exchange

Level = Literal["fault", "warning", "note"]
LEVELS: tuple[Level, ...] = ("fault", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        level: "fault", "warning" or "note".
        topic: what it is about: "files", "labels", "annotations over time", "metadata", "audio", "splits".
        what: what was found, one sentence with its numbers.
        do: what to do about it, one sentence.
        ids: the songs or lines that it is about, as far as they can be named.
        blocks: True where the labels cannot be loaded because of it.
    """

    level: Level
    topic: str
    what: str
    do: str
    ids: tuple[str, ...] = ()
    blocks: bool = False


@dataclass(frozen=True)
class FileAudit:
    """A file that DEAM has, or may have.

    Attributes:
        name: its name.
        holds: what is in it.
        path: where it lies; None where it is missing.
        n_songs: songs in it, where it could be read.
    """

    name: str
    holds: str
    path: Path | None
    n_songs: int | None = None


@dataclass(frozen=True)
class SongAudit:
    """One song with its annotations as the files name them, and what is known of it.

    Attributes:
        id: song id.
        part: as in `PartAudit`.
        static: (valence, arousal) as the static file names them.
        dynamic: mean (valence, arousal) over time; None without dynamic annotations.
        artist, title, genre: in the one spelling that the artist has everywhere.
        licence: that the audio file states, in short; None where it states none or was not looked at.
    """

    id: str
    part: str
    static: tuple[float, float]
    dynamic: tuple[float, float] | None
    artist: str | None
    title: str | None
    genre: str | None
    licence: str | None


@dataclass(frozen=True)
class PartAudit:
    """One part of DEAM.

    Attributes:
        part: "2013", "2014", "2015"; "demo" for all songs of a generated copy.
        first_id, last_id: lowest and highest song id.
        n_songs, n_with_audio: songs with labels, and those of them with an audio file.
        agreement: of the static labels as the file has them with the dynamic ones.
    """

    part: str
    first_id: int
    last_id: int
    n_songs: int
    n_with_audio: int
    agreement: Agreement


@dataclass(frozen=True)
class CeilingAudit:
    """The noise ceiling of a range of songs. Labels are put right first, unless the check is undecided.

    Attributes:
        songs: which songs, in a word or two.
        valence, arousal: what was found.
        method: "rater deviations", or "split-half" where the copy holds single ratings.
    """

    songs: str
    valence: Ceiling
    arousal: Ceiling
    method: str = DEVIATIONS


@dataclass(frozen=True)
class ArtistAudit:
    """Who made the songs, and what a split that ignores it would leak.

    Attributes:
        n_known: songs whose artist is known.
        n_artists: distinct artists among them.
        n_sharing: songs that share their artist with another song.
        n_sharing_2013: the same within the 2013 part.
        expected_leak: share of test songs of a random 80/20 split that have their artist among the training songs,
            on average.
        n_names: distinct names that the metadata files have for them, whatever their case, before titles are cut off.
        respelled: (name in the files, artist) where they differ.
    """

    n_known: int
    n_artists: int
    n_sharing: int
    n_sharing_2013: int
    expected_leak: float
    n_names: int = 0
    respelled: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Loudness:
    """Spearman's rank correlation of loudness with the labels, put right; loudness follows arousal.

    Attributes:
        songs: which songs.
        n_songs: how many.
        valence, arousal: the correlations.
        interval: 95 %, of arousal's less valence's, over resampled songs; None for too few to tell.
    """

    songs: str
    n_songs: int
    valence: float
    arousal: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class AudioAudit:
    """What the audio files hold.

    Attributes:
        n_files: files with the name of a song.
        n_whole: those that can be used.
        hours: their length together.
        sample_rates_hz, channels: number of files by rate and by channels, the most frequent first.
        licences: number of files by licence, the most frequent first.
        loudness: how loudness goes with the labels.
    """

    n_files: int
    n_whole: int
    hours: float
    sample_rates_hz: dict[str, int]
    channels: dict[str, int]
    licences: dict[str, int]
    loudness: tuple[Loudness, ...]


@dataclass(frozen=True)
class DeamAudit:
    """The findings about one copy of DEAM.

    Attributes:
        root: where the copy lies.
        n_songs, n_with_audio: songs with labels, and those of them with an audio file.
        synthetic: True for a generated copy.
        files: what DEAM consists of, and where it lies here.
        parts: one record for each part that the copy holds.
        exchange: whether valence and arousal are exchanged for the ids up to 1000.
        artists: who made the songs.
        ceilings: one record for each part and one for 2013 and 2014 together, for each method that the copy allows.
        audio: what the audio files hold; None where they were not listened to.
        findings: faults first, then warnings, then notes.
        songs: one record for each song with labels.
        usable: whether the data set loads by default.
        verdict: what to make of it, in a sentence or two.
    """

    root: Path
    n_songs: int
    n_with_audio: int
    synthetic: bool
    files: tuple[FileAudit, ...]
    parts: tuple[PartAudit, ...]
    exchange: Exchange
    artists: ArtistAudit
    ceilings: tuple[CeilingAudit, ...]
    audio: AudioAudit | None
    findings: tuple[Finding, ...]
    songs: tuple[SongAudit, ...]
    usable: bool
    verdict: str

    def of_level(self, level: Level) -> tuple[Finding, ...]:
        """The findings of one level."""
        return tuple(finding for finding in self.findings if finding.level == level)

    def as_dict(self) -> dict[str, Any]:
        """All findings as numbers, strings, lists and dictionaries; what is undefined is None."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    def summary_lines(self) -> list[str]:
        """All findings as text: tables of fixed width, the verdict last, as one long line."""
        from affekt.data.audit.text import summary_lines

        return summary_lines(self)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
