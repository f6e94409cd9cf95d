"""Many files through one model: decoded ahead of the encoder, a row for each, a broken file a row with its error.

The pipeline is that of extraction (`affekt.features.crew`): songs are decoded in threads or worker processes while the
encoder runs, a few are in flight at any time, and memory does not grow with their number or length.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from affekt.audio.silence import native_stderr_silenced
from affekt.errors import AudioError, DataError, problems
from affekt.features.crew import Crew, in_flight, most_songs
from affekt.features.prepare import Task
from affekt.model.emotion import Emotion
from affekt.model.predictor import Model

#: What is taken from a folder; a file that is named is tried whatever it is called.
SUFFIXES = frozenset(
    (
        *(".mp3", ".mp2", ".flac", ".wav", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au", ".w64", ".rf64", ".caf"),
        *(".m4a", ".aac", ".mp4", ".wma", ".webm", ".mka", ".ape", ".wv"),  # these take ffmpeg
    )
)


class Answer(NamedTuple):
    """What a model says of a file, or why it says nothing."""

    path: Path
    emotion: Emotion | None
    error: str | None


def predict_files(
    model: Model,
    paths: Iterable[Path],
    curve: bool = False,
    workers: int = 0,
) -> Iterator[Answer]:
    """Predict files, each as soon as it is decoded, in whichever order that is.

    Args:
        model: whom to ask; runs on the fastest device meanwhile.
        paths: files; they are begun in this order.
        curve: whether to follow each over time.
        workers: processes that decode ahead; 0 for threads of this one.
    """
    with model.running():
        yield from predict_running(model, paths, curve, workers)


def predict_running(
    model: Model,
    paths: Iterable[Path],
    curve: bool = False,
    workers: int = 0,
) -> Iterator[Answer]:
    """`predict_files` of a model that runs already, which it may for many calls."""
    plan = model.plan(curve)
    most = most_songs(model.encoder, plan, workers)
    with native_stderr_silenced(), Crew(model.recipe, workers) as crew:
        if workers:
            crew.start()
        for path, prepared in in_flight(paths, lambda path: crew.submit(Task(path, plan)), most):
            try:
                answer = Answer(path, model.read(prepared.result().sound, curve), None)
            except AudioError as error:
                answer = Answer(path, None, str(error))
            yield answer


def find_files(places: Sequence[Path], recursive: bool = False) -> list[Path]:
    """The files that a user named, and the audio files of the folders.

    Args:
        places: files and folders.
        recursive: whether to look into folders of folders; links are not followed, hidden ones not entered.

    Returns:
        each file once, in the order of `places`, those of a folder by name.

    Raises:
        DataError: something is not there, or nothing was found at all.
    """
    missing = [f"{place}: no such file or folder." for place in places if not place.exists()]
    if missing:
        raise DataError(missing[0] if len(missing) == 1 else problems("what was named", missing))
    found = dict.fromkeys(path for place in places for path in _files(place, recursive))
    if not found:
        more = "" if recursive else " Take --recursive for folders in folders."
        raise DataError(f"{', '.join(map(str, places))}: no audio file in it ({', '.join(sorted(SUFFIXES))}).{more}")
    return list(found)


def _files(place: Path, recursive: bool) -> Iterator[Path]:
    if not place.is_dir():
        yield place
        return
    for folder, folders, files in os.walk(place):
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        yield from (
            Path(folder) / name
            for name in sorted(files)
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        )
