"""Two data sets as one: all songs of the first train, all songs of the second are tested (cross-corpus).

Annotations of the tested songs are mapped linearly onto the scale of the first data set. Song ids get the name of their
data set in front. Nothing that is tested may be known from training: a recording that is in both is an error, whether
by its id, where two data sets number the same recordings, or by its audio file, where the two are equal byte by byte;
songs that train and whose artist is tested are left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from affekt.data.base import Dataset, Song, named
from affekt.data.curves import Curve
from affekt.data.deam import CATALOGUE as MEDIAEVAL
from affekt.data.metadata import artist_key
from affekt.errors import ConfigError, LeakageError

#: What to know of data sets that number the same recordings alike, and what to do, by their catalogue.
OVERLAPS = {
    MEDIAEVAL: "emoMusic is the 2013 part of DEAM: its 744 songs are DEAM's songs with ids up to 1000. Take DEAM's "
    'other songs alone: `parts: [2014, 2015]` beside `name: deam`, or in Python `dataset.of_parts(["2014", "2015"])`.'
}


def join(trained_on: Dataset, tested_on: Dataset) -> Dataset:
    """One data set whose `test_ids` are the songs of `tested_on`; its splits are "cross-corpus".

    Raises:
        ConfigError: the two have different targets, or one is annotated over time and the other is not; or no song is
            left to train on.
        LeakageError: a recording is in both.
    """
    _check_alike(trained_on, tested_on)
    refuse_overlap(trained_on, tested_on)
    learnt, removed = _without_artists_of(trained_on, tested_on)
    if not learnt:
        raise ConfigError(f"{trained_on.name}: no song is left to train on; all their artists are tested.")
    names = _different(trained_on.name, tested_on.name)
    tested = [_rescaled(song, tested_on.scale, trained_on.scale) for song in tested_on.songs]
    train, test = _prefixed(learnt, names[0]), _prefixed(tested, names[1])
    labels = list(dict.fromkeys(label for label in (trained_on.labels, tested_on.labels) if label))
    return Dataset(
        name=f"{trained_on.name} -> {tested_on.name}",
        songs=(*train, *test),
        target_names=trained_on.target_names,
        scale=trained_on.scale,
        notes=tuple(_notes(trained_on, tested_on, names, removed)),
        synthetic=trained_on.synthetic or tested_on.synthetic,
        labels=" -> ".join(labels) or None,
        test_ids=frozenset(song.id for song in test),
    )


def refuse_overlap(trained_on: Dataset, tested_on: Dataset) -> None:
    """Complain of recordings that are in both data sets.

    Raises:
        LeakageError: with the songs, the reason, and what to do.
    """
    refused = f"{tested_on.name} must not test what was trained on {trained_on.name}:"
    if trained_on.catalogue and trained_on.catalogue == tested_on.catalogue:
        shared = set(trained_on.ids) & set(tested_on.ids)
        if shared:
            songs = named([song for song in tested_on.ids if song in shared])
            why = OVERLAPS.get(trained_on.catalogue, "Leave them out on one side.")
            raise LeakageError(f"{refused} {len(shared)} songs are in both, under the same ids: {songs}. {why}")
    pairs = same_audio(trained_on.with_audio, tested_on.with_audio)
    if pairs:
        songs = named([f"{left.id} = {right.id}" for left, right in pairs])
        raise LeakageError(
            f"{refused} {len(pairs)} audio files are the same in both, byte by byte (trained = tested): {songs}. Leave "
            "these songs out on one side."
        )


def same_audio(left: Sequence[Song], right: Sequence[Song]) -> list[tuple[Song, Song]]:
    """Pairs of songs whose audio files are equal; only files with a twin in size are read. All songs have audio."""
    shared = {_size(song) for song in left} & {_size(song) for song in right}
    known = {_hash(song): song for song in reversed(left) if _size(song) in shared}
    hashes = [(_hash(song), song) for song in right if _size(song) in shared]
    return [(known[found], song) for found, song in hashes if found in known]


def _size(song: Song) -> int:
    assert song.audio_path is not None
    return song.audio_path.stat().st_size


def _hash(song: Song) -> str:
    assert song.audio_path is not None
    with song.audio_path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _check_alike(trained_on: Dataset, tested_on: Dataset) -> None:
    if trained_on.target_names != tested_on.target_names:
        raise ConfigError(
            f"{trained_on.name} has the targets {', '.join(trained_on.target_names)}, {tested_on.name} has "
            f"{', '.join(tested_on.target_names)}. Name the same for both (targets: [...])."
        )
    if trained_on.dynamic != tested_on.dynamic:
        over_time = trained_on if trained_on.dynamic else tested_on
        raise ConfigError(f"Only {over_time.name} is annotated over time. Choose the same `annotations` for both.")


def _without_artists_of(trained_on: Dataset, tested_on: Dataset) -> tuple[list[Song], list[Song]]:
    """The songs to train on, and those that do not train because their artist is tested."""
    tested = {_plain(song.artist) for song in tested_on.songs if song.artist}
    removed = [song for song in trained_on.songs if song.artist and _plain(song.artist) in tested]
    out = {song.id for song in removed}
    return [song for song in trained_on.songs if song.id not in out], removed


def _plain(artist: str) -> str:
    """An artist's name without case, punctuation, spaces and a leading "the": two data sets hardly agree on these."""
    words = re.findall(r"\w+", artist_key(artist))
    return "".join(words[1:] if words[:1] == ["the"] and len(words) > 1 else words) or artist


def _prefixed(songs: Sequence[Song], name: str) -> list[Song]:
    return [replace(song, id=f"{name}-{song.id}") for song in songs]


def _different(first: str, second: str) -> tuple[str, str]:
    return (first, second) if first != second else (f"{first}-trained", f"{second}-tested")


def _rescaled(song: Song, scale: tuple[float, float], onto: tuple[float, float]) -> Song:
    """The song with all its annotations mapped from one scale onto another."""
    if scale == onto:
        return song
    factor = (onto[1] - onto[0]) / (scale[1] - scale[0])

    def mapped(values: np.ndarray) -> np.ndarray:
        return np.interp(values, scale, onto)  # exact at both ends

    return replace(
        song,
        targets=tuple(mapped(np.array(song.targets)).tolist()),
        target_std=tuple(std * factor for std in song.target_std) if song.target_std else None,
        ratings=tuple(map(tuple, mapped(np.array(song.ratings)).tolist())) if song.ratings else None,
        curve=Curve(song.curve.times_s, mapped(song.curve.values)) if song.curve else None,
    )


def _notes(trained_on: Dataset, tested_on: Dataset, names: Sequence[str], removed: Sequence[Song]) -> Iterable[str]:
    yield (
        f"Cross-corpus: trained on {trained_on.name}, tested on {tested_on.name}. R2 is measured against the mean of "
        "the tested songs, which no encoder was told."
    )
    if trained_on.scale != tested_on.scale:
        low, high = (f"{one.scale[0]:g} to {one.scale[1]:g}" for one in (tested_on, trained_on))
        yield (
            f"Annotations of {tested_on.name} were mapped linearly from their scale, {low}, onto that of "
            f"{trained_on.name}, {high}."
        )
    yield (
        f"{len(removed)} of {len(trained_on)} songs of {trained_on.name} do not train, as their artist has songs in "
        f"{tested_on.name}{': ' + named([song.id for song in removed]) if removed else ''}."
    )
    for name, one in zip(names, (trained_on, tested_on), strict=True):
        yield from (f"{name}: {note}" for note in one.notes)
