"""The network: a spectrogram's timbre and rhythm side by side, three convolutions over time, one dense layer.

Conventions: a patch is a log-mel spectrogram of 187 frames and 96 bands, 3 s at 16 kHz with a hop of 256; an axis
called channel is what filters leave. The front end looks for timbre (7 frames high, across 38 or 67 bands, the best
match along frequency) and for rhythm (128, 64 or 32 frames of one band, the strongest band). Everything that stands
behind it is residual and dense: each step adds 64 channels to the 561 that the front end leaves. The patch is then
what is strongest and what is average over time, and the embedding is the last layer before the tags: convolution or
dense layer, ReLU, and batch norm last, in this order throughout.

Source: Pons & Serra (2019), arXiv 1909.06654; sizes and order of operations are those of the published checkpoints.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from affekt.encoders.drawn import seeded
from affekt.encoders.stages import Stage

N_FRAMES = 187
N_BANDS = 96
EMBEDDING_DIM = 200

_N_TIMBRAL, _N_TEMPORAL, _N_MID = 204, 51, 64
_TIMBRAL_BANDS = (38, 67)
_TEMPORAL_FRAMES = (128, 64, 32)
_N_FRONT = len(_TIMBRAL_BANDS) * _N_TIMBRAL + len(_TEMPORAL_FRAMES) * _N_TEMPORAL  # 561
_N_POOLED = 2 * (_N_FRONT + 3 * _N_MID)  # 1506

_EPS = 1e-3
_MOMENTUM = 0.01  # TensorFlow counts from the other end, as 0.99
_DROPOUT = 0.5

#: Patches that go through the front end at a time, in which one patch leaves 15 MB between two operations.
_AT_A_TIME = 4


def build(seed: int = 0) -> Musicnn:
    """An untrained network, as training would have begun.

    Args:
        seed: of the weights, drawn as in TensorFlow (Glorot uniform, biases 0). The caller's random numbers are kept.
    """
    with seeded(seed):
        model = Musicnn()
        for module in model.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return model.eval()


class Musicnn(nn.Module):
    """musicnn up to its last layer before the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm2d(1, _EPS, _MOMENTUM)
        self.timbral = nn.ModuleList(Block(nn.Conv2d(1, _N_TIMBRAL, (7, n_bands))) for n_bands in _TIMBRAL_BANDS)
        self.temporal = nn.ModuleList(Block(nn.Conv2d(1, _N_TEMPORAL, (n, 1))) for n in _TEMPORAL_FRAMES)
        self.mid = nn.ModuleList(Block(nn.Conv1d(n_in, _N_MID, 7)) for n_in in (_N_FRONT, _N_MID, _N_MID))
        self.pool_norm = RowNorm(_N_POOLED, _EPS, _MOMENTUM)
        self.dropout = nn.Dropout(_DROPOUT)
        self.dense = nn.Linear(_N_POOLED, EMBEDDING_DIM)
        self.dense_norm = RowNorm(EMBEDDING_DIM, _EPS, _MOMENTUM)

    def forward(self, patches: Tensor) -> Tensor:
        """Log-mel patches (clip, patch, frame, band) to embeddings (clip, dim), the mean over a clip's patches."""
        for stage in self.stages():
            patches = stage.run(patches)
        return patches

    def stages(self) -> list[Stage]:
        """What `forward` runs; layers are the front end, the three convolutions behind it and the dense layer."""
        dense = (self.pool_norm, self.dropout, self.dense, self.dense_norm)
        return [
            _stage("input", (self.input_norm,), _input),
            _stage("frontend", (*self.timbral, *self.temporal), _frontend, is_layer=True),
            _stage("conv1", (self.mid[0],), _first_conv, is_layer=True),
            _stage("conv2", (self.mid[1],), _residual_conv, is_layer=True),
            _stage("conv3", (self.mid[2],), _residual_conv, is_layer=True),
            _stage("pool", (), _pool),
            _stage("dense", dense, _dense, is_layer=True),
            Stage("mean", (), _mean),
        ]


