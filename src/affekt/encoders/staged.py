"""Neural encoders as a list of named stages: the mechanism that makes prefix and suffix the same for all of them.

An encoder says how clips become its input (`preprocess`) and which stages that input then runs through (`stages`).
From these two everything else follows: the cut, the activations at it, the trainable suffix, the digest of weights.
Where all layers give the same kind of output, `layer_pool` says how to pool it, and any layer can be heard (`hear`).
"""

from __future__ import annotations

import copy
import functools
import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from affekt.config import parse_freeze
from affekt.encoders.base import Cut, Encoder
from affekt.encoders.engines import TORCH, calibration_clips, compiled, require
from affekt.encoders.engines import settings as engine_settings
from affekt.encoders.inference import faster, memory_kept, rebuilt
from affekt.encoders.layers import LAST, WEIGHTED, check_layer, every_layer, up_to_layer
from affekt.encoders.stages import Stage, run_stages
from affekt.errors import ConfigError

#: The largest value that half precision holds; activations beyond it would turn into infinities in the store.
HALF_MAX = float(torch.finfo(torch.float16).max)


class StagedEncoder(Encoder):
    """An encoder made of stages. Subclasses set `spec` and `model`, and define `preprocess` and `stages_of`."""

    model: nn.Module
    #: Clips per forward pass in extraction; one song's worth keeps memory flat.
    batch_size: int = 16
    #: The layer that is heard; see `hear`.
    layer: str | int = LAST
    code_version = 2
    #: Engines that work for this encoder; see `run_with`.
    engines: tuple[str, ...] = (TORCH,)
    #: What runs the stages before the cut.
    engine: str = TORCH
    #: Called with what is being prepared.
    _tell: Callable[[str], None] = staticmethod(lambda text: None)

    @abstractmethod
    def preprocess(self, clips: Tensor) -> Tensor:
        """Clips (n_clips, n_samples) to the input of the first stage, (n_clips, ...)."""

    @abstractmethod
    def stages(self) -> list[Stage]:
        """The stages of `model`; the last one pools to (batch, embedding_dim)."""

    def layer_pool(self) -> Stage | None:
        """The stage that pools what leaves any layer to (batch, embedding_dim); None where layers differ in shape."""
        return None

    def faster(self, module: nn.Module) -> nn.Module | None:
        """What to put in a module's place where no gradient is wanted; None to look at its parts instead.

        It must compute the same; see `affekt.encoders.inference`.
        """
        return faster(module)

    def augment(self) -> nn.Module | None:
        """What perturbs the input in training where the cut stands before the first stage; None for nothing."""
        return None

    def hear(self, layer: str | int) -> None:
        """Choose the layer whose output is the embedding.

        Args:
            layer: "last" is the network's own output. A number k, from 1, is the mean over frames of what leaves layer
                k; the layers above are never run. "weighted" stores this mean for every layer, shape (n_clips,
                n_layers, embedding_dim), and the suffix is their sum with learned weights, which needs freeze "all".

        Raises:
            ConfigError: there is no such layer, or none to choose.
        """
        n_layers = sum(stage.is_layer for stage in self.stages()) if self.layer_pool() else 0
        check_layer(self.spec.name, layer, n_layers)
        self.layer = layer

    def run_with(self, engine: str) -> None:
        """Choose what runs the stages before the cut; see `Encoder.run_with`."""
        if engine not in self.engines:
            raise ConfigError(
                f'{self.spec.name}: engine = "{engine}" does not work for this encoder; allowed: '
                f"{', '.join(self.engines)}."
            )
        require(engine)
        self.engine = engine

    def engine_at(self, cut: Cut) -> str:
        """What runs the stages before the cut; "torch" where there are none."""
        return self.engine if cut.index else TORCH

    def heard(self) -> list[Stage]:
        """The stages that run: those of `stages`, up to the layer that is heard."""
        stages, pool = self.stages(), self.layer_pool()
        if self.layer == LAST or pool is None:
            return stages
        return every_layer(stages, pool) if self.layer == WEIGHTED else up_to_layer(stages, int(self.layer), pool)

    def cut(self, freeze: str) -> Cut:
        """The cut that `freeze` asks for; see `Encoder.cut`."""
        n_trained = parse_freeze(freeze)
        stages = self.heard()
        if self.layer == WEIGHTED:
            return self._cut_before_sum(freeze, stages)
        layers = [index for index, stage in enumerate(stages) if stage.is_layer]
        if n_trained is None:
            return Cut(0, stages[0].name, frozen=False)
        if n_trained == 0:
            return Cut(len(stages), "all", frozen=True)
        if n_trained > len(layers):
            raise ConfigError(
                f'{self.spec.name}: freeze = "{freeze}", but the encoder has {len(layers)} layers. '
                f'Use "last1" to "last{len(layers)}", "all" or "none".'
            )
        index = layers[-n_trained]
        return Cut(index, stages[index].name, frozen=False)

    def _cut_before_sum(self, freeze: str, stages: Sequence[Stage]) -> Cut:
        if parse_freeze(freeze) != 0:
            raise ConfigError(
                f'{self.spec.name}: freeze = "{freeze}", but with layer = "{WEIGHTED}" the layers stay as they are and '
                'only their weights are learned. Use freeze "all", or name one layer.'
            )
        return Cut(len(stages) - 1, stages[-1].name, frozen=False)

    def settings(self, cut: Cut | None = None) -> dict[str, Any]:
        """Name, code version, digest of the weights before the cut; layer and engine where they are not the default."""
        # Between two layers the activations are the same, whichever layer above them is heard.
        pooled = cut is None or cut.frozen or self.layer == WEIGHTED
        chosen = {"layer": self.layer} if pooled and self.layer != LAST else {}
        engine = engine_settings(self.engine if cut is None else self.engine_at(cut))
        return {**super().settings(cut), "weights": self.weights_digest(cut), **chosen, **engine}

    def weights_digest(self, cut: Cut | None = None) -> str:
        """Hash of every parameter and buffer of the stages before the cut, of all for None; computed once.

        Where everything is trained the stored input depends on no weight: all draws of an untrained encoder share it.
        """
        stages = self.heard()
        n_stages = len(stages) if cut is None else cut.index
        if (self.layer, n_stages) not in self._digests:
            owned = [nn.ModuleList([*stage.modules, *stage.bound_modules()]) for stage in stages[:n_stages]]
            self._digests[self.layer, n_stages] = state_digest(nn.ModuleList(owned))
        return self._digests[self.layer, n_stages]

    @functools.cached_property
    def _digests(self) -> dict[tuple[str | int, int], str]:
        return {}

    @contextmanager
    def on_fastest_device(self, tell: Callable[[str], None] = lambda text: None) -> Iterator[None]:
        """Move the model to a GPU within, and back to the CPU after, where suffixes are copied from.

        An engine other than torch runs on the CPU; what it compiled is let go after.
        """
        self._tell = tell
        self.model.to("cuda" if torch.cuda.is_available() and self.engine == TORCH else "cpu")
        try:
            with memory_kept():
                yield
        finally:
            self.model.to("cpu")
            self._rebuilt.clear()  # it holds the weights once more
            self._tell = type(self)._tell
            self._compiled.clear()

    def n_parameters(self) -> int:
        """Number of weights of the model, without the layers above the one that is heard."""
        heard = {id(p) for stage in self.heard() for p in stage.parameters()}
        silent = {id(p) for stage in self.stages() for p in stage.parameters()} - heard
        return sum(p.numel() for p in self.model.parameters() if id(p) not in silent)

    def activations(self, clips: np.ndarray, cut: Cut) -> np.ndarray:
        """Run preprocessing and the stages before the cut; see `Encoder.activations`."""
        device = next(self.model.parameters()).device
        prefix = self._runner(cut, clips.shape[1])
        with torch.inference_mode():
            batches = torch.from_numpy(clips).split(self.batch_size)
            outputs = [prefix(self.preprocess(batch.to(device))).cpu() for batch in batches]
        return torch.cat(outputs).float().clamp(-HALF_MAX, HALF_MAX).numpy()

    def prefix(self, cut: Cut) -> list[Stage]:
        """The stages before the cut, in evaluation mode; on a processor rebuilt to run quickly without gradients."""
        self.model.eval()
        tensors = [*self.model.parameters(), *self.model.buffers()]
        if not all(tensor.device.type == "cpu" and tensor.dtype != torch.float64 for tensor in tensors):
            return self.heard()[: cut.index]
        key = self.layer, cut.index, tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)
        if key not in self._rebuilt:
            self._rebuilt.clear()
            self._rebuilt[key] = rebuilt(self.heard()[: cut.index], self.faster)
        return self._rebuilt[key]

    @functools.cached_property
    def _rebuilt(self) -> dict[tuple[str | int, int, tuple[tuple[int, int], ...]], list[Stage]]:
        return {}

    def _runner(self, cut: Cut, n_samples: int) -> Callable[[Tensor], Tensor]:
        """What runs the stages before the cut, for clips of this length."""
        if self.engine_at(cut) == TORCH:
            return functools.partial(run_stages, self.prefix(cut))
        key = self.layer, cut.index, n_samples
        if key not in self._compiled:
            assert self.spec.sample_rate_hz is not None  # of the audio that clips are cut from
            self.model.eval()
            self._tell(f"(compiling for {self.engine})")
            self.model.requires_grad_(False)  # tracing takes no trainable constants; suffixes are set to be trained
            music = torch.from_numpy(calibration_clips(self.spec.sample_rate_hz, n_samples))
            with torch.no_grad():
                self._compiled[key] = compiled(self.heard()[: cut.index], self.preprocess(music))
        return self._compiled[key]

    @functools.cached_property
    def _compiled(self) -> dict[tuple[str | int, int, int], Callable[[Tensor], Tensor]]:
        return {}

    def suffix(self, cut: Cut) -> nn.Module | None:
        """A trainable copy of the stages behind the cut; see `Encoder.suffix`."""
        if cut.frozen:
            return None
        stages = copy.deepcopy(self.heard()[cut.index :])
        return Suffix(stages, self.augment() if cut.index == 0 else None)


class Suffix(nn.Module):
    """The stages behind the cut, as a module that holds their weights and no others."""

    def __init__(self, stages: Sequence[Stage], augment: nn.Module | None) -> None:
        super().__init__()
        self.augment = augment if augment is not None else nn.Identity()
        self.owned = nn.ModuleDict(
            {stage.name.replace(".", "_"): nn.ModuleList(stage.modules) for stage in stages if stage.modules}
        )
        self.owned.requires_grad_(True)
        self._stages = list(stages)
        self._borrowed = [m for stage in stages for m in stage.bound_modules() if m not in set(self.owned.modules())]
        for module in self._borrowed:
            module.requires_grad_(False)

    def forward(self, activations: Tensor) -> Tensor:
        """Activations (batch, ...) to embeddings (batch, embedding_dim)."""
        return run_stages(self._stages, self.augment(activations))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Suffix:
        """Take along, to another device or type, what a stage borrows from one that stands before the cut."""
        for module in self._borrowed:
            module._apply(fn, recurse)
        return super()._apply(fn, recurse)


def state_digest(model: nn.Module) -> str:
    """Hash of a model's parameters and buffers, names and shapes included."""
    state = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        state.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        state.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()
