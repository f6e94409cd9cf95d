"""A model that `affekt export` wrote, run by onnxruntime alone: neither torch nor files of the encoder are needed.

Conventions: the graph takes `clips`, float32 (n_clips, n_samples) at the encoder's rate, any number of them; it gives
`values`, on the model's scale and not yet kept within it, (n_clips, n_targets), and `embeddings`, (n_clips, dim), what
enters the head. Ridge wants embeddings, which it averages first; behind a trained suffix values are taken as they are.

Loading is safe: a graph is data, and onnxruntime loads no code for it; it is read from memory, where a graph that asks
for other files is refused.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

import numpy as np

from affekt.encoders.base import Cut, Encoder, EncoderSpec
from affekt.errors import DataError, MissingExtraError, ShapeError
from affekt.model.bundle import GRAPH, Settings

#: No operation of torch is called so: those name what they put out after themselves.
CLIPS, VALUES, EMBEDDINGS = "clips", "values", "embeddings"
EXTRA = "onnx"


class OnnxEncoder(Encoder):
    """Encoder and readout as one graph.

    Args:
        spec: of the encoder.
        session: of onnxruntime.
        outputs: which of the graph's outputs its activations are, side by side.
        n_samples: length of a clip.
    """

    #: Clips at a time: a track has many windows.
    batch_size = 16

    def __init__(self, spec: EncoderSpec, session: Any, outputs: tuple[str, ...], n_samples: int) -> None:
        self.spec, self._session, self._outputs, self._n_samples = spec, session, outputs, n_samples

    def activations(self, clips: np.ndarray, cut: Cut) -> np.ndarray:
        """Run the graph; wherever the cut was, shape (n_clips, dim) or (n_clips, n_targets + dim).

        Raises:
            ShapeError: clips of another length than the graph takes.
        """
        if clips.ndim != 2 or clips.shape[1] != self._n_samples:
            raise ShapeError(
                f"clips of shape {clips.shape}; this graph takes (n_clips, {self._n_samples}). Cut clips of the "
                "model's window_s at its rate."
            )
        starts = range(0, len(clips), self.batch_size)
        batches = [np.ascontiguousarray(clips[i : i + self.batch_size], np.float32) for i in starts]
        return np.concatenate([self._run(batch) for batch in batches])

    def _run(self, batch: np.ndarray) -> np.ndarray:
        return np.concatenate(self._session.run(list(self._outputs), {CLIPS: batch}), axis=1)


def open_graph(settings: Settings, content: bytes, place: str) -> OnnxEncoder:
    """The encoder of an exported model.

    Args:
        settings: of the model.
        content: of its `model.onnx`.
        place: what errors call it.

    Raises:
        DataError: onnxruntime cannot run it, or it is the graph of something else.
        MissingExtraError: onnxruntime is not installed.
    """
    assert settings.graph is not None  # it is an exported model
    spec, n_targets = _spec(settings, place), len(settings.targets)
    session = _session(content, place)
    found = {node.name: (node.type, list(node.shape)[1:]) for node in (*session.get_inputs(), *session.get_outputs())}
    wanted = {CLIPS: settings.graph.n_samples, VALUES: n_targets, EMBEDDINGS: spec.embedding_dim}
    if found != {name: ("tensor(float)", [width]) for name, width in wanted.items()}:
        raise DataError(
            f"{place}: {GRAPH} has inputs and outputs {found}; {wanted} are expected, each with any number of clips. "
            "Export the model again."
        )
    outputs = (EMBEDDINGS,) if settings.section.head == "ridge" else (VALUES, EMBEDDINGS)
    return OnnxEncoder(spec, session, outputs, settings.graph.n_samples)


def _spec(settings: Settings, place: str) -> EncoderSpec:
    try:
        spec = EncoderSpec(**settings.encoder)  # type: ignore[arg-type]
    except TypeError as error:
        raise DataError(f"{place}: no encoder can be made of its description ({error}). Export it again.") from None
    if type(spec.sample_rate_hz) is not int or type(spec.embedding_dim) is not int or spec.sample_rate_hz <= 0:
        raise DataError(f"{place}: its encoder is described as {asdict(spec)}. Export the model again.")
    return spec


def _session(content: bytes, place: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError(f"{place}: an exported model", EXTRA) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads()
    options.log_severity_level = 4  # what is fatal alone: all else is told by the error
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a dozen kinds, which share no root
        reason = " ".join(str(error).split())[:300]
        raise DataError(
            f"{place}: onnxruntime {onnxruntime.__version__} cannot run {GRAPH} ({reason}). Update onnxruntime, or "
            "export the model again."
        ) from None


def n_threads() -> int:
    """Threads of one session: `$OMP_NUM_THREADS` as for torch, else what this process may use."""
    from joblib import cpu_count  # also knows what a container may use

    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) else int(cpu_count())
