"""Shifted-window transformers as stages: Swin, and CLAP's audio tower (HTSAT), which is built the same way.

Stages: "level0.block0", ..., "level0.down", "level1.block0", ...; each level works on a grid of half the side and twice
the width. A tensor is (batch, height * width, channels) throughout. Every block is a layer for `freeze: lastN`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from torch import Tensor

from affekt.encoders.stages import Stage

Grid = tuple[int, int]


def levels(model_levels: Iterable[Any], grid: Grid) -> list[Stage]:
    """All blocks of all levels.

    Args:
        model_levels: with `blocks`, and `downsample` or None.
        grid: patches that enter the first level, as height and width.
    """
    stages = []
    for number, level in enumerate(model_levels):
        blocks = enumerate(level.blocks)
        stages += [Stage(f"level{number}.block{i}", (b,), partial(_block, grid=grid), is_layer=True) for i, b in blocks]
        if level.downsample is not None:
            stages.append(Stage(f"level{number}.down", (level.downsample,), partial(_down, grid=grid)))
            grid = (grid[0] + 1) // 2, (grid[1] + 1) // 2
    return stages


def mean_over_patches(norm: Any, x: Tensor) -> Tensor:
    """(batch, patches, channels) -> (batch, channels), behind the model's last norm."""
    normed: Tensor = norm(x)
    return normed.mean(dim=1)


def _block(block: Any, x: Tensor, grid: Grid) -> Tensor:
    out: Tensor = block(x, grid)[0]  # the attention weights come with it
    return out


def _down(downsample: Any, x: Tensor, grid: Grid) -> Tensor:
    """Four neighbours become one, (batch, height * width, channels) -> (batch, a quarter of them, 2 * channels)."""
    out: Tensor = downsample(x, grid)
    return out
