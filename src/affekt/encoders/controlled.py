"""The controlled question "waveform or spectrogram?": four compact encoders that differ in two factors and in no more.

    input:  a learned front end on the raw waveform  |  a fixed log-mel spectrogram
    trunk:  a transformer                            |  Mamba, the mixer of MambaVision over time

Wav2Vec 2.0 and MambaVision differ in input, architecture and pretraining at once. These four are a 2 x 2 and are
trained from scratch. Equal in all four: the samples (mono, 16 kHz, each clip at zero mean and unit variance, so that
none hears loudness), the band from 0 to 8 kHz, one frame each 640 samples (40 ms), the width, the number of blocks,
norms, activation and dropout, position by a convolution, the mean over frames, and the number of weights within 1 %.

Either front end is a stack of convolutions over time: on one channel of samples, or on the bands of the spectrogram.
Its inner widths, and those of the MLPs beside attention and Mamba, are chosen so that the numbers of weights agree.

Nothing is augmented: a mask over bands exists for spectrograms alone and would favour them.

Stages: "frontend" (convolutions, position), then "block1" .. "blockN", then "pool" (norm, mean over frames).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from affekt.audio.spectrogram import LogMel
from affekt.digest import digest
from affekt.encoders.base import Cut, EncoderSpec
from affekt.encoders.drawn import random_source, seeded
from affekt.encoders.mambavision.model import Attention, MambaMixer
from affekt.encoders.staged import StagedEncoder
from affekt.encoders.stages import Stage
from affekt.errors import EncoderError, ShapeError

Heard = Literal["waveform", "log-mel"]
Trunk = Literal["transformer", "mamba"]

#: The factors of the 2 x 2, by encoder; as `factors` of the experiment file.
FACTORS: dict[str, dict[str, str]] = {
    "wave-transformer-nano": {"input": "waveform", "trunk": "transformer"},
    "wave-mamba-nano": {"input": "waveform", "trunk": "mamba"},
    "mel-transformer-nano": {"input": "log-mel", "trunk": "transformer"},
    "mel-mamba-nano": {"input": "log-mel", "trunk": "mamba"},
}

SAMPLE_RATE_HZ = 16_000
#: Samples from one frame to the next: 40 ms.
FRAME = 640
#: The spectrogram: windows of 80 ms, two frames long.
MEL = LogMel(sample_rate_hz=SAMPLE_RATE_HZ, n_fft=2048, win_length=2 * FRAME, hop_length=FRAME, n_mels=96)
#: About the spread of log-mel values of music at unit variance, whose mean is near 0 dB; brings them to unit variance.
MEL_STD_DB = 15.0


@dataclass(frozen=True)
class Conv:
    """One convolution of a front end: the channels it makes; kernel and stride in steps of its input."""

    width: int
    kernel: int
    stride: int


#: Channels of the input, and the convolutions of its front end. Those on samples multiply their strides to one frame.
FRONT_ENDS: dict[str, tuple[int, tuple[Conv, ...]]] = {
    "waveform": (1, (Conv(64, 256, 64), Conv(64, 20, 10))),
    "log-mel": (MEL.n_mels, (Conv(279, 3, 1), Conv(64, 1, 1))),
}
#: Width inside the MLPs of a block: Mamba's mixer is smaller than attention of the same width.
MLP_WIDTH: dict[str, int] = {"transformer": 128, "mamba": 184}


@dataclass(frozen=True)
class ControlledConfig:
    """One of the four.

    Attributes:
        heard: what the front end takes.
        trunk: what mixes frames.
        dim: width of the trunk and of the embedding.
        n_blocks: depth of the trunk.
        n_heads: of attention.
        position_frames: frames that the convolution for position spans; odd.
        dropout: on what each branch of a block adds, in training.
    """

    heard: Heard
    trunk: Trunk
    dim: int = 64
    n_blocks: int = 3
    n_heads: int = 2
    position_frames: int = 15
    dropout: float = 0.1


def controlled(name: str, weights: str, seed: int) -> ControlledEncoder:
    """One of the four by name, with random weights.

    Raises:
        EncoderError: `weights` names a checkpoint; there is none, and one would not be from scratch.
    """
    if weights not in ("pretrained", "random"):
        raise EncoderError(
            f'{name}: weights = "{weights}", but this encoder is trained from scratch. Leave `weights` out, or write '
            '"random".'
        )
    factors: Any = FACTORS[name]
    with seeded(seed):
        model = Controlled(ControlledConfig(factors["input"], factors["trunk"]))
    return ControlledEncoder(name, model, random_source(seed))


class ControlledEncoder(StagedEncoder):
    """One of the four as stages.

    Args:
        name: for reports.
        model: front end and trunk.
        weights: where they come from, in words.
    """

    def __init__(self, name: str, model: Controlled, weights: str) -> None:
        self.model: Controlled = model
        self.config = model.config
        heard: Literal["waveform", "spectrogram"] = "waveform" if self.config.heard == "waveform" else "spectrogram"
        self.spec = EncoderSpec(name, heard, SAMPLE_RATE_HZ, self.config.dim, weights, "none")

    def settings(self, cut: Cut | None = None) -> dict[str, Any]:
        """Adds the sizes of the network and every constant before it to what the key depends on."""
        before = {"frame": FRAME, "mel": MEL, "mel_std_db": MEL_STD_DB} if self.config.heard == "log-mel" else FRAME
        own = [self.config, before, FRONT_ENDS[self.config.heard], MLP_WIDTH[self.config.trunk]]
        return {**super().settings(cut), "config": digest(own)}

    def preprocess(self, clips: Tensor) -> Tensor:
        """(n_clips, n_samples) -> samples (n_clips, 1, frames * 640) or log-mel (n_clips, n_mels, frames).

        Raises:
            ShapeError: the clips are shorter than one frame.
        """
        samples = whole_frames(clips)  # (n_clips, frames * 640)
        return samples[:, None] if self.config.heard == "waveform" else log_mel(samples)

    def stages(self) -> list[Stage]:
        """Front end, one stage per block, mean over frames."""
        model = self.model
        blocks = [Stage(f"block{i}", (block,), _run, is_layer=True) for i, block in enumerate(model.blocks, start=1)]
        front = Stage("frontend", (model.front_end, model.position), _frontend)
        return [front, *blocks, Stage("pool", (model.norm,), _pool)]

    def layer_pool(self) -> Stage:
        """Mean over frames, without the norm behind the last block."""
        return Stage("pool", (), _pool)

    def augment(self) -> None:
        """Nothing, on either side: see the module."""
        return None


def whole_frames(clips: Tensor) -> Tensor:
    """What all four hear: whole frames of samples, at zero mean and unit variance per clip.

    Args:
        clips: shape (n_clips, n_samples).

    Returns:
        Shape (n_clips, frames * 640) with frames = n_samples // 640; a constant clip becomes zeros.

    Raises:
        ShapeError: there is not one whole frame.
    """
    n_frames = clips.shape[1] // FRAME
    if n_frames == 0:
        raise ShapeError(f"The clips have {clips.shape[1]} samples; at least {FRAME} are needed. Take longer clips.")
    samples = clips[:, : n_frames * FRAME]  # (n_clips, frames * 640)
    variance, mean = torch.var_mean(samples, dim=1, keepdim=True, correction=0)  # (n_clips, 1)
    return (samples - mean) / torch.sqrt(variance + 1e-7)  # as for Wav2Vec 2.0


def log_mel(samples: Tensor) -> Tensor:
    """The spectrogram of `samples`, one column for the middle of each frame.

    Args:
        samples: shape (n_clips, frames * 640), at unit variance.

    Returns:
        Shape (n_clips, n_mels, frames), in units of `MEL_STD_DB` decibels.
    """
    # Windows are centred on multiples of the hop. Moved by half a frame they stand in the middle of each frame, all but
    # the first, which stands before the clip.
    moved = functional.pad(samples, (FRAME // 2, 0))  # (n_clips, 320 + frames * 640)
    return MEL.log_mel(moved)[..., 1:] / MEL_STD_DB


class Controlled(nn.Module):
    """The weights of one of the four, drawn from torch's global generator; see also `controlled`."""

    def __init__(self, config: ControlledConfig) -> None:
        super().__init__()
        self.config = config
        self.front_end = FrontEnd(*FRONT_ENDS[config.heard])
        self.position = Position(config.dim, config.position_frames)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_blocks))
        self.norm = nn.LayerNorm(config.dim)