class Block(nn.Module):
    """Convolution over frames, ReLU, batch norm; beyond both ends of a patch lie zeros.

    Args:
        conv: whose first axis is frames. Of an even number of taps, the one more looks ahead.
    """

    def __init__(self, conv: nn.Conv1d | nn.Conv2d) -> None:
        super().__init__()
        norm = nn.BatchNorm1d if isinstance(conv, nn.Conv1d) else nn.BatchNorm2d
        self.conv = conv
        self.norm = norm(conv.out_channels, _EPS, _MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """(patch, channel, frame[, band]) -> the same with the filters as channels, bands reduced by the filter's."""
        padded = pad_frames(x, self.conv.kernel_size[0])
        normed: Tensor = self.norm(functional.relu(self.conv(padded), inplace=True))
        return normed


def pad_frames(x: Tensor, n_taps: int) -> Tensor:
    """Zeros beyond both ends of a patch, (patch, channel, frame[, band]), for as many frames out as in."""
    before = (n_taps - 1) // 2
    beyond = (before, n_taps - 1 - before)
    return functional.pad(x, beyond if x.ndim == 3 else (0, 0, *beyond))


class RowNorm(nn.BatchNorm1d):
    """Batch norm of rows (patch, dim) that takes a single row in training, too, with the averages so far."""

    def forward(self, input: Tensor) -> Tensor:
        """(patch, dim) -> the same."""
        if input.shape[0] > 1:  # `len` would fix the number of rows of a graph that is exported
            return super().forward(input)
        mean, variance = self.running_mean, self.running_var
        return functional.batch_norm(input, mean, variance, self.weight, self.bias, eps=self.eps)


def _stage(name: str, modules: tuple[nn.Module, ...], function: Any, is_layer: bool = False) -> Stage:
    """A stage whose function sees all patches of all clips in one row."""
    return Stage(name, modules, partial(_each_patch, function=function), is_layer)


def _each_patch(*modules_and_x: Any, function: Any) -> Tensor:
    """(clip, patch, ...) -> the same, through a function (patch, ...) -> (patch, ...)."""
    *modules, x = modules_and_x
    flat: Tensor = function(*modules, x.flatten(0, 1))
    return flat.unflatten(0, x.shape[:2])


def _input(norm: nn.Module, x: Tensor) -> Tensor:
    """One scale and one shift for all patches, (patch, frame, band) -> the same."""
    return norm(x[:, None])[:, 0]


def _frontend(*blocks_and_x: Any) -> Tensor:
    """Timbral and temporal filters, (patch, frame, band) -> (patch, channel, frame)."""
    *blocks, x = blocks_and_x
    # A few at a time are also faster, as they stay in the cache. In training the whole batch is one for its norm; a
    # graph that is exported must not depend on how many there are.
    whole = blocks[0].training or torch.compiler.is_exporting()
    parts = (x,) if whole else x.split(_AT_A_TIME)
    return torch.cat([_filtered(blocks, part[:, None]) for part in parts])


def _filtered(blocks: list[nn.Module], x: Tensor) -> Tensor:
    """The best match along frequency of every filter, (patch, 1, frame, band) -> (patch, channel, frame)."""
    return torch.cat([block(x).amax(dim=3) for block in blocks], dim=1)


def _first_conv(block: nn.Module, x: Tensor) -> Tensor:
    """Append 64 channels computed from all, (patch, channel, frame) -> (patch, channel + 64, frame)."""
    return torch.cat([x, block(x)], dim=1)


def _residual_conv(block: nn.Module, x: Tensor) -> Tensor:
    """Append the last 64 channels plus what a convolution makes of them; shapes as in `_first_conv`."""
    last = x[:, -_N_MID:]
    return torch.cat([x, block(last) + last], dim=1)


def _pool(x: Tensor) -> Tensor:
    """Maximum and mean over frames, alternating, (patch, channel, frame) -> (patch, 2 * channel)."""
    return torch.stack([x.amax(dim=2), x.mean(dim=2)], dim=2).flatten(1)


def _dense(pool_norm: nn.Module, dropout: nn.Module, dense: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    """(patch, pooled) -> (patch, dim)."""
    embedding: Tensor = norm(functional.relu(dense(dropout(pool_norm(x)))))
    return embedding


def _mean(x: Tensor) -> Tensor:
    """Mean over the patches of a clip, (clip, patch, dim) -> (clip, dim)."""
    return x.mean(dim=1)
