"""Engines: what runs the frozen stages of an encoder on the CPU in place of torch.

- "torch": the stages, rebuilt to run without gradients (`affekt.encoders.inference`).
- "openvino-int8": quantised to 8 bits after training, statically, by NNCF, and compiled by OpenVINO; all but the first
  stage, the front end, where 8 bits cost more accuracy than everywhere else together. Meant for processors with 8-bit
  products (VNNI); on others torch is quicker.

What quantisation needs to know of activations it learns from clips of the generated demo music, the same on every
machine, so that activations stay a function of audio, weights and settings alone. Networks are compiled for one clip of
a fixed length, and clips run side by side: a clip's numbers do not depend on the others of its batch.

Sources: Jacob et al. 2018, arXiv 1712.05877 (integer arithmetic); Xiao et al. 2023, arXiv 2211.10438 (SmoothQuant).
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import io
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import soxr
import torch
from torch import Tensor, nn

from affekt.data.demo import GENERATOR_VERSION, draw_corpus
from affekt.data.synthesis import SAMPLE_RATE_HZ, render
from affekt.encoders.stages import Stage
from affekt.errors import MissingExtraError

TORCH, OPENVINO_INT8 = "torch", "openvino-int8"
#: Packages that the latter needs, both of one extra.
PACKAGES = ("openvino", "nncf")
EXTRA = "openvino"

#: Part of the store's key. Raise it with every change to how stages are compiled or quantised.
ENGINE_VERSION = 2
#: Pieces of generated music that quantisation hears, one clip of each, and the seed they are drawn from.
N_CALIBRATION = 16
CALIBRATION_SEED = 0
#: Names, in a converted network, of all operations of the first stage.
FIRST_STAGE = r"__module\.stages\.0[./].*"
#: Clips that run at the same time, at most; what a song has by default.
MOST_STREAMS = 6

Run = Callable[[Tensor], Tensor]


def require(engine: str) -> None:
    """See that the packages of an engine are installed.

    Raises:
        MissingExtraError: one is not.
    """
    if engine != TORCH and any(importlib.util.find_spec(package) is None for package in PACKAGES):
        raise MissingExtraError(f'engine "{engine}"', EXTRA)


def settings(engine: str) -> dict[str, Any]:
    """What an engine adds to the store's key; nothing for torch."""
    if engine == TORCH:
        return {}
    calibration = [GENERATOR_VERSION, CALIBRATION_SEED, N_CALIBRATION]
    about = {"name": engine, "version": ENGINE_VERSION, "calibration": calibration}
    return {"engine": {**about, **{package: version(package) for package in PACKAGES}}}


def calibration_clips(sample_rate_hz: int, n_samples: int) -> np.ndarray:
    """The beginnings of generated pieces of music, which differ in tempo, loudness, register, brightness and style.

    Args:
        sample_rate_hz: of the clips.
        n_samples: length of each.

    Returns:
        Clips, float32, shape (N_CALIBRATION, n_samples).
    """
    length_s = n_samples / sample_rate_hz + 0.1  # resampling may end a few samples early
    pieces = [song.piece for song in draw_corpus(N_CALIBRATION, CALIBRATION_SEED).songs]
    clips = [soxr.resample(render(piece, length_s), SAMPLE_RATE_HZ, sample_rate_hz) for piece in pieces]
    return np.stack([clip[:n_samples] for clip in clips]).astype(np.float32)


def compiled(stages: Sequence[Stage], inputs: Tensor) -> Run:
    """Quantise stages and compile them for clips of one length.

    Args:
        stages: those before the cut, on the CPU.
        inputs: what preprocessing makes of calibration clips, (n_clips, ...).

    Returns:
        a function from what preprocessing makes of any number of clips, (batch, ...), to activations (batch, ...).
    """
    with _quiet():
        openvino = imported("openvino")
        network = _quantised(_converted(stages, inputs[:1]), inputs)
        n_threads = torch.get_num_threads()
        hints = {
            "INFERENCE_PRECISION_HINT": "f32",  # what is not quantised: newer processors would take half precision
            "INFERENCE_NUM_THREADS": n_threads,
            "NUM_STREAMS": min(n_threads, MOST_STREAMS),
        }
        queue = openvino.AsyncInferQueue(openvino.Core().compile_model(network, "CPU", hints))
    return functools.partial(_run_all, queue)


def _run_all(queue: Any, x: Tensor) -> Tensor:
    """Each clip alone, several at a time, (batch, ...) -> (batch, ...)."""
    outputs: list[np.ndarray] = [np.empty(0)] * len(x)

    def keep(request: Any, index: int) -> None:
        outputs[index] = request.get_output_tensor(0).data[0].copy()  # the request reuses its memory

    queue.set_callback(keep)
    for index, clip in enumerate(x.numpy()):
        queue.start_async([clip[None]], index)
    queue.wait_all()
    return torch.from_numpy(np.stack(outputs))


def _converted(stages: Sequence[Stage], example: Tensor) -> Any:
    """Stages as a network of OpenVINO, for inputs of the example's shape."""
    # `openvino.convert_model` would do the same and report the use of it over the internet.
    frontend = importlib.import_module("openvino.frontend").FrontEndManager().load_by_framework("pytorch")
    decoding = importlib.import_module("openvino.frontend.pytorch.ts_decoder")
    with torch.no_grad():
        traced = decoding.TorchScriptPythonDecoder(
            _AllTraced(stages).eval(), example_input=(example,), trace_kwargs={"check_trace": False}
        )
        network = frontend.convert(frontend.load(traced))
    network.reshape(list(example.shape))
    return network


def _quantised(network: Any, inputs: Tensor) -> Any:
    """The network in 8 bits but for its first stage."""
    nncf = imported("nncf")
    nncf.set_log_level(logging.ERROR)
    # Without VNNI, sums of two products are cut off at 16 bits: weights at half their range keep below that, and the
    # numbers are the same on every processor.
    within_range = nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE)
    samples = nncf.Dataset(list(inputs.numpy()), lambda clip: clip[None])
    return nncf.quantize(
        network,
        samples,
        subset_size=len(inputs),
        model_type=nncf.ModelType.TRANSFORMER,
        ignored_scope=nncf.IgnoredScope(patterns=[FIRST_STAGE]),
        advanced_parameters=within_range,
    )


class _Traced(nn.Module):
    """A stage as a module: tracing names operations after the modules that they stand in."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.owned = nn.ModuleList(stage.modules)
        self.stage = stage

    def forward(self, x: Tensor) -> Tensor:
        """(1, ...) -> (1, ...)."""
        return self.stage.run(x)


class _AllTraced(nn.Module):
    """Stages as a module."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(map(_Traced, stages))

    def forward(self, x: Tensor) -> Tensor:
        """(1, ...) -> (1, ...)."""
        for stage in self.stages:
            x = stage(x)
        return x


def imported(package: str) -> Any:
    """Import a package of this extra without the part of it that reports its use to its makers over the internet."""
    # Both packages do without `openvino_telemetry` where it cannot be imported, which None stands for.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module(package)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back remarks on tracing, which fixed shapes make void, and progress bars on standard output."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch.jit")
        yield
