"""Heads: from an embedding to one standardised value per target.

- `linear`: one linear map for each target.
- `mlp`: one hidden layer shared by all targets.
- `seed`: the founding two heads: a hidden layer of its own for each target.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from affekt.errors import ConfigError

HIDDEN = 256
DROPOUT = 0.1
TRAINED_HEADS = ("linear", "mlp", "seed")


def build_head(kind: str, embedding_dim: int, n_targets: int) -> nn.Module:
    """A head that maps (batch, embedding_dim) to (batch, n_targets).

    Raises:
        ConfigError: unknown kind.
    """
    if kind == "linear":
        return nn.Linear(embedding_dim, n_targets)
    if kind == "mlp":
        return _hidden(embedding_dim, n_targets)
    if kind == "seed":
        return Separate([_hidden(embedding_dim, 1) for _ in range(n_targets)])
    raise ConfigError(f'head = "{kind}": allowed are "ridge", {", ".join(TRAINED_HEADS)}.')


class Separate(nn.Module):
    """Heads that share nothing but their input."""

    def __init__(self, heads: list[nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, dim) -> (batch, n_heads)."""
        return torch.cat([head(x) for head in self.heads], dim=1)


class Standardise(nn.Module):
    """Fixed shift and scale of embeddings, learnt from training songs, then clipped to +-`clip`."""

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int, clip: float | None = 5.0) -> None:
        super().__init__()
        self.clip = clip
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def learn(self, embeddings: Tensor) -> None:
        """Take mean and deviation from (n, dim)."""
        std = embeddings.std(dim=0, correction=0)
        self.mean.copy_(embeddings.mean(dim=0))
        self.std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, dim) -> (batch, dim)."""
        z = (x - self.mean) / self.std
        return z if self.clip is None else z.clamp(-self.clip, self.clip)


def _hidden(embedding_dim: int, n_out: int) -> nn.Module:
    return nn.Sequential(nn.Linear(embedding_dim, HIDDEN), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, n_out))
