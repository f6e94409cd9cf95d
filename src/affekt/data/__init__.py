"""Data sets: anything with songs and numbers."""

from __future__ import annotations

from typing import Any

from affekt.data.base import VALENCE_AROUSAL, Dataset, Song
from affekt.registry import DATASETS


def load_dataset(name: str, **options: Any) -> Dataset:
    """Load a registered data set.

    Args:
        name: "deam", "demo" or "folder".
        options: what the loader takes: `root`, `labels`, `targets`, ...

    Raises:
        DataError: the name is unknown, or the data set is missing or broken.
    """
    loaded: Dataset = DATASETS.load(name)(**options)
    return loaded


__all__ = ["DATASETS", "VALENCE_AROUSAL", "Dataset", "Song", "load_dataset"]
