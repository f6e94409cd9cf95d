"""Songs with numbers: the two records every data set is made of.

Conventions: valence stands before arousal; a target is on the data set's own scale; a song without audio is kept, with
`audio_path=None`, because embeddings computed elsewhere can still be compared on it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from affekt.data.ceiling import DEVIATIONS, SPLIT_HALF, estimates
from affekt.data.curves import Curve, is_whole
from affekt.errors import ConfigError, DataError

VALENCE_AROUSAL = ("valence", "arousal")
#: Columns that every song has, if only empty; songs can share a value of the first three.
CREDITS = ("artist", "genre", "part", "title")
#: Fewer moments of a song than this have no course.
MIN_FRAMES = 2


@dataclass(frozen=True)
class Song:
    """One song with its annotation.

    Attributes:
        id: unique within the data set.
        audio_path: the file, or None where only labels are at hand.
        targets: mean annotation per target, in the order of `Dataset.target_names`, on the data set's scale.
        target_std: standard deviation between raters per target, same order; None where unknown.
        n_raters: how many raters stand behind each mean; None where unknown.
        artist: for grouping; None makes the song a group of its own.
        genre, part, title: for the report and for splits; None where unknown.
        attributes: what further columns say, as pairs of column and value; a column without a value is left out.
        ratings: each rater's annotation, shape (n_raters, n_targets), where single ratings are known.
        curve: the annotation over time, where the data set was loaded with it; `targets` are then its mean.
    """

    id: str
    audio_path: Path | None
    targets: tuple[float, ...]
    target_std: tuple[float, ...] | None = None
    n_raters: int | None = None
    artist: str | None = None
    genre: str | None = None
    part: str | None = None
    title: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    ratings: tuple[tuple[float, ...], ...] | None = field(default=None, repr=False)
    curve: Curve | None = field(default=None, repr=False)

    def value(self, column: str) -> str | None:
        """What a column says about this song: artist, genre, part, title, or one of `attributes`; None for nothing.

        Names are matched whatever their case, unless two columns differ in nothing else.
        """
        said = dict(self.attributes) | {name: value for name in CREDITS if (value := getattr(self, name)) is not None}
        if column in said:
            return said[column]
        return next((value for name, value in said.items() if name.casefold() == column.casefold()), None)


@dataclass(frozen=True)
class Dataset:
    """Songs that share targets and a scale.

    Attributes:
        name: as registered ("deam", "folder", "demo").
        songs: all songs with labels, those without audio included.
        target_names: valence before arousal where both are present.
        scale: lowest and highest value an annotation can take.
        notes: what a reader of a result must know about the labels and the songs, one sentence each.
        synthetic: True where music and ratings were generated.
        ceiling: the highest R2 that a perfect model could reach, per target; None where unknown.
        ceiling_method: how it was found: "rater deviations", "split-half", or "construction" for generated labels.
        ceiling_interval: its 95 % interval per target, where one is known.
        labels: which version of the annotations this is, where a data set has several ("corrected", "raw").
        catalogue: whose song ids these are: two data sets of one catalogue have the same recording under the same id.
            None for ids that mean nothing elsewhere.
        test_ids: of two data sets joined (`affekt.data.joined`): the songs that are tested, all others only train.
    """

    name: str
    songs: tuple[Song, ...]
    target_names: tuple[str, ...] = VALENCE_AROUSAL
    scale: tuple[float, float] = (1.0, 9.0)
    notes: tuple[str, ...] = ()
    synthetic: bool = False
    ceiling: tuple[float, ...] | None = None
    labels: str | None = None
    ceiling_method: str | None = None
    ceiling_interval: tuple[tuple[float, float], ...] | None = None
    catalogue: str | None = None
    test_ids: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        odd = [song.id for song in self.songs if len(song.targets) != len(self.target_names)]
        if odd:
            raise DataError(
                f"{self.name}: {len(odd)} songs do not have one annotation for each of {', '.join(self.target_names)}: "
                f"{named(odd)}"
            )
        unknown = [song.id for song in self.songs if not np.isfinite((*song.targets, *(song.target_std or ()))).all()]
        if unknown:
            raise DataError(
                f"{self.name}: {len(unknown)} songs have an annotation or a standard deviation that is not a finite "
                f"number: {named(unknown)}. Leave them out."
            )
        curved = [song for song in self.songs if song.curve is not None]
        broken = [song.id for song in curved if not is_whole(song.curve, len(self.target_names))]  # type: ignore[arg-type]
        if broken or len(curved) not in (0, len(self.songs)):
            raise DataError(
                f"{self.name}: annotations over time are there for {len(curved)} of {len(self.songs)} songs, and "
                f"{len(broken)} of them have none for some target, or times that do not ascend: {named(broken)}. "
                "Leave out the songs without them."
            )
        repeated = _repeated(song.id for song in self.songs)
        if repeated:
            raise DataError(f"{self.name}: {len(repeated)} song ids occur more than once: {named(repeated)}")

    def __len__(self) -> int:
        return len(self.songs)

    @property
    def ids(self) -> list[str]:
        """Song ids in the order of `songs`."""
        return [song.id for song in self.songs]

    @property
    def dynamic(self) -> bool:
        """Whether songs are annotated over time; each then has a curve, and `targets` are its mean."""
        return bool(self.songs) and self.songs[0].curve is not None

    @property
    def with_audio(self) -> tuple[Song, ...]:
        """The songs whose audio file is at hand."""
        return tuple(song for song in self.songs if song.audio_path is not None)

    @property
    def without_audio(self) -> tuple[Song, ...]:
        """The songs with labels and no audio file."""
        return tuple(song for song in self.songs if song.audio_path is None)

    def targets(self) -> np.ndarray:
        """Annotations, shape (n_songs, n_targets), on the data set's scale."""
        return np.array([song.targets for song in self.songs], dtype=np.float64).reshape(-1, len(self.target_names))

    def columns(self) -> dict[str, Counter[str]]:
        """How often each value occurs, for every column that songs can share: artist, genre, part, attributes."""
        found: dict[str, Counter[str]] = {}
        for song in self.songs:
            credits = [(name, value) for name in CREDITS[:3] if (value := getattr(song, name)) is not None]
            for column, value in (*credits, *song.attributes):
                found.setdefault(column, Counter())[value] += 1
        return dict(sorted(found.items(), key=lambda item: (item[0] not in CREDITS, item[0])))

    def select(self, ids: Iterable[str]) -> Dataset:
        """The data set reduced to `ids`, in the data set's own order, with the ceiling of these songs.

        A ceiling that does not come from raters is kept where the songs' raters are unknown.
        """
        keep = set(ids)
        chosen = replace(self, songs=tuple(song for song in self.songs if song.id in keep))
        if len(chosen) == len(self):
            return chosen
        rated = chosen.with_ceiling()
        return chosen if rated.ceiling is None and self.ceiling_method not in (DEVIATIONS, SPLIT_HALF) else rated

    def of_parts(self, parts: Sequence[str]) -> Dataset:
        """The songs whose part is one of these, such as "2014" and "2015" of DEAM.

        Raises:
            ConfigError: no song is of such a part.
        """
        found = Counter(song.part for song in self.songs if song.part is not None)
        unknown = [part for part in parts if part not in found]
        if unknown or not parts:
            has = ", ".join(f"{part} ({n} songs)" for part, n in sorted(found.items())) or "none"
            raise ConfigError(f"{self.name}: parts = {list(parts)}; name one or more of those there are: {has}.")
        chosen = self.select(song.id for song in self.songs if song.part in parts)
        note = f"Only {', '.join(parts)} of the parts: {len(chosen)} of {len(self)} songs."
        return replace(chosen, notes=(note, *self.notes))

    def with_ceiling(self) -> Dataset:
        """The same songs with the ceiling that their raters give; None where the raters are unknown."""
        found = next(iter(estimates(self.songs)), None)
        if found is None:
            return replace(self, ceiling=None, ceiling_method=None, ceiling_interval=None)
        intervals = tuple(one.interval for one in found.targets if one.interval is not None)
        return replace(
            self,
            ceiling=tuple(one.r2 for one in found.targets),
            ceiling_method=found.method,
            ceiling_interval=intervals if len(intervals) == len(found.targets) else None,
        )

    def thinned(self, hop_s: float) -> Dataset:
        """Annotated over time: the songs with moments `hop_s` apart; songs with a single one are left out, and noted.

        Raises:
            ConfigError: `hop_s` is no multiple of the time between two annotations.
            DataError: no song has `MIN_FRAMES` moments.
        """
        curves = {song.id: song.curve.thinned(hop_s) for song in self.songs if song.curve is not None}
        short = [song for song, curve in curves.items() if len(curve) < MIN_FRAMES]
        if len(short) == len(curves):
            raise DataError(f"{self.name}: no song has {MIN_FRAMES} moments {hop_s:g} s apart. Choose a shorter hop.")
        songs = [
            replace(song, curve=curve, targets=curve.mean)
            for song in self.songs
            if len(curve := curves[song.id]) >= MIN_FRAMES
        ]
        told = (
            [f"{len(short)} songs with fewer than {MIN_FRAMES} moments are left out: {named(short)}."] if short else []
        )
        return replace(self, songs=tuple(songs), notes=(*self.notes, *told))

    def fingerprint(self) -> str:
        """Hash of ids, labels, scale and all that splits follow: the same hash gives the same splits and scores."""
        rows = [[song.id, song.targets, song.artist, song.genre, song.part, song.attributes] for song in self.songs]
        curves = [[s.id, s.curve.times_s.tolist(), s.curve.values.tolist()] for s in self.songs if s.curve is not None]
        text = json.dumps(
            [self.name, self.target_names, self.scale, rows, *([curves] if curves else [])], sort_keys=True
        )
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def chosen_targets(dataset: str, targets: Sequence[str] | None) -> tuple[str, ...]:
    """The targets that were asked for of a data set that has valence and arousal, valence first; both by default.

    Raises:
        DataError: another one, none, or one twice.
    """
    asked = [targets] if isinstance(targets, str) else list(VALENCE_AROUSAL if targets is None else targets)
    unknown = [name for name in asked if name not in VALENCE_AROUSAL]
    if unknown or not asked or len(set(asked)) < len(asked):
        raise DataError(f"targets = {asked}; {dataset} has valence and arousal. Name one of them, or both, once.")
    return tuple(name for name in VALENCE_AROUSAL if name in asked)


