"""DEAM: 1802 songs with valence and arousal from human raters.

Data sheet
    Source: Aljanaki, Yang & Soleymani (2017), PLoS ONE 12(3): e0173392. The 2013 part is emoMusic (Soleymani et al.
        2013, CrowdMM): never use one to test a model trained on the other.
    Labels: one mean and one standard deviation per song, target and rater group, scale 1 to 9, valence before arousal.
    Parts: 2013 (ids up to 1000, 744 songs), 2014 (1001 to 2000, 1000 songs), 2015 (2001 to 2058, 58 whole songs).
    Audio: MP3, 44.1 kHz, 45 s (2015: whole songs), Creative Commons, licence per song. Not distributed by this project.
    Known fault: the distributed static file has valence and arousal exchanged for the ids up to 1000 (`exchange.py`).

A copy may lie in the layout of the Kaggle package, or in any other: files are found by name wherever they are below
the root.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from affekt.data.base import VALENCE_AROUSAL, Dataset, Song, chosen_targets, lacking_notes
from affekt.data.ceiling import CONSTRUCTION
from affekt.data.curves import Curve, check_annotations, read_curves
from affekt.data.exchange import LAST_2014_ID, LAST_EXCHANGED_ID, Exchange, check_exchange, part_of
from affekt.data.find import audio_by_id, found_below, is_numbered_audio
from affekt.data.kaggle import KAGGLE_PAGE, download_deam
from affekt.data.metadata import (
    OFFICIAL_COLUMN,
    Credits,
    fill_from_tags,
    read_official_sets,
    read_written,
    unify_artists,
)
from affekt.data.ratings import RATING_NAMES, Ratings, match_ratings, read_ratings
from affekt.data.tables import Mistakes, Table, complain_of_cut, parse_whole_id, read_number, read_table
from affekt.errors import DataError

SCALE = (1.0, 9.0)
DYNAMIC_SCALE = (-1.0, 1.0)
LABELS = ("corrected", "raw", "corrected-unchecked")
N_SONGS = 1802
#: Of DEAM and emoMusic, which number the same recordings alike.
CATALOGUE = "mediaeval"
UNCLEAR_ADVICE = (
    "Get DEAM_Annotations.zip again, the dynamic annotations (valence.csv and arousal.csv) included; or choose "
    'labels="raw" to take the files as they are, or labels="corrected-unchecked" if you know that they are as '
    "distributed."
)
STATIC_NAMES = ("static_annotations_averaged_songs_1_2000.csv", "static_annotations_averaged_songs_2000_2058.csv")
SYNTHETIC_NAME = "SYNTHETIC.json"
#: emoMusic's own metadata, which marks the official split of the 2013 part.
SONGS_INFO_NAME = "songs_info.csv"

#: Song id, means and standard deviations of valence and arousal.
StaticRow = tuple[int, list[float], list[float]]

# Means are published to one decimal, which shifts the most that ratings can spread where the mean is near the end.
_ROUNDING = 0.35
_COLUMNS = ("song_id", "valence_mean", "valence_std", "arousal_mean", "arousal_std")


@dataclass(frozen=True)
class DeamFiles:
    """Where the files of a copy lie; a part that the copy lacks is empty or None.

    Attributes:
        root: the folder they were looked for in.
        static: the files of mean annotations per song.
        dynamic: the valence file and the arousal file of annotations over time, or None where one is missing.
        metadata: metadata_<year>.csv, and emoMusic's songs_info.csv behind them.
        audio: audio file by song id.
        synthetic: the mark of a generated copy.
        ratings: the files of single ratings per song.
    """

    root: Path
    static: tuple[Path, ...]
    dynamic: tuple[Path, Path] | None
    metadata: tuple[Path, ...]
    audio: dict[str, Path]
    synthetic: Path | None
    ratings: tuple[Path, ...] = ()


@dataclass(frozen=True)
class DeamCopy:
    """A user's copy of DEAM, read and checked, its labels still as they stand in the files.

    Attributes:
        files: where everything lies.
        ids: song ids, ascending, shape (n_songs,).
        mean, std: static annotations as the files name them, (valence, arousal), shape (n_songs, 2).
        curves: valence and arousal over time by song id, scale -1 to 1; empty where there are no dynamic files.
        synthetic: what SYNTHETIC.json says; empty for real music.
        written: what the metadata files say, where they have been read already.
    """

    files: DeamFiles
    ids: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    curves: dict[int, Curve] = field(default_factory=dict)
    synthetic: dict[str, Any] = field(default_factory=dict)
    written: dict[str, Credits] | None = None

    @cached_property
    def dynamic(self) -> dict[int, tuple[float, float]]:
        """Mean (valence, arousal) over time by song id."""
        means = {song: curve.mean for song, curve in self.curves.items()}
        return {song: (valence, arousal) for song, (valence, arousal) in means.items()}

    @cached_property
    def exchange(self) -> Exchange:
        """Whether valence and arousal are exchanged in this copy."""
        return check_exchange(self.ids, self.mean, self.std, self.dynamic)

    @cached_property
    def credits(self) -> dict[str, Credits]:
        """Artist, title and genre by song id: from the metadata files, else from the audio's own tags."""
        written = read_written(self.files.metadata) if self.written is None else self.written
        return fill_from_tags(unify_artists(written), self.files.audio)

    @cached_property
    def official_sets(self) -> dict[str, str]:
        """Set of MediaEval 2013, "development" or "evaluation", by song id, where the copy tells."""
        return read_official_sets(self.files.metadata)

    @cached_property
    def ratings(self) -> dict[int, np.ndarray]:
        """Single ratings by song id, as the files name them; empty where the copy has none."""
        return read_ratings(self.files.ratings)


