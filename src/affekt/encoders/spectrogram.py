"""Encoders that see sound: a log-mel spectrogram as an image, through a vision backbone.

The founding front end: 16 kHz, n_fft and window 2048, hop 512, 256 mels, standardised per clip, resized to the
backbone's image, the one channel repeated three times. The stored image keeps one channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from affekt.audio.spectrogram import LogMel, SpecAugment
from affekt.digest import digest
from affekt.encoders.base import Cut, EncoderSpec
from affekt.encoders.drawn import random_source
from affekt.encoders.hub import find_checkpoint
from affekt.encoders.mambavision import VARIANTS, MambaVision, build, faster, load_checkpoint
from affekt.encoders.places import user_path
from affekt.encoders.published import MAMBAVISION, MAMBAVISION_LICENCE
from affekt.encoders.staged import StagedEncoder
from affekt.encoders.stages import Stage

#: SpecAugment of the founding recipe, in frames and mel bands of the spectrogram, each with probability 0.5.
TIME_MASK_FRAMES = 30
FREQUENCY_MASK_BANDS = 15
MASK_PROBABILITY = 0.5
#: Clip length that the founding masks were chosen for.
CLIP_S = 5.0


def mambavision(name: str, weights: str, seed: int) -> SpectrogramEncoder:
    """A MambaVision by name; "-nano" is compact and untrained, the others load the published weights."""
    variant = name.removeprefix("mambavision-")
    model = build(replace(VARIANTS[variant], num_classes=0), seed=seed)
    if weights == "random" or (weights == "pretrained" and name not in MAMBAVISION):
        return SpectrogramEncoder(name, model, random_source(seed), "none")
    if weights != "pretrained" and user_path(weights).is_file():
        load_checkpoint(model, user_path(weights))
        return SpectrogramEncoder(name, model, f"file {Path(weights).name}", "as given")
    repository, *old_files = MAMBAVISION.get(name, ("",))
    place = repository if weights == "pretrained" else weights
    checkpoint = find_checkpoint(place, ("model.safetensors", *old_files), config_files=())
    load_checkpoint(model, checkpoint.weights_path)
    if weights != "pretrained":
        return SpectrogramEncoder(name, model, checkpoint.source, "as given")
    return SpectrogramEncoder(name, model, f"{checkpoint.source}, ImageNet-1K", MAMBAVISION_LICENCE)


class SpectrogramEncoder(StagedEncoder):
    """A vision backbone on log-mel images.

    Args:
        name: for reports.
        model: has `config.image_size` and `stages(height, width)`.
        weights: where they come from, in words.
        licence: of the weights.
        front_end: the spectrogram.
    """

    def __init__(
        self, name: str, model: MambaVision, weights: str, licence: str, front_end: LogMel | None = None
    ) -> None:
        self.model: MambaVision = model
        self.front_end = front_end or LogMel()
        self.image_size = model.config.image_size
        self.spec = EncoderSpec(
            name, "spectrogram", self.front_end.sample_rate_hz, model.config.n_features, weights, licence
        )

    def settings(self, cut: Cut | None = None) -> dict[str, Any]:
        """Adds every constant of the front end and of the backbone to what the key depends on."""
        own = {"front_end": digest(self.front_end), "config": digest(self.model.config)}
        return {**super().settings(cut), **own}

    def preprocess(self, clips: Tensor) -> Tensor:
        """(n_clips, n_samples) -> log-mel images (n_clips, 1, image_size, image_size), standardised per clip."""
        return self.front_end.image(clips, self.image_size, self.image_size)

    def stages(self) -> list[Stage]:
        """The backbone's own stages, the first of which is given the one channel three times."""
        return from_one_channel(self.model.stages(self.image_size, self.image_size), n_channels=3)

    def faster(self, module: nn.Module) -> nn.Module | None:
        """Adds what the backbone's own blocks become."""
        return faster(module) or super().faster(module)

    def augment(self) -> nn.Module:
        """The founding SpecAugment."""
        return founding_masks(self.front_end, self.image_size, self.image_size)


def from_one_channel(stages: Sequence[Stage], n_channels: int) -> list[Stage]:
    """The stages of a network for colour images, the first of which is given a spectrogram as every channel."""
    first, *rest = stages
    return [replace(first, function=partial(_repeat_channel, then=first.function, n_channels=n_channels)), *rest]


def founding_masks(front_end: LogMel, height: int, width: int) -> SpecAugment:
    """The founding SpecAugment, its widths carried over from frames and bands to pixels of the image."""
    n_frames = 1 + CLIP_S * front_end.sample_rate_hz // front_end.hop_length
    return SpecAugment(
        time_mask_px=round(TIME_MASK_FRAMES * width / n_frames),
        frequency_mask_px=round(FREQUENCY_MASK_BANDS * height / front_end.n_mels),
        probability=MASK_PROBABILITY,
    )


def _repeat_channel(*modules_and_x: Any, then: Callable[..., Tensor], n_channels: int) -> Tensor:
    """(batch, 1, height, width) -> what `then` makes of (batch, n_channels, height, width)."""
    *modules, x = modules_and_x
    return then(*modules, x.expand(-1, n_channels, -1, -1))
