"""Small models, trained once for all tests on the songs of `song_folder`: ridge, and a suffix with heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from affekt.config import Experiment, parse_experiment
from affekt.features.store import Store
from affekt.model.train import train_model


def small(song_folder: Path, encoder: dict[str, Any] | str, **settings: Any) -> Experiment:
    """An experiment on the shared songs."""
    value = {
        "name": "small",
        "dataset": {"name": "folder", "root": str(song_folder), "scale": [1, 9]},
        "split": {"folds": 4},
        "clips": {"count": 3, "length_s": 1.5},
        "encoders": ["mean", encoder],
        **settings,
    }
    return parse_experiment(value)


@pytest.fixture(scope="session")
def ridge_bundle(song_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frozen encoder with ridge. Not to be written into."""
    root = tmp_path_factory.mktemp("ridge")
    experiment = small(song_folder, "mambavision-nano")
    train_model(experiment, "mambavision-nano", root / "model", root / "run", Store(root / "store"), quiet=True)
    return root / "model"


@pytest.fixture(scope="session")
def suffix_bundle(song_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder whose last layer was trained, with its heads. Not to be written into."""
    root = tmp_path_factory.mktemp("suffix")
    encoder = {"name": "wav2vec2-nano", "freeze": "last1", "head": "seed", "training": {"epochs": 2}}
    experiment = small(song_folder, encoder)
    train_model(experiment, "wav2vec2-nano", root / "model", root / "run", Store(root / "store"), quiet=True)
    return root / "model"
