"""A few seconds of the hardest songs, so that a reader can hear where encoders fail.

Conventions: an excerpt is ten seconds from a song's middle, mono, 64 kbit/s MP3 (Ogg Vorbis where libsndfile cannot
write MP3), named after the song's id. A dozen songs at most: those with the largest error over all encoders. The report
holds them itself, as far as they stay within a bound. A song whose audio cannot be read has no excerpt; nothing else
changes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from affekt.errors import AudioError, StorageError
from affekt.evaluation.results import Results
from affekt.evaluation.scores import Scores, score
from affekt.files import atomic
from affekt.report.failing import worst_songs
from affekt.report.view import View

FOLDER_NAME = "excerpts"
MOST_SONGS = 12
LENGTH_S = 10.0
RATE_HZ = 32_000
#: What a report embeds at most, in bytes of audio.
MOST_BYTES = 2_000_000

_FADE_S = 0.05
_TYPES = {".mp3": "audio/mpeg", ".ogg": "audio/ogg"}
# libsndfile maps 0 .. 1 to 320 .. 32 kbit/s of MPEG 1 (rates from 32 kHz), evenly.
_MP3_LEVEL = (320 - 64) / (320 - 32)


class Excerpt(NamedTuple):
    """One excerpt as a page embeds it."""

    data_uri: str
    n_bytes: int


def write_excerpts(results: Results | Scores, audio_paths: Mapping[str, Path], folder: Path) -> list[Path]:
    """Write excerpts of the hardest songs into `<folder>/excerpts/`.

    Args:
        results: a comparison, or one that was scored already.
        audio_paths: song id to audio file, for as many songs as have one.
        folder: the run folder.

    Returns:
        The files, hardest song first. Songs without readable audio have none.

    Raises:
        DataError: the results cannot be scored.
        StorageError: an excerpt cannot be written.
    """
    scores = results if isinstance(results, Scores) else score(results, n_resamples=2)  # no interval is asked for
    from affekt.audio.silence import native_stderr_silenced

    written = []
    for song in worst_songs(View(scores), MOST_SONGS):
        song_id = scores.song_ids[song.position]
        try:
            with native_stderr_silenced():  # MP3 decoders print what they stumble over
                samples = _excerpt(Path(audio_paths[song_id]))
        except (KeyError, AudioError):
            continue
        written.append(_write(folder / FOLDER_NAME / excerpt_stem(song_id), samples))
    return written


def drop_excerpts(folder: Path) -> None:
    """Delete the excerpts that an earlier report of this run folder left, and nothing else."""
    for path in (folder / FOLDER_NAME).glob("*"):
        if path.suffix in _TYPES and path.is_file():
            path.unlink()


def find_excerpts(folder: Path, song_ids: list[str]) -> dict[str, Excerpt]:
    """Excerpts that lie in a run folder, by song id, until their bytes reach the bound.

    Args:
        folder: the run folder.
        song_ids: whose excerpts to look for, the most wanted first.
    """
    found: dict[str, Excerpt] = {}
    for song_id in song_ids:
        for suffix, kind in _TYPES.items():
            excerpt = _embedded(folder / FOLDER_NAME / f"{excerpt_stem(song_id)}{suffix}", kind)
            if excerpt and sum(other.n_bytes for other in found.values()) + excerpt.n_bytes <= MOST_BYTES:
                found.setdefault(song_id, excerpt)
    return found


def excerpt_stem(song_id: str) -> str:
    """A file name for a song id, whatever letters it has: its plain letters, and a digest that tells it from others."""
    digest = hashlib.sha256(song_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    plain = re.sub(r"[^A-Za-z0-9]+", "-", song_id).strip("-")[:40]
    return f"{plain}-{digest}" if plain else digest


def _excerpt(path: Path) -> np.ndarray:
    """Ten seconds from the middle, faded at both ends, (n_samples,)."""
    from affekt.audio.decode import decode

    samples = decode(path, RATE_HZ)
    length = min(len(samples), round(LENGTH_S * RATE_HZ))
    start = (len(samples) - length) // 2
    middle = samples[start : start + length]
    n_fade = min(round(_FADE_S * RATE_HZ), length // 2)
    ramp = np.ones(length, dtype=np.float32)
    ramp[:n_fade] = np.linspace(0, 1, n_fade)
    ramp[length - n_fade :] = np.linspace(1, 0, n_fade)
    loudest = float(np.abs(middle).max())
    return middle * ramp / max(1.0, loudest)  # a loud float file must not clip


def _write(stem: Path, samples: np.ndarray) -> Path:
    import soundfile

    mp3 = "MP3" in soundfile.available_formats()
    path = stem.with_name(f"{stem.name}{'.mp3' if mp3 else '.ogg'}")
    options = (
        {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT", "compression_level": _MP3_LEVEL}
        if mp3
        else {"format": "OGG", "subtype": "VORBIS"}
    )
    try:
        with atomic(path) as temporary:
            soundfile.write(temporary, samples, RATE_HZ, **options)
    except soundfile.SoundFileError as error:
        raise StorageError(f"{path}: cannot write ({error}). Free some space, or name another folder.") from error
    return path


def _embedded(path: Path, kind: str) -> Excerpt | None:
    """The file as a data URI; None where it is missing, unreadable or empty."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if not content:
        return None
    return Excerpt(f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}", len(content))
