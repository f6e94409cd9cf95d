"""The audit of DEAM as one page: what was found and what to do, the numbers, and the pictures that show an exchange.

Conventions: as in `affekt.report.html`: data first, a template that decides nothing, one file that opens offline.
Annotations are shown as the files name them, so an exchange can be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affekt.files import write_text
from affekt.report.figures.style import LEGEND_ABOVE, Picture, picture, rounded
from affekt.report.html import render_page
from affekt.report.tables import MISSING, count, decimals, percent, table
from affekt.report.view import PALETTE

if TYPE_CHECKING:
    from affekt.data.audit.records import Agreement, DeamAudit, Finding, SongAudit

_TEMPLATE = "audit.html.j2"
_LEVELS = (("fault", "Faults"), ("warning", "Warnings"), ("note", "Notes"))
#: Ids and lines that a finding lists on the page; the JSON has all.
MOST_IDS = 400
_TARGETS = ("valence", "arousal")


def write_audit(audit: DeamAudit, out_path: Path) -> Path:
    """Write an audit as one HTML file.

    Returns:
        `out_path`.

    Raises:
        StorageError: the file cannot be written.
    """
    write_text(Path(out_path), render_page(_TEMPLATE, audit_data(audit)))
    return Path(out_path)


def audit_data(audit: DeamAudit) -> dict[str, Any]:
    """Everything the page says, in the order in which it says it."""
    pictures = _pictures(audit)
    listened = audit.audio
    return {
        "heading": "Can this copy of DEAM be used?",
        "synthetic": audit.synthetic,
        "facts": [
            f"{count(audit.n_songs)} songs with labels",
            f"{count(audit.n_with_audio)} with audio",
            f"{count(audit.artists.n_artists)} artists",
            str(audit.root),
        ],
        "usable": audit.usable,
        "verdict": audit.verdict,
        "levels": [(title, [_finding(one) for one in audit.of_level(level)]) for level, title in _LEVELS],  # type: ignore[arg-type]
        "parts": _parts(audit),
        "pictures": pictures,
        "drawings": {one["id"]: one["figure"] for one in pictures},
        "files": _files(audit),
        "ceilings": _ceilings(audit),
        "artists": _artists(audit),
        "respelled": table(["in the metadata files", "artist"], audit.artists.respelled, "ll"),
        "audio": listened and _counts([("files that can be used", listened.n_whole), ("of", listened.n_files)]),
        "licences": listened and _counts(listened.licences.items(), ("licence, by the files' own tags", "files")),
        "loudness": listened and _loudness(audit),
        "song_names": [],
        "excerpts": {},
    }


def _finding(one: Finding) -> dict[str, Any]:
    shown = one.ids[:MOST_IDS]
    more = f" and {len(one.ids) - len(shown)} more" if len(one.ids) > len(shown) else ""
    return {"topic": one.topic, "what": one.what, "do": one.do, "n_ids": len(one.ids), "ids": "; ".join(shown) + more}


def _parts(audit: DeamAudit) -> dict[str, Any]:
    rows = []
    for part in audit.parts:
        a = part.agreement
        correlations = (a.valence_valence, a.valence_arousal, a.arousal_arousal, a.arousal_valence)
        ids = f"{part.first_id} to {part.last_id}"
        says = {"exchanged": "exchanged", "straight": "right", "unclear": "unclear", "absent": MISSING}[
            "unclear" if a.mismatch else a.state
        ]
        rows.append([part.part, ids, count(part.n_songs), *(decimals(r, 3) for r in correlations), says])
    names = ["static V, dynamic V", "static V, dynamic A", "static A, dynamic A", "static A, dynamic V"]
    return table(["part", "ids", "songs", *names, "valence and arousal"], rows, "llrrrrrl")


def _pictures(audit: DeamAudit) -> list[Picture]:
    """Static over dynamic annotations in the four ways to pair them, a colour for each part."""
    songs = [song for song in audit.songs if song.dynamic is not None]
    if not songs:
        return []
    pairs = [(static, dynamic) for static in (0, 1) for dynamic in (static, 1 - static)]
    return [_picture(audit, songs, number, pair) for number, pair in enumerate(pairs)]


def _picture(audit: DeamAudit, songs: Sequence[SongAudit], number: int, pair: tuple[int, int]) -> Picture:
    static, dynamic = pair
    traces = []
    for colour, part in zip(PALETTE, audit.parts, strict=False):
        own = [song for song in songs if song.part == part.part]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": part.part,
                "x": [rounded(song.dynamic[dynamic]) for song in own if song.dynamic],
                "y": [rounded(song.static[static], 2) for song in own],
                "customdata": [song.id for song in own],
                "hovertemplate": "song %{customdata}: dynamic %{x}, static %{y}<extra></extra>",
                "marker": {
                    "color": colour,
                    "size": 4.5 if len(songs) > 600 else 6,
                    "symbol": "circle",
                    "opacity": 0.55,
                },
            }
        )
    names = f"static {_TARGETS[static]}", f"dynamic {_TARGETS[dynamic]}"
    layout = {
        "xaxis": {"title": {"text": f"{names[1]} (mean over time, −1 to 1)"}, "zeroline": False},
        "yaxis": {"title": {"text": f"{names[0]} (1 to 9)"}, "zeroline": False},
        "legend": LEGEND_ABOVE,
        "hovermode": "closest",
    }
    rows = [[part.part, count(part.n_songs), decimals(_correlation(part.agreement, pair), 3)] for part in audit.parts]
    said = ", ".join(f"{part} r = {r}" for part, _, r in rows)
    return picture(
        f"agreement-{number}",
        f"{names[0].capitalize()} over {names[1]}, as the files name them",
        f"Scatter of {len(songs)} songs: {names[0]} over {names[1]}; {said}.",
        {"data": traces, "layout": layout},
        table(["part", "songs", "correlation"], rows, "lrr"),
        caption=f"{said}.",
    )


def _correlation(agreement: Agreement, pair: tuple[int, int]) -> float:
    by_pair = {
        (0, 0): agreement.valence_valence,
        (0, 1): agreement.valence_arousal,
        (1, 1): agreement.arousal_arousal,
        (1, 0): agreement.arousal_valence,
    }
    return by_pair[pair]


def _files(audit: DeamAudit) -> dict[str, Any]:
    rows = [
        [one.name, one.holds, "present" if one.path else "missing", count(one.n_songs), str(one.path or MISSING)]
        for one in audit.files
    ]
    return table(["file", "holds", "", "songs", "where"], rows, "lllrl")


def _ceilings(audit: DeamAudit) -> dict[str, Any]:
    rows = []
    for one in audit.ceilings:
        numbers = [
            text
            for c in (one.valence, one.arousal)
            for text in (decimals(c.label_sd, 3), decimals(c.standard_error, 3), decimals(c.r2))
        ]
        rows.append([one.songs, one.method, *numbers])
    columns = [f"{target}: {what}" for target in "VA" for what in ("sd of labels", "standard error", "highest R²")]
    return table(["songs", "from", *columns], rows, "llrrrrrr")


def _artists(audit: DeamAudit) -> dict[str, Any]:
    a = audit.artists
    rows = [
        ["songs whose artist is known", count(a.n_known)],
        ["names in the metadata files", count(a.n_names)],
        ["artists", count(a.n_artists)],
        ["songs that share their artist with another", count(a.n_sharing)],
        ["the same within the 2013 part", count(a.n_sharing_2013)],
        ["test songs of a random 80/20 split by artists of its training songs", percent(a.expected_leak)],
    ]
    return table(["", ""], rows, "lr")


def _loudness(audit: DeamAudit) -> dict[str, Any]:
    rows = []
    for one in audit.audio.loudness if audit.audio else ():
        interval = f"[{one.interval[0]:.2f}, {one.interval[1]:.2f}]" if one.interval else "too few songs to tell"
        rows.append([one.songs, count(one.n_songs), decimals(one.arousal), decimals(one.valence), interval])
    return table(["songs", "number", "loudness, arousal", "loudness, valence", "95 % of the difference"], rows, "lrrrl")


def _counts(pairs: Any, columns: tuple[str, str] = ("", "")) -> dict[str, Any]:
    return table(columns, [[str(name), count(n)] for name, n in pairs], "lr")
