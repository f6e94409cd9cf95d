"""Reading a copy of DEAM to the end, whatever is wrong with it.

`affekt.data.deam.read_deam` stops at the first file that it cannot take; an audit wants to know of all of them, and
goes on with what can be read. Every mistake that would keep the data set from loading becomes a finding that blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from affekt.data.audit.records import Finding
from affekt.data.curves import Curve, Series, join_series, read_series
from affekt.data.deam import (
    DYNAMIC_SCALE,
    STATIC_NAMES,
    DeamCopy,
    DeamFiles,
    StaticRow,
    locate,
    packed,
    read_static_rows,
    read_synthetic,
    stacked,
)
from affekt.data.kaggle import KAGGLE_PAGE
from affekt.data.metadata import Credits, merged, read_written
from affekt.data.tables import Mistakes
from affekt.errors import DataError

GET_ANNOTATIONS = "Unpack DEAM_Annotations.zip anew"
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Reading:
    """A copy, as far as it can be read.

    Attributes:
        copy: what was read, labels as they stand in the files.
        written: credits by song id, as the metadata files spell them.
        series: what valence.csv and arousal.csv hold, each by its name; empty where a file is missing.
        findings: what could not be read.
    """

    copy: DeamCopy
    written: dict[str, Credits]
    series: dict[str, Series]
    findings: tuple[Finding, ...]


def read_all(root: Path) -> Reading:
    """Read what can be read.

    Raises:
        DataError: there is no such folder, or not one line of static annotations in it.
    """
    findings: list[Finding] = []
    mistakes = Mistakes(str(root))
    files = locate(root, mistakes)
    findings += [_unreadable(text, "Take the wrong file away, or name a narrower folder.") for text in mistakes.found]
    rows = _static_rows(files.static, findings)
    if not rows:
        _complain(files, findings)
    series = {path.name.lower(): _kept(findings, _series, path, findings) for path in files.dynamic or ()}
    readable = {name: one for name, one in series.items() if one is not None}
    curves = join_series([*readable.values()]) if len(readable) == 2 else {}
    synthetic = _kept(findings, read_synthetic, files.synthetic) if files.synthetic else None
    metadata = {path: _kept(findings, read_written, [path]) for path in files.metadata}
    files = replace(files, metadata=tuple(path for path, credits in metadata.items() if credits is not None))
    written = merged([credits for credits in metadata.values() if credits])
    copy = DeamCopy(files, *stacked(rows), _whole(curves), synthetic or {}, written)
    return Reading(copy, written, readable, tuple(findings))


def _static_rows(paths: Sequence[Path], findings: list[Finding]) -> list[StaticRow]:
    """The lines that are whole, each song once."""
    lines: dict[int, str] = {}
    rows: dict[int, StaticRow] = {}
    for path in paths:
        mistakes = Mistakes(str(path))
        for row in _kept(findings, read_static_rows, path, lines, mistakes) or ():
            if row[0] >= 0 and all(map(math.isfinite, (*row[1], *row[2]))):
                rows.setdefault(row[0], row)
        findings += _mistaken(path, mistakes)
    return list(rows.values())


def _series(path: Path, findings: list[Finding]) -> Series:
    mistakes = Mistakes(str(path))
    found = read_series(path, DYNAMIC_SCALE, mistakes, ended=True)
    findings += _mistaken(path, mistakes)
    return found


def _kept(findings: list[Finding], read: Callable[P, T], *args: P.args, **options: P.kwargs) -> T | None:
    """What `read` gives; None, with a finding, where it cannot."""
    try:
        return read(*args, **options)
    except (DataError, OSError) as error:
        findings.append(_unreadable(f"{str(error).rstrip('.')}.", "Get the file again, or mend it."))
        return None


def _mistaken(path: Path, mistakes: Mistakes) -> list[Finding]:
    """One finding for all lines of a file that cannot be used."""
    if not mistakes.found:
        return []
    n = len(mistakes.found)
    places = tuple(map(_place, mistakes.found))
    what = f"{path.name}: {n} {'place' if n == 1 else 'places'} that cannot be right; the first: {places[0]}."
    return [Finding("fault", "files", what, f"{GET_ANNOTATIONS}, or mend these lines.", places, blocks=True)]


def _place(text: str) -> str:
    return text.partition(", ")[2] or text


def _unreadable(text: str, do: str) -> Finding:
    return Finding("fault", "files", text, do, blocks=True)


def _whole(curves: dict[int, Curve]) -> dict[int, Curve]:
    return {song: curve for song, curve in curves.items() if len(curve) and all(map(math.isfinite, curve.mean))}


def _complain(files: DeamFiles, findings: Sequence[Finding]) -> None:
    found = "; ".join(finding.what.rstrip(".") for finding in findings)
    raise DataError(
        f"{files.root}: no static annotations found that can be read{f' ({found})' if found else ''}. Looked for "
        f"{' and '.join(STATIC_NAMES)} anywhere below it. "
        + (packed(files.root) or f"Unpack DEAM_Annotations.zip there, or download the whole from {KAGGLE_PAGE}.")
    )
