"""What a user's own copy of DEAM holds, what is wrong with it, and what to do.

Everything is recomputed from the files; but for the checksums of the distributed labels (`affekt.data.known`) no number
is known beforehand. `audit_deam` gives a `DeamAudit`, which prints itself as lines (`summary_lines`) and as plain data
(`as_dict`). Valence stands before arousal.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affekt.data.audit import findings as about
from affekt.data.audit.loudness import measure_loudness
from affekt.data.audit.reading import Reading, read_all
from affekt.data.audit.records import (
    LEVELS,
    ArtistAudit,
    AudioAudit,
    CeilingAudit,
    DeamAudit,
    FileAudit,
    Finding,
    PartAudit,
    SongAudit,
)
from affekt.data.audit.sound import Sound, listen_to_all
from affekt.data.base import Dataset, Song
from affekt.data.ceiling import SPLIT_HALF, estimates
from affekt.data.deam import N_SONGS, STATIC_NAMES, DeamCopy, build_dataset
from affekt.data.exchange import LAST_2014_ID, LAST_EXCHANGED_ID, measure_agreement, part_of
from affekt.data.kaggle import download_deam
from affekt.data.metadata import Credits, artist_key
from affekt.data.ratings import RATING_NAMES, match_ratings

# Of the random split whose leak is reported.
_TEST_SHARE = 0.2


def audit_deam(root: str | Path | None = None, audio: bool = True, quiet: bool = True) -> DeamAudit:
    """Read a copy of DEAM and check it, to the end, whatever is wrong with it.

    Args:
        root: as for `affekt.data.deam.load_deam`.
        audio: whether to listen to every audio file: about 700 clips a minute and core.
        quiet: no progress bar.

    Raises:
        DataError: the copy is not there, or not one label can be read. All else is a finding.
    """
    reading = read_all(download_deam() if root is None else Path(root).expanduser())
    copy = reading.copy
    decided = copy.exchange.state != "unclear"
    dataset = build_dataset(copy, "corrected" if decided else "raw")
    sounds = listen_to_all(_in_order(copy.files.audio), quiet) if audio else None
    artists = audit_artists(dataset.songs, reading.written)
    listened = None if sounds is None else _audit_audio(sounds, dataset if decided else None)
    found = _sorted(_findings(reading, dataset, artists, sounds, listened))
    usable = not any(finding.blocks for finding in found)
    return DeamAudit(
        root=copy.files.root,
        n_songs=len(dataset),
        n_with_audio=len(dataset.with_audio),
        synthetic=dataset.synthetic,
        files=tuple(_audit_files(reading)),
        parts=tuple(_audit_parts(copy)),
        exchange=copy.exchange,
        artists=artists,
        ceilings=tuple(_audit_ceilings(dataset)),
        audio=listened,
        findings=found,
        songs=tuple(_audit_songs(copy, sounds or ())),
        usable=usable,
        verdict=" ".join(_verdict(copy, dataset, found, usable)),
    )


def audit_artists(songs: Sequence[Song], written: Mapping[str, Credits] | None = None) -> ArtistAudit:
    """Count artists and the songs that share one.

    A test song of a random split leaks if at least one other song of its artist was drawn for training. With n songs
    in all, m of them drawn for testing and k by the artist, the chance is 1 - C(m - 1, k - 1) / C(n - 1, k - 1): the
    k - 1 others are not all among the m - 1 other test songs.

    Args:
        songs: with the one spelling that each artist has.
        written: what the metadata files say, by song id.
    """
    known = {song.id: song.artist for song in songs if song.artist is not None}
    count = Counter(known.values())
    early = Counter(artist for song, artist in known.items() if part_of(int(song)) == "2013")
    n_test = max(round(_TEST_SHARE * len(songs)), 1)
    leaks = [k * _leak_chance(len(songs), k, n_test) for k in count.values()]
    names = {song: one.artist for song, one in (written or {}).items() if one.artist and song in known}
    respelled = {(name, known[song]) for song, name in names.items() if name != known[song]}
    return ArtistAudit(
        n_known=len(known),
        n_artists=len(count),
        n_sharing=sum(k for k in count.values() if k > 1),
        n_sharing_2013=sum(k for k in early.values() if k > 1),
        expected_leak=sum(leaks) / len(songs) if songs else 0.0,
        n_names=len(set(map(artist_key, names.values()))),
        respelled=tuple(sorted(respelled)),
    )


def _leak_chance(n_songs: int, n_of_artist: int, n_test: int) -> float:
    others = n_of_artist - 1
    if others == 0:
        return 0.0
    return 1 - math.comb(n_test - 1, others) / math.comb(n_songs - 1, others)


def _findings(
    reading: Reading,
    dataset: Dataset,
    artists: ArtistAudit,
    sounds: Sequence[Sound] | None,
    listened: AudioAudit | None,
) -> list[Finding]:
    copy = reading.copy
    labels = {int(song.id): np.array(song.targets) for song in dataset.songs}
    found = [
        *reading.findings,
        *about.about_files(copy),
        *about.about_ids(reading),
        *about.about_labels(copy),
        *about.about_ratings(match_ratings(copy.ratings, labels).n_unmatched),
        *about.about_curves(reading),
        *about.about_artists(artists, len(dataset)),
        *about.about_titles(copy.credits, copy.ids.tolist()),
    ]
    if sounds is not None and listened is not None:
        found += [*about.about_tags(reading.written, sounds), *about.about_audio(sounds, copy.curves, listened)]
    return found


def _sorted(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: LEVELS.index(finding.level)))


def _in_order(audio: Mapping[str, Path]) -> dict[str, Path]:
    return {song: audio[song] for song in sorted(audio, key=int)}


def _audit_files(reading: Reading) -> list[FileAudit]:
    """What DEAM consists of, in the order of importance."""
    files = reading.copy.files
    ids = reading.copy.ids
    there = {
        path.name.lower(): path for path in (*files.static, *(files.dynamic or ()), *files.metadata, *files.ratings)
    }
    n_first = int((ids <= LAST_2014_ID).sum())
    n_labels = dict(zip(STATIC_NAMES, (n_first, len(ids) - n_first), strict=True))
    wanted = [
        *((name, "labels, one a song", n_labels[name] if name in there else None) for name in STATIC_NAMES),
        *(
            (f"{target}.csv", f"{target} over time", len(reading.series.get(f"{target}.csv", ())) or None)
            for target in ("valence", "arousal")
        ),
        *((f"metadata_{year}.csv", f"artists, titles, genres of {year}", None) for year in (2013, 2014, 2015)),
        ("songs_info.csv", "emoMusic's split of 2013", None),
        *((name, "single ratings", None) for name in RATING_NAMES),
    ]
    found = [FileAudit(name, holds, there.get(name), n) for name, holds, n in wanted]
    audio = next(iter(files.audio.values()), None)
    return [*found, FileAudit("<song id>.mp3", "audio", audio and audio.parent, len(files.audio))]


def _audit_parts(copy: DeamCopy) -> list[PartAudit]:
    part = [_part(song, bool(copy.synthetic)) for song in copy.ids.tolist()]
    found = []
    for name in sorted(set(part)):
        chosen = [i for i, own in enumerate(part) if own == name]
        ids = copy.ids[chosen]
        found.append(
            PartAudit(
                part=name,
                first_id=int(ids.min()),
                last_id=int(ids.max()),
                n_songs=len(ids),
                n_with_audio=sum(str(song) in copy.files.audio for song in ids.tolist()),
                agreement=measure_agreement(ids, copy.mean[chosen], copy.dynamic),
            )
        )
    return found


def _part(song_id: int, synthetic: bool) -> str:
    return "demo" if synthetic else part_of(song_id)


def _audit_songs(copy: DeamCopy, sounds: Sequence[Sound]) -> list[SongAudit]:
    licences = {sound.song_id: sound.licence for sound in sounds}
    found = []
    for song, (valence, arousal) in zip(copy.ids.tolist(), copy.mean.tolist(), strict=True):
        one = copy.credits.get(str(song), Credits())
        found.append(
            SongAudit(
                id=str(song),
                part=_part(song, bool(copy.synthetic)),
                static=(valence, arousal),
                dynamic=copy.dynamic.get(song),
                artist=one.artist,
                title=one.title,
                genre=one.genre,
                licence=licences.get(str(song)),
            )
        )
    return found


def _audit_ceilings(dataset: Dataset) -> list[CeilingAudit]:
    by_part: dict[str, list[Song]] = {}
    for song in dataset.songs:
        by_part.setdefault(_part(int(song.id), dataset.synthetic), []).append(song)
    ranges = dict(sorted(by_part.items()))
    if {"2013", "2014"} <= ranges.keys():
        ranges["2013 and 2014"] = [*ranges["2013"], *ranges["2014"]]
    if len(by_part) > 1:
        ranges["all"] = list(dataset.songs)
    found = []
    for name, songs in ranges.items():
        for one in estimates(songs):
            valence, arousal = one.targets
            found.append(CeilingAudit(name, valence, arousal, one.method))
    return sorted(found, key=lambda ceiling: ceiling.method == SPLIT_HALF)


def _audit_audio(sounds: Sequence[Sound], dataset: Dataset | None) -> AudioAudit:
    whole = [sound for sound in sounds if sound.fault is None]
    return AudioAudit(
        n_files=len(sounds),
        n_whole=len(whole),
        hours=sum(sound.duration_s for sound in whole) / 3600,
        sample_rates_hz=_frequencies(sound.sample_rate_hz for sound in whole),
        channels=_frequencies(sound.n_channels for sound in whole),
        licences=_frequencies(sound.licence or "not stated" for sound in sounds),
        loudness=tuple(measure_loudness(whole, dataset)) if dataset else (),
    )


def _frequencies(values: Any) -> dict[str, int]:
    return {str(value): n for value, n in Counter(values).most_common()}


def _verdict(copy: DeamCopy, dataset: Dataset, found: Sequence[Finding], usable: bool) -> list[str]:
    n, exchange = copy.exchange.n_songs, copy.exchange
    sayings = {
        "exchanged": f"Valence and arousal are exchanged for {n} songs of this copy (ids up to {LAST_EXCHANGED_ID}); "
        'labels="corrected", the default, puts them right, labels="raw" keeps them.',
        "straight": f"Valence and arousal of the {n} songs up to id {LAST_EXCHANGED_ID} are the right way round in "
        "this copy; nothing is exchanged.",
        "absent": "This copy holds none of the songs whose valence and arousal are exchanged (ids up to "
        f"{LAST_EXCHANGED_ID}).",
        "unclear": f"Whether valence and arousal of {n} songs (ids up to {LAST_EXCHANGED_ID}) are exchanged cannot be "
        f"told: {exchange.evidence}.",
    }
    sentences = [sayings[exchange.state]]
    if len(dataset) < N_SONGS and not dataset.synthetic:
        sentences.append(f"{N_SONGS - len(dataset)} of DEAM's {N_SONGS} songs have no labels here.")
    if dataset.without_audio:
        sentences.append(f"{len(dataset.without_audio)} songs lack their audio.")
    if sum(song.artist is not None for song in dataset.songs) > len({song.artist for song in dataset.songs} - {None}):
        sentences.append("Group folds by artist: a random split leaks.")
    n_faults = sum(finding.level == "fault" for finding in found)
    faults = f"{n_faults} {'fault' if n_faults == 1 else 'faults'}"
    if not usable:
        sentences.append(f"Not usable as it is: {faults}; what to do stands with each.")
    else:
        sentences.append(f"Usable{f', but for {faults}' if n_faults else ''}.")
    return sentences
