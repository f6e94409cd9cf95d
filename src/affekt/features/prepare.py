"""What is done for a song ahead of the encoder, in a thread or in a worker process: decode, resample, cut.

An encoder that is plain numpy (`Encoder.runs_in_workers`) runs here too, so that it scales with cores. Nothing here
brings torch. A spectrogram that torch computes stays with the encoder: a worker would load torch for two seconds and
hundreds of megabytes to save a hundredth of the encoder's time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from affekt.audio.clips import ClipPlan
from affekt.audio.decode import Level, SampleStream
from affekt.audio.frames import Windows
from affekt.audio.track import TrackPlan
from affekt.digest import digest
from affekt.encoders import build_encoder
from affekt.encoders.base import Cut, Encoder
from affekt.errors import AudioError, EncoderError
from affekt.features.keys import DTYPE, Heard

#: What may be heard of a file, by its name in JSON.
_KINDS: dict[str, Any] = {
    "clips": ClipPlan,
    "windows": Windows,
    "track": TrackPlan,
}


@dataclass(frozen=True)
class Sound:
    """What was made of a file.

    Attributes:
        value: clips or samples, as of `sound`, or activations.
        n_samples: length of the track at the encoder's rate.
        level: of the track, as it was read.
    """

    value: np.ndarray
    n_samples: int
    level: Level


@dataclass(frozen=True)
class Task:
    """A file, and what of it is heard."""

    path: Path
    heard: Heard

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        kind = next(kind for kind, plan in _KINDS.items() if isinstance(self.heard, plan))
        return {"path": str(self.path), kind: asdict(self.heard)}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Task:
        """From what `as_dict` gave."""
        kind = next(kind for kind in _KINDS if kind in told)
        fields = {key: tuple(value) if isinstance(value, list) else value for key, value in told[kind].items()}
        return cls(Path(told["path"]), _KINDS[kind](**fields))


@dataclass(frozen=True)
class Recipe:
    """What to make of every file: the same for all songs of one encoder, and sent to a worker once.

    Attributes:
        sample_rate_hz: of the encoder.
        encoder: computes activations at `cut` at once; None where that is done elsewhere.
        cut: where its prefix ends.
    """

    sample_rate_hz: int
    encoder: Encoder | None
    cut: Cut

    def as_dict(self) -> dict[str, Any]:
        """For JSON; an encoder is told by its name, and by the hash of all that determines its values."""
        encoder = self.encoder and {"name": self.encoder.spec.name, "digest": digest(self.encoder.settings(self.cut))}
        return {"sample_rate_hz": self.sample_rate_hz, "encoder": encoder, "cut": asdict(self.cut)}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Recipe:
        """From what `as_dict` gave.

        Raises:
            EncoderError: an encoder of this name is another one here, or unknown.
        """
        cut = Cut(**told["cut"])
        if told["encoder"] is None:
            return cls(told["sample_rate_hz"], None, cut)
        encoder = build_encoder(told["encoder"]["name"])
        if digest(encoder.settings(cut)) != told["encoder"]["digest"]:
            raise EncoderError(f"{encoder.spec.name}: built by its name it is another encoder than the one sent.")
        return cls(told["sample_rate_hz"], encoder, cut)

    def __call__(self, task: Task) -> Sound:
        """`sound`, or the activations where there is an encoder.

        Raises:
            AudioError: the file cannot be used.
        """
        found = sound(task, self.sample_rate_hz)
        if self.encoder is None:
            return found
        return replace(found, value=activations(self.encoder, self.cut, task, found.value))


def sound(task: Task, sample_rate_hz: int, opened: Callable[[Path, int], SampleStream] = SampleStream) -> Sound:
    """What has to be kept of a file until the encoder has heard it.

    Args:
        task: the file, and what of it is heard.
        sample_rate_hz: of the encoder.
        opened: opens it; a stream of another kind may bound what is read of a stranger's file.

    Returns:
        Clips, shape (n_clips, n_samples); where the file's header is right, the whole song is never held for them. For
        windows over time, which overlap and would fill many times the memory, the samples, shape (n_samples,).

    Raises:
        AudioError: as `decode` and `ClipPlan.cut`.
    """
    if not isinstance(task.heard, Windows):
        with opened(task.path, sample_rate_hz) as stream:
            clips = task.heard.cut_stream(stream, stream.n_samples, sample_rate_hz)
        if clips is not None:
            return Sound(clips, stream.n_samples, stream.level)
    with opened(task.path, sample_rate_hz) as stream:
        samples = stream.read()
    if isinstance(task.heard, Windows):
        return Sound(samples, len(samples), stream.level)
    try:
        return Sound(task.heard.cut(samples, sample_rate_hz), len(samples), stream.level)
    except AudioError as error:
        raise AudioError(f"{task.path}: {error}") from None


def activations(encoder: Encoder, cut: Cut, task: Task, found: np.ndarray) -> np.ndarray:
    """Run the prefix on what `sound` gave, shape (n_clips or n_frames, ...); windows are cut some at a time.

    Raises:
        AudioError: as `Windows.cut`, with the file's name.
    """
    if not isinstance(task.heard, Windows):
        return encoder.activations(found, cut)
    assert encoder.spec.sample_rate_hz is not None  # it takes audio
    try:
        pieces: Iterable[np.ndarray] = task.heard.batches(found, encoder.spec.sample_rate_hz)
    except AudioError as error:
        raise AudioError(f"{task.path}: {error}") from None
    return np.concatenate([encoder.activations(windows, cut) for windows in pieces])


def storable(encoder: Encoder, cut: Cut, task: Task, found: np.ndarray) -> np.ndarray:
    """What is stored of a file: `activations`, unless `Recipe` computed them, in half precision.

    Raises:
        AudioError: as `activations`; they are not finite.
    """
    value = found if encoder.runs_in_workers else activations(encoder, cut, task, found)
    if not np.isfinite(value).all():
        raise AudioError(f"{task.path}: {encoder.spec.name} gives values that are not finite for this song.")
    limit = float(np.finfo(DTYPE).max)  # a descriptor in Hz squared, say, must not become an infinity
    return np.clip(value, -limit, limit).astype(DTYPE)


def one_thread(encoder: Encoder) -> contextlib.AbstractContextManager[object]:
    """BLAS in one thread where `Recipe` runs the encoder, as in a worker: sums over more threads round differently."""
    return threadpool_limits(1, "blas") if encoder.runs_in_workers else contextlib.nullcontext()