class FrontEnd(nn.Sequential):
    """Convolutions over time: (batch, channels, steps) -> (batch, dim, frames).

    Group norm over all channels and steps of a clip keeps the balance between channels, which is the spectral envelope,
    and between frames. Padding by half of what a kernel reaches beyond its stride makes the frames of both inputs
    equal in number and place.
    """

    def __init__(self, n_channels: int, convs: tuple[Conv, ...]) -> None:
        layers: list[nn.Module] = []
        for conv in convs:
            reach = (conv.kernel - conv.stride) // 2
            layers += [
                nn.Conv1d(n_channels, conv.width, conv.kernel, conv.stride, padding=reach, bias=False),
                nn.GroupNorm(1, conv.width),
                nn.GELU(),
            ]
            n_channels = conv.width
        super().__init__(*layers)


class Position(nn.Module):
    """Tell frames their surroundings by a convolution for each channel: (batch, dim, frames) -> (batch, frames, dim).

    Source: Baevski et al. 2020, arXiv 2006.11477, section 2, with one group for each channel.
    """

    def __init__(self, dim: int, n_frames: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, n_frames, padding="same", groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        """Add to each frame what its surroundings give, and put channels last."""
        return (x + functional.gelu(self.conv(x))).mT.contiguous()  # (batch, frames, dim)


class Block(nn.Module):
    """Mix frames, then channels, each beside an identity and after a norm: (batch, frames, dim) -> the same shape."""

    def __init__(self, config: ControlledConfig) -> None:
        super().__init__()
        dim, width = config.dim, MLP_WIDTH[config.trunk]
        self.norm1 = nn.LayerNorm(dim)
        self.mixer = Attention(dim, config.n_heads) if config.trunk == "transformer" else MambaMixer(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, width), nn.GELU(), nn.Linear(width, dim))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Both branches in turn."""
        x = x + self.dropout(self.mixer(self.norm1(x)))  # (batch, frames, dim)
        x = x + self.dropout(self.mlp(self.norm2(x)))  # (batch, frames, dim)
        return x


def _frontend(front_end: nn.Module, position: nn.Module, x: Tensor) -> Tensor:
    """Samples or log-mel (batch, channels, steps) -> (batch, frames, dim)."""
    hidden: Tensor = position(front_end(x))
    return hidden


def _run(block: nn.Module, x: Tensor) -> Tensor:
    mixed: Tensor = block(x)
    return mixed  # (batch, frames, dim)


def _pool(*norm_and_x: Any) -> Tensor:
    """Mean over frames, (batch, frames, dim) -> (batch, dim)."""
    *norm, x = norm_and_x
    pooled: Tensor = (norm[0](x) if norm else x).mean(dim=1)
    return pooled
