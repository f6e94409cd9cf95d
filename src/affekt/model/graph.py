"""A model as a graph of ONNX: preprocessing, stages, suffix and head, from clips to values, traced by torch.

What is traced is the plain network, not the one that is rebuilt for speed: its operations are those of one library on
one kind of processor. The number of clips stays open, their length is fixed. Inputs and outputs are those that
`affekt.model.onnx` names.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from affekt.encoders.base import Cut
from affekt.encoders.staged import HALF_MAX, StagedEncoder
from affekt.encoders.stages import run_stages
from affekt.errors import EncoderError
from affekt.model.bundle import GRAPH, MOST_BYTES
from affekt.model.onnx import CLIPS, EMBEDDINGS, VALUES
from affekt.model.readout import Readout, RidgeReadout, TrainedReadout

#: Of ONNX's operations: the first with GELU, which onnxruntime knows from 1.17 (2024) on.
OPSET = 20
#: Clips that are traced; any number but 0 and 1 stands for all.
_N_TRACED = 3


def traced(encoder: StagedEncoder, cut: Cut, readout: Readout, n_samples: int) -> bytes:
    """The graph, as `model.onnx` holds it.

    Args:
        encoder: on the CPU.
        cut: where its prefix ends.
        readout: ridge, or a trained suffix with its heads.
        n_samples: length of a clip.

    Raises:
        EncoderError: torch cannot trace the network, or it is too large for a file of ONNX.
    """
    encoder.model.eval()
    network = _Network(encoder, cut, readout).eval()
    n_bytes = sum(tensor.nbytes for tensor in [*network.parameters(), *network.buffers()])
    if n_bytes > MOST_BYTES[GRAPH]:
        raise EncoderError(
            f"{encoder.spec.name}: {n_bytes / 2**30:.1f} GiB of weights; a file of ONNX holds 2 GiB. Export a model of "
            "a smaller encoder."
        )
    clips = torch.randn(_N_TRACED, n_samples, generator=torch.Generator().manual_seed(0)) / 10
    try:
        with torch.no_grad(), _quiet():
            network(clips)  # fills caches of windows and filters, which must not be filled while tracing
            return _serialised(_program(network, clips))
    except Exception as error:  # whatever the network does decides what falls over
        raise EncoderError(
            f"{encoder.spec.name}: cannot be exported with torch {torch.__version__} "
            f"({' '.join(str(error).split())[:400]}). `affekt predict` runs the model as it is."
        ) from error


class _Network(nn.Module):
    """Clips (n_clips, n_samples) to values (n_clips, n_targets) and embeddings (n_clips, dim)."""

    def __init__(self, encoder: StagedEncoder, cut: Cut, readout: Readout) -> None:
        super().__init__()
        self._encoder, self._stages = encoder, encoder.heard()[: cut.index]
        owned = [module for stage in self._stages for module in (*stage.modules, *stage.bound_modules())]
        self.owned = nn.ModuleList(owned)
        self.suffix, self.head = _head(readout)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """As `StagedEncoder.activations` and `Readout.values` compute them, for each clip by itself."""
        entering = run_stages(self._stages, self._encoder.preprocess(clips)).float().clamp(-HALF_MAX, HALF_MAX)
        embedding = self.suffix(entering)  # (n_clips, dim)
        return self.head(embedding), embedding


class _Line(nn.Module):
    """`RidgeReadout.values`: (n_clips, dim) -> (n_clips, n_targets)."""

    def __init__(self, readout: RidgeReadout) -> None:
        super().__init__()
        self._clip = readout.clip
        for name, value in readout.tensors().items():
            self.register_buffer(name, torch.from_numpy(value).float())

    def forward(self, embedding: Tensor) -> Tensor:
        learnt = cast(Any, self)
        z = (embedding - learnt.mean) / learnt.std
        z = z if self._clip is None else z.clamp(-self._clip, self._clip)
        values: Tensor = z @ learnt.slopes + learnt.intercept
        return values


class _Head(nn.Module):
    """`TrainedReadout.values` without the suffix: (n_clips, dim) -> (n_clips, n_targets)."""

    def __init__(self, readout: TrainedReadout) -> None:
        super().__init__()
        self.standardise, self.head = readout.regressor.standardise, readout.regressor.head
        self.register_buffer("mean", torch.from_numpy(readout.labels.mean).float())
        self.register_buffer("std", torch.from_numpy(readout.labels.std).float())

    def forward(self, embedding: Tensor) -> Tensor:
        labels = cast(Any, self)
        values: Tensor = self.head(self.standardise(embedding)) * labels.std + labels.mean
        return values


def _head(readout: Readout) -> tuple[nn.Module, nn.Module]:
    """What stands behind the cut: to the embedding, and from there to values."""
    if isinstance(readout, RidgeReadout):
        return nn.Identity(), _Line(readout)
    assert isinstance(readout, TrainedReadout)  # an exported model is not exported again
    return readout.regressor.suffix, _Head(readout)


def _program(network: nn.Module, clips: Tensor) -> Any:
    shapes = ({0: torch.export.Dim("n_clips")},)
    exported = torch.export.export(network, (clips,), dynamic_shapes=shapes, strict=False)
    return torch.onnx.export(
        exported,
        dynamo=True,
        input_names=[CLIPS],
        output_names=[VALUES, EMBEDDINGS],
        opset_version=OPSET,
        verbose=False,
    )


def _serialised(program: Any) -> bytes:
    """One message, without the notes of the exporter: they tell paths of this machine."""
    message = program.model_proto
    for part in (message.graph, *message.functions):
        part.ClearField("metadata_props")
        part.ClearField("value_info")
        for node in part.node:
            node.ClearField("metadata_props")
            node.ClearField("doc_string")
    for value in (*message.graph.initializer, *message.graph.input, *message.graph.output):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    content: bytes = message.SerializeToString()
    return content


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back remarks on how torch traces, and on packages that are not needed."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
