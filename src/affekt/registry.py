"""Names that stand for classes, loaded on use.

An entry is "module:attribute". Nothing is imported until it is asked for, so that listing names stays instant and a
package that one encoder needs is never loaded for another. A key that ends in ":" (`hf:`, `precomputed:`) takes any
name that begins with it; what follows the colon is the argument.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from affekt.errors import AffektError, DataError, EncoderError


class Registry:
    """A lazy mapping from public names to the objects behind them.

    Args:
        kind: what the names stand for, as it appears in messages ("encoder", "data set").
        entries: name to "module:attribute".
        error: the class to raise for an unknown name.
        hint: one sentence on where all names are listed.
        examples: of names that take an argument, by their key.
    """

    def __init__(
        self,
        kind: str,
        entries: Mapping[str, str],
        error: type[AffektError],
        hint: str,
        examples: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self._entries = dict(entries)
        self._error = error
        self._hint = hint
        self._examples = dict(examples or {})

    def names(self) -> list[str]:
        """All names, in the order of registration."""
        return list(self._entries)

    def register(self, name: str, target: str) -> None:
        """Add `name`, standing for "module:attribute"; a plug-in calls this."""
        self._entries[name] = target

    def key(self, name: str) -> str:
        """The entry that `name` falls under.

        Raises:
            AffektError: of the registry's class; the name is unknown (the nearest one is named), or lacks its argument.
        """
        prefix = name.split(":", 1)[0] + ":"
        if name in self._entries and not name.endswith(":"):
            return name
        if ":" in name and prefix in self._entries and name != prefix:
            return prefix
        if name == prefix and name in self._entries:
            example = self._examples.get(name, f"{name}<argument>")
            raise self._error(
                f'"{name}": the argument is missing. Write it behind the colon, as in "{example}". {self._hint}'
            )
        raise self._error(f'"{name}": unknown {self.kind}.{did_you_mean(name, self.names())} {self._hint}')

    def load(self, name: str) -> Any:
        """Import and return what `name` stands for."""
        module, attribute = self._entries[self.key(name)].split(":")
        return getattr(importlib.import_module(module), attribute)


def did_you_mean(word: str, known: list[str]) -> str:
    """' Did you mean "x"?' for the nearest of `known`, or '' where none is near."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f' Did you mean "{near[0]}"?' if near else ""


#: Each entry is a loader (root=..., ...) -> Dataset.
DATASETS = Registry(
    "data set",
    {
        "deam": "affekt.data.deam:load_deam",
        "emomusic": "affekt.data.emomusic:load_emomusic",
        "pmemo": "affekt.data.pmemo:load_pmemo",
        "demo": "affekt.data.demo:load_demo",
        "folder": "affekt.data.folder:load_folder",
    },
    DataError,
    "`affekt data --help` lists all.",
)

_MAMBAVISION = "affekt.encoders.spectrogram:mambavision"
_WAVEFORM = "affekt.encoders.waveform"
_CONTROLLED = "affekt.encoders.controlled:controlled"

#: Each entry is a function (name, weights, seed) -> Encoder.
ENCODERS = Registry(
    "encoder",
    {
        "mean": "affekt.encoders.baselines:mean",
        "handcrafted": "affekt.encoders.baselines:handcrafted",
        "precomputed:": "affekt.encoders.baselines:precomputed",
        "wav2vec2-nano": f"{_WAVEFORM}:wav2vec2_nano",
        "wav2vec2-base": f"{_WAVEFORM}:published",
        "wav2vec2-large": f"{_WAVEFORM}:published",
        "hubert-base": f"{_WAVEFORM}:published",
        "wavlm-base-plus": f"{_WAVEFORM}:published",
        "data2vec-audio-base": f"{_WAVEFORM}:published",
        "hf:": "affekt.encoders.auto:from_hub",
        "mambavision-nano": _MAMBAVISION,
        "mambavision-t": _MAMBAVISION,
        "mambavision-t2": _MAMBAVISION,
        "mambavision-s": _MAMBAVISION,
        "mambavision-b": _MAMBAVISION,
        "mambavision-l": _MAMBAVISION,
        "mambavision-l2": _MAMBAVISION,
        "wave-transformer-nano": _CONTROLLED,
        "wave-mamba-nano": _CONTROLLED,
        "mel-transformer-nano": _CONTROLLED,
        "mel-mamba-nano": _CONTROLLED,
        "musicnn": "affekt.encoders.musicnn:musicnn",
        "musicnn-msd": "affekt.encoders.musicnn:musicnn",
    },
    EncoderError,
    "`affekt encoders` lists all.",
    {"hf:": "hf:facebook/wav2vec2-base", "precomputed:": "precomputed:embeddings.csv"},
)
