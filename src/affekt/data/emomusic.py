"""emoMusic: 744 songs of 45 s with valence and arousal from human raters, static and over time.

Data sheet
    Source: Soleymani, Caro, Schmidt, Sha & Yang (2013), "1000 songs for emotional analysis of music", CrowdMM '13,
        doi 10.1145/2506364.2506365; https://cvml.unige.ch/databases/emoMusic/. A thousand songs were rated; the authors
        removed recordings that occurred twice, which left 744 (ids 2 to 1000 with gaps).
    Licence: the songs come from the Free Music Archive under Creative Commons, licence per song. That of the
        annotations is not confirmed. Not distributed, and not downloaded, by this project.
    Labels: mean and standard deviation of a song's ratings, scale 1 to 9; the static file has arousal before valence,
        here columns are found by name and valence comes first. Over time: 2 Hz from 15 s on, scale -1 to 1.
    Raters: at least 10 a song, crowd workers.
    Split: MediaEval 2013, 619 development and 125 evaluation songs, in the last column of songs_info.csv.
    Audio: clips_45seconds/<song_id>.mp3, 44.1 kHz.
    Known faults: these songs are the 2013 part of DEAM under the same ids, so that neither may test a model trained on
        the other (`affekt.data.joined` refuses it). DEAM's static file has valence and arousal of these songs exchanged
        (`exchange.py`), this one has not; every copy is checked. In the official split 66 of the 125 evaluation songs
        have an artist among the development songs. songs_info.csv has tabs within its quotes.

Files are found by name wherever they are below the root.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from affekt.data.annotated import AnnotatedCopy
from affekt.data.base import Dataset
from affekt.data.curves import read_curves
from affekt.data.deam import CATALOGUE, DYNAMIC_SCALE, SCALE, SONGS_INFO_NAME
from affekt.data.find import audio_by_id, found_below, is_numbered_audio
from affekt.data.metadata import fill_from_tags, read_metadata, read_official_sets
from affekt.data.tables import Mistakes, read_by_id
from affekt.errors import DataError

PAGE = "https://cvml.unige.ch/databases/emoMusic/"
STATIC_NAME = "static_annotations.csv"
#: Valence first.
DYNAMIC_NAMES = ("valence_cont_average.csv", "arousal_cont_average.csv")
N_RATERS = 10

_CLIPS = "clips_45seconds"
_ADVICE = (
    f"Get emoMusic from its authors, {PAGE}; it is not downloaded for you. Unpack annotations.tar.gz and "
    "clips_45sec.tar.gz into one folder and name it as root (--root DIR)."
)
_STD_LIMITS = (0.0, SCALE[1] - SCALE[0])
_COLUMNS = {"mean_valence": SCALE, "mean_arousal": SCALE, "std_valence": _STD_LIMITS, "std_arousal": _STD_LIMITS}


def load_emomusic(
    root: str | Path | None = None, targets: Sequence[str] | None = None, annotations: str = "static"
) -> Dataset:
    """Load emoMusic from its own files.

    Args:
        root: folder of a local copy, in any layout.
        targets: "valence", "arousal" or both (the default); valence comes first whatever the order.
        annotations: "static", one annotation a song on the scale 1 to 9; or "dynamic", annotations over time at 2 Hz on
            the scale -1 to 1, of which a song's own annotation is the mean.

    Returns:
        All songs with labels, with `audio_path=None` where the audio is missing.

    Raises:
        DataError: no root; a file is missing; cells cannot be used, all of which are named; or static annotations do
            not follow those over time, as they do in the distributed files.
    """
    return read_emomusic(root).dataset(targets, annotations)


def read_emomusic(root: str | Path | None) -> AnnotatedCopy:
    """Find and read a copy of emoMusic; errors as in `load_emomusic`."""
    if root is None:
        raise DataError(f"emomusic: no root given. {_ADVICE}")
    base = Path(root).expanduser()
    found = _find(base)
    mistakes = Mistakes(str(base))
    static = read_by_id(found[STATIC_NAME], "song_id", _COLUMNS, mistakes)
    has_curves = all(name in found for name in DYNAMIC_NAMES)
    curves = read_curves([found[name] for name in DYNAMIC_NAMES], DYNAMIC_SCALE, mistakes) if has_curves else {}
    mistakes.raise_any()
    metadata = [found[SONGS_INFO_NAME]] if SONGS_INFO_NAME in found else []
    audio = audio_by_id(found)
    return AnnotatedCopy(
        name="emomusic",
        title="emoMusic",
        root=base,
        scale=SCALE,
        dynamic_scale=DYNAMIC_SCALE,
        dynamic_names=DYNAMIC_NAMES,
        n_raters=N_RATERS,
        mean={song: values[:2] for song, values in static.items()},
        std={song: values[2:] for song, values in static.items()},
        curves=curves,
        audio=audio,
        credits=fill_from_tags(read_metadata(metadata), audio),
        official_sets=read_official_sets(metadata),
        catalogue=CATALOGUE,
        follows=True,
    )


def _find(root: Path) -> dict[str, Path]:
    """The files of a copy by name; of the audio, the clips alone where the whole songs lie beside them."""
    names = (STATIC_NAME, *DYNAMIC_NAMES, SONGS_INFO_NAME)
    advice = "Name the folder that holds emoMusic's annotations and clips_45seconds."
    found = found_below(root, lambda path: path.name.lower() in names, advice)
    if STATIC_NAME not in found:
        raise DataError(f"{root}: no static annotations found. Looked for {STATIC_NAME} anywhere below it. {_ADVICE}")
    clips = found_below(root, lambda path: path.parent.name == _CLIPS and is_numbered_audio(path.name), advice)
    return found | (clips or found_below(root, lambda path: is_numbered_audio(path.name), advice))
