"""What MambaVision's blocks become where no gradient is wanted: norms are folded into the convolutions before them."""

from __future__ import annotations

from torch import nn

from affekt.encoders.inference import folded, twin
from affekt.encoders.mambavision.model import ConvBlock, Stem


def faster(module: nn.Module) -> nn.Module | None:
    """A quicker module in the place of one of MambaVision's own; None for all others."""
    if isinstance(module, ConvBlock):
        convs = {"conv1": folded(module.conv1, module.norm1), "conv2": folded(module.conv2, module.norm2)}
        return twin(module, {**convs, "norm1": nn.Identity(), "norm2": nn.Identity()})
    if isinstance(module, Stem):
        first, second = (folded(module.conv_down[i], module.conv_down[i + 1]) for i in (0, 3))
        return twin(module, {"conv_down": nn.Sequential(first, nn.ReLU(True), second, nn.ReLU(True))})
    return None
