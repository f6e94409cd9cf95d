"""Audio: files to samples, samples to clips, clips to log-mel images or handcrafted descriptors.

Conventions: samples are float32, mono, nominally in [-1, 1]; rates are in Hz, lengths in seconds unless a name says
samples or frames. The public names load on use, so that decoding never pulls in torch or librosa.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from affekt.audio.clips import ClipPlan
    from affekt.audio.decode import decode
    from affekt.audio.descriptors import descriptor_names, handcrafted
    from affekt.audio.spectrogram import LogMel, SpecAugment

#: Raised by one whenever decoding or the placing of clips gives other samples than before; part of the store's key.
AUDIO_VERSION = 1

__all__ = ["AUDIO_VERSION", "ClipPlan", "LogMel", "SpecAugment", "decode", "descriptor_names", "handcrafted"]

_HOME = {
    "ClipPlan": "clips",
    "LogMel": "spectrogram",
    "SpecAugment": "spectrogram",
    "decode": "decode",
    "descriptor_names": "descriptors",
    "handcrafted": "descriptors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
