"""Small models, trained once for all tests on the songs of `song_folder`: ridge, and a suffix with heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def trained(song_folder: Path, root: Path, encoder: dict[str, Any]) -> Path:
    """A bundle of an encoder that was compared and trained on the shared songs."""
    from affekt.config import parse_experiment
    from affekt.features.store import Store
    from affekt.model.train import train_model

    value = {
        "name": "small",
        "dataset": {"name": "folder", "root": str(song_folder), "scale": [1, 9]},
        "split": {"folds": 4},
        "clips": {"count": 3, "length_s": 1.5},
        "encoders": ["mean", encoder],
    }
    store = Store(root / "store")
    train_model(parse_experiment(value), encoder["name"], root / "model", root / "run", store, quiet=True, workers=0)
    return root / "model"


@pytest.fixture(scope="session")
def ridge_bundle(song_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frozen encoder with ridge. Not to be written into."""
    return trained(song_folder, tmp_path_factory.mktemp("ridge"), {"name": "mambavision-nano"})


@pytest.fixture(scope="session")
def suffix_bundle(song_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder whose last layer was trained, with its heads. Not to be written into."""
    encoder = {"name": "wav2vec2-nano", "freeze": "last1", "head": "seed", "training": {"epochs": 2}}
    return trained(song_folder, tmp_path_factory.mktemp("suffix"), encoder)
