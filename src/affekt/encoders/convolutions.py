"""The convolutions in front of a waveform model, quickly: frame by frame in memory, the norm worked into the weights.

Conventions: inside, a clip is `(frames, channels)`, so that all channels of a frame lie side by side, which is the
order that oneDNN's convolution and torch's layer norm want. Clips are run one after the other: the first layers of
one fill the cache and more.

The first layer has one channel to hear and a few samples to weigh, so its output follows from these samples by one
narrow matrix product; and so do mean and variance of each channel, over all frames, from mean and covariance of the
samples. A group norm of one channel a group therefore becomes part of the product, with other weights for each clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affekt.encoders.inference import channels_last

#: Numbers of the first layer's output that are computed and activated at once: 1 MiB, which a processor's cache holds.
BLOCK_NUMBERS = 2**18
#: Length of one Fourier transform in `FourierConv`, in frames.
TRANSFORM_FRAMES = 512


def rebuilt_extractor(extractor: Any) -> nn.Module | None:
    """`ConvStack` in place of transformers' feature extractor; None where that is made of something else."""
    layers = list(extractor.conv_layers)
    norms = [getattr(layer, "layer_norm", None) for layer in layers]
    known = all(_known(layer.conv, norm) for layer, norm in zip(layers, norms, strict=True))
    whole = all(norm is None or isinstance(norm, nn.LayerNorm) for norm in norms[1:])
    return ConvStack(layers) if known and whole and layers[0].conv.in_channels == 1 else None


def _known(conv: nn.Conv1d, norm: nn.Module | None) -> bool:
    plain = conv.groups == 1 and conv.padding == (0,) and conv.dilation == (1,)
    by_channel = isinstance(norm, nn.GroupNorm) and norm.num_groups == norm.num_channels and norm.affine
    return plain and (norm is None or isinstance(norm, nn.LayerNorm) or by_channel)


class ConvStack(nn.Module):
    """(batch, samples) -> (batch, channels, frames).

    Args:
        layers: each with `conv`, `activation`, and perhaps `layer_norm`; see `rebuilt_extractor`.
    """

    def __init__(self, layers: Sequence[Any]) -> None:
        super().__init__()
        first, *rest = layers
        self.first = FirstLayer(first)
        self.rest = nn.ModuleList(FrameLayer(layer) for layer in rest)

    def forward(self, waveforms: Tensor) -> Tensor:
        """The clips one after the other."""
        return torch.stack([self._one(samples) for samples in waveforms]).mT

    def _one(self, samples: Tensor) -> Tensor:
        x: Tensor = self.first(samples)
        for layer in self.rest:
            x = layer(x)
        return x


