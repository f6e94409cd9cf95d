"""What can be compared, as rows to print: told from constants, without loading a model."""

from __future__ import annotations

import importlib.util
from typing import Any

from affekt.encoders.base import RANDOM_WEIGHTS
from affekt.encoders.published import MAMBAVISION_LICENCE, WAVEFORM
from affekt.registry import ENCODERS

#: What an encoder hears and needs, by the beginning of its name; the first match counts.
_KINDS = (
    ("mean", "nothing", "none", "none", ""),
    ("handcrafted", "descriptors", "none", "none", "handcrafted"),
    ("precomputed:", "embeddings", "as given", "as given", ""),
    ("wav2vec2-nano", "waveform", RANDOM_WEIGHTS, "none", "models"),
    ("wave-", "waveform", RANDOM_WEIGHTS, "none", "models"),
    ("mel-", "spectrogram", RANDOM_WEIGHTS, "none", "models"),
    ("mambavision-nano", "spectrogram", RANDOM_WEIGHTS, "none", "models"),
    ("mambavision-", "spectrogram", "ImageNet-1K, from the hub", MAMBAVISION_LICENCE, "models"),
    ("musicnn", "spectrogram", "music tags, from the package index", "ISC", "models"),
    ("hf:", "waveform or spectrogram", "hub repository or folder", "see the repository", "models"),
    ("", "waveform", "pretrained on speech, from the hub", "see the repository", "models"),
)
_PACKAGE = {"models": "transformers", "handcrafted": "librosa"}
_ARGUMENT = {"hf:": "hf:<repo or folder>", "precomputed:": "precomputed:<csv or folder>"}


def catalogue() -> list[dict[str, Any]]:
    """One row for each registered encoder: name, input, weights, licence, needs (which extra, and if it is there)."""
    return [_row(name) for name in ENCODERS.names()]


def _row(name: str) -> dict[str, Any]:
    _, heard, weights, licence, extra = next(kind for kind in _KINDS if name.startswith(kind[0]))
    licence = WAVEFORM[name][1] if name in WAVEFORM else licence
    shown = _ARGUMENT.get(name, name)
    return {"name": shown, "input": heard, "weights": weights, "licence": licence, "needs": _needs(extra)}


def _needs(extra: str) -> str:
    if not extra:
        return "nothing more"
    installed = importlib.util.find_spec(_PACKAGE[extra]) is not None
    return f"extra {extra} (installed)" if installed else f"pip install 'affekt[{extra}]'"
