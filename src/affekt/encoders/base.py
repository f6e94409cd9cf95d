"""What an encoder is: something that turns clips of sound into activations, cut anywhere into prefix and suffix.

Conventions: a clip is float32 in [-1, 1] at the encoder's own sample rate; clips of one call have equal length. A
*layer* is what `freeze` counts. The *cut* is the first stage that is trained: what stands before it is a pure
function of audio, weights and settings, computed once and stored; what stands after it is trained with the heads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from affekt.data.base import Song
from affekt.errors import DataError

if TYPE_CHECKING:
    import torch

Input = Literal["waveform", "spectrogram", "descriptors", "embeddings", "nothing"]
RANDOM_WEIGHTS = "random weights"


@dataclass(frozen=True)
class EncoderSpec:
    """What a reader needs to know of an encoder, and what a pipeline has to feed it.

    Attributes:
        name: as in the experiment file.
        input: what the encoder hears.
        sample_rate_hz: of the clips it takes; None where it takes no audio.
        embedding_dim: width of the pooled vector.
        weights: where the weights come from, in words, with the revision; or "random weights (seed 0)".
        licence: of the weights.
    """

    name: str
    input: Input
    sample_rate_hz: int | None
    embedding_dim: int
    weights: str
    licence: str


@dataclass(frozen=True)
class Cut:
    """A place between two stages.

    Attributes:
        index: number of stages before the cut.
        name: the first trained stage, or "all" where nothing is trained.
        frozen: True where no trainable layer stands behind the cut: activations are then pooled vectors.
    """

    index: int
    name: str
    frozen: bool


class Encoder(ABC):
    """One way of hearing. Subclasses: `StagedEncoder` (neural), and the reference points in `baselines`."""

    spec: EncoderSpec
    #: True where activations are computed from audio and therefore stored.
    needs_audio: bool = True
    #: Raised by one whenever the code before the cut gives other numbers than before.
    code_version: int = 1
    #: True where `activations` is numpy or Python on one core: whole songs are then computed in worker processes, which
    #: build the encoder by its name.
    runs_in_workers: bool = False

    def cut(self, freeze: str) -> Cut:
        """The cut that `freeze` asks for. Where nothing can be trained, everything is frozen.

        Args:
            freeze: "all", "none" or "lastN" (all but the last N layers are frozen).

        Raises:
            ConfigError: the encoder has fewer than N layers.
        """
        del freeze
        return Cut(1, "all", frozen=True)

    def hear(self, layer: str | int) -> None:
        """Choose the layer whose output is the embedding. Without layers there is nothing to choose.

        Args:
            layer: "last", a number from 1, or "weighted" (a learned sum of all layers).

        Raises:
            ConfigError: there is no such layer.
        """
        del layer

    def run_with(self, engine: str) -> None:
        """Choose what runs the stages before the cut. Without stages there is nothing to choose.

        Args:
            engine: "torch" or "openvino-int8".

        Raises:
            ConfigError: the engine does not work for this encoder.
            MissingExtraError: a package of the engine is not installed.
        """
        del engine

    def engine_at(self, cut: Cut) -> str:
        """What runs the stages before the cut; "torch" where there are none."""
        del cut
        return "torch"

    def settings(self, cut: Cut | None = None) -> dict[str, Any]:
        """Everything but audio, clips and cut that determines activations; part of the store's key.

        Args:
            cut: what stands behind it does not count; None counts the whole encoder.
        """
        del cut
        return {"encoder": self.spec.name, "code_version": self.code_version}

    @property
    def longest_clip_s(self) -> float | None:
        """The longest clip that the encoder takes, in seconds; None where any length will do."""
        return None

    @property
    def drawn(self) -> bool:
        """Whether the weights are random, so that each seed has its own."""
        return self.spec.weights.startswith(RANDOM_WEIGHTS)

    def missing(self, songs: Sequence[Song]) -> dict[str, str]:
        """Songs that this encoder cannot serve, and why; known before any audio is read."""
        if not self.needs_audio:
            return {}
        return {song.id: "no audio file" for song in songs if song.audio_path is None}

    @contextmanager
    def on_fastest_device(self, tell: Callable[[str], None] = lambda text: None) -> Iterator[None]:
        """Run the prefix on a GPU within, where there is one and the encoder can use it.

        Args:
            tell: called with what is being prepared, where that takes time.
        """
        del tell
        yield

    def n_parameters(self) -> int:
        """Number of weights."""
        return 0

    @abstractmethod
    def activations(self, clips: np.ndarray, cut: Cut) -> np.ndarray:
        """Run the prefix.

        Args:
            clips: shape (n_clips, n_samples), float32.
            cut: where to stop.

        Returns:
            shape (n_clips, ...): what enters the suffix; (n_clips, embedding_dim) where everything is frozen.
        """

    def suffix(self, cut: Cut) -> torch.nn.Module | None:
        """A fresh, trainable copy of what stands behind the cut, or None where everything is frozen.

        It maps activations (batch, ...) to embeddings (batch, embedding_dim).
        """
        del cut
        return None


class LookupEncoder(Encoder):
    """An encoder whose embeddings are known by song, without audio."""

    needs_audio = False

    @abstractmethod
    def lookup(self, song: Song) -> np.ndarray:
        """Embedding of one song, shape (1, embedding_dim)."""

    def over_time(self, song: Song) -> np.ndarray:
        """Embeddings at all annotated moments, (n_frames, embedding_dim); the song's own where there is no other."""
        assert song.curve is not None  # of a data set that is annotated over time
        return np.repeat(self.lookup(song), len(song.curve), axis=0)

    def activations(self, clips: np.ndarray, cut: Cut) -> np.ndarray:
        """Not defined: there is no audio to run on."""
        raise DataError(f"{self.spec.name}: embeddings are looked up by song, not computed from audio.")
