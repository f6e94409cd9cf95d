"""What can be compared, as rows to print: told from constants, without loading a model."""

from __future__ import annotations

import importlib.util
from typing import Any

from affekt.encoders.base import RANDOM_WEIGHTS
from affekt.encoders.published import MAMBAVISION, MAMBAVISION_LICENCE, WAVEFORM
from affekt.registry import ENCODERS

#: What an encoder hears, its weights and their licence, and the extra that it needs; by its name in the registry.
_KINDS = {
    "mean": ("nothing", "none", "none", ""),
    "handcrafted": ("descriptors", "none", "none", "handcrafted"),
    "precomputed:": ("embeddings", "as given", "as given", ""),
    "hf:": ("waveform or spectrogram", "hub repository or folder", "see the repository", "models"),
    **{name: ("waveform", "pretrained on speech, from the hub", m.licence, "models") for name, m in WAVEFORM.items()},
    **dict.fromkeys(MAMBAVISION, ("spectrogram", "ImageNet-1K, from the hub", MAMBAVISION_LICENCE, "models")),
    **dict.fromkeys(("musicnn", "musicnn-msd"), ("spectrogram", "music tags, from the package index", "ISC", "models")),
    **dict.fromkeys(
        ("wav2vec2-nano", "wave-transformer-nano", "wave-mamba-nano"), ("waveform", RANDOM_WEIGHTS, "none", "models")
    ),
    **dict.fromkeys(
        ("mambavision-nano", "mel-transformer-nano", "mel-mamba-nano"),
        ("spectrogram", RANDOM_WEIGHTS, "none", "models"),
    ),
}
_UNKNOWN = "unknown"
_PACKAGE = {"models": "transformers", "handcrafted": "librosa"}
_ARGUMENT = {"hf:": "hf:<repo or folder>", "precomputed:": "precomputed:<csv or folder>"}


def catalogue() -> list[dict[str, Any]]:
    """One row for each registered encoder: name, input, weights, licence, needs (which extra, and if it is there).

    What a plug-in registered is "unknown", as it could be told only by loading it.
    """
    return [_row(name) for name in ENCODERS.names()]


def _row(name: str) -> dict[str, Any]:
    heard, weights, licence, extra = _KINDS.get(name, (_UNKNOWN,) * 4)
    shown = _ARGUMENT.get(name, f"{name}<argument>" if name.endswith(":") else name)
    return {"name": shown, "input": heard, "weights": weights, "licence": licence, "needs": _needs(extra)}


def _needs(extra: str) -> str:
    if extra not in _PACKAGE:
        return extra or "nothing more"
    installed = importlib.util.find_spec(_PACKAGE[extra]) is not None
    return f"extra {extra} (installed)" if installed else f"pip install 'affekt[{extra}]'"