def lacking_notes(songs: Sequence[Song]) -> Iterator[str]:
    """What a reader must know of songs without audio and without an artist."""
    silent = [song.id for song in songs if song.audio_path is None]
    if silent:
        yield f"{len(silent)} of {len(songs)} songs have labels and no audio file: {named(silent)}."
    unknown = sum(song.artist is None for song in songs)
    if unknown:
        yield f"The artist of {unknown} of {len(songs)} songs is unknown; each of them counts as an artist of its own."


def valence_arousal_columns(targets: Sequence[str]) -> tuple[int, int] | None:
    """Where valence and arousal stand among the targets, by name: "valence" or "valence_...", or None."""
    columns = [_column(targets, name) for name in VALENCE_AROUSAL]
    return None if None in columns else (columns[0], columns[1])  # type: ignore[return-value]


def named(items: Sequence[str], at_most: int = 5) -> str:
    """The first few of `items`, and how many more there are: '2, 3, 4 and 12 more'."""
    shown = ", ".join(str(item) for item in items[:at_most])
    return shown if len(items) <= at_most else f"{shown} and {len(items) - at_most} more"


def _column(targets: Sequence[str], name: str) -> int | None:
    candidates = [i for i, target in enumerate(targets) if target == name or target.startswith(f"{name}_")]
    exact = [i for i in candidates if targets[i] == name]
    return next(iter(exact + candidates), None)


def _repeated(ids: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return [i for i in ids if i in seen or seen.add(i)]  # type: ignore[func-returns-value]
