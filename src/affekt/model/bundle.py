"""A model as a folder: `model.safetensors` (what was learnt), `model.json` (what it is), `README.md` (the model card).

The weights of the encoder's frozen layers are not in it: it names them with their revision and their hash, and they are
fetched from where they were published, under their own licence. So a bundle of a frozen encoder is small, and nobody's
weights are passed on.

An *exported* model has `model.onnx` besides: encoder and readout as one graph (`affekt.model.export`). That one does
hold the weights of the encoder, and needs neither them nor torch to run.

Loading is safe: nothing is unpickled and no code of a bundle runs. `model.json` is validated whole, file sizes are
bounded before anything is read, and hashes are checked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from affekt.config import EncoderSection, Section
from affekt.errors import DataError, StorageError, problems
from affekt.files import atomic, write_text

FORMAT = 1
SETTINGS, WEIGHTS, GRAPH, CARD = "model.json", "model.safetensors", "model.onnx", "README.md"
#: Larger files are refused before they are read. A graph is one message of protobuf, which ends at 2 GiB.
MOST_BYTES = {SETTINGS: 4 * 2**20, WEIGHTS: 4 * 2**30, GRAPH: 2**31 - 1}


class TrainedOn(Section):
    """The songs that a model learnt from."""

    dataset: str
    labels: str | None
    fingerprint: str
    n_songs: int = Field(ge=1)
    synthetic: bool
    notes: list[str]


class Target(Section):
    """One thing that is predicted, and how well: cross-validated, on songs that were not trained on.

    Attributes:
        half_width: of the interval around a prediction.
        measured_coverage: how often such an interval held; None where it could not be measured.
        scores: name to value, low, high; as of `affekt.evaluation.scores`.
    """

    name: str = Field(min_length=1, max_length=200)
    half_width: float = Field(gt=0)
    measured_coverage: float | None
    scores: dict[str, tuple[float | None, float | None, float | None]]


class WeightsFile(Section):
    """What `model.safetensors` must be."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    n_bytes: int = Field(ge=8, le=MOST_BYTES[WEIGHTS])


class GraphFile(Section):
    """What `model.onnx` must be, of an exported model.

    Attributes:
        opset: version of ONNX's operations.
        n_samples: length of a clip, at the encoder's rate.
        differences: the largest ones from torch that were seen when it was exported, by what was compared.
        n_compared: on how many clips.
    """

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    n_bytes: int = Field(ge=8, le=MOST_BYTES[GRAPH])
    opset: int = Field(ge=1)
    n_samples: int = Field(ge=1)
    differences: dict[str, float]
    n_compared: int = Field(ge=1)


class Settings(Section):
    """`model.json`.

    Attributes:
        section: the encoder's settings, as of the experiment file.
        seed: that weights were drawn from, where they are random.
        encoder: what the encoder is: input, weights in words, licence.
        weights_digest: hash of the frozen layers' weights; None where there are none.
        code_version: of the encoder's code before the cut.
        over_time: whether each moment was annotated; then `causal` says whether a window stands for its end.
        window_s: what is heard at once.
        distance: how far from their centre all but one in a hundred of the training songs lie.
        chosen: what cross-validation chose: alpha, or epochs and settings.
        made_by: experiment, versions, machine, seeds, folds.
        graph: of an exported model; None for others.
    """

    format: Literal[1] = 1
    name: str = Field(pattern=r"^[\w.-]+$", max_length=200)
    section: EncoderSection
    seed: int
    encoder: dict[str, str | int | None]
    weights_digest: str | None
    code_version: int
    over_time: bool
    causal: bool
    window_s: float = Field(gt=0, le=600)
    targets: list[Target] = Field(min_length=1, max_length=1000)
    scale: tuple[float, float]
    coverage: float = Field(gt=0, lt=1)
    distance: float = Field(gt=0)
    trained_on: TrainedOn
    chosen: dict[str, Any]
    made_by: dict[str, Any]
    weights_file: WeightsFile | None = None
    graph: GraphFile | None = None

    @property
    def target_names(self) -> tuple[str, ...]:
        """In the order of predictions."""
        return tuple(target.name for target in self.targets)

    def score_rows(self) -> list[dict[str, Any]]:
        """A row for each target: R2 and RMSE on songs that were not trained on, and the interval with its coverage."""
        return [
            {
                "target": target.name,
                **dict(zip(("r2", "r2_low", "r2_high"), target.scores["r2"], strict=True)),
                "rmse": target.scores["rmse"][0],
                "interval": target.half_width,
                "coverage": target.measured_coverage,
            }
            for target in self.targets
        ]


