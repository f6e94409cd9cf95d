"""From a model to a graph that runs without torch: `model.onnx`, checked against torch before it is written.

    affekt export models/deam --out models/deam-onnx

The graph holds the encoder, its weights included, and the readout. It is compared clip by clip, on generated music,
noise, silence and whatever songs are given, with the model it was made of: with what `affekt predict` computes there.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from affekt.errors import ConfigError, EncoderError, MissingExtraError
from affekt.features.prepare import Task, sound
from affekt.model.bundle import GRAPH, SETTINGS, GraphFile, Settings, read_settings, write_bundle
from affekt.model.card import model_card
from affekt.model.predictor import Model, load_model, readout_of

if TYPE_CHECKING:
    from affekt.encoders.staged import StagedEncoder

EXTRA = "export"
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
#: How far values may lie from torch's, on the model's scale; embeddings and distances as a share of the largest.
TOLERANCE = 1e-4
_N_MUSIC, _N_NOISE = 3, 3


def export_model(model: Model, out: Path, songs: Sequence[Path] = ()) -> Model:
    """Write a model as a graph, and read it back.

    Args:
        model: as `load_model` gives it.
        out: folder to write; a model that is not an exported one is not written over.
        songs: files whose clips are compared, too.

    Returns:
        the exported model; `settings.graph` says how far it lies from the other.

    Raises:
        ConfigError: `out` holds another model, or the model is exported already.
        EncoderError: the encoder is no network, torch cannot trace it, or the graph computes something else.
        MissingExtraError: a package is not installed.
        AudioError: a song cannot be read.
    """
    encoder = _network_of(model)
    _check_place(out)
    if any(importlib.util.find_spec(package) is None for package in _PACKAGES):
        raise MissingExtraError("affekt export", EXTRA)
    from affekt.model import graph

    n_samples = round(model.settings.window_s * model.sample_rate_hz)
    clips = _clips(model, n_samples, songs)
    content = graph.traced(encoder, model.cut, model.readout, n_samples)
    file = GraphFile(
        sha256=hashlib.sha256(content).hexdigest(),
        n_bytes=len(content),
        opset=graph.OPSET,
        n_samples=n_samples,
        differences={},
        n_compared=len(clips),
    )
    settings = model.settings.model_copy(update={"graph": file})
    tensors = _tensors(model)
    differences = compare(model, _opened(settings, content, tensors), clips)
    settings = settings.model_copy(update={"graph": file.model_copy(update={"differences": differences})})
    write_bundle(out, settings, tensors, model_card(settings), content)
    return load_model(out)


def compare(model: Model, exported: Model, clips: np.ndarray) -> dict[str, float]:
    """The largest differences between two models of the same name.

    Args:
        model: the one that is right.
        exported: the other.
        clips: shape (n_clips, n_samples).

    Returns:
        of values on the model's scale; of embeddings and distances as a share of the largest of them, or of 1 if that
        is less.

    Raises:
        EncoderError: one is larger than `TOLERANCE`.
    """
    right, found = _computed(model, clips), _computed(exported, clips)
    alone = _computed(exported, clips[:1])  # not in the company of others
    differences = {}
    for name, value in right.items():
        level = 1.0 if name == "values" else max(1.0, float(np.abs(value).max()))
        gaps = [np.abs(found[name] - value).max(), np.abs(alone[name] - value[:1]).max()]
        differences[name] = float(np.max(gaps)) / level  # NaN stays NaN
    wrong = [f"{name} by {most:.1e}" for name, most in differences.items() if not most <= TOLERANCE]
    if wrong:
        raise EncoderError(
            f"{model.settings.name}: the exported graph differs from torch in {', '.join(wrong)}; {TOLERANCE:.0e} is "
            f"allowed. Nothing was written. `affekt predict` runs the model as it is; train it with engine torch if it "
            f"has another ({model.settings.section.engine}), or try another version of torch."
        )
    return differences


def _computed(model: Model, clips: np.ndarray) -> dict[str, np.ndarray]:
    found, readout = model.encoder.activations(clips, model.cut), model.readout
    return {
        "values": readout.values(found),
        "embeddings": readout.embeddings(found),
        "distances": readout.distances(found),
    }


def _network_of(model: Model) -> StagedEncoder:
    """The encoder, where it can be traced."""
    name, settings = model.encoder.spec.name, model.settings
    if settings.graph is not None:
        raise ConfigError(f"{settings.name}: is exported already. Name the model that `affekt train` wrote.")
    if model.encoder.runs_in_workers:
        raise EncoderError(
            f"{name}: descriptors are computed by Python code and not by a network, so there is no graph to export. "
            "The model runs without torch as it is: pip install 'affekt[handcrafted]'."
        )
    from affekt.encoders.staged import StagedEncoder

    if not isinstance(model.encoder, StagedEncoder):
        raise EncoderError(f"{name}: is no network in stages, so there is no graph to export.")
    if settings.section.engine.endswith("int8"):
        raise ConfigError(
            f"{settings.name}: was trained behind an encoder in 8 bits (engine {settings.section.engine}), whose "
            "numbers a graph in single precision does not give. Train it with `engine: torch`."
        )
    return model.encoder


def _check_place(out: Path) -> None:
    if (out / SETTINGS).exists() and read_settings(out).graph is None:
        raise ConfigError(f"{out}: holds a model that is not exported, which would be lost. Name another folder.")


def _tensors(model: Model) -> dict[str, np.ndarray]:
    """What numpy needs of the readout; the graph holds the rest."""
    from affekt.model.readout import TrainedReadout

    if not isinstance(model.readout, TrainedReadout):
        return model.readout.tensors()
    scale = model.readout.regressor.standardise
    return {"mean": scale.mean.numpy(), "std": scale.std.numpy()}


def _opened(settings: Settings, content: bytes, tensors: dict[str, np.ndarray]) -> Model:
    from affekt.model.onnx import open_graph

    encoder = open_graph(settings, content, GRAPH)
    return Model(settings, encoder, readout_of(settings, encoder, encoder.cut("all"), tensors))


def _clips(model: Model, n_samples: int, songs: Sequence[Path]) -> np.ndarray:
    """What is compared: generated music, noise, silence, then songs; (n_clips, n_samples)."""
    from affekt.encoders.engines import calibration_clips

    rng = np.random.default_rng(0)
    music = calibration_clips(model.sample_rate_hz, n_samples)[:_N_MUSIC]
    noise = rng.standard_normal((_N_NOISE, n_samples)) * [[0.001], [0.1], [0.5]]
    heard = [sound(Task(path, model.plan(False)), model.sample_rate_hz).value for path in songs]
    return np.concatenate([music, noise, np.zeros((1, n_samples)), *heard]).astype(np.float32)