def load_deam(
    root: str | Path | None = None,
    labels: str = "corrected",
    targets: Sequence[str] | None = None,
    annotations: str = "static",
) -> Dataset:
    """Load DEAM.

    Args:
        root: folder of a local copy, in any layout. None downloads the Kaggle package (1.3 GB, once) with kagglehub.
        labels: "corrected" exchanges valence and arousal of the ids up to 1000 if the check finds them exchanged in
            this copy; "raw" keeps the file, for comparison with published numbers; "corrected-unchecked" exchanges
            them without looking, for a copy that the check cannot decide on.
        targets: "valence", "arousal" or both (the default); valence comes first whatever the order.
        annotations: "static", one annotation a song on the scale 1 to 9; or "dynamic", annotations over time at 2 Hz on
            the scale -1 to 1, which are not exchanged in the distributed files.

    Returns:
        All songs that have labels, with `audio_path=None` where the audio is missing. The notes say which labels these
        are, how many songs were exchanged and why, and what is missing.

    Raises:
        DataError: the copy is not there, not DEAM, holds cells that cannot be labels, or leaves open whether its
            labels are exchanged; or the download failed.
        MissingExtraError: `root` is None and the extra `kaggle` is not installed.
    """
    _check_choice(labels)
    check_annotations("deam", annotations)
    copy = read_deam(root)
    return build_dynamic(copy, targets) if annotations == "dynamic" else build_dataset(copy, labels, targets)


def read_deam(root: str | Path | None = None) -> DeamCopy:
    """Find and read a copy of DEAM without changing its labels.

    Raises:
        DataError, MissingExtraError: as `load_deam`.
    """
    files = find_files(download_deam() if root is None else Path(root).expanduser())
    mistakes = Mistakes(str(files.root))
    ids, mean, std = _read_static(files.static, mistakes)
    curves = read_curves(files.dynamic, DYNAMIC_SCALE, mistakes, ended=True) if files.dynamic else {}
    synthetic = read_synthetic(files.synthetic) if files.synthetic else {}
    mistakes.raise_any()
    return DeamCopy(files, ids, mean, std, curves, synthetic)


def build_dataset(copy: DeamCopy, labels: str = "corrected", targets: Sequence[str] | None = None) -> Dataset:
    """The data set of a copy with the labels and targets asked for; arguments and errors as in `load_deam`."""
    names = chosen_targets("DEAM", targets)
    swapped = _songs_to_exchange(copy, labels)  # (n_songs,)
    mean = np.where(swapped[:, None], copy.mean[:, ::-1], copy.mean)  # (n_songs, 2)
    std = np.where(swapped[:, None], copy.std[:, ::-1], copy.std)  # (n_songs, 2)
    columns = [VALENCE_AROUSAL.index(name) for name in names]
    ratings = match_ratings(copy.ratings, dict(zip(copy.ids.tolist(), mean, strict=True)))
    songs = tuple(
        _song(copy, int(song_id), mean[i, columns], std[i, columns], ratings.by_song.get(int(song_id)), columns)
        for i, song_id in enumerate(copy.ids)
    )
    dataset = Dataset(
        name="deam",
        songs=songs,
        target_names=names,
        scale=SCALE,
        notes=tuple(_notes(copy, labels, int(swapped.sum()), songs, ratings)),
        synthetic=bool(copy.synthetic),
        labels=labels,
        catalogue=_catalogue(copy),
    )
    return _constructed(dataset, copy, columns) or dataset.with_ceiling()