class FirstLayer(nn.Module):
    """(samples,) -> (frames, channels)."""

    weight: Tensor

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.conv, self.activate = layer.conv, _activation(layer.activation)
        self.norm = getattr(layer, "layer_norm", None)
        self.register_buffer("weight", layer.conv.weight.detach()[:, 0].double(), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Some frames at a time, each product activated while it is in the cache."""
        heard = samples.unfold(0, self.conv.kernel_size[0], self.conv.stride[0]).contiguous()  # (frames, kernel)
        weight, bias = self._product(heard)  # (kernel, channels), (channels,)
        frames = heard.new_empty(len(heard), weight.shape[1])
        n_at_once = max(1, BLOCK_NUMBERS // weight.shape[1])
        for some, out in zip(heard.split(n_at_once), frames.split(n_at_once), strict=True):
            torch.addmm(bias, some, weight, out=out)
            made = self.activate(self.norm(out) if isinstance(self.norm, nn.LayerNorm) else out)
            if made is not out:  # GELU writes over its input
                out.copy_(made)
        return frames

    def _product(self, heard: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (kernel, channels) and biases (channels,), with the group norm of this clip in them."""
        weight = self.weight  # (channels, kernel)
        bias = weight.new_zeros(len(weight)) if self.conv.bias is None else self.conv.bias.double()
        if isinstance(self.norm, nn.GroupNorm):
            wide = heard.double()
            mean = wide.mean(0)  # (kernel,)
            covariance = (wide - mean).T @ (wide - mean) / len(wide)  # (kernel, kernel)
            variance = ((weight @ covariance) * weight).sum(1).clamp_min(0)  # (channels,)
            scale = self.norm.weight.double() * torch.rsqrt(variance + self.norm.eps)
            bias = self.norm.bias.double() - (weight @ mean) * scale  # a bias before the norm is subtracted by it
            weight = weight * scale[:, None]
        return weight.T.float().contiguous(), bias.float()


class FrameLayer(nn.Module):
    """(frames, channels) -> (fewer frames, channels)."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        conv = layer.conv
        wide = nn.Conv2d(conv.in_channels, conv.out_channels, (1, conv.kernel_size[0]), (1, conv.stride[0]))
        wide.weight = nn.Parameter(conv.weight.detach().unsqueeze(2), requires_grad=False)
        wide.bias = conv.bias
        self.conv, self.activate = channels_last(wide), _activation(layer.activation)
        self.norm = getattr(layer, "layer_norm", None)

    def forward(self, x: Tensor) -> Tensor:
        """A convolution along the width of an image that is one pixel high."""
        y: Tensor = self.conv(x.T[None, :, None, :])[0, :, 0].T  # (frames, channels)
        if self.norm is not None:
            y = self.norm(y)
        return self.activate(y)


class FourierConv(nn.Module):
    """A long, grouped convolution over frames, as products of Fourier transforms, block by block.

    A kernel of 128 frames costs 128 products a frame; a transform of 512 frames costs about a tenth of it.

    Args:
        conv: of stride 1, padded with zeros on both sides.
    """

    spectrum: Tensor

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        self.bias, self.groups = conv.bias, conv.groups
        self.kernel, self.padding = conv.kernel_size[0], int(conv.padding[0])
        by_group = conv.weight.detach().unflatten(0, (self.groups, -1)).flip(-1)  # (group, out, in, kernel)
        spectrum = torch.fft.rfft(by_group, n=TRANSFORM_FRAMES).permute(3, 0, 2, 1)  # (frequency, group, in, out)
        self.register_buffer("spectrum", spectrum.contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, channels, frames + 2 * padding - kernel + 1)."""
        n_out = x.shape[2] + 2 * self.padding - self.kernel + 1
        step = TRANSFORM_FRAMES - self.kernel + 1
        n_blocks = -(-n_out // step)
        spare = (n_blocks - 1) * step + TRANSFORM_FRAMES - x.shape[2] - self.padding
        blocks = F.pad(x.mT, (0, 0, self.padding, spare)).unfold(1, TRANSFORM_FRAMES, step)  # (batch, block, c, frame)
        y = self._convolved(blocks.transpose(2, 3).flatten(0, 1))[:, self.kernel - 1 :]  # (batch * block, step, c)
        return (y.reshape(len(x), n_blocks * step, -1)[:, :n_out] + (0 if self.bias is None else self.bias)).mT

    def _convolved(self, blocks: Tensor) -> Tensor:
        """Circular convolutions, (block, frame, channels) -> the same with the channels that go out."""
        heard = torch.fft.rfft(blocks, dim=1).unflatten(2, (self.groups, -1))  # (block, frequency, group, in)
        made = heard.permute(1, 2, 0, 3) @ self.spectrum  # (frequency, group, block, out)
        return torch.fft.irfft(made.permute(2, 0, 1, 3).flatten(2), n=TRANSFORM_FRAMES, dim=1)


def rebuilt_position(conv: nn.Module) -> nn.Module | None:
    """`FourierConv` in place of a long convolution over frames; None where that would not pay or not be the same."""
    fits = isinstance(conv, nn.Conv1d) and conv.stride == (1,) and conv.dilation == (1,)
    if not fits or not isinstance(conv, nn.Conv1d) or isinstance(conv.padding, str) or conv.padding_mode != "zeros":
        return None
    return FourierConv(conv) if 32 <= conv.kernel_size[0] <= TRANSFORM_FRAMES // 2 else None


def _activation(module: nn.Module) -> Any:
    """The activation; where it is GELU, written over its input."""
    exact = type(module).__name__ == "GELUActivation" or (isinstance(module, nn.GELU) and module.approximate == "none")
    return torch.ops.aten.gelu_.default if exact else module
