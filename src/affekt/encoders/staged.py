"""Neural encoders as a list of named stages: the mechanism that makes prefix and suffix the same for all of them.

An encoder says how clips become its input (`preprocess`) and which stages that input then runs through (`stages`).
From these two everything else follows: the cut, the activations at it, the trainable suffix, the digest of weights.
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
from affekt.encoders.stages import Stage, run_stages
from affekt.errors import ConfigError

#: The largest value that half precision holds; activations beyond it would turn into infinities in the store.
HALF_MAX = float(torch.finfo(torch.float16).max)


class StagedEncoder(Encoder):
    """An encoder made of stages. Subclasses set `spec` and `model`, and define `preprocess` and `stages_of`."""

    model: nn.Module
    #: Clips per forward pass in extraction; one song's worth keeps memory flat.
    batch_size: int = 16

    @abstractmethod
    def preprocess(self, clips: Tensor) -> Tensor:
        """Clips (n_clips, n_samples) to the input of the first stage, (n_clips, ...)."""

    @abstractmethod
    def stages(self) -> list[Stage]:
        """The stages of `model`; the last one pools to (batch, embedding_dim)."""

    def augment(self) -> nn.Module | None:
        """What perturbs the input in training where the cut stands before the first stage; None for nothing."""
        return None

    def cut(self, freeze: str) -> Cut:
        """The cut that `freeze` asks for; see `Encoder.cut`."""
        n_trained = parse_freeze(freeze)
        stages = self.stages()
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

    def settings(self, cut: Cut | None = None) -> dict[str, Any]:
        """Name, code version and digest of the weights before the cut."""
        return {**super().settings(cut), "weights": self.weights_digest(cut)}

    def weights_digest(self, cut: Cut | None = None) -> str:
        """Hash of every parameter and buffer of the stages before the cut, of all for None; computed once.

        Where everything is trained the stored input depends on no weight, so all draws of an untrained encoder share it.
        """
        stages = self.stages()
        n_stages = len(stages) if cut is None else cut.index
        if n_stages not in self._digests:
            owned = [nn.ModuleList([*stage.modules, *stage.bound_modules()]) for stage in stages[:n_stages]]
            self._digests[n_stages] = state_digest(nn.ModuleList(owned))
        return self._digests[n_stages]

    @functools.cached_property
    def _digests(self) -> dict[int, str]:
        return {}

    @contextmanager
    def on_fastest_device(self) -> Iterator[None]:
        """Move the model to a GPU within, and back to the CPU after, where suffixes are copied from."""
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")
        try:
            yield
        finally:
            self.model.to("cpu")

    def n_parameters(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.model.parameters())

    def activations(self, clips: np.ndarray, cut: Cut) -> np.ndarray:
        """Run preprocessing and the stages before the cut; see `Encoder.activations`."""
        device = next(self.model.parameters()).device
        self.model.eval()
        stages = self.stages()[: cut.index]
        with torch.inference_mode():
            batches = torch.from_numpy(clips).split(self.batch_size)
            outputs = [run_stages(stages, self.preprocess(batch.to(device))).cpu() for batch in batches]
        return torch.cat(outputs).float().clamp(-HALF_MAX, HALF_MAX).numpy()

    def suffix(self, cut: Cut) -> nn.Module | None:
        """A trainable copy of the stages behind the cut; see `Encoder.suffix`."""
        if cut.frozen:
            return None
        stages = copy.deepcopy(self.stages()[cut.index :])
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
