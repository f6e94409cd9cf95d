"""A copy of a data set whose songs have a static annotation each and, beside it, annotations over time.

emoMusic and PMEmo are of this kind. A loader reads its own files into an `AnnotatedCopy`, which makes the data set and
checks that valence and arousal stand under their own names.

Conventions: valence stands before arousal; songs are numbered by the authors and sorted by number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from affekt.data.base import VALENCE_AROUSAL, Dataset, Song, chosen_targets, lacking_notes
from affekt.data.curves import Curve, check_annotations
from affekt.data.exchange import Agreement, measure_agreement
from affekt.data.metadata import OFFICIAL_COLUMN, Credits
from affekt.errors import DataError

Pair = tuple[float, ...]


@dataclass(frozen=True)
class AnnotatedCopy:
    """A user's copy, read and checked.

    Attributes:
        name: of the data set, as registered.
        title: as its authors write it, for messages.
        root: the folder that the user named.
        scale, dynamic_scale: lowest and highest value of static annotations and of those over time.
        dynamic_names: the files of annotations over time, for messages.
        n_raters: behind every static annotation, at least.
        mean: static (valence, arousal) by song id.
        std: their standard deviations between raters, where the copy has them.
        curves: annotations over time by song id; empty where the copy has none.
        audio: audio file by song id.
        credits: artist, title and genre by song id.
        official_sets: "development" or "evaluation" by song id, where the copy tells.
        catalogue: whose song ids these are; see `Dataset.catalogue`.
        follows: whether the distributed static annotations are known to follow those over time, so that a copy in
            which they do not is damaged.
    """

    name: str
    title: str
    root: Path
    scale: tuple[float, float]
    dynamic_scale: tuple[float, float]
    dynamic_names: tuple[str, ...]
    n_raters: int
    mean: dict[int, Pair]
    std: dict[int, Pair] = field(default_factory=dict)
    curves: dict[int, Curve] = field(default_factory=dict)
    audio: dict[str, Path] = field(default_factory=dict)
    credits: dict[str, Credits] = field(default_factory=dict)
    official_sets: dict[str, str] = field(default_factory=dict)
    catalogue: str | None = None
    follows: bool = False

    def dataset(self, targets: Sequence[str] | None, annotations: str) -> Dataset:
        """The data set with the targets and the kind of annotations asked for.

        Raises:
            DataError: an unknown target; valence and arousal under each other's names; no annotations over time.
            ConfigError: `annotations` is neither "static" nor "dynamic".
        """
        check_annotations(self.name, annotations)
        names = chosen_targets(self.title, targets)
        columns = [VALENCE_AROUSAL.index(name) for name in names]
        self._check_exchange()
        dynamic = annotations == "dynamic"
        if dynamic and not self.curves:
            needed = " and ".join(self.dynamic_names)
            raise DataError(f"{self.root}: no annotations over time. Put {needed} of {self.title} anywhere below it.")
        songs = tuple(self._curved(i, columns) if dynamic else self._rated(i, columns) for i in self._ids(dynamic))
        dataset = Dataset(
            name=self.name,
            songs=songs,
            target_names=names,
            scale=self.dynamic_scale if dynamic else self.scale,
            notes=tuple(self._notes(songs, dynamic)),
            catalogue=self.catalogue,
        )
        return dataset if dynamic else dataset.with_ceiling()

    @cached_property
    def agreement(self) -> Agreement:
        """How the static annotations correlate with the mean of those over time."""
        ids = sorted(self.mean)
        means = {song: curve.mean for song, curve in self.curves.items()}
        return measure_agreement(
            np.array(ids),
            np.array([self.mean[song] for song in ids]),
            {song: (valence, arousal) for song, (valence, arousal) in means.items()},
        )

    def _ids(self, dynamic: bool) -> list[int]:
        return sorted(self.curves if dynamic else self.mean)

    def _rated(self, song_id: int, columns: Sequence[int]) -> Song:
        std = self.std.get(song_id)
        return self._song(
            song_id,
            tuple(self.mean[song_id][i] for i in columns),
            target_std=tuple(std[i] for i in columns) if std else None,
            n_raters=self.n_raters,
        )

    def _curved(self, song_id: int, columns: Sequence[int]) -> Song:
        curve = self.curves[song_id].select(columns)
        return self._song(song_id, curve.mean, curve=curve)

    def _song(
        self,
        song_id: int,
        targets: tuple[float, ...],
        target_std: tuple[float, ...] | None = None,
        n_raters: int | None = None,
        curve: Curve | None = None,
    ) -> Song:
        name = str(song_id)
        credits, official = self.credits.get(name, Credits()), self.official_sets.get(name)
        return Song(
            id=name,
            audio_path=self.audio.get(name),
            targets=targets,
            target_std=target_std,
            n_raters=n_raters,
            artist=credits.artist,
            genre=credits.genre,
            title=credits.title,
            attributes=((OFFICIAL_COLUMN, official),) if official else (),
            curve=curve,
        )

    def _check_exchange(self) -> None:
        if not self.curves or self.agreement.state == "straight":
            return
        if self.agreement.state == "exchanged":
            raise DataError(
                f"{self.root}: valence and arousal stand under each other's names in one of the files: "
                f"{self.agreement.describe()}. As distributed, {self.title} has them right: get the annotations again."
            )
        if self.follows and self.agreement.enough:
            raise DataError(
                f"{self.root}: the static annotations do not follow those over time: {self.agreement.describe()}. As "
                f"distributed, those of {self.title} do; one of the files is damaged, so get the annotations again."
            )

    def _notes(self, songs: Sequence[Song], dynamic: bool) -> Iterator[str]:
        if dynamic:
            low, high = self.dynamic_scale
            yield (
                f"Annotated over time, averaged over raters, scale {low:g} to {high:g}; a song's own annotation is the "
                "mean over time."
            )
        if not self.curves:
            yield "Whether valence and arousal are the right way round was not checked: no annotations over time."
        elif self.agreement.state == "straight":
            yield f"Valence and arousal are the right way round: {self.agreement.describe()}."
        else:
            yield f"Static annotations do not clearly follow those over time: {self.agreement.describe()}."
        yield from lacking_notes(songs)