def build_dynamic(copy: DeamCopy, targets: Sequence[str] | None = None) -> Dataset:
    """The songs of a copy that are annotated over time, each with its curve; arguments and errors as in `load_deam`."""
    names = chosen_targets("DEAM", targets)
    columns = [VALENCE_AROUSAL.index(name) for name in names]
    if not copy.curves:
        raise DataError(
            f"{copy.files.root}: no annotations over time. They lie in valence.csv and arousal.csv, in the folder "
            '"dynamic (per second annotations)" of DEAM_Annotations.zip; unpack it there.'
        )
    if copy.exchange.dynamic_doubt and not copy.synthetic:
        raise DataError(
            f"{copy.files.root}: the annotations over time do not agree with the static ones: "
            f"{copy.exchange.dynamic_doubt}. One of the files is damaged; get DEAM_Annotations.zip again."
        )
    songs = tuple(_with_curve(copy, song_id, copy.curves[song_id].select(columns)) for song_id in sorted(copy.curves))
    return Dataset(
        name="deam",
        songs=songs,
        target_names=names,
        scale=DYNAMIC_SCALE,
        notes=tuple(_dynamic_notes(copy, songs)),
        synthetic=bool(copy.synthetic),
        catalogue=_catalogue(copy),
    )


def _catalogue(copy: DeamCopy) -> str | None:
    """Ids of a generated copy are its own."""
    return None if copy.synthetic else CATALOGUE


# --- finding the files ------------------------------------------------------------------------------------------


def find_files(root: Path) -> DeamFiles:
    """Find DEAM's files by name, wherever they lie below `root`.

    Raises:
        DataError: `root` is no folder or holds no static annotations, or a file lies there twice with different
            contents.
    """
    mistakes = Mistakes(str(root))
    files = locate(root, mistakes)
    mistakes.raise_any()
    if not files.static:
        raise DataError(
            f"{root}: no static annotations found. Looked for {' and '.join(STATIC_NAMES)} anywhere below it. "
            + (packed(root) or f"Unpack DEAM_Annotations.zip there, or download the whole from {KAGGLE_PAGE}.")
        )
    return files


def locate(root: Path, mistakes: Mistakes) -> DeamFiles:
    """As `find_files`, but what is there twice with different contents is noted, and what is missing is left out.

    Raises:
        DataError: `root` is no folder.
    """
    one = found_below(
        root,
        lambda path: is_wanted(path.name.lower()),
        (packed(root) if root.is_file() else "")
        or "Name the folder that holds DEAM_Annotations and DEAM_audio, or leave the root out to download DEAM from "
        "Kaggle.",
        mistakes,
    )
    static = tuple(one[name] for name in STATIC_NAMES if name in one)
    dynamic = (one["valence.csv"], one["arousal.csv"]) if {"valence.csv", "arousal.csv"} <= one.keys() else None
    metadata = tuple(one[name] for name in sorted(one) if name.startswith("metadata_") or name == SONGS_INFO_NAME)
    ratings = tuple(one[name] for name in RATING_NAMES if name in one)
    return DeamFiles(root, static, dynamic, metadata, audio_by_id(one), one.get(SYNTHETIC_NAME.lower()), ratings)


def packed(root: Path, lacking: Callable[[str], bool] | None = None) -> str:
    """How to unpack archives that lie in the folder and hold files of DEAM, or files whose name is lacking."""
    from affekt.data.download import unpacking_advice

    return unpacking_advice(root, lacking)


def is_wanted(name: str) -> bool:
    """Whether `deam` reads a file of this name, given in lower case."""
    if is_numbered_audio(name):
        return True
    stem, suffix = Path(name).stem, Path(name).suffix
    if suffix == ".csv" and stem.startswith("metadata_"):
        return stem.removeprefix("metadata_").isdigit()
    return name in (
        *STATIC_NAMES, *RATING_NAMES, "valence.csv", "arousal.csv", SONGS_INFO_NAME, SYNTHETIC_NAME.lower(),
    )  # fmt: skip


# --- reading them -----------------------------------------------------------------------------------------------


