"""What musicnn's filters become where no gradient is wanted: the best match is found before anything is done to it.

A filter's output goes through ReLU and a norm, and the maximum over bands is taken. Both are monotone, so the maximum
may be taken first, and what is left to do is a fraction. Where the norm turns a filter's sign around, its maximum is
the norm of the smallest match; such a filter is run with its weights negated.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from affekt.encoders.inference import twin
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
        turned = {
            "weight": block.conv.weight.detach() * sign[..., None],
            "bias": block.conv.bias.detach() * sign[:, 0, 0],
        }
        self.conv = twin(block.conv, parameters={n: nn.Parameter(t, requires_grad=False) for n, t in turned.items()})

    def forward(self, x: Tensor) -> Tensor:
        """Run the convolution, and all else on its best match alone."""
        best = self.conv(pad_frames(x, self.conv.kernel_size[0])).amax(dim=3, keepdim=True)
        normed: Tensor = self.norm(functional.relu(best * self.sign))
        return normed