def write_bundle(
    folder: Path, settings: Settings, tensors: Mapping[str, np.ndarray], card: str, graph: bytes | None = None
) -> Settings:
    """Write a model, `model.json` last: a folder without it is no model.

    Args:
        folder: of the model.
        settings: with `graph` where there is one.
        tensors: what was learnt.
        card: the model card.
        graph: `model.onnx` of an exported model.

    Returns:
        the settings with the hash of what was written.

    Raises:
        StorageError: the folder cannot be written to.
    """
    content = save({name: np.ascontiguousarray(value) for name, value in tensors.items()})
    file = WeightsFile(sha256=hashlib.sha256(content).hexdigest(), n_bytes=len(content))
    settings = settings.model_copy(update={"weights_file": file})
    with atomic(folder / WEIGHTS) as temporary:
        temporary.write_bytes(content)
    if graph is not None:
        with atomic(folder / GRAPH) as temporary:
            temporary.write_bytes(graph)
    write_text(folder / CARD, card)
    write_text(folder / SETTINGS, settings.model_dump_json(indent=1) + "\n")
    return settings


def read_bundle(folder: Path) -> tuple[Settings, dict[str, np.ndarray]]:
    """Read a model's settings and tensors.

    Raises:
        DataError: the folder is no model, or one of another format; a file is damaged, too large, or not the one that
            `model.json` speaks of.
        StorageError: a file cannot be read.
    """
    settings = read_settings(folder)
    assert settings.weights_file is not None  # `read_settings` has seen to it
    content = _read_checked(folder / WEIGHTS, settings.weights_file)
    try:
        return settings, load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise DataError(f"{folder / WEIGHTS}: not a safetensors file ({error}). Fetch the model again.") from None


def read_graph(folder: Path, settings: Settings) -> bytes:
    """Read `model.onnx` of an exported model; errors as of `read_bundle`."""
    assert settings.graph is not None  # it is an exported one
    return _read_checked(folder / GRAPH, settings.graph)


def read_settings(folder: Path) -> Settings:
    """Read and validate `model.json`; errors as of `read_bundle`."""
    path = folder / SETTINGS
    if not folder.is_dir() or not path.is_file():
        what = "no such folder" if not folder.is_dir() else f"holds no {SETTINGS}"
        raise DataError(f"{folder}: {what}, so it is no model. `affekt train` makes one.")
    try:
        value = json.loads(_read(path, MOST_BYTES[SETTINGS]))
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            found = value.get("format") if isinstance(value, dict) else type(value).__name__
            raise DataError(
                f"{path}: format {found}; this version of affekt reads format {FORMAT}. Update affekt, or train again."
            )
        settings = Settings.model_validate(value)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:20]]
        raise DataError(problems(str(path), [*lines, "Fetch the model again, or train it again."])) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}). Fetch the model again.") from None
    if settings.weights_file is None:
        raise DataError(f"{path}: names no {WEIGHTS}. Fetch the model again.")
    if not settings.scale[0] < settings.scale[1]:
        raise DataError(f"{path}: scale {settings.scale} does not ascend. Fetch the model again.")
    return settings


def _read_checked(path: Path, file: WeightsFile | GraphFile) -> bytes:
    content = _read(path, file.n_bytes)
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise DataError(f"{path}: damaged: its hash is not the one in {SETTINGS}. Fetch the model again.")
    return content


def _read(path: Path, at_most: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > at_most:
            raise DataError(f"{path}: {size} bytes; {at_most} are expected at most. It is not read.")
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: not there. Fetch the model again.") from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror}).") from None
