"""What is in a data set, in words: DEAM gets its audit, every other data set an overview."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from affekt.data import load_dataset
from affekt.data.audit import DeamAudit, audit_deam
from affekt.data.base import Dataset, named
from affekt.registry import DATASETS


@dataclass(frozen=True)
class Overview:
    """A data set in a few numbers.

    Attributes:
        targets: per target: lowest, mean and highest annotation.
        without_audio: ids of songs with labels and no file.
    """

    name: str
    n_songs: int
    n_with_audio: int
    n_artists: int
    targets: dict[str, tuple[float, float, float]]
    scale: tuple[float, float]
    ceiling: tuple[float, ...] | None
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
        if self.ceiling:
            best = ", ".join(f"{target} {value:.2f}" for target, value in zip(self.targets, self.ceiling, strict=True))
            lines.append(f"  highest R2 a perfect model could reach, given the raters: {best}")
        if self.without_audio:
            lines.append(f"  labels without audio: {named(self.without_audio)}")
        return [*lines, *(f"  {note}" for note in self.notes)]


def inspect(name: str, root: Path | None, targets: list[str] | None) -> DeamAudit | Overview:
    """Load a data set and look at it.

    Raises:
        DataError: unknown name; missing or broken data.
    """
    if DATASETS.key(name) == "deam":
        return audit_deam(root)
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
        ceiling=dataset.ceiling,
        notes=dataset.notes,
        without_audio=tuple(song.id for song in dataset.without_audio),
    )
