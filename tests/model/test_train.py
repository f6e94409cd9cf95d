"""From an experiment to a model: what the folds choose, what is refused, what is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import affekt
from affekt.config import parse_experiment
from affekt.errors import ConfigError
from affekt.evaluation.results import Results
from affekt.features.store import Store
from affekt.model.bundle import read_settings
from affekt.model.predictor import load_model
from affekt.model.train import choose, train_model


def experiment(song_folder: Path, **settings: object) -> object:
    value = {
        "name": "small",
        "dataset": {"name": "folder", "root": str(song_folder), "scale": [1, 9]},
        "split": {"folds": 4},
        "clips": {"count": 2, "length_s": 1.5},
        "encoders": ["mean", "mambavision-nano", {"name": "mambavision-nano", "label": "twice", "head": "linear"}],
        "training": {"epochs": 2},
        **settings,
    }
    return parse_experiment(value)


def results(chosen: list[dict[str, object]]) -> Results:
    return Results({}, ["valence", "arousal"], [], [], [], fits=[{"encoder": "e", "chosen": one} for one in chosen])


def section(head: str) -> object:
    return parse_experiment({"encoders": [{"name": "mambavision-nano", "label": "e", "head": head}]}).encoders[0]


def test_strengths_are_averaged_as_powers() -> None:
    found = choose(results([{"alpha": [1.0, 10.0]}, {"alpha": [100.0, 10.0]}]), section("ridge"))  # type: ignore[arg-type]
    np.testing.assert_allclose(found.alphas, [10.0, 10.0])
    assert found.about == {"alpha": pytest.approx([10.0, 10.0])}


def test_epochs_are_the_median() -> None:
    found = choose(results([{"epoch": 3}, {"epoch": 9}, {"epoch": 4}]), section("mlp"))  # type: ignore[arg-type]
    assert found.section.training.epochs == 4 and found.alphas is None


def test_of_a_search_the_settings_that_most_folds_chose() -> None:
    slow, quick = {"training.max_lr": 0.001}, {"training.max_lr": 0.01}
    fits = [
        {**slow, "epoch": 5, "validation_mse": 1.0, "trials": 2},
        {**quick, "epoch": 1, "validation_mse": 0.1, "trials": 2},
        {**slow, "epoch": 7, "validation_mse": 1.0, "trials": 2},
    ]
    found = choose(results(fits), section("mlp"))  # type: ignore[arg-type]
    assert found.section.training.max_lr == 0.001 and found.section.training.epochs == 6
    even = choose(results(fits[:2]), section("mlp"))  # type: ignore[arg-type]
    assert even.section.training.max_lr == 0.01, "of equals the one with the lower error"


@pytest.mark.parametrize(
    ("encoder", "settings", "told"),
    [
        ("mambavision-nan", {}, 'Did you mean "mambavision-nano"'),
        ("mambavision-nano", {}, "2 encoders are called so"),
        ("mean", {}, "takes no audio"),
        ("twice", {"permute_labels": True}, "a control, not a model"),
    ],
)
def test_what_is_refused(
    song_folder: Path, tmp_path: Path, encoder: str, settings: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        train_model(experiment(song_folder, **settings), encoder, tmp_path / "m", tmp_path / "run", quiet=True)  # type: ignore[arg-type]
    assert not (tmp_path / "m").exists() and not (tmp_path / "run").exists()


def test_a_finished_comparison_is_not_run_again(song_folder: Path, tmp_path: Path) -> None:
    asked = experiment(song_folder)
    store, run = Store(tmp_path / "store"), tmp_path / "run"
    affekt.run_experiment(asked, run, store, quiet=True)  # type: ignore[arg-type]
    before = (run / "results.json").stat().st_mtime_ns
    model = train_model(asked, "twice", tmp_path / "model", run, store, quiet=True)  # type: ignore[arg-type]
    assert (run / "results.json").stat().st_mtime_ns == before
    scores = {target.name: target.scores["r2"][0] for target in model.settings.targets}
    table = Results.load(run / "results.json").table()
    found = table[table["encoder"] == "twice"].set_index("target")["r2"]
    assert scores == {target: pytest.approx(found[target]) for target in ("valence", "arousal")}


def test_training_twice_gives_the_same_model(song_folder: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    models = [
        train_model(experiment(song_folder), "twice", tmp_path / f"m{i}", tmp_path / f"run{i}", store, quiet=True)  # type: ignore[arg-type]
        for i in range(2)
    ]
    assert models[0].fingerprint == models[1].fingerprint


def test_what_is_written(ridge_bundle: Path) -> None:
    assert {path.name for path in ridge_bundle.iterdir()} == {"model.json", "model.safetensors", "README.md"}
    settings = read_settings(ridge_bundle)
    assert settings.trained_on.n_songs == 16 and settings.trained_on.dataset == "folder"
    assert settings.made_by["experiment"]["name"] == "small" and settings.made_by["versions"]["affekt"]
    card = (ridge_bundle / "README.md").read_text(encoding="utf-8")
    metadata = yaml.safe_load(card.split("---")[1])
    metrics = metadata["model-index"][0]["results"][0]["metrics"]
    assert {"r2", "rmse", "pearson", "ccc"} == {metric["type"] for metric in metrics}
    assert settings.encoder["licence"] in card and "random weights" in card
    from huggingface_hub import ModelCard

    assert ModelCard(card).data.library_name == "affekt"
    json.loads((ridge_bundle / "model.json").read_text())


@pytest.mark.slow
def test_a_model_over_time(tmp_path: Path) -> None:
    value = {
        "dataset": {"name": "demo", "n_songs": 16, "annotations": "dynamic"},
        "frames": {"window_s": 4.0, "hop_s": 2.0},
        "split": {"folds": 4},
        "encoders": ["mambavision-nano"],
    }
    store = Store(tmp_path / "store")
    model = train_model(
        parse_experiment(value), "mambavision-nano", tmp_path / "m", tmp_path / "run", store, quiet=True
    )
    assert model.settings.over_time and model.settings.causal
    noise = 0.1 * np.random.default_rng(0).standard_normal(16_000 * 20)
    found = load_model(tmp_path / "m").predict((noise, 16_000))
    assert found.curve is not None
    assert found.curve.times_s[0] == pytest.approx(4.0) and found.curve.times_s[-1] == pytest.approx(20.0)
    np.testing.assert_allclose(found.values, found.curve.values.mean(axis=0))
    assert "synthetic" in [remark.code for remark in found.remarks]
    assert "Trained on synthetic music" in (tmp_path / "m" / "README.md").read_text()
