"""What is in a data set, in words: DEAM gets its audit, every other data set an overview."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from affekt.data import load_dataset
from affekt.data.audit import DeamAudit, audit_deam
from affekt.data.base import Dataset, named
from affekt.data.ceiling import estimates
from affekt.registry import DATASETS


@dataclass(frozen=True)
class Overview:
    """A data set in a few numbers.

    Attributes:
        targets: per target: lowest, mean and highest annotation.
        ceilings: how it was found ("split-half", "rater deviations", "construction") to the highest R2 per target, the
            one that a result is held against first.
        columns: number of different values in each column that songs can share.
        without_audio: ids of songs with labels and no file.
    """

    name: str
    n_songs: int
    n_with_audio: int
    n_artists: int
    targets: dict[str, tuple[float, float, float]]
    scale: tuple[float, float]
    ceilings: dict[str, tuple[float, ...]]
    columns: dict[str, int]
    notes: tuple[str, ...]
    without_audio: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def summary_lines(self) -> list[str]:
        """For a person."""
        lines = [f"{self.name}: {self.n_songs} songs, {self.n_with_audio} with audio, {self.n_artists} artists"]
        lines += [
            f"  {target}: {low:.2f} to {high:.2f}, mean {mean:.2f}"
            for target, (low, mean, high) in self.targets.items()
        ]
        for method, ceiling in self.ceilings.items():
            best = ", ".join(f"{target} {value:.2f}" for target, value in zip(self.targets, ceiling, strict=True))
            lines.append(f"  highest R2 a perfect model could reach, from {method}: {best}")
        if self.columns:
            told = ", ".join(f"{column} ({n} different)" for column, n in self.columns.items())
            lines.append(f"  columns: {told}")
        if self.without_audio:
            lines.append(f"  labels without audio: {named(self.without_audio)}")
        return [*lines, *(f"  {note}" for note in self.notes)]


def inspect(
    name: str, root: Path | None, targets: list[str] | None, audio: bool = True, quiet: bool = True
) -> DeamAudit | Overview:
    """Load a data set and look at it.

    Args:
        name: as registered.
        root: its folder.
        targets: columns to predict, where a data set has several.
        audio: deam: whether to listen to every file.
        quiet: no progress bar.

    Raises:
        DataError: unknown name; missing or broken data. Of deam, what is broken is a finding as long as a label can be
            read.
    """
    if DATASETS.key(name) == "deam":
        return audit_deam(root, audio, quiet)
    options: dict[str, Any] = {"root": root}
    if targets:
        options["targets"] = targets
    return overview(load_dataset(name, **options))


def overview(dataset: Dataset) -> Overview:
    """A data set in a few numbers."""
    columns = dataset.targets().T
    return Overview(
        name=dataset.name,
        n_songs=len(dataset),
        n_with_audio=len(dataset.with_audio),
        n_artists=len({song.artist for song in dataset.songs if song.artist}),
        targets={
            target: (float(column.min()), float(column.mean()), float(column.max()))
            for target, column in zip(dataset.target_names, columns, strict=True)
        },
        scale=dataset.scale,
        ceilings=_ceilings(dataset),
        columns={column: len(values) for column, values in dataset.columns().items()},
        notes=dataset.notes,
        without_audio=tuple(song.id for song in dataset.without_audio),
    )


def _ceilings(dataset: Dataset) -> dict[str, tuple[float, ...]]:
    first = {dataset.ceiling_method or "what was given": dataset.ceiling} if dataset.ceiling else {}
    found = {one.method: tuple(target.r2 for target in one.targets) for one in estimates(dataset.songs)}
    return {**first, **{method: ceiling for method, ceiling in found.items() if method not in first}}
