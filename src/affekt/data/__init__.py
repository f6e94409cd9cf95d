"""Data sets: anything with songs and numbers."""

from __future__ import annotations

from inspect import Parameter, signature
from typing import Any

from affekt.data.base import VALENCE_AROUSAL, Dataset, Song
from affekt.errors import DataError
from affekt.registry import DATASETS


def load_dataset(name: str, **options: Any) -> Dataset:
    """Load a registered data set.

    Args:
        name: "deam", "emomusic", "pmemo", "demo", "folder", or one that was registered.
        options: what the loader takes: `root`, `labels`, `targets`, ...

    Raises:
        DataError: the name is unknown, the loader takes no such option, or the data set is missing or broken.
    """
    loader = DATASETS.load(name)
    known = signature(loader).parameters
    unknown = [option for option in options if option not in known]
    if unknown and not any(one.kind is Parameter.VAR_KEYWORD for one in known.values()):
        raise DataError(f"{name}: takes no {' and no '.join(unknown)}. Allowed: {', '.join(known)}.")
    loaded: Dataset = loader(**options)
    return loaded


__all__ = ["DATASETS", "VALENCE_AROUSAL", "Dataset", "Song", "load_dataset"]
