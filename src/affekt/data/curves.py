"""Annotations over time: what raters said of a song from moment to moment, averaged over raters.

Conventions: times in seconds from the start of the song's audio; a *frame* is one moment with its annotation; valence
stands before arousal. A frame's annotation is what was felt at that moment, so it follows from the music before it.

DEAM and emoMusic write one file for each target, a line for each song: `song_id,sample_15000ms,sample_15500ms,...`,
2 Hz from 15 s on, cells past a song's end empty. `read_curves` reads this form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from affekt.data.tables import Mistakes, Row, Table, complain_of_cut, parse_whole_id, read_numbers, read_table
from affekt.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

Annotations = Literal["static", "dynamic"]
ANNOTATIONS = ("static", "dynamic")

#: Value by time in milliseconds, by song.
Series = dict[int, dict[int, float]]

_SAMPLE = re.compile(r"sample_(\d{1,9})ms", re.ASCII)


@dataclass(frozen=True, eq=False)
class Curve:
    """Mean annotation of one song over time.

    Attributes:
        times_s: shape (n_frames,), ascending.
        values: shape (n_frames, n_targets), on the data set's scale.
    """

    times_s: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.times_s)

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean over time, one value for each target."""
        return tuple(self.values.mean(axis=0).tolist())

    @property
    def step_s(self) -> float:
        """The shortest time between two frames; 0 for a single one."""
        return float(np.diff(self.times_s).min()) if len(self) > 1 else 0.0

    def select(self, columns: Sequence[int]) -> Curve:
        """Some of the targets."""
        return Curve(self.times_s, self.values[:, list(columns)])

    def thinned(self, hop_s: float) -> Curve:
        """Frames at least `hop_s` apart, from the first one on.

        Raises:
            ConfigError: `hop_s` is no multiple of the time between two frames.
        """
        every = hop_s / self.step_s if self.step_s else 1.0
        if every < 1 - 1e-6 or abs(every - round(every)) > 1e-6:
            raise ConfigError(
                f"frames.hop_s = {hop_s:g}; allowed: a multiple of {self.step_s:g}, the time between two annotations."
            )
        return Curve(self.times_s[:: round(every)], self.values[:: round(every)])

    def given_to(self, times_s: np.ndarray) -> Curve:
        """The same course over other times, stretched from their first to their last: for a control."""
        own, other = (np.linspace(0.0, 1.0, n) for n in (len(self), len(times_s)))
        return Curve(times_s, np.stack([np.interp(other, own, column) for column in self.values.T], axis=1))


def read_curves(
    paths: Sequence[Path],
    scale: tuple[float, float],
    mistakes: Mistakes,
    ids: Iterable[int] | None = None,
    ended: bool = False,
) -> dict[int, Curve]:
    """Curves by song id, of the songs that every file holds, at the moments that every file holds.

    Args:
        paths: one file for each target, valence first.
        scale: lowest and highest value allowed.
        mistakes: takes cells that are no number of the scale, gaps within a song, ids that occur twice.
        ids: songs to keep; all by default.
        ended: whether each file must end in a line break, as one that is known to be distributed with it.
    """
    return join_series([read_series(path, scale, mistakes, ended) for path in paths], ids)


def join_series(series: Sequence[Series], ids: Iterable[int] | None = None) -> dict[int, Curve]:
    """Curves by song id, of the songs in every series and in `ids`, at the moments that every series has."""
    wanted = set(series[0]) if ids is None else set(ids)
    shared = [song for song in series[0] if song in wanted and all(song in one for one in series)]
    return {song: _joined([one[song] for one in series]) for song in shared}


def _joined(series: Sequence[Mapping[int, float]]) -> Curve:
    """One curve from a series for each target; in DEAM seven of them differ in length by a sample."""
    times = sorted(set(series[0]).intersection(*series[1:]))
    values = np.array([[one[time] for one in series] for time in times], dtype=np.float64)
    return Curve(np.array(times) / 1000, values.reshape(-1, len(series)))


def read_series(path: Path, scale: tuple[float, float], mistakes: Mistakes, ended: bool = False) -> Series:
    """One file: value by time in milliseconds, by song; NaN, with a mistake noted, for what is no value.

    Raises:
        DataError: the file is no table with a column song_id.
    """
    table = read_table(path, ("song_id",), mistakes, ragged=True)
    if ended:
        complain_of_cut(table, mistakes, whole=True)
    times = _times_ms(table, mistakes)
    names = list(times)
    lines: dict[int, str] = {}
    found: dict[int, dict[int, float]] = {}
    for row in table.rows:
        song = parse_whole_id(table, row, lines, mistakes)
        filled = [name for name, cell in row.cells.items() if cell and name in times]
        if not filled:
            continue
        _complain_of_gaps(table, row, names, filled, mistakes)
        values = read_numbers(table, row, filled, *scale, mistakes)
        found[song] = dict(zip([times[name] for name in filled], values, strict=True))
    return found


def _times_ms(table: Table, mistakes: Mistakes) -> dict[str, int]:
    """The time of each column but the first, which must ascend."""
    names = [name for name in table.columns if name and name != "song_id"]
    matches = {name: _SAMPLE.fullmatch(name) for name in names}
    odd = [name for name, match in matches.items() if match is None]
    times = {name: int(match.group(1)) for name, match in matches.items() if match}
    if odd or not times or any(b <= a for a, b in zip([*times.values()], [*times.values()][1:], strict=False)):
        shown = ", ".join(f'"{name}"' for name in (odd or names)[:5]) or "no column"
        mistakes.add(table.path.name, 1, f"columns {shown}; allowed: sample_15000ms, sample_15500ms, ... ascending")
        return {}
    return times


def _complain_of_gaps(table: Table, row: Row, names: list[str], filled: list[str], mistakes: Mistakes) -> None:
    first, last = names.index(filled[0]), names.index(filled[-1])
    if last - first + 1 > len(filled):
        lacking = next(name for name in names[first:last] if not row.cells.get(name))
        mistakes.add(table.path.name, row.line, f"{lacking} is empty in the middle of a song; allowed: a number")


def check_annotations(name: str, annotations: str) -> None:
    """Complain of anything but "static" and "dynamic".

    Raises:
        ConfigError: with what is allowed.
    """
    if annotations not in ANNOTATIONS:
        raise ConfigError(f'{name}: annotations = "{annotations}"; allowed: {", ".join(ANNOTATIONS)}.')


def is_whole(curve: Curve, n_targets: int) -> bool:
    """Whether there is a frame, times ascend from 0 or later, and every frame has a finite value for each target."""
    times_s, values = curve.times_s, curve.values
    if values.shape != (len(times_s), n_targets) or len(times_s) == 0:
        return False
    return bool(np.isfinite(values).all() and times_s[0] >= 0 and (np.diff(times_s) > 0).all())
