"""The encoder: clips to log-mel patches of 3 s, and these through the network.

Patches are spread evenly over a clip, the first from its start and the last to its end, as few as cover it; a clip of
3 s is exactly one. A shorter clip is repeated to fill a patch. Each band holds log10(1 + 10000 power).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from affekt.audio.spectrogram import LogMel
from affekt.digest import digest
from affekt.encoders.base import Cut, EncoderSpec
from affekt.encoders.drawn import random_source
from affekt.encoders.musicnn.inference import faster
from affekt.encoders.musicnn.model import EMBEDDING_DIM, N_BANDS, N_FRAMES, Musicnn, build
from affekt.encoders.musicnn.weights import load_weights
from affekt.encoders.staged import StagedEncoder
from affekt.encoders.stages import Stage

#: As in the published extractor, which takes librosa's defaults for the rest. Only `mel` is used of it.
FRONT_END = LogMel(n_fft=512, win_length=512, hop_length=256, n_mels=N_BANDS, pad_mode="reflect")
COMPRESSION = 10_000


def musicnn(name: str, weights: str, seed: int) -> MusicnnEncoder:
    """A published musicnn by name ("musicnn", "musicnn-msd"), its untrained twin, or weights from a file."""
    model = build(seed)
    if weights == "random":
        return MusicnnEncoder(name, model, random_source(seed), "none")
    origin = load_weights(model, name, weights)
    return MusicnnEncoder(name, model, origin.weights, origin.licence)


class MusicnnEncoder(StagedEncoder):
    """A music tagger up to its last layer before the tags.

    Args:
        name: for reports.
        model: the network.
        weights: where they come from, in words.
        licence: of the weights.
    """

    def __init__(self, name: str, model: Musicnn, weights: str, licence: str) -> None:
        self.model: Musicnn = model
        self.spec = EncoderSpec(name, "spectrogram", FRONT_END.sample_rate_hz, EMBEDDING_DIM, weights, licence)

    def settings(self, cut: Cut | None = None) -> dict[str, Any]:
        """Adds every constant of the front end to what the key depends on."""
        return {**super().settings(cut), "front_end": digest([FRONT_END, COMPRESSION, N_FRAMES])}

    def preprocess(self, clips: Tensor) -> Tensor:
        """(n_clips, n_samples) -> log-mel patches (n_clips, n_patches, 187, 96)."""
        n_least = N_FRAMES * FRONT_END.hop_length
        if clips.shape[1] < n_least:
            clips = clips.repeat(1, math.ceil(n_least / clips.shape[1]))[:, :n_least]
        log_mel = torch.log10(1 + COMPRESSION * FRONT_END.mel(clips))  # (clip, band, frame)
        # the frame that is centred on the very end would make 3 s one frame longer than a patch
        return patches(log_mel[:, :, : clips.shape[1] // FRONT_END.hop_length])

    def faster(self, module: nn.Module) -> nn.Module | None:
        """Adds what the filters become."""
        return faster(module) or super().faster(module)

    def stages(self) -> list[Stage]:
        """The network's own."""
        return self.model.stages()


def patches(log_mel: Tensor) -> Tensor:
    """As few patches as cover a clip, evenly spread, the first at its start and the last at its end.

    Args:
        log_mel: shape (clip, band, frame), at least as many frames as a patch has.

    Returns:
        Shape (clip, patch, frame, band), 187 frames each.
    """
    n_frames = log_mel.shape[2]
    n_patches = math.ceil(n_frames / N_FRAMES)
    firsts = [(n_frames - N_FRAMES) * i // max(1, n_patches - 1) for i in range(n_patches)]
    cut = [log_mel[:, :, first : first + N_FRAMES] for first in firsts]
    return torch.stack(cut, dim=1).transpose(2, 3)
