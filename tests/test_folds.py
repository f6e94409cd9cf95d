"""One encoder on one fold: kept under what determines it, searched with the same trials for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affekt.config import parse_experiment
from affekt.evaluation.results import Results
from affekt.experiment import run_experiment
from affekt.features.store import Store
from affekt.folds import Fit, fold_seed

SPACE = {"training.max_lr": [1e-3, 1e-2], "head": ["linear", "mlp"]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def run(songs: Path, out: Path, store: Store, **settings: Any) -> Results:
    value = {
        "dataset": {"name": "folder", "root": str(songs)},
        "split": {"folds": 2},
        "clips": {"count": 1, "length_s": 1.0},
        "encoders": ["mean", {"name": "handcrafted", "head": "ridge"}, "mambavision-nano", "wav2vec2-nano"],
        "head": "linear",
        "training": {"epochs": 1},
        **settings,
    }
    return run_experiment(parse_experiment(value), out, store, quiet=True)[0]


@pytest.mark.slow
def test_a_search_tries_the_same_settings_for_every_trained_encoder(
    song_folder: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: dict[str, list[tuple[float, str]]] = {}
    errors: dict[tuple[str, Any], list[float]] = {}
    once = Fit.once

    def noted(fit: Fit, section: Any, *args: Any) -> Any:
        fitted = once(fit, section, *args)
        tried.setdefault(section.title, []).append((section.training.max_lr, section.head))
        if fitted.history:
            errors.setdefault((section.title, fit.task.fold.test), []).append(fitted.history[0]["validation_mse"])
        return fitted

    monkeypatch.setattr(Fit, "once", noted)
    results = run(song_folder, tmp_path / "run", store, search={"trials": 3, "space": SPACE})
    assert tried["mambavision-nano"] == tried["wav2vec2-nano"]
    assert len(tried["wav2vec2-nano"]) == 2 * 3 and len(set(tried["wav2vec2-nano"])) == 3
    assert len(tried["handcrafted"]) == 2, "a closed form chooses its own strength"
    chosen = {(fit["encoder"], fit["fold"]): fit["chosen"] for fit in results.fits}
    for title in ("mambavision-nano", "wav2vec2-nano"):
        for fold in (0, 1):
            found = chosen[title, fold]
            assert found["trials"] == 3 and (found["training.max_lr"], found["head"]) in tried[title]
            assert any(found["validation_mse"] == min(one) for (name, _), one in errors.items() if name == title)
    assert np.asarray(chosen["handcrafted", 0]["alpha"]).shape == (2,)
    tried.clear()
    again = run(song_folder, tmp_path / "run", store, search={"trials": 3, "space": SPACE})
    assert again.predictions == results.predictions, "trials are kept like folds"


def test_a_fit_says_how_many_songs_it_saw(song_folder: Path, store: Store, tmp_path: Path) -> None:
    results = run(song_folder, tmp_path / "run", store, encoders=["mean", {"name": "handcrafted", "head": "ridge"}])
    assert len(results.fits) == 2 * 2
    assert all(fit["n_train"] + fit["n_validation"] + fit["n_test"] == 16 for fit in results.fits)


def test_every_fold_has_a_seed_of_its_own() -> None:
    seeds = {fold_seed(seed, fold) for seed in range(5) for fold in range(10)}
    assert len(seeds) == 50
    assert fold_seed(3, 2) == fold_seed(3, 2)
