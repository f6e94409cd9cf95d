"""What musicnn's filters become where no gradient is wanted: the best match is found before anything is done to it.

A filter's output goes through ReLU and a norm, and the maximum over bands is taken. Both are monotone, so the maximum
may be taken first, and what is left to do is a fraction. Where the norm turns a filter's sign around, its maximum is
the norm of the smallest match; such a filter is run with its weights negated.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from affekt.encoders.musicnn.model import Block, pad_frames


def faster(module: nn.Module) -> nn.Module | None:
    """A quicker module in the place of a filter over bands; None for all others."""
    return BestMatch(module) if isinstance(module, Block) and isinstance(module.conv, nn.Conv2d) else None


class BestMatch(nn.Module):
    """(patch, 1, frame, band) -> (patch, channel, frame, 1): the maximum over bands of what the block gives.

    Args:
        block: a convolution over frames and bands, ReLU, batch norm.
    """

    sign: Tensor

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.norm = block.norm
        sign = torch.where(block.norm.weight.detach() < 0, -1.0, 1.0)[:, None, None]  # (channel, 1, 1)
        self.register_buffer("sign", sign, persistent=False)
        assert block.conv.bias is not None
        self.bias = block.conv.bias.detach() * sign[:, 0, 0]
        self.n_taps, self.n_bands = block.conv.kernel_size[0], block.conv.kernel_size[1]
        weight = (block.conv.weight.detach() * sign[..., None])[:, 0]  # (channel, tap, band)
        by_place = weight[..., None].transpose(1, 2) if self.n_bands > 1 else weight[..., None]
        self.weight = by_place.contiguous(
            memory_format=torch.channels_last
        )  # (channel, band, tap, 1) or (.., tap, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Run the convolution, and all else on its best match alone."""
        matches = functional.conv2d(self._heard(x), self.weight, self.bias)  # (patch, channel, frame, place)
        best = functional.max_pool2d(matches, (1, matches.shape[3]))  # quicker than `amax` where channels lie last
        normed: Tensor = self.norm(functional.relu(best * self.sign))
        return normed

    def _heard(self, x: Tensor) -> Tensor:
        """What a filter hears, as channels: its bands, (patch, band, frame, place); of a single band its taps.

        One channel in is what convolutions are slowest with.
        """
        padded = pad_frames(x, self.n_taps)[:, 0]  # (patch, frame, band)
        heard = padded.unfold(2, self.n_bands, 1) if self.n_bands > 1 else padded.unfold(1, self.n_taps, 1)
        return heard.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