def _read_static(paths: Sequence[Path], mistakes: Mistakes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Song ids (n,), means (n, 2) and standard deviations (n, 2) in the order of the ids."""
    lines: dict[int, str] = {}
    rows = [row for path in paths for row in read_static_rows(path, lines, mistakes)]
    if not rows and not mistakes.found:
        mistakes.found.append(f"{', '.join(path.name for path in paths)}: no songs. At least one line is needed.")
    mistakes.raise_any()
    return stacked(rows)


def read_static_rows(path: Path, lines: dict[int, str], mistakes: Mistakes) -> list[StaticRow]:
    """One file of static annotations: (song id, means, standard deviations) in the order of the file.

    Args:
        path: the file.
        lines: where each song id stands, of the files read before.
        mistakes: takes what is wrong with single lines; their numbers are NaN, their id -1.

    Raises:
        DataError: the file is no table with these columns.
    """
    table = read_table(path, _COLUMNS, mistakes, squeeze_names=True)
    rows = []
    for row in table.rows:
        song_id = parse_whole_id(table, row, lines, mistakes)
        means = [read_number(table, row, f"{name}_mean", *SCALE, mistakes) for name in VALENCE_AROUSAL]
        stds = [read_number(table, row, f"{name}_std", 0.0, SCALE[1] - SCALE[0], mistakes) for name in VALENCE_AROUSAL]
        for name, mean, std in zip(VALENCE_AROUSAL, means, stds, strict=True):
            _complain_of_spread(table, row.line, name, mean, std, mistakes)
        rows.append((song_id, means, stds))
    complain_of_cut(table, mistakes)
    return rows


def stacked(rows: Sequence[StaticRow]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Song ids (n,), means (n, 2) and standard deviations (n, 2) in the order of the ids."""
    ids, mean, std = zip(*sorted(rows), strict=True)
    return np.array(ids), np.array(mean), np.array(std)


def _complain_of_spread(table: Table, line: int, name: str, mean: float, std: float, mistakes: Mistakes) -> None:
    """Ratings from 1 to 9 with a given mean spread most where all are 1 or 9; a cell that slipped spreads more."""
    most = math.sqrt(max((mean - SCALE[0]) * (SCALE[1] - mean), 0.0)) if mean == mean else math.inf
    if std > most + _ROUNDING:
        mistakes.add(
            table.path.name,
            line,
            f"{name}_std = {std:g} cannot be, with {name}_mean = {mean:g}; allowed: at most {most:.2f}",
        )


def read_synthetic(path: Path) -> dict[str, Any]:
    """The mark of a generated copy: {"synthetic": true, "note": str, "ceiling": [v, a], "n_raters": int}."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}). Generate the corpus again.") from error
    if not _is_mark(content):
        raise DataError(
            f'{path}: expected {{"synthetic": true, "note": "...", "ceiling": [.9, .9], "n_raters": 10}}, the last two '
            "if known. Generate the corpus again."
        )
    return dict(content)


def _is_mark(content: Any) -> bool:
    if not isinstance(content, dict) or content.get("synthetic") is not True:
        return False
    ceiling, n_raters = content.get("ceiling"), content.get("n_raters", 1)
    known = isinstance(ceiling, list) and len(ceiling) == 2 and all(isinstance(r2, int | float) for r2 in ceiling)
    return (ceiling is None or known) and type(n_raters) is int and n_raters > 0


# --- what becomes of them ---------------------------------------------------------------------------------------


def _check_choice(labels: str) -> None:
    if labels not in LABELS:
        raise DataError(f'labels = "{labels}"; allowed: {", ".join(LABELS)}.')


def _songs_to_exchange(copy: DeamCopy, labels: str) -> np.ndarray:
    """Which songs to exchange valence and arousal of, shape (n_songs,).

    Raises:
        DataError: labels="corrected" and the check is undecided.
    """
    _check_choice(labels)
    early: np.ndarray = copy.ids <= LAST_EXCHANGED_ID
    if labels == "raw" or (labels == "corrected" and copy.exchange.state in ("straight", "absent")):
        return np.zeros_like(early)
    if labels == "corrected" and copy.exchange.state == "unclear":
        if copy.synthetic:
            return np.zeros_like(early)  # the fault is one of the distributed file, which a generated copy is not
        raise DataError(
            f"{copy.files.root}: whether valence and arousal are right, or exchanged for {copy.exchange.n_songs} songs "
            f"(ids up to {LAST_EXCHANGED_ID}), this copy does not tell: {copy.exchange.evidence}. "
            f"{UNCLEAR_ADVICE} `affekt data deam --root DIR` shows all that was found."
        )
    return early


def _song(
    copy: DeamCopy,
    song_id: int,
    mean: np.ndarray,
    std: np.ndarray,
    ratings: np.ndarray | None,
    columns: Sequence[int],
) -> Song:
    # The published minimum, which the numbers bear out: 99 % of the labels are means of exactly ten whole ratings.
    n_raters = copy.synthetic.get("n_raters", 10 if song_id <= LAST_2014_ID else 5)
    return replace(
        _bare_song(copy, song_id, tuple(mean.tolist())),
        target_std=tuple(std.tolist()),
        n_raters=int(n_raters if ratings is None else len(ratings)),
        ratings=None if ratings is None else tuple(map(tuple, ratings[:, columns].tolist())),
    )


def _with_curve(copy: DeamCopy, song_id: int, curve: Curve) -> Song:
    return replace(_bare_song(copy, song_id, curve.mean), curve=curve)


def _bare_song(copy: DeamCopy, song_id: int, targets: tuple[float, ...]) -> Song:
    """A song with its annotation and all that is known of it, without its raters."""
    name = str(song_id)
    credits = copy.credits.get(name, Credits())
    official = copy.official_sets.get(name)
    return Song(
        id=name,
        audio_path=copy.files.audio.get(name),
        targets=targets,
        artist=credits.artist,
        genre=credits.genre,
        part=None if copy.synthetic else part_of(song_id),
        title=credits.title,
        attributes=((OFFICIAL_COLUMN, official),) if official else (),
    )


def _constructed(dataset: Dataset, copy: DeamCopy, columns: Sequence[int]) -> Dataset | None:
    """The data set with the ceiling that the generator of its labels knows; None for labels of unknown truth."""
    given = copy.synthetic.get("ceiling")
    if given is None:
        return None
    return replace(dataset, ceiling=tuple(float(given[i]) for i in columns), ceiling_method=CONSTRUCTION)


def _notes(copy: DeamCopy, labels: str, n_exchanged: int, songs: Sequence[Song], ratings: Ratings) -> Iterable[str]:
    if copy.synthetic:
        yield str(copy.synthetic.get("note") or "Synthetic music with simulated ratings.")
    yield _labels_note(copy, labels, n_exchanged)
    yield from _lacking_notes(copy, songs)
    if ratings.n_unmatched:
        yield f"Single ratings of {ratings.n_unmatched} songs are left aside: they do not average to their labels."


def _dynamic_notes(copy: DeamCopy, songs: Sequence[Song]) -> Iterable[str]:
    if copy.synthetic:
        yield str(copy.synthetic.get("note") or "Synthetic music with simulated ratings.")
    yield "Annotated over time, averaged over raters, scale -1 to 1; a song's own annotation is the mean over time."
    yield from _lacking_notes(copy, songs)


def _lacking_notes(copy: DeamCopy, songs: Sequence[Song]) -> Iterable[str]:
    if len(copy.files.static) < len(STATIC_NAMES) and not copy.synthetic:
        read = copy.files.static[0].name
        missing = next(name for name in STATIC_NAMES if name != read.lower())
        yield f"Only {len(songs)} songs: {missing} is missing."
    yield from lacking_notes(songs)
    if not copy.synthetic and not (copy.files.audio and copy.files.metadata):
        yield from filter(None, [packed(copy.files.root, lambda name: _is_lacking(copy.files, name))])


def _is_lacking(files: DeamFiles, name: str) -> bool:
    if is_numbered_audio(name):
        return not files.audio
    return name.startswith("metadata_") and not files.metadata


def _labels_note(copy: DeamCopy, labels: str, n_exchanged: int) -> str:
    exchange, first = copy.exchange, f"ids up to {LAST_EXCHANGED_ID}"
    if labels == "corrected-unchecked":
        return (
            f'labels="corrected-unchecked": valence and arousal of {n_exchanged} songs ({first}) exchanged on request.'
        )
    if labels == "raw":
        warning = (
            f" They are exchanged for {exchange.n_songs} songs ({first})." if exchange.state == "exchanged" else ""
        )
        return f'labels="raw": valence and arousal as the files have them.{warning} The check: {exchange.evidence}.'
    if n_exchanged:
        return (
            f'labels="corrected": valence and arousal of {n_exchanged} songs ({first}) were exchanged in this copy and '
            f"have been put right: {exchange.evidence}."
        )
    return f'labels="corrected": 0 songs exchanged, since this copy needs no correction: {exchange.evidence}.'
