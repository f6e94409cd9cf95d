"""Vision models of transformers that see sound: ConvNeXt, Swin, ViT on log-mel images.

The front end is the founding one (see `spectrogram`), at the image size of the model: log-mel, standardised per clip,
resized, the one channel given three times. ImageNet's mean and deviation of colours are not applied: a standardised
spectrogram has zero mean and unit variance already, which is what that normalisation brings photographs to.

Pooling: mean over all places of the image, behind the model's last norm (ConvNeXt: before it, as it was trained),
without ViT's special tokens. ViT's own pooler, which many published files lack, is not loaded. Clips may have any
length: the image holds the whole clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from affekt.audio.spectrogram import LogMel
from affekt.encoders import windows
from affekt.encoders.pretrained import Network, Pretrained, PretrainedEncoder
from affekt.encoders.spectrogram import founding_masks, from_one_channel
from affekt.encoders.stages import Stage


@dataclass(frozen=True)
class LogMelImage:
    """The founding spectrogram as an image.

    Attributes:
        height, width: in pixels.
        mel: the spectrogram.
    """

    height: int
    width: int
    mel: LogMel = field(default_factory=LogMel)

    #: Any length fits into an image.
    longest_clip = None

    @property
    def sample_rate_hz(self) -> int:
        """Of the clips."""
        return self.mel.sample_rate_hz

    def __call__(self, clips: Tensor) -> Tensor:
        """Clips (n_clips, n_samples) -> (n_clips, 1, height, width), standardised per clip."""
        return self.mel.image(clips, self.height, self.width)


class VisionEncoder(PretrainedEncoder):
    """A vision model of transformers on log-mel images.

    Args:
        source: the checkpoint.
        model: with `config.image_size` and `config.num_channels`.
        network: its stages, for images (batch, num_channels, height, width).
    """

    front_end: LogMelImage

    def __init__(self, source: Pretrained, model: Any, network: Network) -> None:
        stages = from_one_channel(network.stages, model.config.num_channels)
        image = LogMelImage(*_pair(model.config.image_size))
        super().__init__(source, model, replace(network, stages=stages), image)

    def augment(self) -> nn.Module:
        """The founding SpecAugment."""
        return founding_masks(self.front_end.mel, self.front_end.height, self.front_end.width)


def convnext(source: Pretrained) -> VisionEncoder:
    """ConvNeXt and ConvNeXt V2. Sources: Liu et al. 2022, arXiv 2201.03545; Woo et al. 2023, arXiv 2301.00808."""
    model = source.model()
    stages = [Stage("stem", (model.embeddings,), _run)]
    for number, level in enumerate(model.encoder.stages):
        if len(level.downsampling_layer):
            stages.append(Stage(f"level{number}.down", tuple(level.downsampling_layer), _run))
        blocks = enumerate(level.layers)
        stages += [Stage(f"level{number}.block{i}", (block,), _run, is_layer=True) for i, block in blocks]
    stages.append(Stage("pool", (model.layernorm,), _pool_map))
    return VisionEncoder(source, model, Network(stages, model.config.hidden_sizes[-1]))


def swin(source: Pretrained) -> VisionEncoder:
    """Swin. Source: Liu et al. 2021, arXiv 2103.14030."""
    model = source.model()
    sides = zip(_pair(model.config.image_size), _pair(model.config.patch_size), strict=True)
    height, width = (-(-side // patch) for side, patch in sides)  # the model pads an image to whole patches
    stages = [
        Stage("stem", (model.embeddings,), _swin_stem),
        *windows.levels(model.encoder.layers, (height, width)),
        Stage("pool", (model.layernorm,), windows.mean_over_patches),
    ]
    return VisionEncoder(source, model, Network(stages, model.num_features))


def vit(source: Pretrained) -> VisionEncoder:
    """ViT and DeiT. Sources: Dosovitskiy et al. 2020, arXiv 2010.11929; Touvron et al. 2020, arXiv 2012.12877."""
    model = source.model(add_pooling_layer=False)
    embeddings = model.embeddings
    n_special = embeddings.position_embeddings.shape[1] - embeddings.patch_embeddings.num_patches
    pool = partial(_pool_patches, n_special=n_special)
    layers = [Stage(f"layer{i}", (layer,), _run, is_layer=True) for i, layer in enumerate(model.layers, start=1)]
    stages = [Stage("stem", (embeddings,), _run), *layers, Stage("pool", (model.layernorm,), pool)]
    return VisionEncoder(source, model, Network(stages, model.config.hidden_size, Stage("pool", (), pool)))


def _run(*modules_and_x: Any) -> Any:
    """One module behind the other."""
    *modules, x = modules_and_x
    for module in modules:
        x = module(x)
    return x


def _swin_stem(embeddings: nn.Module, images: Tensor) -> Tensor:
    """(batch, 3, height, width) -> (batch, patches, channels)."""
    patches: Tensor = embeddings(images)[0]  # the grid's size comes with it
    return patches


def _pool_map(norm: nn.Module, x: Tensor) -> Tensor:
    """(batch, channels, height, width) -> (batch, channels)."""
    pooled: Tensor = norm(x.mean(dim=(-2, -1)))
    return pooled


def _pool_patches(*norm_and_x: Any, n_special: int) -> Tensor:
    """Mean over patches, (batch, special tokens and patches, dim) -> (batch, dim)."""
    *norm, x = norm_and_x
    hidden: Tensor = norm[0](x) if norm else x
    return hidden[:, n_special:].mean(dim=1)


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width, of which a configuration may give one for both."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])
