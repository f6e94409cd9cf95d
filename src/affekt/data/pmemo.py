"""PMEmo: 767 choruses of pop songs with valence and arousal from human raters, static and over time.

Data sheet
    Source: Zhang, Zhang, Li, Yang & Sun (2018), "The PMEmo dataset for music emotion recognition", ICMR '18, 135-142,
        doi 10.1145/3206025.3206037; https://github.com/HuiZhangDB/PMEmo. Songs of the Billboard Hot 100, iTunes Top 100
        and UK Top 40 charts of 2016 and 2017. The layout is that of the release of 2019.
    Licence: the authors' repository, which holds code, is under the MIT licence. That of the annotations is not
        confirmed; the choruses are excerpts of commercial recordings. Not distributed, and not downloaded, by this
        project.
    Labels: mean of a song's ratings on the scale 0 to 1, standard deviations in a file of their own; the files have
        arousal before valence, here columns are found by name and valence comes first. Over time: 2 Hz, the first 15 s
        left out by the authors, scale 0 to 1, a line for each song and moment.
    Raters: 10 or 11 a song, of 457 in all; 10 are assumed. 767 of the 794 songs have labels.
    Audio: chorus/<musicId>.mp3, the chorus alone, 11 to 88 s; a song just longer than 15 s has few moments.
    Known faults, all to be seen in docs/data/scatter.json of the authors' repository: some songs are there twice under
        two ids (90 and 92, 160 and 162, 176 and 186, 179 and 185), by the same artist, so that folds grouped by artist
        keep them together; artists have several spellings ("Blink 182", "Blink-182") and some names lost their
        encoding (84, 146); "Various Artists" is one artist. 27 songs have audio and no label. Whether the
        standard deviations divide by n or n - 1 is not said; n is assumed for the ceiling.

Files are found by name wherever they are below the root.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from affekt.data.annotated import AnnotatedCopy, Pair
from affekt.data.base import Dataset
from affekt.data.curves import Curve
from affekt.data.find import audio_by_id, found_below, is_numbered_audio
from affekt.data.metadata import fill_from_tags, read_metadata
from affekt.data.tables import Mistakes, parse_id, read_by_id, read_number, read_numbers, read_table
from affekt.errors import DataError

PAGE = "https://github.com/HuiZhangDB/PMEmo"
SCALE = (0.0, 1.0)
CATALOGUE = "pmemo"
STATIC_NAME = "static_annotations.csv"
STATIC_STD_NAME = "static_annotations_std.csv"
DYNAMIC_NAME = "dynamic_annotations.csv"
METADATA_NAME = "metadata.csv"
N_RATERS = 10

_ID, _TIME = "musicId", "frameTime"
_MEANS = ("Valence(mean)", "Arousal(mean)")
_STDS = ("Valence(std)", "Arousal(std)")
_LONGEST_S = 3600.0
_ADVICE = (
    f"Get PMEmo from its authors (the links are on {PAGE}); it is not downloaded for you. Unpack the release of 2019 "
    "and name its folder as root (--root DIR)."
)


def load_pmemo(
    root: str | Path | None = None, targets: Sequence[str] | None = None, annotations: str = "static"
) -> Dataset:
    """Load PMEmo.

    Args:
        root: folder of a local copy, in any layout.
        targets: "valence", "arousal" or both (the default); valence comes first whatever the order.
        annotations: "static", one annotation a song; or "dynamic", annotations over time at 2 Hz, of which a song's own
            annotation is the mean. Both are on the scale 0 to 1.

    Returns:
        All songs with labels, with `audio_path=None` where the audio is missing.

    Raises:
        DataError: no root; a file is missing; cells cannot be used, all of which are named; or valence and arousal
            stand under each other's names in one of the files.
    """
    return read_pmemo(root).dataset(targets, annotations)


def read_pmemo(root: str | Path | None) -> AnnotatedCopy:
    """Find and read a copy of PMEmo; errors as in `load_pmemo`."""
    if root is None:
        raise DataError(f"pmemo: no root given. {_ADVICE}")
    base = Path(root).expanduser()
    found = _find(base)
    mistakes = Mistakes(str(base))
    mean = read_by_id(found[STATIC_NAME], _ID, dict.fromkeys(_MEANS, SCALE), mistakes)
    std: dict[int, Pair] = {}
    if STATIC_STD_NAME in found:
        std = read_by_id(found[STATIC_STD_NAME], _ID, dict.fromkeys(_STDS, SCALE), mistakes)
    curves = _read_curves(found[DYNAMIC_NAME], mistakes) if DYNAMIC_NAME in found else {}
    mistakes.raise_any()
    labelled = {str(song) for song in (*mean, *curves)}
    audio = {song: path for song, path in audio_by_id(found).items() if song in labelled}
    metadata = [found[METADATA_NAME]] if METADATA_NAME in found else []
    return AnnotatedCopy(
        name="pmemo",
        title="PMEmo",
        root=base,
        scale=SCALE,
        dynamic_scale=SCALE,
        dynamic_names=(DYNAMIC_NAME,),
        n_raters=N_RATERS,
        mean=mean,
        std=std,
        curves=curves,
        audio=audio,
        credits=fill_from_tags(read_metadata(metadata, mend=False), audio, mend=False),
        catalogue=CATALOGUE,
    )


def _find(root: Path) -> dict[str, Path]:
    names = (STATIC_NAME, STATIC_STD_NAME, DYNAMIC_NAME, METADATA_NAME)
    advice = "Name the folder that holds PMEmo's annotations and chorus."
    found = found_below(root, lambda path: path.name.lower() in names or is_numbered_audio(path.name), advice)
    if STATIC_NAME not in found:
        raise DataError(f"{root}: no static annotations found. Looked for {STATIC_NAME} anywhere below it. {_ADVICE}")
    return found


def _read_curves(path: Path, mistakes: Mistakes) -> dict[int, Curve]:
    """Curves by song id from one line for each song and moment, in any order."""
    table = read_table(path, (_ID, _TIME, *_MEANS), mistakes)
    found: dict[int, dict[float, list[float]]] = {}
    for row in table.rows:
        song = parse_id(table, row, mistakes, _ID)
        time_s = read_number(table, row, _TIME, 0.0, _LONGEST_S, mistakes)
        values = read_numbers(table, row, _MEANS, *SCALE, mistakes)
        own = found.setdefault(song, {})
        if time_s in own:
            mistakes.add(path.name, row.line, f"{_ID} = {song} has {_TIME} = {time_s:g} twice")
        own[time_s] = values
    return {song: _curve(values) for song, values in found.items()}


def _curve(values: Mapping[float, list[float]]) -> Curve:
    times_s = sorted(values)
    return Curve(np.array(times_s), np.array([values[time_s] for time_s in times_s]))
