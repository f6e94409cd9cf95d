"""What a user's own copy of DEAM holds: songs, missing audio, exchanged labels, artists, noise ceiling.

Everything is recomputed from the files; no number is known beforehand. `audit_deam` gives a `DeamAudit`, which prints
itself as lines (`summary_lines`) and as plain data (`as_dict`). Valence stands before arousal.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from affekt.data.base import VALENCE_AROUSAL, Dataset, Song
from affekt.data.ceiling import DEVIATIONS, SPLIT_HALF, Ceiling, estimates
from affekt.data.deam import N_SONGS, DeamCopy, build_dataset, part_of, read_deam
from affekt.data.exchange import Agreement, Exchange, measure_agreement

# Of the random split whose leak is reported.
_TEST_SHARE = 0.2
_CEILING_HEADER = (
    "  songs          V: sd of labels  standard error  highest R2   A: sd of labels  standard error  highest R2"
)


@dataclass(frozen=True)
class PartAudit:
    """One part of DEAM.

    Attributes:
        part: "2013", "2014", "2015"; "demo" for all songs of a generated copy.
        first_id, last_id: lowest and highest song id.
        n_songs, n_with_audio: songs with labels, and those of them with an audio file.
        agreement: of the static labels as the file has them with the dynamic ones.
    """

    part: str
    first_id: int
    last_id: int
    n_songs: int
    n_with_audio: int
    agreement: Agreement


@dataclass(frozen=True)
class CeilingAudit:
    """The noise ceiling of a range of songs. Labels are put right first, unless the check is undecided.

    Attributes:
        songs: which songs, in a word or two.
        valence, arousal: what was found.
        method: "rater deviations", or "split-half" where the copy holds single ratings.
    """

    songs: str
    valence: Ceiling
    arousal: Ceiling
    method: str = DEVIATIONS


@dataclass(frozen=True)
class ArtistAudit:
    """Who made the songs, and what a split that ignores it would leak.

    Attributes:
        n_known: songs whose artist is known.
        n_artists: distinct artists among them.
        n_sharing: songs that share their artist with another song.
        n_sharing_2013: the same within the 2013 part.
        expected_leak: share of test songs of a random 80/20 split that have their artist among the training songs,
            on average.
    """

    n_known: int
    n_artists: int
    n_sharing: int
    n_sharing_2013: int
    expected_leak: float


@dataclass(frozen=True)
class DeamAudit:
    """The findings about one copy of DEAM.

    Attributes:
        root: where the copy lies.
        n_songs, n_with_audio: songs with labels, and those of them with an audio file.
        synthetic: True for a generated copy.
        parts: one record for each part that the copy holds.
        exchange: whether valence and arousal are exchanged for the ids up to 1000.
        artists: who made the songs.
        ceilings: one record for each part and one for 2013 and 2014 together, for each method that the copy allows.
        verdict: what to make of it, in a sentence or two.
    """

    root: Path
    n_songs: int
    n_with_audio: int
    synthetic: bool
    parts: tuple[PartAudit, ...]
    exchange: Exchange
    artists: ArtistAudit
    ceilings: tuple[CeilingAudit, ...]
    verdict: str

    def as_dict(self) -> dict[str, Any]:
        """All findings as numbers, strings, lists and dictionaries; what is undefined is None."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    def summary_lines(self) -> list[str]:
        """All findings as text: tables of fixed width, the verdict last, as one long line."""
        return [
            f"DEAM in {self.root}" + (" (synthetic music)" if self.synthetic else ""),
            f"{self.n_songs} songs with labels, {self.n_with_audio} of them with audio",
            "",
            *_part_lines(self.parts),
            "",
            *_artist_lines(self.artists, self.n_songs),
            "",
            *_ceiling_lines(self.ceilings, self.exchange.state != "unclear"),
            "",
            self.verdict,
        ]


def audit_deam(root: str | Path | None = None) -> DeamAudit:
    """Read a copy of DEAM and check it.

    Args:
        root: as for `affekt.data.deam.load_deam`.

    Raises:
        DataError: the copy is not there, not DEAM, or holds cells that cannot be labels. Labels that may or may not be
            exchanged are a finding here, not an error.
    """
    copy = read_deam(root)
    decided = copy.exchange.state != "unclear"
    dataset = build_dataset(copy, "corrected" if decided else "raw")
    return DeamAudit(
        root=copy.files.root,
        n_songs=len(dataset),
        n_with_audio=len(dataset.with_audio),
        synthetic=dataset.synthetic,
        parts=tuple(_audit_parts(copy)),
        exchange=copy.exchange,
        artists=audit_artists(dataset.songs),
        ceilings=tuple(_audit_ceilings(dataset)),
        verdict=" ".join(_verdict(copy, dataset)),
    )


def audit_artists(songs: Sequence[Song]) -> ArtistAudit:
    """Count artists and the songs that share one.

    A test song of a random split leaks if at least one other song of its artist was drawn for training. With n songs
    in all, m of them drawn for testing and k by the artist, the chance is 1 - C(m - 1, k - 1) / C(n - 1, k - 1): the
    k - 1 others are not all among the m - 1 other test songs.
    """
    known = [song for song in songs if song.artist is not None]
    count = Counter(song.artist for song in known)
    early = Counter(song.artist for song in known if part_of(int(song.id)) == "2013")
    n_test = max(round(_TEST_SHARE * len(songs)), 1)
    leaks = [k * _leak_chance(len(songs), k, n_test) for k in count.values()]
    return ArtistAudit(
        n_known=len(known),
        n_artists=len(count),
        n_sharing=sum(k for k in count.values() if k > 1),
        n_sharing_2013=sum(k for k in early.values() if k > 1),
        expected_leak=sum(leaks) / len(songs) if songs else 0.0,
    )


def _leak_chance(n_songs: int, n_of_artist: int, n_test: int) -> float:
    others = n_of_artist - 1
    if others == 0:
        return 0.0
    return 1 - math.comb(n_test - 1, others) / math.comb(n_songs - 1, others)


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


def _verdict(copy: DeamCopy, dataset: Dataset) -> list[str]:
    n, exchange = copy.exchange.n_songs, copy.exchange
    found = {
        "exchanged": f"Valence and arousal are exchanged for {n} songs of this copy (ids up to 1000); "
        'labels="corrected", the default, puts them right, labels="raw" keeps them.',
        "straight": f"Valence and arousal of the {n} songs up to id 1000 are the right way round in this copy; "
        "nothing is exchanged.",
        "absent": "This copy holds none of the songs whose valence and arousal are exchanged (ids up to 1000).",
        "unclear": f"Whether valence and arousal of {n} songs (ids up to 1000) are exchanged cannot be told: "
        f"{exchange.evidence}.",
    }
    sentences = [found[exchange.state]]
    if len(dataset) < N_SONGS and not dataset.synthetic:
        sentences.append(f"{N_SONGS - len(dataset)} of DEAM's {N_SONGS} songs have no labels here.")
    if dataset.without_audio:
        sentences.append(f"{len(dataset.without_audio)} songs lack their audio.")
    if sum(song.artist is not None for song in dataset.songs) > len({song.artist for song in dataset.songs} - {None}):
        sentences.append("Group folds by artist: a random split leaks.")
    return sentences


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


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
