"""An audit as text for a terminal: tables of fixed width, the findings by level, the verdict last."""

from __future__ import annotations

import math
from collections.abc import Sequence

from affekt.data.audit.records import (
    LEVELS,
    ArtistAudit,
    AudioAudit,
    CeilingAudit,
    DeamAudit,
    FileAudit,
    Finding,
    PartAudit,
)
from affekt.data.base import VALENCE_AROUSAL
from affekt.data.ceiling import SPLIT_HALF

_CEILING_HEADER = (
    "  songs          V: sd of labels  standard error  highest R2   A: sd of labels  standard error  highest R2"
)
_TITLES = {"fault": "Faults", "warning": "Warnings", "note": "Notes"}


def summary_lines(audit: DeamAudit) -> list[str]:
    """All that `DeamAudit` holds but for the single songs."""
    return [
        f"DEAM in {audit.root}" + (" (synthetic music)" if audit.synthetic else ""),
        f"{audit.n_songs} songs with labels, {audit.n_with_audio} of them with audio",
        "",
        *_file_lines(audit.files),
        "",
        *_part_lines(audit.parts),
        "",
        *_artist_lines(audit.artists, audit.n_songs),
        "",
        *_ceiling_lines(audit.ceilings, audit.exchange.state != "unclear"),
        "",
        *_audio_lines(audit.audio),
        "",
        *(line for level in LEVELS for line in _finding_lines(_TITLES[level], audit.of_level(level))),
        audit.verdict,
    ]


def _file_lines(files: Sequence[FileAudit]) -> list[str]:
    lines = ["Files"]
    for one in files:
        n = "" if one.n_songs is None else f"{one.n_songs} songs"
        lines.append(f"  {'present' if one.path else 'MISSING':8} {n:>11}  {one.name:46} {one.holds}")
    return lines


def _part_lines(parts: Sequence[PartAudit]) -> list[str]:
    """Static labels as the file has them against dynamic ones: where columns 2 and 4 win, they are exchanged."""
    lines = [
        "Correlation of static with dynamic annotations, as the files name them (V valence, A arousal)",
        "  part  ids          songs  audio  static V~dyn V  static V~dyn A  static A~dyn A  static A~dyn V",
    ]
    for part in parts:
        a = part.agreement
        values = (a.valence_valence, a.valence_arousal, a.arousal_arousal, a.arousal_valence)
        numbers = "".join(f"{value:16.3f}" if math.isfinite(value) else f"{'-':>16}" for value in values)
        ids = f"{part.first_id} to {part.last_id}"
        lines.append(f"  {part.part}  {ids:12} {part.n_songs:5}  {part.n_with_audio:5}{numbers}")
    return lines


def _artist_lines(artists: ArtistAudit, n_songs: int) -> list[str]:
    return [
        f"Artist known for {artists.n_known} of {n_songs} songs: {artists.n_artists} artists; "
        f"{artists.n_sharing} songs share theirs with another ({artists.n_sharing_2013} within the 2013 part).",
        f"A random 80/20 split has {artists.expected_leak:.0%} of its test songs by artists of the training songs.",
    ]


def _ceiling_lines(ceilings: Sequence[CeilingAudit], decided: bool) -> list[str]:
    state = "put right" if decided else "as the files have them"
    lines = []
    for before, one in zip((None, *ceilings), ceilings, strict=False):
        if before is None or before.method != one.method:
            how = "single ratings, split in halves" if one.method == SPLIT_HALF else "the raters' disagreement"
            lines += [f"Noise ceiling from {how} (labels {state})", _CEILING_HEADER]
        v, a = (getattr(one, name) for name in VALENCE_AROUSAL)
        numbers = [f"{c.label_sd:15.3f}  {c.standard_error:14.3f}  {c.r2:10.2f}" for c in (v, a)]
        lines.append(f"  {one.songs:14} {numbers[0]}   {numbers[1]}")
    return lines


def _audio_lines(audio: AudioAudit | None) -> list[str]:
    if audio is None:
        return ["Audio was not listened to."]
    if not audio.n_files:
        return ["There is no audio to listen to."]
    return [f"Audio: {audio.n_whole} of {audio.n_files} files can be used, {audio.hours:.2f} hours."]


def _finding_lines(title: str, findings: Sequence[Finding]) -> list[str]:
    if not findings:
        return []
    lines = [f"{title} ({len(findings)})"]
    for one in findings:
        lines += [f"  - {one.what}", f"    Do: {one.do}"]
    return [*lines, ""]
