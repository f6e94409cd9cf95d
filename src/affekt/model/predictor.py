"""A track to an `Emotion`: decode, cut, run the prefix, read out.

    model = affekt.load_model("models/deam")
    emotion = model.predict("song.mp3")
    emotion.valence, emotion.arousal, emotion.interval("arousal"), emotion.curve

Files, samples and open files come to the same numbers where they hold the same sound. A track is never held as a whole
unless its header is wrong; clips and at most `MOST_WINDOWS` windows of it are.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soxr
from threadpoolctl import threadpool_limits

from affekt.audio.decode import Level
from affekt.audio.speech import sounds_like_speech
from affekt.audio.track import TrackPlan
from affekt.encoders import Cut, Encoder, build_section
from affekt.errors import AudioError, ConfigError, DataError, WeightsError
from affekt.features.prepare import Recipe, Sound, Task, sound
from affekt.model.bundle import Settings, read_bundle, read_graph, write_bundle
from affekt.model.card import model_card
from affekt.model.emotion import Course, Emotion, Interval, Remark
from affekt.model.readout import ExportedReadout, Readout, RidgeReadout, TrainedReadout

#: Seconds from one point of a curve to the next, as a share of what is heard for each.
HOP = 0.5
#: Peaks below this are silence: -60 dB of full scale.
SILENT = 1e-3
#: A track is clipped where so many of its samples lie at full scale.
CLIPPED_SHARE = 1e-3
#: Samples with their rate in Hz, as (n_samples,) or (n_samples, n_channels).
Samples = tuple[np.ndarray, int]


class Model:
    """A trained predictor. Made by `load_model` and `affekt.model.train.train_model`.

    Args:
        settings: what it is.
        encoder: with the weights that `settings` names.
        readout: what stands behind the prefix.
    """

    def __init__(self, settings: Settings, encoder: Encoder, readout: Readout) -> None:
        self.settings, self.encoder, self.readout = settings, encoder, readout
        self.cut = encoder.cut(settings.section.freeze)

    @property
    def targets(self) -> tuple[str, ...]:
        """What it predicts, valence before arousal."""
        return self.settings.target_names

    @property
    def fingerprint(self) -> str:
        """Name, and hash of what was learnt: tells predictions of two models apart."""
        file = self.settings.graph or self.settings.weights_file  # a graph holds all that was learnt
        assert file is not None  # it was written
        return f"{self.settings.name}@{file.sha256[:8]}"

    @property
    def sample_rate_hz(self) -> int:
        """What tracks are resampled to."""
        assert self.encoder.spec.sample_rate_hz is not None  # it takes audio
        return self.encoder.spec.sample_rate_hz

    @property
    def recipe(self) -> Recipe:
        """What is done for a track ahead of the encoder."""
        return Recipe(self.sample_rate_hz, None, self.cut)

    def plan(self, curve: bool = True) -> TrackPlan:
        """What is heard of a track."""
        settings = self.settings
        if settings.over_time:  # its value is the mean of its curve
            return TrackPlan(settings.window_s, 0, settings.window_s * HOP, settings.causal)
        return TrackPlan(settings.window_s, settings.section.clips.count, settings.window_s * HOP if curve else None)

    def predict(self, audio: str | Path | Samples | BinaryIO, curve: bool = True) -> Emotion:
        """What a track feels like.

        Args:
            audio: a file; or samples and their rate in Hz, shape (n_samples,) or (n_samples, n_channels), full scale
                at 1; or a file opened in binary mode.
            curve: whether to follow it over time, which takes a few times as long.

        Raises:
            AudioError: not audio that can be read, or shorter than half a second.
        """
        return self.read(self._sound(audio, self.plan(curve)), curve)

    def read(self, found: Sound, curve: bool = True) -> Emotion:
        """What a track feels like, of which everything that is to be heard was cut with `plan(curve)`."""
        # Sums over another number of threads round differently: one, as in extraction, alone and among many tracks.
        with threadpool_limits(1, "blas"):
            return self._read(found, curve)

    def _read(self, found: Sound, curve: bool) -> Emotion:
        plan = self.plan(curve)
        activations = self.encoder.activations(found.value, self.cut)
        if not np.isfinite(activations).all():
            raise AudioError(f"{self.encoder.spec.name} gives values that are not finite for this track.")
        times_s = plan.times_s(found.n_samples, self.sample_rate_hz)
        n_clips = len(activations) - len(times_s)
        course = self._kept(self.readout.values(activations[n_clips:])) if len(times_s) else None
        if self.settings.over_time:
            assert course is not None  # its plan has windows
            heard, values = activations, course.mean(axis=0)
        else:
            heard = activations[:n_clips]
            values = self._kept(self.readout.of_track(heard))
        return Emotion(
            self.targets,
            tuple(values.tolist()),
            tuple(
                self._interval(value, target.half_width)
                for value, target in zip(values, self.settings.targets, strict=True)
            ),
            self.settings.coverage,
            self.settings.scale,
            found.n_samples / self.sample_rate_hz,
            Course(times_s, course) if curve and course is not None else None,
            tuple(self._remarks(found, self.readout.distance(heard), found.value[: len(heard)])),
        )

    def save(self, folder: Path) -> None:
        """Write it as a bundle.

        Raises:
            DataError: it is exported.
            StorageError: the folder cannot be written to.
        """
        if self.settings.graph is not None:
            raise DataError(f"{self.settings.name}: is exported. Copy its folder, or save the model it was made of.")
        self.settings = write_bundle(folder, self.settings, self.readout.tensors(), model_card(self.settings))

    def push_to_hub(self, repository: str, private: bool = False, token: str | None = None) -> str:
        """Put it on the Hugging Face hub.

        Args:
            repository: "owner/name"; made if need be.
            private: whether only its owner may see a new one.
            token: of the hub; the one that `hf auth login` or HF_TOKEN left by default.

        Returns:
            the address of the commit.

        Raises:
            StorageError: the hub refuses, or cannot be reached.
        """
        from affekt.model.hub import push

        return push(self, repository, private, token)

    @contextlib.contextmanager
    def running(self) -> Iterator[Model]:
        """Keep the encoder on the fastest device within, for many tracks."""
        with self.encoder.on_fastest_device():
            yield self

    def _sound(self, audio: str | Path | Samples | BinaryIO, plan: TrackPlan) -> Sound:
        if isinstance(audio, str | Path):
            return sound(Task(Path(audio), plan), self.sample_rate_hz)
        if isinstance(audio, tuple):
            return sound_of_samples(*audio, plan, self.sample_rate_hz)
        with tempfile.TemporaryDirectory(prefix="affekt-") as folder:  # what a file promises is checked on a file
            path = Path(folder) / "track"
            with path.open("wb") as copy:
                while block := audio.read(1 << 20):
                    copy.write(block)
            try:
                return sound(Task(path, plan), self.sample_rate_hz)
            except AudioError as error:
                raise AudioError(str(error).replace(str(path), "the file")) from None

    def _kept(self, values: np.ndarray) -> np.ndarray:
        """Within the scale: a line goes on beyond it."""
        return values.clip(*self.settings.scale)

    def _interval(self, value: float, half_width: float) -> Interval:
        low, high = self.settings.scale
        return Interval(max(low, float(value) - half_width), min(high, float(value) + half_width))

    def _remarks(self, found: Sound, distance: float, clips: np.ndarray) -> Iterator[Remark]:
        settings, level = self.settings, found.level
        if settings.trained_on.synthetic:
            yield Remark("synthetic", "The model was trained on synthetic music: this says nothing about real music.")
        if level.peak < SILENT:
            yield Remark("silent", f"The track is silent (peak {level.peak:.2g} of full scale).")
        if level.n_full > CLIPPED_SHARE * max(1, level.n_frames):
            yield Remark(
                "clipped", f"{level.n_full / level.n_frames:.1%} of the samples lie at full scale: it is clipped."
            )
        if found.n_samples < settings.window_s * self.sample_rate_hz:
            yield Remark(
                "short",
                f"The track is {found.n_samples / self.sample_rate_hz:.1f} s long and was repeated to "
                f"{settings.window_s:g} s, which the model hears at once.",
            )
        if sounds_like_speech(clips, self.sample_rate_hz):
            yield Remark("speech", "It sounds like speech; the model was trained on music.")
        if distance > settings.distance:
            yield Remark(
                "unfamiliar", "The track is unlike what the model was trained on: its interval may be too narrow."
            )


def sound_of_samples(samples: np.ndarray, rate_hz: int, plan: TrackPlan, sample_rate_hz: int) -> Sound:
    """What `affekt.features.prepare.sound` gives, of samples in memory.

    Args:
        samples: (n_samples,) or (n_samples, n_channels), full scale at 1.
        rate_hz: their rate.
        plan: what is heard of them.
        sample_rate_hz: the rate wanted.

    Raises:
        AudioError: no samples, another shape, samples that are not finite, or less than half a second.
    """
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2) or not len(samples) or not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(
            f"samples have shape {samples.shape} and type {samples.dtype}; floats of shape (n_samples,) or (n_samples, "
            "n_channels) are needed, full scale at 1. Divide whole numbers by their largest value first."
        )
    mono = samples.astype(np.float32) if samples.ndim == 1 else samples.astype(np.float32).mean(axis=1)
    if not np.isfinite(mono).all():
        raise AudioError("samples are not finite. Take out NaN and infinity first.")
    level = Level()
    level.note(mono, float(np.abs(mono).max()))
    if rate_hz != sample_rate_hz:
        mono = soxr.resample(mono, rate_hz, sample_rate_hz, quality="HQ")
    return Sound(plan.cut(mono, sample_rate_hz), len(mono), level)


def load_model(place: str | Path, weights: str | None = None) -> Model:
    """Read a model that `affekt train` or `affekt export` wrote, from a folder or from the Hugging Face hub.

    Args:
        place: a folder; or "owner/name" or "owner/name@revision" of the hub.
        weights: where the encoder's own weights lie, if not where the model says.

    Raises:
        DataError: not a model, or a damaged one.
        WeightsError: the encoder's weights are not those that the model was trained with, or cannot be had.
        MissingExtraError: what runs it is not installed.
    """
    from affekt.model.hub import fetch_bundle

    folder = Path(place).expanduser()
    if not folder.is_dir():
        folder = fetch_bundle(str(place))
    settings, tensors = read_bundle(folder)
    if settings.graph is not None:
        return _exported(folder, settings, tensors, weights)
    return assemble(settings, tensors, weights)


def assemble(settings: Settings, tensors: Mapping[str, np.ndarray], weights: str | None = None) -> Model:
    """A model of what a bundle holds; arguments and errors as of `read_bundle` and `load_model`."""
    encoder, cut = build_section(settings.section, settings.seed, weights)
    check_weights(settings, encoder, cut)
    return Model(settings, encoder, readout_of(settings, encoder, cut, tensors))


def _exported(folder: Path, settings: Settings, tensors: Mapping[str, np.ndarray], weights: str | None) -> Model:
    """A model of which everything is in its folder."""
    from affekt.model.onnx import open_graph

    if weights is not None:
        raise ConfigError(f"{settings.name}: is exported, so the encoder's weights are part of it. Leave weights out.")
    encoder = open_graph(settings, read_graph(folder, settings), str(folder))
    return Model(settings, encoder, readout_of(settings, encoder, encoder.cut(settings.section.freeze), tensors))


def check_weights(settings: Settings, encoder: Encoder, cut: Cut) -> None:
    """See that frozen layers have the weights that the readout was trained behind.

    Raises:
        WeightsError: they have others.
        ConfigError: the encoder takes no audio.
    """
    if encoder.spec.sample_rate_hz is None:
        raise ConfigError(f"{encoder.spec.name}: takes no audio, so it cannot hear a track.")
    found = weights_digest(encoder, cut)
    if found != settings.weights_digest:
        raise WeightsError(
            f"{settings.name}: was trained behind weights {settings.weights_digest} of {encoder.spec.name}, and these "
            f"are {found} ({encoder.spec.weights}). Give the ones it was trained with, or train it again."
        )


def weights_digest(encoder: Encoder, cut: Cut) -> str | None:
    """Hash of the weights before the cut; None where there are none."""
    found = encoder.settings(cut).get("weights")
    return None if found is None else str(found)


def readout_of(settings: Settings, encoder: Encoder, cut: Cut, tensors: Mapping[str, np.ndarray]) -> Readout:
    """The readout that a bundle's tensors are of.

    Raises:
        WeightsError: they do not fit the encoder.
    """
    trained = _trained if settings.graph is None else _trained_in_graph
    build = _ridge if settings.section.head == "ridge" else trained
    try:
        return build(settings, encoder, cut, tensors)
    except (KeyError, RuntimeError, ValueError) as error:
        raise WeightsError(
            f"{settings.name}: its tensors do not fit {encoder.spec.name} ({' '.join(str(error).split())[:300]}). "
            "Fetch the model again, or train it again."
        ) from None


def _ridge(settings: Settings, encoder: Encoder, cut: Cut, tensors: Mapping[str, np.ndarray]) -> Readout:
    del cut
    dim, n_targets = encoder.spec.embedding_dim, len(settings.targets)
    shapes = {"mean": (dim,), "std": (dim,), "slopes": (dim, n_targets), "intercept": (n_targets,)}
    wrong = [name for name, shape in shapes.items() if tensors[name].shape != shape]
    if wrong:
        raise ValueError(f"shape of {', '.join(wrong)}")
    return RidgeReadout(tensors, settings.section.clip_embeddings)


def _trained(settings: Settings, encoder: Encoder, cut: Cut, tensors: Mapping[str, np.ndarray]) -> Readout:
    import torch

    from affekt.training.epochs import Recipe as TrainingRecipe
    from affekt.training.fit import Regressor
    from affekt.training.table import Standardiser

    section, n_targets = settings.section, len(settings.targets)
    recipe = TrainingRecipe.of(section.head, section.training, section.loss, section.clip_embeddings)
    with torch.random.fork_rng(devices=[]):
        regressor = Regressor(encoder.suffix(cut), encoder.spec.embedding_dim, n_targets, recipe)
    labels = Standardiser(tensors["labels.mean"], tensors["labels.std"])
    weights = {name: torch.from_numpy(value) for name, value in tensors.items() if not name.startswith("labels.")}
    regressor.load_state_dict(weights)
    return TrainedReadout(regressor, labels)


def _trained_in_graph(settings: Settings, encoder: Encoder, cut: Cut, tensors: Mapping[str, np.ndarray]) -> Readout:
    del cut
    wrong = [name for name in ("mean", "std") if tensors[name].shape != (encoder.spec.embedding_dim,)]
    if wrong:
        raise ValueError(f"shape of {', '.join(wrong)}")
    return ExportedReadout(tensors, len(settings.targets))
