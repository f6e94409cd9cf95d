"""One encoder on one fold: kept under what determines it, searched with the same trials for all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affekt.config import parse_experiment
from affekt.errors import ConfigError, DivergedError
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


def search_for_a_rate(songs: Path, out: Path, store: Store, rates: list[float]) -> Results:
    """One encoder with a linear head, trained at each of some constant rates; 1e30 and above diverge at once."""
    training = {"epochs": 1, "schedule": "constant", "grad_clip": 0.0}
    search = {"trials": len(rates), "space": {"training.lr": rates}}
    return run(songs, out, store, encoders=["handcrafted"], training=training, search=search)


def kept(out: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in (out / "folds").iterdir()]


@pytest.mark.parametrize("rates", [[1e30, 1e-3, 1e-4], [1e-3, 1e-4, 1e30]], ids=["first", "last"])
def test_a_trial_that_diverges_is_never_chosen_and_stops_nothing(
    song_folder: Path, store: Store, tmp_path: Path, rates: list[float]
) -> None:
    results = search_for_a_rate(song_folder, tmp_path / "run", store, rates)
    usual = search_for_a_rate(song_folder, tmp_path / "usual", store, [rate for rate in rates if rate < 1])
    assert results.predictions == usual.predictions
    for fit in results.fits:
        assert fit["chosen"]["training.lr"] < 1 and np.isfinite(fit["chosen"]["validation_mse"])
        assert (fit["chosen"]["trials"], fit["chosen"]["diverged"]) == (3, 1)
    assert all("diverged" not in fit["chosen"] for fit in usual.fits)
    lost = [one for one in kept(tmp_path / "run") if not one["history"]]
    assert len(lost) == 2, "one trial in each of two folds"
    assert all("diverged in epoch 1" in one["chosen"]["diverged"] and one["training_s"] > 0 for one in lost)


def test_a_search_that_is_taken_up_again_comes_to_the_same_choice(
    song_folder: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = [1e-3, 1e30, 1e-4]
    whole = search_for_a_rate(song_folder, tmp_path / "whole", store, rates)
    once, begun = Fit.once, []

    def stop_at_the_third(fit: Fit, section: Any, trial: int | None = None) -> Any:
        begun.append(trial)
        if trial == 3:
            raise KeyboardInterrupt
        return once(fit, section, trial)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Fit, "once", stop_at_the_third)
        search_for_a_rate(song_folder, tmp_path / "run", store, rates)
    assert begun == [1, 2, 3] and len(kept(tmp_path / "run")) == 2
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1, "of the trial that did not diverge"
    results = search_for_a_rate(song_folder, tmp_path / "run", store, rates)
    monkeypatch.setattr("affekt.training.fit.fit_suffix", lambda *_: pytest.fail("nothing is trained again"))
    again = search_for_a_rate(song_folder, tmp_path / "run", store, rates)
    for one in (results, again):
        assert one.predictions == whole.predictions
        assert [fit["chosen"] for fit in one.fits] == [fit["chosen"] for fit in whole.fits]


def test_a_search_in_which_every_trial_diverges_is_one_clear_error(
    song_folder: Path, store: Store, tmp_path: Path
) -> None:
    for _ in ("trained", "read where the first run kept it"):
        with pytest.raises(DivergedError, match=r"handcrafted: all 2 trials .* search\.space .* diverged in epoch 1"):
            search_for_a_rate(song_folder, tmp_path / "run", store, [1e30, 1e31])
    assert len(kept(tmp_path / "run")) == 2


def test_without_a_search_a_fit_that_diverges_is_an_error_and_is_not_kept(
    song_folder: Path, store: Store, tmp_path: Path
) -> None:
    training = {"epochs": 1, "lr": 1e30, "schedule": "constant", "grad_clip": 0.0}
    with pytest.raises(ConfigError, match=r"^training diverged in epoch 1"):
        run(song_folder, tmp_path / "run", store, encoders=["handcrafted"], training=training)
    assert not (tmp_path / "run" / "folds").exists()


def test_a_fit_says_how_many_songs_it_saw(song_folder: Path, store: Store, tmp_path: Path) -> None:
    results = run(song_folder, tmp_path / "run", store, encoders=["mean", {"name": "handcrafted", "head": "ridge"}])
    assert len(results.fits) == 2 * 2
    assert all(fit["n_train"] + fit["n_validation"] + fit["n_test"] == 16 for fit in results.fits)


def test_every_fold_has_a_seed_of_its_own() -> None:
    seeds = {fold_seed(seed, fold) for seed in range(5) for fold in range(10)}
    assert len(seeds) == 50
    assert fold_seed(3, 2) == fold_seed(3, 2)
